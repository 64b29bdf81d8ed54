"""Pretraining several seeds: side by side in processes against one after another.

``offline-trader pretrain --seeds N --workers W`` against N single ``pretrain`` commands, start-up
included, taking turns, on one dataset of expert rollouts; both with the default settings. The
policies must have the same bytes.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.record import Figure, publish

COLLECT = ("collect", "--market", "sp500", "--end", "2012-12-31", "--id", "seeds/experts-v0")
PRETRAIN = ("pretrain", "--dataset", "seeds/experts-v0", "--validate-until", "2014-12-31")
PROGRAM = "from offline_trader.cli.main import main; main()"


def command(root: Path, *words: str) -> float:
    """Seconds of one ``offline-trader`` command."""
    start = time.perf_counter()
    subprocess.run(
        [sys.executable, "-c", PROGRAM, *words, "--root", str(root), "-q"],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    return time.perf_counter() - start


def measure(folder: Path, seeds: int, workers: int, repeats: int) -> list[Figure]:
    """Both ways, in turns."""
    data = folder / "data"
    command(data, *COLLECT, "--transitions", "50000")
    together, alone, same = [], [], True
    for turn in range(repeats):
        group = folder / f"group-{turn}"
        many = ("--seeds", str(seeds), "--workers", str(workers))
        together.append(command(data, *PRETRAIN, "--run", str(group), *many))
        spent = 0.0
        for seed in range(seeds):
            single = folder / f"single-{turn}-{seed}"
            spent += command(data, *PRETRAIN, "--run", str(single), "--seed", str(seed))
            policies = [path / "policy.d3" for path in (group / f"seed-{seed}", single)]
            same &= policies[0].read_bytes() == policies[1].read_bytes()
        alone.append(spent)
    ratios = [b / a for a, b in zip(together, alone, strict=True)]
    return [
        Figure(
            f"{seeds} seeds, {workers} at once",
            statistics.median(together),
            "s",
            interval=(min(together), max(together)),
            peer="one after another",
            ratio=statistics.median(ratios),
            target="the same bytes",
            holds=same,
        ),
        Figure(
            f"{seeds} seeds, one after another",
            statistics.median(alone),
            "s",
            interval=(min(alone), max(alone)),
        ),
    ]


def main() -> None:
    """Measure and publish."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        figures = measure(Path(folder), args.seeds, args.workers, args.repeats)
    publish("seeds", figures, seeds=list(range(args.seeds)), facts={"repeats": args.repeats})


if __name__ == "__main__":
    main()
