"""How long ``import offline_trader`` and ``offline-trader --help`` take, in fresh processes.

Each is the wall time of a whole process, the interpreter's own start included; the kinds
alternate and the median of the repeats counts.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time

from benchmarks.record import Figure, publish

LIMIT_S = 0.4
COMMANDS = {
    "bare interpreter": "pass",
    "import offline_trader": "import offline_trader",
    "offline-trader --help": "from offline_trader.cli.main import main; main(['--help'])",
}


def seconds(code: str) -> float:
    """Wall time of one process that runs ``code``."""
    start = time.perf_counter()
    subprocess.run([sys.executable, "-P", "-c", code], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def main() -> None:
    """Measure and publish."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=15)
    repeats = parser.parse_args().repeats
    times: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for _ in range(repeats + 1):
        for name, code in COMMANDS.items():
            times[name].append(seconds(code))
    figures = []
    for name, values in times.items():
        kept = values[1:]  # the first round fills the file cache
        median = statistics.median(kept)
        limited = name != "bare interpreter"
        figures.append(
            Figure(
                name,
                median,
                "s",
                interval=(min(kept), max(kept)),
                target=f"≤ {LIMIT_S}" if limited else "",
                holds=median <= LIMIT_S if limited else None,
            )
        )
    publish("startup", figures, facts={"repeats": repeats, "statistic": "median"})


if __name__ == "__main__":
    main()
