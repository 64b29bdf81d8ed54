"""Damaged records: a key dropped, another type, absurd numbers, half a file: one clear error each.

Every mutation of a file that a command reads is refused with the toolkit's own error, or read as
what it still is; nothing else comes out of the readers or of what is done with what they read.
"""

from __future__ import annotations

import copy
import dataclasses
import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from offline_trader.errors import OfflineTraderError
from offline_trader.evaluation.judging import Evaluation, TrialLedger, side_by_side
from offline_trader.evaluation.report import render_comparison, render_report

ABSURD: tuple[Any, ...] = (
    *(None, True, -1, 0, 10**400, 2**63, 1e308, -1e308, 1e-320, float("nan"), float("inf")),
    *("", "x", "\x1b[31m", "9" * 500, [], [None], [[]], ["x"], {}, {"a": {}}, [1e308, -1e308]),
)


def places(tree: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Paths of all that lies in ``tree``, of a long list its first and last items."""
    if isinstance(tree, dict):
        for key, item in tree.items():
            yield (*path, key)
            yield from places(item, (*path, key))
    elif isinstance(tree, list):
        for i in sorted({0, len(tree) // 2, len(tree) - 1} & set(range(len(tree)))):
            yield (*path, i)
            yield from places(tree[i], (*path, i))


def mutations(tree: Any, rng: random.Random, each: int) -> Iterator[tuple[str, str]]:
    """(what was done, text) of ``each`` mutations of every place of ``tree``."""
    for path in places(tree):
        chosen = rng.sample(range(len(ABSURD) + 2), each)
        for choice in chosen:
            changed = copy.deepcopy(tree)
            inner = changed
            for step in path[:-1]:
                inner = inner[step]
            if choice < len(ABSURD):
                inner[path[-1]] = ABSURD[choice]
            elif choice == len(ABSURD):
                del inner[path[-1]]
            elif isinstance(inner, list):
                inner.append(inner[path[-1]])
            else:
                inner["another"] = inner[path[-1]]
            yield f"{path} {choice}", json.dumps(changed)


def halves(text: str, rng: random.Random, count: int) -> Iterator[tuple[str, bytes]]:
    """Files cut short and files with changed bytes."""
    raw = text.encode()
    for _ in range(count):
        cut = rng.randrange(len(raw))
        yield f"cut at {cut}", raw[:cut]
        yield f"byte {cut}", raw[:cut] + bytes([rng.randrange(256)]) + raw[cut + 1 :]


def only_own_errors(use: Callable[[], object], what: str) -> bool:
    """Whether ``use`` went through; fails the test where it raised what no user should see."""
    try:
        use()
    except OfflineTraderError:
        return False
    except Exception as error:
        pytest.fail(f"{what}: {error!r}")
    return True


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The evaluation.json of a short range, with every part."""
    from offline_trader.envs import EnvConfig
    from offline_trader.evaluation.judging import EvaluateOptions, evaluate
    from offline_trader.experts import get_expert

    found = evaluate(
        get_expert("technical"),
        EnvConfig(market=("sp500",), start="2017-09-01", end="2017-12-29"),
        EvaluateOptions(experts=("ma_cross",), costs_bps=(0.0, 5.0), replicates=100),
    )
    path = tmp_path_factory.mktemp("saved") / "evaluation.json"
    found.save(path)
    return path


def test_a_damaged_evaluation_is_refused_or_compared(saved: Path, tmp_path: Path) -> None:
    good, rng = Evaluation.load(saved), random.Random(0)
    path = tmp_path / "evaluation.json"
    text = saved.read_text()
    cases: list[tuple[str, bytes]] = [
        (what, changed.encode()) for what, changed in mutations(json.loads(text), rng, 3)
    ]
    cases += list(halves(text, rng, 100))
    read = 0
    for what, content in cases:
        path.write_bytes(content)
        read += only_own_errors(lambda: used(path, good), what)
    assert len(cases) > 1_000
    assert 0 < read < len(cases) / 2


def used(path: Path, good: Evaluation) -> None:
    """What compare does with an evaluation, and the report of it."""
    found = Evaluation.load(path)
    render_comparison([good, found], side_by_side([good, found], replicates=100))
    render_report(found)


def test_a_damaged_ledger_counts_what_is_left(tmp_path: Path) -> None:
    rng = random.Random(1)
    ledger = TrialLedger(tmp_path)
    trial = ledger.record(
        {}, seed=0, data_hash="d", sharpe=0.1, n_bars=99, periods_per_year=252.0, markets=["m"]
    )
    line = json.loads(json.dumps(vars(trial)))
    cases = [(what, text.encode()) for what, text in mutations(line, rng, len(ABSURD) + 2)]
    cases += list(halves(json.dumps(line), rng, 100))
    assert len(cases) > 300
    for what, content in cases:
        ledger.path.write_bytes(content + b"\n")

        def use() -> None:
            ledger.record({}, seed=1, data_hash="d", sharpe=0.2, n_bars=99, markets=["m"])
            counted = ledger.counted(["m"], "d")
            assert 1 <= counted.count <= 2
            counted.sharpes(252.0)

        assert only_own_errors(use, what)


def test_a_damaged_result_of_a_known_optimum_is_refused_or_shown(tmp_path: Path) -> None:
    from offline_trader.evaluation.known_optimum.results import KnownResult, load_results
    from offline_trader.evaluation.known_optimum.scoring import Score

    scores = tuple(Score("M1", 90.0 + k, (85.0, 95.0), "score", 0.1, 1.0, 0.2, 100) for k in (0, 1))
    path = KnownResult("M1", "cql", True, "cash", (0, 1), scores, {"lr": 0.1}).save(tmp_path)
    text, rng = path.read_text(), random.Random(2)
    cases = [(what, changed.encode()) for what, changed in mutations(json.loads(text), rng, 8)]
    for what, content in [*cases, *halves(text, rng, 50)]:
        path.write_bytes(content)
        only_own_errors(lambda: [each.row() for each in load_results(path)], what)
    path.write_text(text)
    assert load_results(path)[0].scores == scores


def test_a_damaged_result_of_a_window_is_refused_or_not_taken(tmp_path: Path) -> None:
    from offline_trader.evaluation.walk_forward import Fold, fold_directory, stored_result
    from offline_trader.markets import BarRange
    from offline_trader.types import digest

    class Job:
        def to_dict(self) -> dict[str, Any]:
            return {}

    fold = Fold(0, BarRange(0, 5), BarRange(5, 8), BarRange(8, 10), 0, None)
    path = fold_directory(tmp_path, 0) / "result.json"
    path.parent.mkdir()
    result = {
        "timestamps": ["2015-01-02", "2015-01-05"],
        "returns": [0.1, 0.2],
        "benchmark": [0.0, 0.1],
        "facts": {"trades": 3},
    }
    key = digest({"fold": dataclasses.asdict(fold), "job": {}})
    tree, rng = {"key": key, "result": result}, random.Random(3)
    path.write_text(json.dumps(tree))
    stored = stored_result(fold, Job(), tmp_path)  # type: ignore[arg-type]
    assert stored is not None
    assert stored.returns == [0.1, 0.2]
    cases = [(what, changed.encode()) for what, changed in mutations(tree, rng, 8)]
    for what, content in [*cases, *halves(json.dumps(tree), rng, 50)]:
        path.write_bytes(content)
        only_own_errors(lambda: stored_result(fold, Job(), tmp_path), what)  # type: ignore[arg-type]
