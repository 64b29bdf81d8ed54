"""Seconds to a score of 90 on markets whose best policy is known, same settings on both sides.

Offline: CQL from a dataset in memory, M1-narrow and M3-wide, ours against stock d3rlpy. Online:
SAC from scratch on M1 in 8 lanes, one update an environment step, ours against stable-baselines3.
Every run is a process of its own, pinned to one core; its clock starts before anything of the
learning stack is imported, so imports, compilation (or loading compiled kernels from the disk) and
network building count. It stops while the policy is scored, every 100 updates (online 200); a run
without a 90 after ``MOST`` updates ends there and counts as not reached. Contestants take turns,
seed by seed; the median over seeds counts. Seconds of the processor are kept beside those of the
clock, because other programs take time on a machine that is shared.

With ``--cache FILE`` finished runs are kept and not done again.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.record import Figure, publish

ROOT = Path(__file__).resolve().parent.parent
SETTINGS: dict[str, Any] = {
    "hidden": (64, 64),
    "batch_size": 256,
    "gamma": 0.97,
    "actor_lr": 1e-3,
    "critic_lr": 1e-3,
    "temp_lr": 1e-3,
    "reward_scaling": "none",  # the datasets' rewards are standardised
}
OFFLINE = SETTINGS | {"algorithm": "cql", "conservative_weight": 0.05}
EVERY, MOST, GOAL, FACTOR = 100, 12_000, 90.0, 4.0
ONLINE: dict[str, Any] = {
    "market": "M1",
    "lanes": 8,
    "warmup": 1_000,
    "buffer": 100_000,
    "every": 2 * EVERY,  # a multiple of the lanes
    "most": MOST,
    "learner": SETTINGS | {"tau": 0.005, "initial_temperature": 0.1},
}
# Task → (what is shown, its contestants: ours first, the peer's name).
TASKS: dict[str, tuple[str, tuple[str, str], str]] = {
    "M1-narrow": ("CQL on M1-narrow", ("fast", "stock"), "d3rlpy"),
    "M3-wide": ("CQL on M3-wide", ("fast", "stock"), "d3rlpy"),
    "M1-online": ("SAC online on M1", ("fast", "sb3"), "stable-baselines3"),
}


class Clock:
    """Seconds that count, of the clock and of the processor: both can be stopped."""

    def __init__(self) -> None:
        self._spent, self._since = np.zeros(2), self._now()

    @staticmethod
    def _now() -> Any:
        return np.array([time.perf_counter(), time.process_time()])

    def stop(self) -> dict[str, float]:
        """Seconds so far; nothing counts until :meth:`go`."""
        self._spent = self._spent + self._now() - self._since
        return {"seconds": float(self._spent[0]), "cpu_seconds": float(self._spent[1])}

    def go(self) -> None:
        """Count again."""
        self._since = self._now()


def train(task: str, contestant: str, seed: int) -> dict[str, Any]:
    """One run: seconds, updates and the score at its end."""
    from offline_trader.evaluation.known_optimum import get_market, make_dataset, score_policy

    market, found = get_market(task.split("-")[0]), dict[str, Any]()
    data = make_dataset(task, seed=seed) if task in ("M1-narrow", "M3-wide") else None
    clock = Clock()

    def judge(updates: int, act: Callable[[Any], Any]) -> bool:
        found.update(clock.stop(), updates=updates)
        found["score"] = score_policy(market, act, n_lanes=64, n_steps=400, seed=1).value
        clock.go()
        return bool(found["score"] >= GOAL or updates >= MOST)

    if data is None:
        from benchmarks import online_contestants

        run = online_contestants.ours if contestant == "fast" else online_contestants.sb3
        run(ONLINE, seed, judge)
    else:
        _offline(data, contestant, seed, judge)
    return found


def _offline(data: Any, engine: Any, seed: int, judge: Callable[[int, Any], bool]) -> None:
    from benchmarks.offline_contestants import build

    run, act = build(engine, OFFLINE, data, seed)
    done, stopped = 0, False
    while not stopped:
        run(EVERY)
        done += EVERY
        stopped = judge(done, act)


def pinned(task: str, contestant: str, seed: int, core: str) -> dict[str, Any]:
    """:func:`train` in a process of its own on one core."""
    command = [sys.executable, "-m", "benchmarks.time_to_score", "--run", task, contestant]
    threads = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"), "1")
    done = subprocess.run(
        ["taskset", "-c", core, *command, "--seeds", str(seed)],
        cwd=ROOT,
        env=os.environ | threads,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        check=True,
    )
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


class Cache:
    """Finished runs as JSON lines; without a path, in memory alone."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._rows: dict[str, dict[str, Any]] = {}
        if path is not None and path.exists():
            for line in path.read_text(encoding="utf-8").splitlines():
                try:
                    row = json.loads(line)
                except ValueError:  # a kill tore the last line
                    continue
                self._rows[row["key"]] = row

    def get(self, task: str, contestant: str, seed: int, core: str) -> dict[str, Any]:
        """The run's result, made now if it is not there."""
        settings = ONLINE if task == "M1-online" else OFFLINE
        named = [task, contestant, seed, settings, EVERY, MOST, GOAL]
        key = json.dumps(named, sort_keys=True)
        if key not in self._rows:
            self._rows[key] = {"key": key, **pinned(task, contestant, seed, core)}
            if self._path is not None:
                with self._path.open("a", encoding="utf-8") as file:
                    print(json.dumps(self._rows[key]), file=file, flush=True)
        return {name: value for name, value in self._rows[key].items() if name != "key"}


