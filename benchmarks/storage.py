"""Storing and loading datasets: our writer of Minari's HDF5 beside Minari's own storages.

Writing: the same episodes of 252 steps with 37 columns and nine infos, as arrays in memory, until
they are on disk, through ``EpisodeFile`` and through Minari's storages for HDF5 and Arrow, which
take them as ``EpisodeBuffer`` in one call. Reading: ``load_transitions`` with its checksum, against
a loop over the episodes that Minari's storage hands out, of the same files. The four alternate. All
times are the processor's: on a shared machine wall time says more about the neighbours. Arrow's
infos are given as columns, since Minari 0.5.4 does not read back plain ones.

Loading 500,000 transitions is measured with the processor's clock and on the wall.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeAlias

import gymnasium
import numpy as np

from benchmarks.record import Figure, publish
from offline_trader.datasets import load_transitions
from offline_trader.datasets.minari_files import DatasetWriter
from offline_trader.datasets.rollout import INFO_NAMES, Part

STEPS, WIDTH, SEED = 252, 37, 0
LIMIT_S, LEAST_RATIO = 1.0, 2.0
"""A library that writes half as fast would be preferred."""
ID = "bench/ours-v0"
SPACES = (
    gymnasium.spaces.Box(-np.inf, np.inf, (WIDTH,), np.float32),
    gymnasium.spaces.Box(-1.0, 1.0, (1,), np.float32),
)
Times: TypeAlias = dict[str, list[float]]


def episodes(count: int) -> Part:
    """So many episodes of :data:`STEPS` steps, of random numbers."""
    rng = np.random.default_rng(SEED)
    steps, rows = count * STEPS, count * (STEPS + 1)
    ends = np.arange(1, steps + 1) % STEPS == 0
    return Part(
        lengths=np.full(count, STEPS),
        observations=rng.normal(size=(rows, WIDTH)).astype(np.float32),
        actions=rng.uniform(-1, 1, (steps, 1)).astype(np.float32),
        rewards=rng.normal(size=steps),
        terminations=np.zeros(steps, dtype=np.bool_),
        truncations=ends,
        behaviours=np.zeros(count, dtype=np.int64),
        infos={name: rng.normal(size=rows) for name in INFO_NAMES},
    )


def ours(root: Path, part: Part) -> None:
    """Write and publish with checksums; what was there is replaced."""
    with DatasetWriter(root, ID, SPACES, gymnasium.spec("Pendulum-v1")) as writer:
        writer.append(part)
        writer.publish({}, overwrite=True)


def minari(folder: Path, part: Part, data_format: str) -> Any:
    """Write with Minari's own storage; returns it."""
    from minari.data_collector import EpisodeBuffer
    from minari.dataset.minari_storage import MinariStorage

    buffers = []
    for number in range(len(part.lengths)):
        steps = slice(number * STEPS, (number + 1) * STEPS)
        rows = slice(number * (STEPS + 1), (number + 1) * (STEPS + 1))
        column = (-1, 1) if data_format == "arrow" else (-1,)
        buffers.append(
            EpisodeBuffer(
                id=number,
                observations=part.observations[rows],
                actions=part.actions[steps],
                rewards=part.rewards[steps],
                terminations=part.terminations[steps],
                truncations=part.truncations[steps],
                infos={name: one[rows].reshape(column) for name, one in part.infos.items()},
            )
        )
    storage = MinariStorage.new(
        folder, observation_space=SPACES[0], action_space=SPACES[1], data_format=data_format
    )
    storage.update_episodes(buffers)
    return storage


def timed(spent: list[float], work: Callable[[], Any]) -> Any:
    """What ``work`` returns; the processor's seconds that it took are added to ``spent``."""
    before = time.process_time()
    result = work()
    spent.append(time.process_time() - before)
    return result


def compare(count: int, rounds: int) -> tuple[Times, Times]:
    """Seconds of writing and of reading by storage, taking turns."""
    part = episodes(count)
    writing: Times = {"ours": [], "hdf5": [], "arrow": []}
    reading: Times = {"ours": [], "hdf5": [], "arrow": []}
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as name:
            root = Path(name)
            timed(writing["ours"], lambda root=root: ours(root, part))  # type: ignore[misc]
            timed(reading["ours"], lambda root=root: load_transitions(ID, root))  # type: ignore[misc]
            for one in ("hdf5", "arrow"):
                storage = timed(writing[one], lambda: minari(root / one, part, one))  # noqa: B023
                timed(reading[one], lambda: list(storage.get_episodes(range(count))))  # noqa: B023
    return writing, reading


def against(name: str, times: Times, transitions: int) -> list[Figure]:
    """Minari's rates, and ours with its ratio to each in the runs that followed one another."""
    figures = []
    for one in ("hdf5", "arrow"):
        ratio = statistics.median([b / a for a, b in zip(times["ours"], times[one], strict=True)])
        asked = name == "writing" and one == "arrow"
        mine = _rate(f"{name}, beside minari {one}", times["ours"], transitions)
        figures.append(
            replace(
                mine,
                peer=f"minari {version('minari')} {one}",
                ratio=ratio,
                target=f"> {LEAST_RATIO:g} ×" if asked else "",
                holds=ratio > LEAST_RATIO if asked else None,
            )
        )
        figures.append(_rate(f"{name}: minari {one}", times[one], transitions))
    return figures


def _rate(name: str, seconds: list[float], transitions: int) -> Figure:
    rates = [transitions / one for one in seconds]
    return Figure(name, statistics.median(rates), "1/s", (min(rates), max(rates)))


def loading(transitions: int, rounds: int) -> list[Figure]:
    """Seconds of ``load_transitions``, checksum included."""
    processor, wall = [], []
    with tempfile.TemporaryDirectory() as name:
        ours(Path(name), episodes(-(-transitions // STEPS)))
        load_transitions(ID, Path(name))  # loads the libraries
        for _ in range(rounds):
            begun, before = time.perf_counter(), time.process_time()
            load_transitions(ID, Path(name))
            processor.append(time.process_time() - before)
            wall.append(time.perf_counter() - begun)
    return [
        Figure(
            f"loading {transitions:,} transitions, {clock}",
            statistics.median(spent),
            "s",
            (min(spent), max(spent)),
            target=f"≤ {LIMIT_S:g} s",
            holds=statistics.median(spent) <= LIMIT_S,
        )
        for clock, spent in (("processor", processor), ("wall", wall))
    ]


def main() -> None:
    """Measure and publish."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--transitions", type=int, default=500_000)
    parser.add_argument("--episodes", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    writing, reading = compare(options.episodes, options.rounds)
    compared = options.episodes * STEPS
    figures = [
        *loading(options.transitions, options.rounds),
        *against("writing", writing, compared),
        *against("reading", reading, compared),
    ]
    facts = {
        "episodes": options.episodes,
        "episode_steps": STEPS,
        "columns": WIDTH,
        "rounds": options.rounds,
        "minari": version("minari"),
        "statistic": "median of alternating rounds; interval: least and largest",
    }
    publish("storage", figures, seeds=[SEED], facts=facts)


if __name__ == "__main__":
    main()
