"""The whole line on windows, in order and in parallel, from the command line."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from offline_trader.cli.main import main
from offline_trader.config import to_dict
from offline_trader.evaluation.judging import Evaluation
from offline_trader.evaluation.walk_forward import Fold, FoldResult, WalkForwardResult, WindowConfig
from offline_trader.markets import load_market
from offline_trader.pipeline import WALK_FORWARD
from offline_trader.runs import Run

SMALL = (
    "windows.train_bars=900",
    "windows.validation_bars=300",
    "windows.test_bars=1700",
    "transitions=2000",
    "clone.updates=40",
    "direct.updates=4",
    "direct.windows=8",
    "direct.bars=8",
    "offline.updates=20",
    "offline.critic_updates=20",
    "online.steps=64",
    "online.warmup_steps=16",
    "online.critic_updates=2",
    "learner.hidden=16,16",
)


def _walk(folder: Path, *arguments: str) -> dict[str, Any]:
    settings = [part for setting in SMALL for part in ("--set", setting)]
    with pytest.raises(SystemExit) as stop:
        main(["walk-forward", "--run", str(folder), "--quiet", "--json", *settings, *arguments])
    assert not stop.value.code
    payload: dict[str, Any] = json.loads((folder / "walk_forward.json").read_text())
    return payload


def code_of(words: list[str]) -> int:
    """Exit code of a command."""
    with pytest.raises(SystemExit) as stop:
        main(words)
    return int(stop.value.code or 0)


@pytest.mark.slow
def test_windows_in_parallel_give_the_same_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    serial = _walk(tmp_path / "serial")
    parallel = _walk(tmp_path / "parallel", "--workers", "2")
    assert serial["summary"]["windows"] == 2
    for number in (0, 1):
        name = f"fold-{number:03d}/result.json"
        one, other = ((tmp_path / side / name).read_bytes() for side in ("serial", "parallel"))
        assert one == other
    assert serial == parallel
    page = (tmp_path / "serial" / "report.html").read_text()
    assert "walk-forward" in page.lower()
    assert (tmp_path / "serial" / "plots" / "walk_forward.png").is_file()
    evaluation = Evaluation.load(tmp_path / "serial" / "evaluation.json")
    assert [w.n for w in evaluation.windows] == [1700, 1700]
    assert evaluation.comparators[0].name == "buy_and_hold"
    assert evaluation.measures["sharpe"] == pytest.approx(serial["summary"]["sharpe"])
    ledger = (tmp_path / "runs" / "trials.jsonl").read_text().split("\n")
    assert len({json.loads(line)["key"] for line in ledger if line}) == 1


@pytest.mark.slow
def test_a_walk_that_was_killed_goes_on_to_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    whole = _walk(tmp_path / "whole")
    broken = tmp_path / "broken"
    marks = [
        "fold-000/pretrain/manifest.json",  # the dataset is there, the clone has begun
        "fold-000/finetune/manifest.json",
        "fold-000/result.json",
        "fold-001/pretrain/checkpoints",
    ]
    for mark in marks:
        _kill_at(broken / mark, broken)
    assert _walk(broken) == whole
    for number in (0, 1):
        name = f"fold-{number:03d}/result.json"
        assert (broken / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def _kill_at(mark: Path, folder: Path) -> None:
    """Begin or go on with a walk in a process of its own; kill -9 when ``mark`` appears."""
    settings = [part for setting in SMALL for part in ("--set", setting)]
    code = "from offline_trader.cli.main import main; main()"
    command = [sys.executable, "-c", code, "walk-forward", "--run", str(folder), *settings]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as walk:
        while walk.poll() is None and not mark.exists():
            time.sleep(0.01)
        walk.kill()
    assert walk.returncode == -9, "it ended before it could be killed"


def test_a_walk_of_other_settings_in_the_same_folder_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = replace(WALK_FORWARD, windows=WindowConfig(train_bars=900))
    Run.create(tmp_path / "walk", to_dict(plan), command="walk-forward", seed=0, data_hash="0")
    code = _refused("--run", str(tmp_path / "walk"), "--set", "windows.train_bars=800")
    assert code == 2
    assert "windows.train_bars" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "code", "named"),
    [
        (("--set", "windows.train_bars=6000"), 3, "5031 bars"),
        (("--set", "windows.train_bars=1"), 2, "windows.train_bars"),
        (("--set", "windows.validation_bars=1"), 2, "windows.validation_bars"),
        (("--set", "windows.warm_start=true", "--set", "finetune=false"), 2, "warm_start"),
        (("--workers", "0"), 2, "--workers 0"),
    ],
)
def test_bad_settings_are_named_before_anything_is_written(
    arguments: tuple[str, ...],
    code: int,
    named: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert _refused("--run", str(tmp_path / "walk"), *arguments) == code
    said = capsys.readouterr().err
    assert said.startswith("error: ")
    assert named in said
    assert not (tmp_path / "walk").exists()


def _refused(*arguments: str) -> int:
    with pytest.raises(SystemExit) as stop:
        main(["walk-forward", *arguments])
    assert isinstance(stop.value.code, int)
    return stop.value.code


@pytest.mark.slow
def test_a_warm_start_goes_on_from_the_window_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    warm = _walk(tmp_path / "warm", "--set", "windows.warm_start=true")
    parallel = _walk(tmp_path / "two", "--set", "windows.warm_start=true", "--workers", "2")
    assert warm == parallel
    first, second = (tmp_path / "warm" / f"fold-{number:03d}" for number in (0, 1))
    parents = Run.open(second / "finetune").manifest["parents"]
    assert parents[0]["path"] == str(first / "finetune")
    assert not (second / "pretrain").exists()
    assert warm["table"][1]["kept"] in ("online", "previous window")


@pytest.mark.slow
def test_windows_between_trainings_use_the_last_policy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    walk = _walk(tmp_path / "walk", "--set", "windows.retrain_every=2", "--set", "finetune=false")
    first, second = (tmp_path / "walk" / f"fold-{number:03d}" for number in (0, 1))
    assert (first / "pretrain" / "policy.d3").is_file()
    assert not (first / "finetune").exists()
    assert sorted(path.name for path in second.iterdir()) == ["result.json"]
    assert [row["kept"] in ("clone", "direct", "offline") for row in walk["table"]] == [True, True]
    assert walk["table"][0]["validation_sharpe"] == walk["table"][1]["validation_sharpe"]
    assert walk["results"][0]["timestamps"][-1] < walk["results"][1]["timestamps"][0]


@pytest.fixture
def walked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The run of a walk over sp500 whose windows were given instead of trained: 3 of 5 above 0."""

    def given(folds: Sequence[Fold], *_: object, **more: Any) -> WalkForwardResult:
        bars, rng = load_market("sp500"), np.random.default_rng(0)
        results = []
        for fold in folds:
            stamps = bars.timestamps[fold.test.start : fold.test.stop]
            noise = rng.normal(0.0, 0.005, len(stamps))
            drift = 0.001 if fold.index < 3 else -0.001
            own, held = noise - noise.mean() + drift, noise
            names = np.datetime_as_string(stamps.astype("datetime64[s]")).tolist()
            facts = {"trades": 9, "hold_share": 0.9, "verdicts": [], "kept": "offline"}
            results.append(FoldResult(names, own.tolist(), held.tolist(), facts))
        return WalkForwardResult(tuple(folds), tuple(results), more["periods_per_year"])

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("offline_trader.pipeline.walking.walk_forward", given)
    return Path("walk")


