"""The demo from an empty folder, as a stranger runs it: how long it takes, what comes out.

Each seed runs ``offline-trader demo`` in a process and a folder of its own, one after another, and
once more with d3rlpy's own updates (``learner.engine=stock``) for the ratio of time. What the
policies earn is recorded beside buy-and-hold as it is; it is no target.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import datetime
from pathlib import Path
from typing import Any

from benchmarks.record import Figure, publish

LIMIT_S = 180.0
MIN_TRADES = 20.0


def run(seed: int, folder: Path, engine: str) -> tuple[float, float, dict[str, Any]]:
    """Seconds of one demo and of its two trainings, and its JSON result; a failed gate (exit
    code 4) has a result, too."""
    code = "from offline_trader.cli.main import main; main()"
    words = ["demo", "--seed", str(seed), "--run", str(folder / "demo"), "--json", "--quiet"]
    words += ["--set", f"learner.engine={engine}"]
    begun = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-P", "-c", code, *words],
        cwd=folder,
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    seconds = time.perf_counter() - begun
    if done.returncode not in (0, 4) or not done.stdout:
        raise SystemExit(f"the demo of seed {seed} ended with exit code {done.returncode}")
    training = sum(_seconds(folder / "demo" / stage) for stage in ("pretrain", "finetune"))
    return seconds, training, json.loads(done.stdout)


def _seconds(run: Path) -> float:
    """From a run's start to its end, by its manifest."""
    manifest = json.loads((run / "manifest.json").read_text(encoding="utf-8"))
    begun, ended = (datetime.fromisoformat(manifest[name]) for name in ("started", "finished"))
    return (ended - begun).total_seconds()


def main() -> None:
    """Run and publish."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    seeds = parser.parse_args().seeds
    every: dict[str, list[tuple[float, float, dict[str, Any]]]] = {"fast": [], "stock": []}
    for seed in seeds:
        for engine, runs in every.items():
            with tempfile.TemporaryDirectory() as folder:
                runs.append(run(seed, Path(folder), engine))
            print(f"seed {seed}, {engine}: {runs[-1][0]:.0f} s", file=sys.stderr)
    times = [seconds for seconds, _, _ in every["fast"]]
    results = [result for _, _, result in every["fast"]]
    figures = [_summary("wall time", times, "s", f"≤ {LIMIT_S:.0f}", max(times) <= LIMIT_S)]
    for place, name in enumerate(("whole demo", "its two trainings")):
        fast, stock = ([one[place] for one in every[engine]] for engine in ("fast", "stock"))
        ratio = statistics.median(stock) / statistics.median(fast)
        span = (min(fast), max(fast))
        middle = statistics.median(fast)
        figures.append(
            Figure(f"{name} beside d3rlpy's updates", middle, "s", span, "d3rlpy", ratio)
        )
    trades = [float(r["collapse"]["trades_per_1000"]) for r in results]
    figures.append(
        _summary("trades per 1,000 steps", trades, "", f"> {MIN_TRADES:.0f}", min(trades) > 20)
    )
    refused = {"COLLAPSED", "STATE-BLIND"}
    bad = float(sum(bool(refused & set(r["verdicts"])) for r in results))
    figures.append(Figure("collapsed or state-blind", bad, "runs", target="= 0", holds=bad == 0))
    for name in ("sharpe", "cagr", "max_drawdown"):
        figures.append(_summary(f"policy {name}", [r["measures"][name] for r in results], ""))
        hold = results[0]["comparators"]["buy_and_hold"][name]
        figures.append(Figure(f"buy-and-hold {name}", hold, ""))
    publish("demo", figures, seeds=seeds, facts={"statistic": "median over seeds, with the range"})


def _summary(
    name: str, values: list[float], unit: str, target: str = "", holds: bool | None = None
) -> Figure:
    middle, span = statistics.median(values), (min(values), max(values))
    return Figure(name, middle, unit, interval=span, target=target, holds=holds)


if __name__ == "__main__":
    main()
