"""Walk-forward with the default line on the built-in markets, and what a second worker saves.

``--part table`` (the default) walks over each market as ``offline-trader walk-forward`` does; what
is finished stays in ``runs/benchmark-walk-forward``, in a folder for these settings, so the same
command goes on after a stop.
``--part speed`` runs a walk of five windows through the command line, on one worker and on two in
turns, each time from nothing, and compares the bytes of the windows' results.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.record import Figure, publish

ROOT = Path(__file__).resolve().parent.parent
HOME = ROOT / "runs" / "benchmark-walk-forward"
GATE = 0.7
SHARE_OF_SERIAL = 0.6
FIVE_WINDOWS = "windows.test_bars=600"
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")


def walk(market: str, workers: int, source: str = "", **changed: Any) -> Any:
    """The finished walk over ``market`` with the default settings but for those ``changed``.

    Args:
        market: the name that folder and progress have.
        workers: windows at once.
        source: of the bars, where that is not the name.
        changed: fields of the plan.
    """
    from offline_trader.config import to_dict
    from offline_trader.evaluation.walk_forward import walk_forward
    from offline_trader.pipeline import WALK_FORWARD, LineJob
    from offline_trader.pipeline.walking import walk_plan
    from offline_trader.types import digest

    env = replace(WALK_FORWARD.env, market=(source or market,))
    plan = replace(WALK_FORWARD, env=env, **changed)
    bars, folds = walk_plan(plan)

    def tell(index: int, _: Any) -> None:
        print(f"{market}: window {index + 1} is done", file=sys.stderr)

    return walk_forward(
        folds,
        LineJob(plan),
        HOME / f"{market}-{digest(to_dict(plan))[:8]}",
        periods_per_year=bars.periods_per_year,
        workers=workers,
        on_fold=tell,
    )


def table_figures(market: str, result: Any) -> list[Figure]:
    """What the windows and the joined curve show."""
    from offline_trader.pipeline import WALK_FORWARD

    total, rows = result.summary(), result.table()

    def figure(name: str, label: str, unit: str = "", **more: Any) -> Figure:
        ends = total.get(f"{name}_interval")
        interval = None if ends is None else (ends[0], ends[1])
        return Figure(f"{market}: {label}", total[name], unit, interval=interval, **more)

    share = total["share_positive_sharpe"]
    figures = [
        figure("windows", "windows"),
        figure(
            "share_positive_sharpe",
            "windows with a positive Sharpe ratio",
            target=f"≥ {GATE:g}",
            holds=share is not None and share >= GATE,
        ),
        figure("share_beating_hold", "windows ahead of buy-and-hold"),
        figure("sharpe_median", "median Sharpe ratio of the windows"),
        figure("sharpe_std_between_windows", "standard deviation between windows"),
        figure("sharpe_lowest", "lowest Sharpe ratio of a window"),
        figure("sharpe_highest", "highest Sharpe ratio of a window"),
        figure("sharpe_difference", "joined Sharpe ratio less buy-and-hold's"),
    ]
    for label, prefix in (("joined", ""), ("buy-and-hold", "hold_")):
        figures += [
            figure(f"{prefix}sharpe", f"{label} Sharpe ratio"),
            figure(f"{prefix}return", f"{label} return"),
            figure(f"{prefix}max_drawdown", f"{label} drawdown"),
        ]
    least = WALK_FORWARD.validation.min_trades_per_1000 * 1e-3
    idle, label = sum(row["trades"] < least * row["bars"] for row in rows), "windows that hardly"
    figures.append(Figure(f"{market}: {label} trade", idle, "windows"))
    timid = sum(row["mean_exposure"] < WALK_FORWARD.validation.min_exposure for row in rows)
    figures.append(Figure(f"{market}: {label} invest", timid, "windows"))
    for kept in ("clone", "direct", "offline", "online"):
        count = sum(row["kept"] == kept for row in rows)
        figures.append(Figure(f"{market}: windows that kept {kept}", count, "windows"))
    for verdict in ("COLLAPSED", "STATE-BLIND", "SATURATED"):
        count = sum(verdict in row["verdicts"] for row in rows)
        figures.append(Figure(f"{market}: windows judged {verdict}", count, "windows"))
    return figures


def joint_figures(figures: list[Figure], windows: int) -> list[Figure]:
    """Of all markets: how many of the windows hardly trade, and how many did not decide."""
    goals = {"windows that hardly trade": 1, "windows judged COLLAPSED": 0,
             "windows judged STATE-BLIND": 0}  # fmt: skip
    found = []
    for label, most in goals.items():
        count = sum(int(each.value) for each in figures if each.name.endswith(f": {label}"))
        found.append(
            Figure(
                f"all markets: {label}", count, f"of {windows}",
                target=f"≤ {most}", holds=count <= most,
            )
        )  # fmt: skip
    return found


def table(args: argparse.Namespace) -> None:
    """Part ``table``."""
    from offline_trader.config import to_dict
    from offline_trader.pipeline import WALK_FORWARD

    os.environ.setdefault("OMP_NUM_THREADS", "1")
    figures: list[Figure] = []
    tables: dict[str, Any] = {}
    for market in args.markets:
        result = walk(market, args.workers)
        figures += table_figures(market, result)
        tables[market] = result.table()
    figures += joint_figures(figures, sum(len(rows) for rows in tables.values()))
    facts = {
        "settings": to_dict(WALK_FORWARD),
        "intervals": "95 %: Wilson's of shares, stationary bootstrap of Sharpe ratios",
        "tables": tables,
    }
    publish("walk_forward", figures, seeds=[0], facts=facts)


def timed(workers: int, folder: Path, settings: list[str]) -> tuple[float, dict[str, bytes]]:
    """Seconds of a whole walk in a process of its own, and its windows' results."""
    code = "from offline_trader.cli.main import main; main()"
    words = ["walk-forward", "--market", "sp500", "--run", str(folder / "walk"), "--quiet"]
    words += ["--workers", str(workers)]
    words += [part for setting in settings for part in ("--set", setting)]
    environment = {name: value for name, value in os.environ.items() if name not in THREADS}
    begun = time.perf_counter()
    subprocess.run(
        [sys.executable, "-P", "-c", code, *words],
        cwd=folder,
        env=environment,
        stdout=subprocess.DEVNULL,
        check=True,
    )
    seconds = time.perf_counter() - begun
    found = sorted((folder / "walk").glob("fold-*/result.json"))
    return seconds, {path.parent.name: path.read_bytes() for path in found}


