"""Files that are damaged at random, and how each is opened: what ``benchmarks.robustness`` counts.

An artefact is a small file (with what lies beside it) that a command reads. A mutant is the same
with bytes flipped, cut, doubled or exchanged, cells or JSON values replaced by absurd ones. Opened,
it is refused with the toolkit's own error, or gives what it gave before, or other numbers;
everything else is a fault, and other numbers are one where a hash is kept.
"""

from __future__ import annotations

import hashlib
import json
import random
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

__all__ = ["ARTEFACTS", "Artefact", "make_all", "outcome"]

ABSURD = (
    *(
        "",
        "nan",
        "-1",
        "0",
        "1e400",
        "-inf",
        "9" * 500,
        "1e308",
        "x",
        "\x1b[31m",
        "1,5",
        "2020-13-45",
    ),
    *("٣", "%", "$", "=cmd|' /C calc'!A0", "../../x", "NULL", "True", "1970-01-01", "\ufeff", "�"),
)
VALUES: tuple[Any, ...] = (
    *(None, True, -1, 0, 10**400, 2**63, 1e308, float("nan"), float("inf"), "", "x", "9" * 500),
    *([], [None], [[]], {}, {"a": {}}, "os:system", "\x1b[31m"),
)


@dataclass(frozen=True)
class Artefact:
    """One kind of file.

    Attributes:
        file: below the artefact's folder; the one that is damaged.
        open: reads it as the command does; a digest of what it found.
        count: mutants.
        hashed: whether its numbers are protected by a hash, so that none may change in silence.
        text: whether lines and cells are exchanged, too.
    """

    file: str
    open: Callable[[Path], str]
    count: int
    hashed: bool = False
    text: bool = True


def digest(*parts: Any) -> str:
    """Of arrays, texts and numbers."""
    found = hashlib.sha256()
    for part in parts:
        found.update(part.tobytes() if isinstance(part, np.ndarray) else repr(part).encode())
    return found.hexdigest()


def open_market(folder: Path, file: str) -> str:
    from offline_trader.markets import load_market

    bars = load_market(str(folder / file))
    return digest(bars.timestamps, bars.open, bars.high, bars.low, bars.close, bars.volume)


def open_returns(folder: Path, file: str) -> str:
    from offline_trader.evaluation.imported import ImportOptions, read_imported

    found = read_imported(folder / file, ImportOptions())
    return digest(found.times, found.equity)


def open_log(folder: Path) -> str:
    from offline_trader.experts.log_files import read_log

    log = read_log(str(folder / "log.csv"))
    return digest(log.times, log.values)


def open_settings(folder: Path) -> str:
    from offline_trader.config import load_config, to_dict
    from offline_trader.datasets import CollectConfig

    return digest(to_dict(load_config(CollectConfig, folder / "settings.yaml")))


def open_gates(folder: Path) -> str:
    from offline_trader.evaluation.gates import load_gates

    return digest(load_gates(folder / "gates.yaml"))


def open_evaluation(folder: Path) -> str:
    from offline_trader.evaluation.judging import Evaluation
    from offline_trader.evaluation.report import render_report

    found = Evaluation.load(folder / "evaluation.json")
    render_report(found)
    return digest(found.to_dict())


def open_ledger(folder: Path) -> str:
    from offline_trader.evaluation.judging import TrialLedger

    ledger = TrialLedger(folder)
    return digest(ledger.trials(), ledger.count())


def open_run(folder: Path) -> str:
    from offline_trader.pipeline.strategies import find_strategy

    return _answers(find_strategy(str(folder / "run")))


def open_model(folder: Path) -> str:
    from offline_trader.pipeline.strategies import find_strategy

    return _answers(find_strategy(str(folder / "policy.onnx")))


def open_dataset(folder: Path) -> str:
    from offline_trader.datasets import load_transitions

    found = load_transitions("small/experts-v0", folder)
    return digest(found.observations, found.actions, found.rewards, found.next_observations)


def _answers(strategy: Any) -> str:
    from offline_trader.features import observation_layout

    rng = np.random.default_rng(0)
    probe = rng.normal(size=(64, observation_layout().size)).astype(np.float32)
    return digest(strategy.open()(probe), strategy.seen_until, dict(strategy.env))


