"""The evolution stage: scores where the optimum is known, and the time of a generation.

Scores are those of ``offline-trader known-optimum NAME --train evolution --realised`` with the
defaults, from realised rewards alone, 100 is the optimum; seeds 20 to 22 were run once. The
defaults are the paper's σ = .02, rate .01 and population 256. Of nine settings that were compared
on seed 3 with two hidden layers of 32, larger steps were better on M3 (99.7) and far worse on M1.

A generation is 256 members, each on 64 windows of 500 bars of M3, for an actor of two hidden layers
of 64. It is timed beside plain evaluations: one member after another, the same bars bar by bar in
torch. All times are the processor's, so that a busy machine counts less.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from benchmarks.record import Figure, publish

DATASETS = ("M1-narrow", "M3-narrow")
WINDOWS, BARS, HIDDEN, POPULATION = 64, 500, 64, 256
ROUNDS = 3


def train(dataset: str, seed: int) -> float:
    """Score of one training with the defaults."""
    from offline_trader.evaluation.known_optimum import get_market, score_policy
    from offline_trader.pipeline.known_optimum_training import KnownOptimumConfig, train_on_log

    policy = train_on_log("evolution", dataset, KnownOptimumConfig(seed=seed), realised=True)
    return float(score_policy(get_market(dataset.partition("-")[0]), policy, seed=1).value)


def scores(seeds: list[int], cache: Path) -> dict[str, list[float]]:
    """Scores by dataset; finished trainings are kept in ``cache``."""
    lines = cache.read_text(encoding="utf-8").splitlines() if cache.exists() else []
    done = {row["key"]: row["score"] for row in map(json.loads, lines)}
    found: dict[str, list[float]] = {}
    for seed in seeds:
        for dataset in DATASETS:
            key = f"{dataset} {seed}"
            if key not in done:
                done[key] = train(dataset, seed)
                with cache.open("a", encoding="utf-8") as file:
                    print(json.dumps({"key": key, "score": done[key]}), file=file)
            found.setdefault(dataset, []).append(done[key])
    return found


def score_figures(found: dict[str, list[float]]) -> Iterator[Figure]:
    """Interquartile mean with its interval, and the worst seed."""
    from offline_trader.evaluation.statistics import seed_summary

    for dataset, values in found.items():
        summary = seed_summary(values, rng=np.random.default_rng(0))
        yield Figure(
            f"evolution on {dataset}", summary.iqm, "score", summary.interval,
            target="≥ 80", holds=summary.iqm >= 80.0,
        )  # fmt: skip
    yield Figure("evolution: worst seed", min(min(each) for each in found.values()), "score")


def speed_figures() -> Iterator[Figure]:
    """Best of rounds of a generation and of one plain evaluation, in turn."""
    import torch

    from offline_trader.evaluation.known_optimum.direct_market import logged_market
    from offline_trader.learning.agents import make_learner
    from offline_trader.learning.engines import EngineFacts
    from offline_trader.learning.settings import LearnerConfig
    from offline_trader.learning.stages.direct import Batch, TorchUnroll
    from offline_trader.learning.stages.evolution import Population

    torch.set_num_threads(1)
    market = logged_market("M3-narrow")
    learner = make_learner(LearnerConfig(reward_scaling="none", hidden=(HIDDEN, HIDDEN)), 2)
    surprises = torch.zeros(len(market.log.gains), 1, dtype=torch.float64)
    population = Population(learner, market, surprises, EngineFacts("fast"))
    alone = TorchUnroll(learner, market, surprises, pulled=False)
    first = torch.from_numpy(market.log.starts(BARS)[:WINDOWS].copy())
    state = market.random_state(first, torch.Generator().manual_seed(0))
    batch = Batch(first + torch.arange(BARS)[:, None], state, None)
    members = population.vector + 0.02 * np.random.default_rng(0).standard_normal(
        (POPULATION, len(population.vector))
    )
    vectors = members.astype(np.float32)

    def generation() -> None:
        population.scores(vectors, batch, lambda climbed, _: float(climbed.mean()))

    def plain() -> None:
        with torch.no_grad():
            alone(batch)

    generation()  # compiles
    ours = min(_seconds(generation) for _ in range(ROUNDS))
    one = min(_seconds(plain) for _ in range(ROUNDS))
    ratio = POPULATION * one / ours
    yield Figure(
        "a generation of 256 on M3", ours, "s", peer="plain evaluations", ratio=ratio,
        target="≤ 1, ≥ 20 ×", holds=ours <= 1.0 and ratio >= 20.0,
    )  # fmt: skip
    yield Figure("256 plain evaluations", POPULATION * one, "s")


def _seconds(function: Callable[[], None]) -> float:
    start = time.process_time()
    function()
    return time.process_time() - start


def main() -> None:
    """Train, time, publish."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cache", type=Path, required=True, help="finished trainings, JSON lines")
    parser.add_argument("--seeds", type=int, nargs="+", default=[20, 21, 22])
    args = parser.parse_args()
    found = scores(args.seeds, args.cache)
    figures = [*score_figures(found), *speed_figures()]
    publish("evolution", figures, seeds=args.seeds, facts={"scores": found})


if __name__ == "__main__":
    main()
