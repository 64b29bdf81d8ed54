"""What feeds the updates: cost of a mini-batch, memory over many updates, number of threads.

A mini-batch of 256 from 100,000 transitions of 48 observations, ours (one index gather; half from
a second source as in online training; three-step rows) beside d3rlpy's own replay buffer, in
seconds of the processor, which a busy machine hardly changes: medians of rounds in which the
contestants take turns. Then the resident memory of this process, after the first thousand updates
and after ten times as many. Then updates a second with one thread and with two, taking turns,
which is what the default of ``--threads`` rests on; run that part on idle cores.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.record import Figure, publish

SIZE, BATCH, ROWS, HORIZON = 48, 256, 100_000, 10
LIMIT_US, LIMIT_GROWTH = 60.0, 0.01


def sampling(rounds: int) -> list[Figure]:
    """Microseconds of a mini-batch."""
    takes = _samplers()
    spent: dict[str, list[float]] = {name: [] for name in takes}
    for _ in range(rounds):
        for name, take in takes.items():
            repeats = 20 if name == "d3rlpy" else 200
            start = time.process_time()
            for _ in range(repeats):
                take()
            spent[name].append(1e6 * (time.process_time() - start) / repeats)
    theirs = statistics.median(spent["d3rlpy"])
    figures = []
    for name, values in spent.items():
        middle, own = statistics.median(values), name != "d3rlpy"
        figures.append(
            Figure(
                f"mini-batch of {BATCH}: {name}",
                middle,
                "µs",
                interval=(min(values), max(values)),
                peer="d3rlpy" if own else "",
                ratio=theirs / middle if own else None,
                target=f"≤ {LIMIT_US:g} µs" if own else "",
                holds=middle <= LIMIT_US if own else None,
            )
        )
    return figures


def _samplers() -> dict[str, Callable[[], Any]]:
    import numpy as np

    from benchmarks.training_worker import dataset
    from offline_trader.learning.data import Preprocessing, Sampler, pack
    from offline_trader.networks import import_d3rlpy

    data, scales = dataset(SIZE, ROWS), Preprocessing(np.zeros(SIZE), np.ones(SIZE), None, 0.99)
    one, three = pack(data, scales), pack(data, scales, n_steps=3)
    replay = import_d3rlpy().dataset.MDPDataset(
        observations=data.observations,
        actions=data.actions,
        rewards=data.rewards,
        terminals=data.terminals,
        timeouts=data.timeouts,
    )
    return {
        "one gather": Sampler(one, batch_size=BATCH, seed=0).sample,
        "half and half": Sampler(one, one, batch_size=BATCH, seed=0).sample,
        "three-step rows": Sampler(three, batch_size=BATCH, seed=0).sample,
        "d3rlpy": lambda: replay.sample_transition_batch(BATCH),
    }


def memory(updates: int) -> list[Figure]:
    """Resident memory after the first updates and after ``HORIZON`` times as many."""
    from benchmarks.training_worker import ours

    figures = []
    for algorithm in ("sac", "cql"):
        run = ours({"algorithm": algorithm, "hidden": 64, "batch": BATCH, "size": SIZE,
                    "rows": ROWS, "device": "cpu"})  # fmt: skip
        run(updates)
        before = _resident_mb()
        run((HORIZON - 1) * updates)
        after = _resident_mb()
        growth = (after - before) / before
        figures.append(
            Figure(
                f"{algorithm}: resident memory after {HORIZON * updates:,} updates",
                after,
                "MB",
                peer=f"after {updates:,}",
                ratio=before / after,
                target=f"growth ≤ {LIMIT_GROWTH:.0%}",
                holds=growth <= LIMIT_GROWTH,
            )
        )
    return figures


def _resident_mb() -> float:
    for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1024
    raise RuntimeError("no VmRSS in /proc/self/status")


def threads(rounds: int, counts: Sequence[int]) -> list[Figure]:
    """Updates a second, by number of threads."""
    import torch

    from benchmarks.training_worker import ours

    figures, before = [], torch.get_num_threads()
    for algorithm, hidden in (("sac", 64), ("sac", 256), ("cql", 64), ("cql", 256)):
        run = ours({"algorithm": algorithm, "hidden": hidden, "batch": BATCH, "size": SIZE,
                    "rows": ROWS, "device": "cpu"})  # fmt: skip
        run(20)
        rates: dict[int, list[float]] = {count: [] for count in counts}
        updates = 400 if hidden == 64 else 60
        for _ in range(rounds):
            for count, found in rates.items():
                torch.set_num_threads(count)
                start = time.perf_counter()
                run(updates)
                found.append(updates / (time.perf_counter() - start))
        for count, found in rates.items():
            figures.append(
                Figure(
                    f"{algorithm} {hidden}: updates a second, {count} thread{'s' * (count > 1)}",
                    statistics.median(found),
                    "1/s",
                    interval=(min(found), max(found)),
                    peer="1 thread" if count > 1 else "",
                    ratio=(statistics.median([a / b for a, b in zip(found, rates[1], strict=True)])
                           if count > 1 else None),
                )
            )  # fmt: skip
    torch.set_num_threads(before)
    return figures


def main() -> None:
    """Measure and publish."""
    import torch

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--updates", type=int, default=1_000)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    args = parser.parse_args()
    torch.set_num_threads(1)
    figures = sampling(args.rounds) + memory(args.updates) + threads(args.rounds, args.threads)
    facts = {"batch": BATCH, "observations": SIZE, "transitions": ROWS, "rounds": args.rounds}
    publish("data_path", figures, facts=facts)


if __name__ == "__main__":
    main()