DATASET = "small/experts-v0/data"
ARTEFACTS: Mapping[str, Artefact] = {
    "price file, CSV": Artefact("bars.csv", lambda f: open_market(f, "bars.csv"), 4_000),
    "price file, Parquet": Artefact(
        "bars.parquet", lambda f: open_market(f, "bars.parquet"), 1_000, text=False
    ),
    "price file, Feather": Artefact(
        "bars.feather", lambda f: open_market(f, "bars.feather"), 700, text=False
    ),
    "price file, gzip": Artefact(
        "bars.csv.gz", lambda f: open_market(f, "bars.csv.gz"), 700, text=False
    ),
    "price file, JSON": Artefact("bars.json", lambda f: open_market(f, "bars.json"), 700),
    "returns": Artefact("returns.csv", lambda f: open_returns(f, "returns.csv"), 3_000),
    "trade list": Artefact("trades.csv", lambda f: open_returns(f, "trades.csv"), 3_000),
    "broker's fills": Artefact("fills.csv", lambda f: open_returns(f, "fills.csv"), 1_000),
    "trade log": Artefact("log.csv", open_log, 3_000),
    "settings": Artefact("settings.yaml", open_settings, 1_000),
    "gates": Artefact("gates.yaml", open_gates, 500),
    "evaluation.json": Artefact("evaluation.json", open_evaluation, 800),
    "trial ledger": Artefact("trials.jsonl", open_ledger, 1_000),
    "run: manifest.json": Artefact("run/manifest.json", open_run, 400),
    "run: config.yaml": Artefact("run/config.yaml", open_run, 200),
    "run: policy.d3": Artefact("run/policy.d3", open_run, 300, hashed=True, text=False),
    "model: policy.onnx": Artefact("policy.onnx", open_model, 500, hashed=True, text=False),
    "model: manifest.json": Artefact("manifest.json", open_model, 200),
    "dataset: HDF5": Artefact(
        f"{DATASET}/main_data.hdf5", open_dataset, 800, hashed=True, text=False
    ),
    "dataset: metadata.json": Artefact(f"{DATASET}/metadata.json", open_dataset, 300, hashed=True),
}


def make_all(line: Path, home: Path) -> None:
    """Write every artefact below ``home``; ``line`` holds a small line that was run."""
    rng = np.random.default_rng(0)
    home.mkdir(parents=True)
    times = pd.date_range("2020-01-02", periods=60, freq="B")
    close = 100.0 * np.exp(np.cumsum(0.01 * rng.normal(size=60)))
    opened = np.append(100.0, close[:-1])
    bars = pd.DataFrame(
        {
            "date": times,
            "open": opened,
            "high": np.maximum(opened, close) * 1.005,
            "low": np.minimum(opened, close) * 0.995,
            "close": close,
            "volume": rng.integers(1_000, 9_000, 60),
        }
    )
    bars = bars.round(dict.fromkeys(("open", "high", "low", "close"), 4))
    bars.to_csv(home / "bars.csv", index=False)
    bars.to_csv(home / "bars.csv.gz", index=False)
    bars.to_parquet(home / "bars.parquet", index=False)
    bars.to_feather(home / "bars.feather")
    bars.to_json(home / "bars.json", orient="records", date_format="iso")
    pd.DataFrame({"date": times, "return": 0.01 * rng.normal(size=60)}).to_csv(
        home / "returns.csv", index=False
    )
    pd.DataFrame(
        {
            "entry time": times[:40],
            "exit time": times[5:45],
            "side": np.where(rng.random(40) < 0.5, "long", "short"),
            "profit": np.round(50.0 * rng.normal(size=40), 2),
            "commission": -1.5,
        }
    ).to_csv(home / "trades.csv", index=False)
    pd.DataFrame(
        {
            "time": times[:40],
            "symbol": "SPY",
            "side": ["buy", "sell"] * 20,
            "quantity": 3,
            "price": np.round(close[:40], 2),
            "commission": 0.35,
        }
    ).to_csv(home / "fills.csv", index=False)
    pd.DataFrame({"date": times, "target_weight": np.round(rng.random(60), 3)}).to_csv(
        home / "log.csv", index=False
    )
    (home / "settings.yaml").write_text(
        "dataset_id: own/experts-v0\ntransitions: 5000\nexperts: [technical, 'donchian?weight=2']\n"
        "env:\n  market: [sp500]\n  end: '2004-12-31'\n  simulator: {commission_bps: 2.5}\n"
    )
    (home / "gates.yaml").write_text("stage: 1\ngates:\n  sharpe:\n    threshold: 0.4\n")
    shutil.copy(line / "evaluation" / "evaluation.json", home)
    ledger = next(line.rglob("trials.jsonl"))
    shutil.copy(ledger, home / "trials.jsonl")
    shutil.copytree(line / "pretrain", home / "run")
    shutil.rmtree(home / "run" / "checkpoints", ignore_errors=True)
    for part in ("policy.onnx", "manifest.json"):
        shutil.copy(line / "pretrain" / "export" / part, home)
    shutil.copytree(line / "data" / "small", home / "small")


