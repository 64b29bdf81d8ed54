"""Seconds from a dataset in memory to a score of 90: ours against stock d3rlpy, same settings.

CQL on M1-narrow and on M3-wide (markets whose best policy is known, so a score is a fact). Every
run is a process of its own, pinned to one core; its clock starts with the dataset in memory and
before anything of the learning stack is imported, so imports, compilation (or loading compiled
kernels from the disk) and network building count. It stops while the policy is scored, every
``EVERY`` updates. Engines take turns, seed by seed; the median over seeds counts.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.record import Figure, publish

ROOT = Path(__file__).resolve().parent.parent
DATASETS = ("M1-narrow", "M3-wide")
SETTINGS: dict[str, Any] = {
    "algorithm": "cql",
    "hidden": (64, 64),
    "batch_size": 256,
    "gamma": 0.97,
    "conservative_weight": 0.05,
    "actor_lr": 1e-3,
    "critic_lr": 1e-3,
    "temp_lr": 1e-3,
    "reward_scaling": "none",  # the datasets' rewards are standardised
}
EVERY, MOST, GOAL, FACTOR = 100, 12_000, 90.0, 4.0


class Clock:
    """Seconds that count: it can be stopped."""

    def __init__(self) -> None:
        self._spent, self._since = 0.0, time.perf_counter()

    def stop(self) -> float:
        """Seconds so far; nothing counts until :meth:`go`."""
        self._spent += time.perf_counter() - self._since
        return self._spent

    def go(self) -> None:
        """Count again."""
        self._since = time.perf_counter()


def train(dataset: str, engine: str, seed: int) -> dict[str, Any]:
    """One run: seconds, updates and the score at its end."""
    from offline_trader.evaluation.known_optimum import get_market, make_dataset, score_policy

    market, data = get_market(dataset.split("-")[0]), make_dataset(dataset, seed=seed)
    clock = Clock()
    run, act = (_ours if engine == "fast" else _stock)(data, seed)
    done, score = 0, -np.inf
    while done < MOST and score < GOAL:
        run(EVERY)
        done += EVERY
        seconds = clock.stop()
        score = score_policy(market, act, n_lanes=64, n_steps=400, seed=1).value
        clock.go()
    return {"seconds": seconds, "updates": done, "score": float(score)}


def _ours(data: Any, seed: int) -> tuple[Any, Any]:
    learner = _learner("fast", data, seed)
    from offline_trader.learning.rows import pack
    from offline_trader.learning.sampler import Sampler

    rows = pack(data.transitions(), learner.preprocessing)
    sampler = Sampler(rows, batch_size=SETTINGS["batch_size"], seed=seed)

    def run(updates: int) -> None:
        with learner.randomness():
            for _ in range(updates):
                learner.engine.update(sampler.sample())

    return run, learner.act


def _stock(data: Any, seed: int) -> tuple[Any, Any]:
    learner = _learner("stock", data, seed)
    from offline_trader.networks.quiet_import import import_d3rlpy

    d3rlpy = import_d3rlpy()
    np.random.seed(seed)  # noqa: NPY002 - d3rlpy's sampling draws from the global generator
    replay = d3rlpy.dataset.MDPDataset(
        observations=data.observations,
        actions=data.actions,
        rewards=data.rewards,
        terminals=data.terminals,
        timeouts=data.timeouts,
    )

    def run(updates: int) -> None:
        with learner.randomness():
            for _ in range(updates):
                learner.algo.update(replay.sample_transition_batch(SETTINGS["batch_size"]))

    return run, learner.act


def _learner(engine: Any, data: Any, seed: int) -> Any:
    import torch

    torch.set_num_threads(1)
    from offline_trader.learning.learner import make_learner
    from offline_trader.learning.settings import LearnerConfig

    return make_learner(
        LearnerConfig(engine=engine, **SETTINGS), data.observations.shape[1], None, seed
    )


def pinned(dataset: str, engine: str, seed: int, core: str) -> dict[str, Any]:
    """:func:`train` in a process of its own on one core."""
    command = [sys.executable, "-m", "benchmarks.time_to_score", "--run", dataset, engine]
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


def main() -> None:
    """Measure and publish."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", nargs=2, metavar=("DATASET", "ENGINE"))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--core", default="0")
    args = parser.parse_args()
    if args.run:
        print(json.dumps(train(args.run[0], args.run[1], args.seeds[0])))
        return
    figures, facts = [], {}
    for dataset in DATASETS:
        runs: dict[str, list[dict[str, Any]]] = {"fast": [], "stock": []}
        for seed in args.seeds:
            for engine, found in runs.items():
                found.append(pinned(dataset, engine, seed, args.core))
                print(f"{dataset}, {engine}, seed {seed}: {found[-1]}", file=sys.stderr)
        facts[dataset] = runs
        fast, stock = ([r["seconds"] for r in runs[engine]] for engine in ("fast", "stock"))
        ratio = statistics.median(stock) / statistics.median(fast)
        reached = all(r["score"] >= GOAL for found in runs.values() for r in found)
        figures.append(
            Figure(
                f"CQL on {dataset}: seconds to score 90",
                statistics.median(fast),
                "s",
                interval=(min(fast), max(fast)),
                peer="d3rlpy",
                ratio=ratio,
                target=f"≥ {FACTOR:g} × shorter",
                holds=reached and ratio >= FACTOR,
            )
        )
        figures.append(
            Figure(
                f"CQL on {dataset}: stock d3rlpy's seconds to score 90",
                statistics.median(stock),
                "s",
                interval=(min(stock), max(stock)),
            )
        )
    settings = {name: str(value) for name, value in SETTINGS.items()}
    publish("time_to_score", figures, seeds=args.seeds, facts=facts | {"settings": settings})


if __name__ == "__main__":
    main()
