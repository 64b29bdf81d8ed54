"""Updates a second of SAC, CQL and the rest, ours beside stock d3rlpy and its peers.

Every contestant works in a process of its own that is pinned with ``taskset`` to one core, then to
two; they take turns, so that a busy machine slows all of them, and the median of the repeats
counts. A rate includes the contestant's own sampling from 100,000 transitions. Ratios are medians
over the rounds of the ratio within a round.

``--part rates`` (this), ``--part sizes`` (cost against batch, width and dataset, with a plot);
``--device cuda`` measures either on a GPU, each contestant with its data and networks there as far
as it can have them there, against stock d3rlpy on the same GPU; ``--part products`` measures the
fast engine's own matrix products against torch's by processor time, a figure a size;
``benchmarks.time_to_score`` measures what the speed is for.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.record import RESULTS, Figure, publish
from offline_trader.errors import ConfigError
from offline_trader.learning.engines.fast.products import PRODUCTS

ROOT = Path(__file__).resolve().parent.parent
SBX = ROOT / ".bench-peers" / "sbx" / "bin" / "python"
SIZE, BATCH, ROWS = 48, 256, 100_000
STEPS_A_CALL = (1, 16)
# What is asked for, as multiples of stock d3rlpy: (algorithm, hidden) → factor. CQL's is what was
# asked of a cheaper estimator; the exact one has to reach it, since there is no other.
TARGETS = {("sac", 256): 2.3, ("sac", 64): 6.0, ("cql", 256): 6.0, ("cql", 64): 6.0}
NO_REGRESSION = 1.0


class Worker:
    """One process pinned to some cores that answers jobs."""

    def __init__(
        self, command: Sequence[str], cores: str, settings: Mapping[str, str] | None = None
    ) -> None:
        count = str(len(cores.split(",")))
        limits = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"), count)
        self._process = subprocess.Popen(
            ["taskset", "-c", cores, *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            cwd=ROOT,
            env=os.environ
            | limits
            | dict(settings or {})
            | {"XLA_FLAGS": "--xla_cpu_multi_thread_eigen=true"},
        )

    def rate(self, job: Mapping[str, Any], clock: str = "rate") -> float:
        """Updates a second; ``by_processor``: of processor time, of our contestants alone."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(job) + "\n")
        self._process.stdin.flush()
        for line in self._process.stdout:
            if line.startswith('{"rate"'):
                return float(json.loads(line)[clock])
        raise RuntimeError(f"no answer to {job}")

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(timeout=60)


def contestants(
    algorithm: str, cores: str, device: str = "cpu"
) -> dict[str, tuple[Worker, dict[str, Any]]]:
    """A worker and the fixed part of its jobs for everybody who can do the algorithm."""
    here = [sys.executable, "-m", "benchmarks.training_worker"]
    if algorithm == "bc":
        names = {"ours": "our cloning", "imitation": "imitation"}
    else:
        names = {"ours": "ours", "d3rlpy": "stock"}
        names |= {"stable-baselines3": "sb3"} if algorithm == "sac" else {}
        names |= {"ours, uncaptured": "ours, uncaptured"} if device != "cpu" else {}
    found: dict[str, tuple[Worker, dict[str, Any]]] = {
        shown: (Worker(here, cores), {"contestant": name}) for shown, name in names.items()
    }
    if algorithm == "sac" and device == "cpu" and SBX.exists():
        for steps in STEPS_A_CALL:
            worker = Worker([str(SBX), "benchmarks/peers/sbx_worker.py"], cores)
            found[f"SBX, {steps} a call"] = (worker, {"steps": steps})
    return found