def _figures(task: str, runs: dict[str, list[dict[str, Any]]]) -> list[Figure]:
    """Medians over seeds; one that did not reach the goal counts with all its time, as the last."""
    shown, (own, other), peer = TASKS[task]
    mine, theirs = ([run["seconds"] for run in runs[name]] for name in (own, other))
    ratio = statistics.median(theirs) / statistics.median(mine)
    busy = [statistics.median(run["cpu_seconds"] for run in runs[name]) for name in (own, other)]
    arrived = {name: sum(run["score"] >= GOAL for run in runs[name]) for name in (own, other)}
    # One that never arrived took longer than any that did: its place in the order is the last.
    late = [run["seconds"] if run["score"] >= GOAL else math.inf for run in runs[own]]
    reached = math.isfinite(statistics.median(late))
    return [
        Figure(
            f"{shown}: seconds to score 90",
            statistics.median(mine),
            "s",
            interval=(min(mine), max(mine)),
            peer=peer,
            ratio=ratio,
            target=f"≥ {FACTOR:g} × shorter",
            holds=reached and ratio >= FACTOR,
        ),
        *(
            Figure(f"{shown}: seeds that reached 90, {name}", arrived[key], "seeds")
            for name, key in (("ours", own), (peer, other))
        ),
        Figure(
            f"{shown}: {'stock ' * (peer == 'd3rlpy')}{peer}'s seconds to score 90",
            statistics.median(theirs),
            "s",
            interval=(min(theirs), max(theirs)),
        ),
        Figure(
            f"{shown}: processor's seconds to score 90",
            busy[0],
            "s",
            peer=peer,
            ratio=busy[1] / busy[0],
        ),
        *(
            Figure(
                f"{shown}: updates to score 90, {name}",
                statistics.median(run["updates"] for run in runs[key]),
                "1",
            )
            for name, key in (("ours", own), (peer, other))
        ),
    ]


def main() -> None:
    """Measure and publish."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", nargs=2, metavar=("TASK", "CONTESTANT"))
    parser.add_argument("--tasks", nargs="+", default=list(TASKS), choices=list(TASKS))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--core", default="0")
    parser.add_argument("--cache", type=Path, help="finished runs, JSON lines")
    args = parser.parse_args()
    if args.run:
        print(json.dumps(train(args.run[0], args.run[1], args.seeds[0])))
        return
    figures, facts, cache = [], {}, Cache(args.cache)
    for task in args.tasks:
        contestants = TASKS[task][1]
        runs: dict[str, list[dict[str, Any]]] = {name: [] for name in contestants}
        for seed in args.seeds:
            for contestant in contestants:
                found = cache.get(task, contestant, seed, args.core)
                runs[contestant].append(found)
                progress = {"task": task, "contestant": contestant, "seed": seed, **found}
                print(json.dumps(progress), file=sys.stderr, flush=True)
        facts[task] = runs
        figures += _figures(task, runs)
    facts["settings"] = {"offline": OFFLINE, "online": ONLINE, "most_updates": MOST}
    publish("time_to_score", figures, seeds=args.seeds, facts=facts)


if __name__ == "__main__":
    main()