def test_the_gates_judge_the_windows_of_a_walk(
    walked: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    words = ["walk-forward", "--run", str(walked), "--quiet", "--set", "windows.test_bars=600"]
    assert code_of(words) == 0
    assert "gates" not in capsys.readouterr().out
    assert code_of([*words, "--gates", "default"]) == 4
    shown = capsys.readouterr()
    rows = {g.name: g for g in Evaluation.load(walked / "evaluation.json").gates}
    gate = rows["walk_forward"]
    assert (gate.verdict, gate.n) == ("fail", 5)
    assert gate.value == pytest.approx(0.6)
    assert "walk forward" in shown.out
    assert "walk_forward" in shown.err
    assert rows["action_entropy"].verdict == "not evaluable"
    written = json.loads((walked / "walk_forward.json").read_text())["gates"]
    assert [each["name"] for each in written] == list(rows)
    mild = Path("mild.yaml")
    mild.write_text("gates:\n  walk_forward: {threshold: 0.5}\n")
    code_of([*words, "--gates", str(mild)])
    found = {g.name: g for g in Evaluation.load(walked / "evaluation.json").gates}
    assert found["walk_forward"].verdict == "pass"


def test_a_policy_is_shown_and_judged_with_the_windows_of_a_walk(
    walked: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--run", str(walked), "--quiet", "--set", "windows.test_bars=600"]
    assert code_of(["walk-forward", *words]) == 0
    policy = ["evaluate", "expert:donchian", "--start", "2015-01-01", "--quiet"]
    policy += ["--set", "options.noise_draws=0", "--set", "options.replicates=200"]
    given = ["--walk-forward", str(walked)]
    code_of([*policy, *given, "--gates", "default", "-o", "both"])
    evaluation = Evaluation.load(Path("both/evaluation.json"))
    assert len(evaluation.windows) == 5
    gate = next(g for g in evaluation.gates if g.name == "walk_forward")
    assert (gate.verdict, gate.n) == ("fail", 5)
    assert evaluation.collapse is not None
    page = Path("both/report.html").read_text()
    assert "Sharpe ratio above 0 in 60 % of 5 windows" in page
    assert "Every window has a policy of its own" not in page
    capsys.readouterr()
    assert code_of([*policy, *given, "--market", "nasdaq", "-o", "other"]) == 2
    assert "went over other bars" in capsys.readouterr().err
    assert code_of([*policy, "--walk-forward", "nowhere", "-o", "other"]) == 3
    assert "holds no finished walk-forward" in capsys.readouterr().err
    assert not Path("other").exists()
