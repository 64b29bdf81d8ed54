"""IMPALA: environment steps a second of several actors, and what V-trace is worth.

*Speed*: one process that acts and learns in turn, against two and four actors beside the learner,
on S&P 500 bars with two hidden layers of 64, in turn, from the first trajectory on. It needs idle
cores: what others take of them is missing from the ratio.

*Age*: M3 from expected rewards, with one actor in step. The acting policy is the present one, or
that of 20 updates ago, with V-trace or as if it were the present one. Scores are those of
``offline-trader known-optimum``, 100 is the optimum.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.finished import Finished, own_process
from benchmarks.record import Figure, publish

AGE = {"steps": 400_000, "lanes": 16, "rollout": 25, "evaluate_interval": 0}
ARMS: dict[str, dict[str, Any]] = {
    "on policy": {},
    "20 updates late, V-trace": {"delay": 20},
    "20 updates late, uncorrected": {"delay": 20, "correction": "none"},
}
SPEED = {"steps": 1_000_000, "lanes": 64, "rollout": 50, "evaluate_interval": 0}
ACTORS = (1, 2, 4)


def lanes_of_m3(lanes: int, seed: int) -> Any:
    """M3, expected rewards."""
    from offline_trader.evaluation.known_optimum import KnownOptimumLanes, get_market

    return KnownOptimumLanes(get_market("M3"), lanes, seed=seed)


def score(arm: str, seed: int) -> float:
    """Score of one training of ``arm``."""
    import torch

    from offline_trader.evaluation.known_optimum import get_market, score_policy
    from offline_trader.learning.agents import make_learner
    from offline_trader.learning.settings import ImpalaConfig, LearnerConfig
    from offline_trader.learning.stages.impala import train_impala

    torch.set_num_threads(1)
    settings = LearnerConfig(algorithm="sac", gamma=0.97, reward_scaling="none", hidden=(32, 32))
    market = get_market("M3")
    learner = make_learner(settings, len(market.observation_names), seed=seed)
    learner.set_spread(0.5)
    train_impala(learner, lanes_of_m3, ImpalaConfig(**AGE, **ARMS[arm]), seed=seed)
    return float(score_policy(market, learner.act, seed=1).value)


def speed(actors: int, steps: int) -> dict[str, float]:
    """What a training with so many actors says of itself."""
    import torch

    from offline_trader.envs import EnvConfig, make_simulator
    from offline_trader.learning.agents import make_learner
    from offline_trader.learning.settings import ImpalaConfig, LearnerConfig
    from offline_trader.learning.stages.impala import train_impala

    torch.set_num_threads(1)
    env = EnvConfig()
    learner = make_learner(LearnerConfig(algorithm="sac"), env.layout.size)
    config = ImpalaConfig(**{**SPEED, "steps": steps})
    found = train_impala(learner, partial(make_simulator, env), config, workers=actors)
    return {
        "steps_per_second": found.steps_per_second,
        "waiting": found.waiting,
        "mean_lag": found.mean_lag,
        "largest_lag": float(found.largest_lag),
    }


def age_figures(finished: Finished, seeds: list[int]) -> Iterator[Figure]:
    """Mean scores of the arms, and what is kept of the first one's."""
    found = {
        arm: [finished.get(["age", AGE, arm, ARMS[arm], seed], partial(score, arm, seed))
              for seed in seeds]
        for arm in ARMS
    }  # fmt: skip
    means = {arm: float(np.mean(values)) for arm, values in found.items()}
    for arm, values in found.items():
        yield Figure(arm, means[arm], "score", (min(values), max(values)))
    first, corrected, _ = means.values()
    kept = corrected / first
    yield Figure("V-trace: share of the on-policy score", kept, "", target="≥ 0.95",
                 holds=kept >= 0.95)  # fmt: skip


def speed_figures(finished: Finished, rounds: int, steps: int) -> Iterator[Figure]:
    """Medians over the rounds, each of which has every number of actors once."""
    found: dict[int, list[dict[str, float]]] = {actors: [] for actors in ACTORS}
    for number in range(rounds):
        for actors in ACTORS:
            run = partial(own_process, "impala", actors, steps)
            found[actors].append(finished.get(["speed", SPEED, actors, steps, number], run))
    rates = {k: [each["steps_per_second"] for each in rows] for k, rows in found.items()}
    yield Figure("one process", float(np.median(rates[1])), "1/s")
    for actors in ACTORS[1:]:
        ratios = [ours / alone for ours, alone in zip(rates[actors], rates[1], strict=True)]
        ratio = float(np.median(ratios))
        yield Figure(
            f"{actors} actors", float(np.median(rates[actors])), "1/s", peer="one process",
            ratio=ratio, target="≥ 1.6 × on two cores", holds=ratio >= 1.6,
        )  # fmt: skip
        for name, unit in (("waiting", ""), ("mean_lag", "updates")):
            value = float(np.median([each[name] for each in found[actors]]))
            yield Figure(f"{actors} actors: {name.replace('_', ' ')}", value, unit)


def main() -> None:
    """Measure, publish."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cache", type=Path, help="finished parts, JSON lines")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=SPEED["steps"], help="of a speed run")
    parser.add_argument("--run", nargs=2, type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.run:
        import json

        print(json.dumps(speed(*args.run)))
        return
    finished = Finished(args.cache)
    figures = [
        *age_figures(finished, args.seeds),
        *speed_figures(finished, args.rounds, args.steps),
    ]
    publish("impala", figures, seeds=args.seeds, facts={"age": AGE, "speed": SPEED})


if __name__ == "__main__":
    main()
