"""Collecting experts into a Minari dataset on disk, against Minari's own DataCollector.

Ours: the default mixture of experts on S&P 500 bars, 32 features; the clock runs from the call to
the published dataset, reference scores, summary, plot and the removal of the dataset before it
included. The peer does the same job with ``minari.DataCollector``: the same environment, made
before its clock starts, the same mixture asked for one action a step, infos recorded, until
``create_dataset`` returns. Both write Minari's HDF5, an episode of a thousand steps to a group; the
peer stores the environment's ten infos, we nine: without ``equity`` and ``exposure``, which the
others and the observation hold, and with the expert's own action. The peer is also measured with
actions drawn beforehand, which spares it the experts. The three alternate. Besides wall time, the
time of the processor is stated: on a shared machine it is the steadier of the two. The peer's rate
is of fewer transitions, since its cost is per step.

Memory is the largest resident set of a process of its own that does nothing else.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from benchmarks.record import Figure, publish
from offline_trader.datasets import CollectConfig, collect
from offline_trader.envs import ENV_ID, EnvConfig, make_market
from offline_trader.experts import MixtureActor

LIMIT_S = 15.0
LEAST_RATIO = 50.0
MOST_GROWTH = 1.1
MEMORY_MILLIONS = 4
ENV = EnvConfig(end="2012-12-31", episode_bars=1000)
SEED = 0


@dataclass(frozen=True)
class Timing:
    """What one run took.

    Attributes:
        wall_s, processor_s: for ``transitions`` of them.
        transitions: steps stored.
        size_mb: of the dataset on disk; 0 where it was not asked for.
    """

    wall_s: float
    processor_s: float
    transitions: int
    size_mb: float = 0.0


def ours(root: Path, transitions: int) -> Timing:
    """One collection by this toolkit."""
    config = CollectConfig("bench/ours-v0", ENV, transitions=transitions, seed=SEED)
    wall, processor = time.perf_counter(), time.process_time()
    summary = collect(config, root=root, overwrite=True)
    return Timing(
        time.perf_counter() - wall, time.process_time() - processor, summary.steps, summary.size_mb
    )


def peer(root: Path, transitions: int, *, experts: bool) -> Timing:
    """One collection by Minari's DataCollector, with our experts or with actions given."""
    import gymnasium
    import minari

    os.environ["MINARI_DATASETS_PATH"] = str(root)
    given = np.random.default_rng(SEED).uniform(-1, 1, (transitions, 1)).astype(np.float32)
    market = make_market(ENV)
    blend = CollectConfig().mixture
    actor = MixtureActor(blend, market.layout, ENV.simulator, 1, seed=SEED, market=market)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # DataCollector warns of every description left out
        env = gymnasium.make(ENV_ID, **ENV.to_kwargs())
        env.reset(seed=SEED)
        wall, processor = time.perf_counter(), time.process_time()
        collector = minari.DataCollector(env, record_infos=True)
        observation, _ = collector.reset(seed=SEED)
        for step in range(transitions):
            action = actor.act(observation[None])[0] if experts else given[step]
            observation, _, terminated, truncated, _ = collector.step(action)
            if terminated or truncated:
                actor.begin(np.ones(1, dtype=np.bool_))
                observation, _ = collector.reset()
        collector.create_dataset("bench/peer-v0")
        timing = Timing(time.perf_counter() - wall, time.process_time() - processor, transitions)
        collector.close()
        shutil.rmtree(root / "bench" / "peer-v0")
    return timing


def print_peak(transitions: int) -> None:
    """Collect so many, and print the largest resident set of this process in MB.

    By Linux' own account: what ``getrusage`` tells begins with the size of the process before.
    """
    with tempfile.TemporaryDirectory() as folder:
        ours(Path(folder), transitions)
    status = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    print(next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) / 1024)


