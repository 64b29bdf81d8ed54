"""IMPALA: what it makes of a clone, what V-trace is worth, and how fast several actors are.

*Age*: M3 with realised rewards from the clone of the wide dataset, one actor in step. The acting
policy is the present one, or that of 20 updates ago, with V-trace or as if it were the present one.
Scores are those of ``offline-trader known-optimum`` in fresh lanes, of the last policy, without
validation; 100 is the optimum.

*Speed* (``--speed``): one process that acts and learns in turn, against two and four actors beside
the learner, on S&P 500 bars with two hidden layers of 64, in turn, from the first trajectory on. It
needs idle cores: what others take of them is missing from the ratio.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np

from benchmarks.finished import Finished, own_process
from benchmarks.record import Figure, publish

STEPS = 3_000_000
GAMMA = 0.97
DELAY = 20
ARMS: dict[str, tuple[int, Literal["vtrace", "none"]]] = {
    "on policy": (0, "vtrace"),
    "20 updates late, V-trace": (DELAY, "vtrace"),
    "20 updates late, uncorrected": (DELAY, "none"),
}
ACTORS = (1, 2, 4)


def lanes_of_m3(lanes: int, seed: int) -> Any:
    """M3, realised rewards."""
    from offline_trader.evaluation.known_optimum import KnownOptimumLanes, get_market

    return KnownOptimumLanes(get_market("M3"), lanes, seed=seed, realised=True)


def scores(seed: int) -> dict[str, float]:
    """Of the clone, and of each arm that began with it."""
    import torch

    from benchmarks.finetune import fresh_score
    from offline_trader.config import from_dict
    from offline_trader.learning.agents import online_learner
    from offline_trader.learning.settings import ImpalaConfig, LearnerConfig
    from offline_trader.learning.stages.impala import train_impala
    from offline_trader.pipeline import KnownOptimumConfig
    from offline_trader.pipeline.known_optimum_training import train_default

    torch.set_num_threads(1)
    learned: list[Any] = []
    stages = {"stages": ["clone"], "seed": seed}
    plan = from_dict(KnownOptimumConfig, {**KnownOptimumConfig.of_chain(), **stages})
    train_default("M3", plan, realised=True, on_stage=lambda _, learner: learned.append(learner))
    clone = learned[-1]
    found = {"clone": fresh_score("M3", clone, seed)}
    settings = LearnerConfig(
        algorithm="sac", gamma=GAMMA, reward_scaling="none", hidden=clone.config.hidden
    )
    for arm, (delay, correction) in ARMS.items():
        learner = online_learner(clone, settings, seed)
        config = ImpalaConfig(steps=STEPS, delay=delay, correction=correction, evaluate_interval=0)
        train_impala(learner, lanes_of_m3, config, seed=seed)
        found[arm] = fresh_score("M3", learner, seed)
    return found


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
    config = ImpalaConfig(steps=steps, evaluate_interval=0)
    found = train_impala(learner, partial(make_simulator, env), config, workers=actors)
    return {
        "steps_per_second": found.steps_per_second,
        "waiting": found.waiting,
        "mean_lag": found.mean_lag,
        "largest_lag": float(found.largest_lag),
    }


def age_figures(finished: Finished, seeds: list[int]) -> Iterator[Figure]:
    """Mean scores of the arms, and what is kept of the first one's."""
    rows = [
        finished.get(["age", STEPS, GAMMA, ARMS, seed], partial(own_process, "impala", "age", seed))
        for seed in seeds
    ]
    means = {arm: float(np.mean([row[arm] for row in rows])) for arm in ("clone", *ARMS)}
    for arm, mean in means.items():
        values = [row[arm] for row in rows]
        aimed = arm == "on policy"
        yield Figure(
            f"M3, {arm}",
            mean,
            "score",
            (min(values), max(values)),
            target="≥ 90" if aimed else "",
            holds=mean >= 90.0 if aimed else None,
        )
    first, corrected, _ = (means[arm] for arm in ARMS)
    kept = corrected / first
    yield Figure("V-trace: share of the on-policy score", kept, "", target="≥ 0.95",
                 holds=kept >= 0.95)  # fmt: skip


def speed_figures(finished: Finished, rounds: int, steps: int) -> Iterator[Figure]:
    """Medians over the rounds, each of which has every number of actors once."""
    found: dict[int, list[dict[str, float]]] = {actors: [] for actors in ACTORS}
    for number in range(rounds):
        for actors in ACTORS:
            run = partial(own_process, "impala", "speed", actors, steps)
            found[actors].append(finished.get(["speed", actors, steps, number], run))
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
    parser.add_argument("--seeds", type=int, nargs="+", default=[40, 41, 42])
    parser.add_argument("--speed", type=int, metavar="ROUNDS", default=0, help="of speed runs")
    parser.add_argument("--steps", type=int, default=1_000_000, help="of a speed run")
    parser.add_argument("--run", nargs="+", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.run:
        import json

        what, *words = args.run
        numbers = map(int, words)
        print(json.dumps(scores(*numbers) if what == "age" else speed(*numbers)))
        return
    finished = Finished(args.cache)
    figures = [*age_figures(finished, args.seeds)]
    if args.speed:
        figures += speed_figures(finished, args.speed, args.steps)
    facts = {"steps": STEPS, "gamma": GAMMA, "arms": ARMS}
    publish("impala", figures, seeds=args.seeds, facts=facts)


if __name__ == "__main__":
    main()