def measure(algorithm: str, hidden: int, cores: str, args: argparse.Namespace) -> list[Figure]:
    """Rates of all contestants, taking turns."""
    named = "cql" if algorithm == "bc" else algorithm
    job = {
        "algorithm": named,
        "hidden": hidden,
        "batch": BATCH,
        "size": SIZE,
        "rows": ROWS,
        "seconds": args.seconds,
        "device": args.device,
    }
    rates: dict[str, list[float]] = {}
    field = contestants(algorithm, cores, args.device)
    try:
        for _ in range(args.repeats + 1):
            for name, (worker, fixed) in field.items():
                rates.setdefault(name, []).append(worker.rate(job | fixed))
    finally:
        for worker, _ in field.values():
            worker.close()
    kept = {name: values[1:] for name, values in rates.items()}
    count = len(cores.split(","))
    label = f"{algorithm} {hidden}, {count} core{'s' * (count > 1)}"
    if args.device != "cpu":
        label = f"{algorithm} {hidden}, {args.device}, {count} core{'s' * (count > 1)}"
    figures = [
        Figure(f"{label}: {name}", statistics.median(v), "1/s", interval=(min(v), max(v)))
        for name, v in kept.items()
        if name != "ours"
    ]
    targets = TARGETS if args.device == "cpu" else {}
    floor = targets.get((algorithm, hidden), NO_REGRESSION)
    return [*_our_figures(label, floor, kept), *figures]


def _our_figures(
    label: str, against_stock: float, rates: Mapping[str, Sequence[float]]
) -> list[Figure]:
    figures = []
    mine = rates["ours"]
    for peer, theirs in rates.items():
        if peer == "ours":
            continue
        ratios = [a / b for a, b in zip(mine, theirs, strict=True)]
        ratio = statistics.median(ratios)
        floor = against_stock if peer == "d3rlpy" else NO_REGRESSION
        figures.append(
            Figure(
                f"{label}: ours against {peer}",
                statistics.median(mine),
                "1/s",
                interval=(min(mine), max(mine)),
                peer=peer,
                ratio=ratio,
                target=f"≥ {floor:g} ×",
                holds=ratio >= floor,
            )
        )
    return figures


def sizes(args: argparse.Namespace) -> list[Figure]:
    """Cost of one of our updates against batch, width and dataset; a plot beside the figures."""
    base = {
        "contestant": "ours",
        "size": SIZE,
        "rows": ROWS,
        "seconds": args.seconds,
        "device": args.device,
    }
    sweeps: dict[str, list[tuple[int, dict[str, Any]]]] = {
        "batch": [(n, {"batch": n, "hidden": 64}) for n in (64, 256, 1024, 4096)],
        "hidden": [(n, {"batch": BATCH, "hidden": n}) for n in (64, 128, 256, 512)],
        "dataset": [
            (n, {"batch": BATCH, "hidden": 64, "rows": n, "size": 4})
            for n in (10**4, 10**5, 10**6, 10**7)
        ],
    }
    figures = []
    worker = Worker([sys.executable, "-m", "benchmarks.training_worker"], args.cores[0])
    try:
        for sweep, points in sweeps.items():
            for algorithm in ("sac", "cql", "iql"):
                for value, settings in points:
                    job = base | settings | {"algorithm": algorithm}
                    rates = [worker.rate(job) for _ in range(args.repeats)]
                    name = f"{algorithm}, {sweep} {value}: ms an update"
                    cost = [1e3 / rate for rate in rates]
                    spread = (min(cost), max(cost))
                    figures.append(Figure(name, statistics.median(cost), "ms", interval=spread))
    finally:
        worker.close()
    _plot(figures, args.device)
    return figures


def products(args: argparse.Namespace) -> list[Figure]:
    """Our own matrix products against torch's on one thread, by processor time."""
    here = [sys.executable, "-m", "benchmarks.training_worker"]
    pair = [Worker(here, args.cores[0], {PRODUCTS: name}) for name in ("ours", "torch")]
    figures = []
    try:
        for algorithm in ("sac", "cql", "iql"):
            for hidden in (64, 128, 256):
                job = {
                    "contestant": "ours", "algorithm": algorithm, "hidden": hidden, "batch": BATCH,
                    "size": SIZE, "rows": ROWS, "seconds": args.seconds, "device": "cpu",
                }  # fmt: skip
                rates = [_in_turn(pair, job, turn) for turn in range(args.repeats + 1)][1:]
                ratios = [ours / theirs for ours, theirs in rates]
                name = f"{algorithm} {hidden}: our products against torch's"
                spread, ratio = (min(ratios), max(ratios)), statistics.median(ratios)
                figures.append(Figure(name, ratio, "×", interval=spread, peer="torch", ratio=ratio))
                print(f"measured {algorithm} {hidden}", file=sys.stderr)
    finally:
        for worker in pair:
            worker.close()
    return figures


