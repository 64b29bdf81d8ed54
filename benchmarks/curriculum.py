"""What the curriculum brings: five stages against the last one alone, from scratch, equal steps.

A policy with fresh weights, its scaler fitted on markets of the first stage, is trained by
``finetune`` with ``--agent direct`` or SAC: with the curriculum, or on the master stage alone
(``online.curriculum.first=master``). Both have as many environment steps, updates and exams. What
counts is the last policy on 100 fresh markets of the master stage, 1,000 decisions each: its net
log growth a year of 252 bars, at that stage's costs. Stages passed are those whose exam it passed.

With ``--cache FILE`` finished runs are kept and not done again.
"""

from __future__ import annotations

import argparse
import json
import statistics
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.finished import Finished, own_process
from benchmarks.record import Figure, publish, student_interval

LANES = 16
ONLINE: dict[str, Any] = {
    "steps": 40_000,
    "offline_share": 0.0,
    "critic_updates": 0,
    "evaluate_interval": 0,
    "log_interval": 40_000,
    "rate_decay": 0.5,
}
AGENTS: dict[str, dict[str, Any]] = {
    "direct": {"update_ratio": 0.05, "warmup_steps": 0},
    "sac": {"update_ratio": 0.25},
}
LEARNER: dict[str, Any] = {"algorithm": "sac", "gamma": 0.95, "reward_scaling": "scale"}
FRESH, BARS = 100, 1_000


def train(agent: str, first: str, seed: int) -> dict[str, Any]:
    """What one training reached."""
    import torch

    torch.set_num_threads(1)
    from offline_trader.envs import EnvConfig
    from offline_trader.features import FeatureScaler
    from offline_trader.learning.agents import make_learner
    from offline_trader.learning.settings import (
        CurriculumConfig,
        DirectAgentConfig,
        LearnerConfig,
        OnlineConfig,
    )
    from offline_trader.learning.stages import finetune
    from offline_trader.learning.stages.course import CourseLanes
    from offline_trader.learning.stages.direct import DirectAgent
    from offline_trader.learning.stages.levels import LEVELS, Difficulty, level_paths, level_rules
    from offline_trader.pipeline.courses import make_lanes
    from offline_trader.simulator import SimulatorConfig

    env = EnvConfig(simulator=SimulatorConfig(action_mode="target_long_short"))
    course = CurriculumConfig(enabled=True, first=first, bars=1_000, paths=16)
    online = OnlineConfig(**ONLINE, **AGENTS[agent], curriculum=course)
    lanes = make_lanes(online, env, LANES, seed)
    assert isinstance(lanes, CourseLanes)
    market = lanes.simulators[0].market
    scaler = FeatureScaler.fit(market.features.astype(np.float64), market.layout)
    learner = make_learner(LearnerConfig(**LEARNER), market.layout.size, scaler, seed)
    trained: Any = learner
    if agent == "direct":
        settings = DirectAgentConfig(learning_rate=3e-3)
        trained = DirectAgent(learner, lambda: lanes.simulators, settings, seed)
    exams: list[dict[str, Any]] = []

    def log(step: int, row: Any) -> None:
        if "curriculum/stage" in row:
            exams.append({"step": step, **row})

    finetune(trained, lanes, None, online, log, seed=seed)
    level = LEVELS[-1]
    now = Difficulty.of(level)
    seeds = np.random.SeedSequence([seed, 0x66726573])
    fresh = level_paths(level, now, None, env.features, (FRESH, BARS), seeds)
    rules = level_rules(level, now, None, env.simulator)
    return {
        "growth": _growth(learner, fresh, rules),
        "passed": sum("curriculum/passed" in exam for exam in exams),
        "exams": exams,
    }


def _growth(policy: Any, market: Any, rules: Any) -> float:
    """Mean net log growth a year of 252 bars."""
    from offline_trader.evaluation.backtest import backtests
    from offline_trader.simulator.side_by_side import SideRun

    runs = [SideRun(market.instrument(k), rules) for k in range(len(market.symbols))]
    found = backtests(policy, runs, observe=False)
    return 252.0 * float(np.mean([np.log(r.equity[-1] / r.equity[0]) / BARS for r in found]))


def found_of(cache: Finished, agent: str, first: str, seed: int) -> dict[str, Any]:
    """The run's result, made now in a process of its own if it is not there."""
    named = [agent, first, seed, ONLINE, AGENTS[agent], LEARNER]
    found: dict[str, Any] = cache.get(named, lambda: own_process("curriculum", agent, first, seed))
    return found


def main() -> None:
    """Measure and publish."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", nargs=3, metavar=("AGENT", "FIRST", "SEED"))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--agents", nargs="+", default=["direct"], choices=list(AGENTS))
    parser.add_argument("--cache", type=Path, help="finished runs, JSON lines")
    args = parser.parse_args()
    if args.run:
        agent, first, seed = args.run
        print(json.dumps(train(agent, first, int(seed))))
        return
    cache = Finished(args.cache)
    figures: list[Figure] = []
    runs: dict[str, Any] = {}
    for agent in args.agents:
        found = {
            first: [found_of(cache, agent, first, seed) for seed in args.seeds]
            for first in ("beginner", "master")
        }
        runs[agent] = found
        growth = {first: [each["growth"] for each in rows] for first, rows in found.items()}
        passed = [each["passed"] for each in found["beginner"]]
        gained = [a - b for a, b in zip(*growth.values(), strict=True)]
        for first, name in (("beginner", "curriculum"), ("master", "master stage alone")):
            figures.append(
                Figure(
                    f"{agent}, {name}: net log growth a year on the master stage",
                    statistics.mean(growth[first]),
                    "log growth a year",
                    interval=student_interval(growth[first]),
                )
            )
        figures.append(
            Figure(
                f"{agent}: curriculum less master stage alone",
                statistics.mean(gained),
                "log growth a year",
                interval=student_interval(gained),
                target="interval above 0",
                holds=student_interval(gained)[0] > 0.0,
            )
        )
        figures.append(
            Figure(
                f"{agent}: stages passed, fewest of the seeds",
                float(min(passed)),
                "stages",
                interval=(float(min(passed)), float(max(passed))),
                target="≥ 3",
                holds=min(passed) >= 3,
            )
        )
    settings = {"online": ONLINE, "agents": AGENTS, "learner": LEARNER, "lanes": LANES}
    publish("curriculum", figures, seeds=args.seeds, facts={"settings": settings, "runs": runs})


if __name__ == "__main__":
    main()
