"""Time of ``evaluate expert:technical`` on long files, from the command to the report.

Two files are made (seeded random walks with sessions and a U-shaped volatility): 20,000 hourly and
280,000 one-minute bars. Each is evaluated by the command line in a process of its own, with its
cost sweep, delay, noise, bootstrap, oracle, page and PNG files. The compiled kernels are on disk
already; their first compilation is paid once an installation. The limits are for the elapsed time
on two cores; processor time is stated beside it.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.record import Figure, publish

FILES: dict[str, tuple[int, int, float]] = {
    # bars, minutes of a bar, limit in seconds
    "hourly": (20_000, 60, 5.0),
    "one-minute": (280_000, 1, 30.0),
}
SESSION_MINUTES = 390
STEPS = 4
"""Draws a bar, of which high and low are the extremes."""
REPEATS = 3


def write_bars(path: Path, n_bars: int, minutes: int, rng: np.random.Generator) -> None:
    """A CSV of sessions from 9:30 on business days."""
    session = max(1, -(-SESSION_MINUTES // minutes))
    days = np.busday_offset(np.datetime64("2016-01-04"), np.arange(-(-n_bars // session)))
    times = np.arange(session) * minutes + 570
    stamps = (days[:, None].astype("datetime64[m]") + times).ravel()[:n_bars]
    shape = 1.0 + 0.5 * np.cos(np.linspace(0.0, 2.0 * np.pi, session))
    daily = np.exp(0.3 * rng.normal(size=len(days)))
    deviation = 0.01 / np.sqrt(session) * (daily[:, None] * shape).ravel()[:n_bars]
    moves = rng.normal(size=(n_bars, STEPS)) * deviation[:, None] / np.sqrt(STEPS) + 1e-6
    path_of_logs = np.cumsum(moves.ravel()).reshape(n_bars, STEPS)
    opened = np.concatenate(([0.0], path_of_logs[:-1, -1]))
    prices = 100.0 * np.exp(np.column_stack([opened, path_of_logs]))
    volume = np.round(1e3 * np.exp(rng.normal(size=n_bars)))
    columns = (prices[:, 0], prices.max(axis=1), prices.min(axis=1), prices[:, -1], volume)
    rows = zip(np.datetime_as_string(stamps), *columns, strict=True)
    lines = [f"{t},{o:.6f},{h:.6f},{lo:.6f},{c:.6f},{v:.0f}" for t, o, h, lo, c, v in rows]
    path.write_text("\n".join(["timestamp,open,high,low,close,volume", *lines]) + "\n")


def evaluated(market: Path, folder: Path) -> tuple[float, float]:
    """(processor seconds, seconds) of one evaluation by the command line."""
    command = [sys.executable, "-m", "offline_trader.cli.main", "evaluate", "expert:technical"]
    command += ["--market", str(market), "--output", str(folder), "--quiet"]
    before, begun = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    threads = {"OMP_NUM_THREADS": "1"}
    subprocess.run(
        command, cwd=folder.parent, env=os.environ | threads, check=True, capture_output=True
    )
    wall, after = time.perf_counter() - begun, resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, wall


def main() -> None:
    """Measure and publish."""
    figures, least = [], {}
    with tempfile.TemporaryDirectory() as name:
        home = Path(name)
        for label, (bars, minutes, _) in FILES.items():
            write_bars(home / f"{label}.csv", bars, minutes, np.random.default_rng(0))
        evaluated(home / "hourly.csv", home / "warm")
        for label, (bars, _, limit) in FILES.items():
            runs = [
                evaluated(home / f"{label}.csv", home / f"{label}-{repeat}")
                for repeat in range(REPEATS)
            ]
            least[label], wall = (min(column) for column in zip(*runs, strict=True))
            page = (home / f"{label}-0" / "report.html").stat().st_size / 1e6
            figures += [
                Figure(
                    f"{bars:,} {label} bars, elapsed",
                    wall,
                    "s",
                    target=f"≤ {limit:.0f}",
                    holds=wall <= limit,
                ),
                Figure(f"{bars:,} {label} bars, processor time", least[label], "s"),
                Figure(f"{bars:,} {label} bars, page", page, "MB"),
            ]
    bars = FILES["one-minute"][0] / FILES["hourly"][0]
    growth = least["one-minute"] / least["hourly"]
    figures.append(
        Figure(
            f"growth of processor time for {bars:.0f} times the bars",
            growth,
            "×",
            target=f"≤ {bars:.0f}",
            holds=growth <= bars,
        )
    )
    publish("evaluation_speed", figures, seeds=[0], facts={"repeats": REPEATS})


if __name__ == "__main__":
    main()