def _in_turn(pair: Sequence[Worker], job: Mapping[str, Any], turn: int) -> list[float]:
    """The rates of two by processor time, the second first in every other turn."""
    order = (0, 1) if turn % 2 == 0 else (1, 0)
    rates = {index: pair[index].rate(job, "by_processor") for index in order}
    return [rates[0], rates[1]]


def _plot(figures: Sequence[Figure], device: str) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    canvas, axes = pyplot.subplots(1, 3, figsize=(12, 3.6), layout="constrained")
    for axis, sweep in zip(axes, ("batch", "hidden", "dataset"), strict=True):
        for algorithm in ("sac", "cql", "iql"):
            chosen = [f for f in figures if f.name.startswith(f"{algorithm}, {sweep} ")]
            where = [int(f.name.split()[2].rstrip(":")) for f in chosen]
            axis.loglog(where, [f.value for f in chosen], marker="o", label=algorithm.upper())
        axis.set_xlabel({"hidden": "hidden units", "dataset": "transitions"}.get(sweep, sweep))
    axes[0].set_ylabel("ms an update, " + ("one core" if device == "cpu" else device))
    axes[0].legend()
    canvas.savefig(RESULTS / f"training_sizes{suffix(device)}.svg", metadata={"Date": None})
    pyplot.close(canvas)


def suffix(device: str) -> str:
    """What the names of a GPU's results end with, so that they do not replace the processor's."""
    return "" if device == "cpu" else "_" + device.replace(":", "")


def describe(device: str) -> str:
    """The GPU's name and memory, or ``cpu``.

    Raises:
        ConfigError: the device is not there.
    """
    import torch

    from offline_trader.learning.engines import require_device

    require_device(device)
    if device == "cpu":
        return device
    properties = torch.cuda.get_device_properties(device)
    return f"{properties.name}, {properties.total_memory / 2**30:.0f} GiB"


def main() -> None:
    """Measure and publish."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--part", choices=("rates", "sizes", "products"), default="rates")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--hidden", type=int, nargs="+", default=[64, 256])
    parser.add_argument("--cores", nargs="+", default=["0", "0,1"])
    parser.add_argument("--device", default="cpu", help="cpu, cuda or cuda:N")
    everything = ["sac", "cql", "cal_ql", "iql", "td3_plus_bc", "bc"]
    parser.add_argument("--algorithms", nargs="+", default=everything)
    args = parser.parse_args()
    try:
        device = describe(args.device)
    except ConfigError as error:
        parser.error(str(error))
    facts: dict[str, Any] = {
        "repeats": args.repeats,
        "seconds": args.seconds,
        "batch": BATCH,
        "observations": SIZE,
        "transitions": ROWS,
        "statistic": "median of alternating rounds; ratios within a round",
        "device": device,
        "sbx": "0.28.0, JAX, own environment" if SBX.exists() else "not installed",
    }
    if args.part == "sizes":
        publish(f"training_sizes{suffix(args.device)}", sizes(args), facts=facts)
        return
    if args.part == "products":
        facts |= {"statistic": "median of alternating rounds, by processor time"}
        publish("training_products", products(args), facts=facts)
        return
    figures: list[Figure] = []
    for cores in args.cores:
        for algorithm in args.algorithms:
            for hidden in args.hidden:
                figures += measure(algorithm, hidden, cores, args)
                print(f"measured {algorithm} {hidden} on {cores}", file=sys.stderr)
    publish(f"training{suffix(args.device)}", figures, facts=facts)


if __name__ == "__main__":
    main()