def peak_mb(transitions: int) -> float:
    """Largest resident set of a new process that collects so many, without the peer's jax."""
    code = "import sys; sys.modules['jax'] = None; from benchmarks.collect import print_peak; "
    code += f"print_peak({transitions})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return float(done.stdout)


def main() -> None:
    """Measure and publish."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--transitions", type=int, default=1_000_000)
    parser.add_argument("--peer-transitions", type=int, default=20_000)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    if find_spec("jax") is None:
        sys.exit("DataCollector needs jax, which Minari has in an extra: pip install jax")
    runs: dict[str, list[Timing]] = {"ours": [], "experts": [], "given": []}
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        ours(root, 2_000)  # compiles the kernels, loads the libraries
        peer(root, 2_000, experts=True)
        for _ in range(options.repeats):
            runs["ours"].append(ours(root, options.transitions))
            runs["experts"].append(peer(root, options.peer_transitions, experts=True))
            runs["given"].append(peer(root, options.peer_transitions, experts=False))
    peaks = [peak_mb(millions * 1_000_000) for millions in (1, MEMORY_MILLIONS)]
    report(runs, peaks, options)


def rates(timings: list[Timing], clock: str) -> list[float]:
    """Transitions a second of every run, by ``wall_s`` or ``processor_s``."""
    return [one.transitions / getattr(one, clock) for one in timings]


def rate_figure(
    name: str, runs: dict[str, list[Timing]], other: str, clock: str, peer_name: str, target: float
) -> Figure:
    """Our rate and its ratio to the peer's, from the runs that followed one another."""
    mine, theirs = rates(runs["ours"], clock), rates(runs[other], clock)
    ratio = statistics.median([a / b for a, b in zip(mine, theirs, strict=True)])
    return Figure(
        name,
        statistics.median(mine),
        "1/s",
        interval=(min(mine), max(mine)),
        peer=peer_name,
        ratio=ratio,
        target=f"≥ {target:g} ×" if target else "",
        holds=ratio >= target if target else None,
    )


def report(runs: dict[str, list[Timing]], peaks: list[float], options: argparse.Namespace) -> None:
    """Print and write the figures; medians of the repeats, with the least and the largest.

    Args:
        runs: repeats of ours and of the peer.
        peaks: MB that a collection of one million takes, and of :data:`MEMORY_MILLIONS`.
        options: of the command.
    """
    seconds = [one.wall_s * 1e6 / one.transitions for one in runs["ours"]]
    typical = statistics.median(seconds)
    collector = f"minari {version('minari')} DataCollector"
    spared = f"{collector}, given actions"
    figures = [
        Figure(
            "seconds for a million transitions on disk",
            typical,
            "s",
            interval=(min(seconds), max(seconds)),
            target=f"≤ {LIMIT_S:g}",
            holds=typical <= LIMIT_S,
        ),
        rate_figure("transitions a second", runs, "experts", "wall_s", collector, LEAST_RATIO),
        rate_figure("against given actions", runs, "given", "wall_s", spared, 0.0),
        rate_figure(
            "transitions a processor second", runs, "experts", "processor_s", collector, 0.0
        ),
        rate_figure("processor, against given actions", runs, "given", "processor_s", spared, 0.0),
        Figure("dataset size", runs["ours"][0].size_mb, "MB"),
        Figure("peak memory, a million transitions", peaks[0], "MB"),
        Figure(
            "peak memory, four million over one",
            peaks[1] / peaks[0],
            "×",
            target=f"≤ {MOST_GROWTH:g}",
            holds=peaks[1] <= MOST_GROWTH * peaks[0],
        ),
    ]
    publish(
        "collect",
        figures,
        seeds=[SEED],
        facts={
            "transitions": runs["ours"][0].transitions,
            "peer_transitions": options.peer_transitions,
            "features": 32,
            "repeats": options.repeats,
            "statistic": "median of alternating repeats; interval: least and largest",
            "jax": version("jax"),
        },
    )


if __name__ == "__main__":
    main()
