"""Online training with one setting on markets whose best policy is known, from scratch.

SAC on 8 lanes of M1 (a decaying signal, quadratic costs) and M3 (mean reversion, proportional
costs), 64,000 environment steps with one update each, from expected and from realised rewards. A
score of 100 is the best policy, 0 the empty portfolio; the last policy counts, nothing is selected
by the score. The entropy that SAC aims at goes down in the course of the training and the learning
rates at its end; ``steady`` is the same with neither, as d3rlpy has it.

With ``--cache FILE`` finished runs are kept and not done again.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks.record import Figure, publish

ROOT = Path(__file__).resolve().parent.parent
LANES = 8
LEARNER: dict[str, Any] = {
    "algorithm": "sac",
    "hidden": (64, 64),
    "gamma": 0.95,
    "actor_lr": 1e-3,
    "critic_lr": 1e-3,
    "temp_lr": 1e-3,
}
ONLINE: dict[str, Any] = {
    "steps": 64_000,
    "update_ratio": 1.0,
    "offline_share": 0.0,
    "buffer_size": 100_000,
    "critic_updates": 0,
    "evaluate_interval": 0,
    "log_interval": 64_000,
}
CONTESTANTS: dict[str, dict[str, Any]] = {
    "annealed": {"final_target_entropy": -4.0, "entropy_decay": 0.5, "rate_decay": 0.5},
    "steady": {"final_target_entropy": -1.0, "rate_decay": 0.0},
}
GOALS = {("M1", False): 98.5, ("M1", True): 95.0, ("M3", False): 98.0, ("M3", True): 96.0}


def train(contestant: str, name: str, realised: bool, seed: int) -> float:
    """Score of the last policy of one training."""
    import torch

    torch.set_num_threads(1)
    from offline_trader.evaluation.known_optimum import KnownOptimumLanes, get_market, score_policy
    from offline_trader.learning.agents import make_learner
    from offline_trader.learning.settings import LearnerConfig, OnlineConfig
    from offline_trader.learning.stages import finetune

    market = get_market(name)
    learner = make_learner(LearnerConfig(**LEARNER), len(market.observation_names), None, seed)
    lanes = KnownOptimumLanes(market, LANES, seed=seed, realised=realised)
    finetune(learner, lanes, None, OnlineConfig(**ONLINE, **CONTESTANTS[contestant]), seed=seed)
    return score_policy(market, learner, n_lanes=128, n_steps=1_000, seed=1).value


class Cache:
    """Finished scores as JSON lines; without a path, in memory alone."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._rows: dict[str, float] = {}
        if path is not None and path.exists():
            for line in path.read_text(encoding="utf-8").splitlines():
                try:
                    row = json.loads(line)
                except ValueError:  # a kill tore the last line
                    continue
                self._rows[row["key"]] = row["score"]

    def get(self, contestant: str, name: str, realised: bool, seed: int) -> float:
        """The run's score, trained now if it is not there, in a process of its own."""
        named = [contestant, name, realised, seed, LEARNER, ONLINE, CONTESTANTS[contestant]]
        key = json.dumps(named, sort_keys=True)
        if key not in self._rows:
            run = [contestant, name, str(int(realised)), str(seed)]
            done = subprocess.run(
                [sys.executable, "-m", "benchmarks.finetune", "--run", *run],
                cwd=ROOT,
                stdout=subprocess.PIPE,
                text=True,
                check=True,
            )
            self._rows[key] = float(done.stdout.splitlines()[-1])
            if self._path is not None:
                with self._path.open("a", encoding="utf-8") as file:
                    print(json.dumps({"key": key, "score": self._rows[key]}), file=file)
        return self._rows[key]


def main() -> None:
    """Measure and publish."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", nargs=4, metavar=("CONTESTANT", "MARKET", "REALISED", "SEED"))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument(
        "--contestants", nargs="+", default=list(CONTESTANTS), choices=list(CONTESTANTS)
    )
    parser.add_argument("--cache", type=Path, help="finished runs, JSON lines")
    args = parser.parse_args()
    if args.run:
        contestant, name, realised, seed = args.run
        print(train(contestant, name, realised == "1", int(seed)))
        return
    cache = Cache(args.cache)
    found: dict[str, dict[str, list[float]]] = {}
    for contestant in args.contestants:
        for (name, realised), _ in GOALS.items():
            told = f"{name} {'realised' if realised else 'expected'}"
            for seed in args.seeds:
                score = cache.get(contestant, name, realised, seed)
                found.setdefault(contestant, {}).setdefault(told, []).append(score)
                print(f"{contestant} {told} seed {seed}: {score:.1f}", file=sys.stderr, flush=True)
    figures = []
    for contestant, tasks in found.items():
        for (told, scores), goal in zip(tasks.items(), GOALS.values(), strict=True):
            aimed = contestant == "annealed"
            mean = statistics.mean(scores)
            figures.append(
                Figure(
                    f"{told}, {contestant}: mean score",
                    mean,
                    "score",
                    interval=(min(scores), max(scores)),
                    target=f"≥ {goal:g}" if aimed else "",
                    holds=mean >= goal if aimed else None,
                )
            )
    settings = {"learner": LEARNER, "online": ONLINE, "contestants": CONTESTANTS, "lanes": LANES}
    publish("finetune", figures, seeds=args.seeds, facts={"settings": settings, "scores": found})


if __name__ == "__main__":
    main()