def speed(args: argparse.Namespace) -> None:
    """Part ``speed``."""
    settings = [FIVE_WINDOWS, *args.set]
    times: dict[int, list[float]] = {1: [], 2: []}
    results: list[dict[str, bytes]] = []
    for repeat in range(args.repeats):
        for workers in ((1, 2), (2, 1))[repeat % 2]:
            with tempfile.TemporaryDirectory() as folder:
                seconds, found = timed(workers, Path(folder), settings)
            times[workers].append(seconds)
            results.append(found)
            print(f"{len(found)} windows, {workers} workers: {seconds:.1f} s", file=sys.stderr)
    ratios = [two / one for one, two in zip(times[1], times[2], strict=True)]
    ratio = statistics.median(ratios)
    differing = sum(each != results[0] for each in results)
    figures = [
        _seconds("one worker", times[1]),
        _seconds("two workers", times[2]),
        Figure(
            "two workers: share of the serial time",
            ratio,
            "",
            interval=(min(ratios), max(ratios)),
            target=f"≤ {SHARE_OF_SERIAL:g}",
            holds=ratio <= SHARE_OF_SERIAL,
        ),
        Figure("walks with other bytes", differing, "walks", target="= 0", holds=differing == 0),
    ]
    facts = {
        "settings": settings,
        "windows": len(results[0]),
        "repeats": args.repeats,
        "statistic": "median of walks in turns; ratios within a turn",
    }
    publish("walk_forward_speed", figures, seeds=[0], facts=facts, module="walk_forward")


def _seconds(name: str, values: list[float]) -> Figure:
    return Figure(name, statistics.median(values), "s", interval=(min(values), max(values)))


def main() -> None:
    """Run a part and publish it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--part", choices=("table", "speed"), default="table")
    parser.add_argument("--markets", nargs="+", default=["sp500", "nasdaq"])
    parser.add_argument("--workers", type=int, default=1, help="of part table")
    parser.add_argument("--repeats", type=int, default=3, help="of part speed")
    parser.add_argument("--set", nargs="+", default=[], help="further settings of part speed")
    args = parser.parse_args()
    (table if args.part == "table" else speed)(args)


if __name__ == "__main__":
    main()