def outcome(name: str, seed: int, home: Path, scratch: Path) -> str:
    """``refused``, ``same``, ``other``, or ``fault: …``, of one mutant of one artefact."""
    from offline_trader.errors import OfflineTraderError

    artefact = ARTEFACTS[name]
    target = scratch / artefact.file
    original = (home / artefact.file).read_bytes()
    target.write_bytes(mutated(original, artefact, random.Random(seed)))
    try:
        found = artefact.open(scratch)
    except OfflineTraderError:
        return "refused"
    except OSError as error:
        return "refused" if error.filename is not None else f"fault: {error!r}"
    except Exception as error:
        return f"fault: {type(error).__name__}: {error}"[:300]
    finally:
        target.write_bytes(original)
    return "same" if found == undamaged(name, home) else "other"


@cache
def undamaged(name: str, home: Path) -> str:
    """The digest of the artefact as it was."""
    return ARTEFACTS[name].open(home)


def mutated(data: bytes, artefact: Artefact, rng: random.Random) -> bytes:
    """One mutant."""
    if artefact.file.endswith(".json") and rng.random() < 0.7:
        return json_mutant(data, rng)
    if artefact.text and rng.random() < 0.7:
        return text_mutant(data.decode(), rng).encode("utf-8", "surrogatepass")
    return bytes_mutant(data, rng)


def bytes_mutant(data: bytes, rng: random.Random) -> bytes:
    """One to four bytes or pieces flipped, cut, doubled, moved or overwritten."""
    out = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        at, size = rng.randrange(len(out) + 1), rng.choice([1, 1, 1, 2, 8, 64, 1024])
        kind = rng.randrange(6)
        if kind <= 1 and at < len(out):
            out[at] ^= 1 << rng.randrange(8)
        elif kind == 2:
            del out[at : at + size]
        elif kind == 3:
            out[at:at] = out[at : at + size]
        elif kind == 4:
            out[at : at + size] = rng.randbytes(size)
        elif rng.random() < 0.3:
            del out[at:]
    return bytes(out)


def text_mutant(text: str, rng: random.Random) -> str:
    """Lines exchanged, dropped or doubled; a cell or word replaced by an absurd one."""
    lines = text.split("\n")
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        i, j = rng.randrange(len(lines)), rng.randrange(len(lines))
        kind = rng.randrange(6)
        if kind == 0:
            lines[i], lines[j] = lines[j], lines[i]
        elif kind == 1 and len(lines) > 1:
            del lines[i]
        elif kind == 2:
            lines.insert(i, lines[j])
        else:
            separator = rng.choice([",", ":", " ", ";"])
            cells = lines[i].split(separator)
            cells[rng.randrange(len(cells))] = rng.choice(ABSURD)
            lines[i] = separator.join(cells)
    return "\n".join(lines)


def json_mutant(data: bytes, rng: random.Random) -> bytes:
    """One value dropped, doubled or replaced by one of another kind."""
    tree = json.loads(data)
    path = rng.choice(list(_places(tree)))
    inner = tree
    for step in path[:-1]:
        inner = inner[step]
    kind = rng.random()
    if kind < 0.2:
        del inner[path[-1]]
    elif kind < 0.3 and isinstance(inner, dict):
        inner["another"] = inner[path[-1]]
    else:
        inner[path[-1]] = rng.choice(VALUES)
    return json.dumps(tree).encode()


def _places(tree: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    items = tree.items() if isinstance(tree, dict) else enumerate(tree[:3])
    for key, item in items:
        yield (*path, key)
        if isinstance(item, dict | list) and item:
            yield from _places(item, (*path, key))
