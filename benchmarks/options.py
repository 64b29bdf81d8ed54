"""Options on the curriculum's expert stage: durations, use of each, score beside flat SAC, placebo.

Every training has its own paths of the stage's market, its own lanes and first weights; SAC has the
same lanes and as many environment steps. All are judged, without any choice by validation, on paths
that no training saw. The placebo is the same market whose drift nothing foretells.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.finished import Finished
from benchmarks.record import Figure, publish, student_interval

NAMES = ("open_long", "close", "trend_follow", "scalp", "wait")
METHODS = ("smdp", "option_critic")
STEPS, LANES, EPISODE, PATHS, TEST_PATHS, TEST_BARS = 25_000, 32, 250, 32, 12, 500
TEST_SEED = 31_337


def stage(signal: bool, paths: int, bars: int, seed: int) -> Any:
    """A market of the expert stage, with its rules."""
    from offline_trader.learning.stages.levels import LEVELS, Difficulty, level_paths, level_rules
    from offline_trader.simulator import SimulatorConfig

    level = next(each for each in LEVELS if each.name == "expert")
    level = level if signal else replace(level, signal=0.0)
    now = Difficulty.of(level)
    sequence = np.random.SeedSequence(seed)
    market = level_paths(level, now, None, ("builtin",), (paths, bars), sequence)
    return market, level_rules(level, now, None, SimulatorConfig())


def trained(kind: str, signal: bool, seed: int, settings: dict[str, Any]) -> Any:
    """The agent after its training; ``kind`` is a method of options, or ``sac``."""
    import torch

    from offline_trader.learning.agents import make_learner
    from offline_trader.learning.options import OptionsAgent
    from offline_trader.learning.settings import LearnerConfig, OnlineConfig, OptionsConfig
    from offline_trader.learning.stages.online import finetune
    from offline_trader.simulator import Simulator

    torch.set_num_threads(1)
    market, rules = stage(signal, PATHS, EPISODE + 50, seed)
    lanes = Simulator(market, rules, LANES, episode_bars=EPISODE, seed=seed, random_start=True)
    learner_config = LearnerConfig(algorithm="sac")
    size = market.layout.size
    learner = make_learner(learner_config, size, _scaler(market, size), seed)
    online = OnlineConfig(
        steps=STEPS,
        offline_share=0.0,
        critic_updates=0,
        evaluate_interval=0,
        log_interval=10_000,
        forecast_weight=1.0,
    )
    agent: Any = learner
    if kind != "sac":
        config = OptionsConfig(method=kind, **settings)
        agent = OptionsAgent(learner, config, market.layout, rules, seed)
        whole = ("whole_options",) if kind == "smdp" else ()
        online = replace(online, update_ratio=0.1, transforms=whole)
    finetune(agent, lanes, None, online, seed=seed)
    return agent


class _Scaler:
    def __init__(self, mean: Any, scale: Any) -> None:
        self.mean, self.scale = mean, scale


def _scaler(market: Any, size: int) -> Any:
    """Of the features by their spread; of the portfolio's columns none."""
    mean, scale = np.zeros(size), np.ones(size)
    width = market.features.shape[1]
    mean[:width] = market.features.mean(axis=0)
    scale[:width] = np.maximum(market.features.std(axis=0), 1e-6)
    return _Scaler(mean, scale)


def judged(policy: Any, signal: bool) -> dict[str, Any]:
    """Growth a year of each unseen path, the Sharpe ratio of all together, and what was done with
    options. The paths are as long as one another, so all are walked abreast."""
    from offline_trader.evaluation.measures import sharpe_ratio
    from offline_trader.simulator import Simulator

    market, rules = stage(signal, TEST_PATHS, TEST_BARS, TEST_SEED)
    lanes = Simulator(market, rules, TEST_PATHS, auto_reset=False)
    seen = np.array(lanes.reset())
    use = Use(getattr(policy, "names", ()))
    state = None
    rewards, orders = [], 0.0
    for _ in range(TEST_BARS):
        if use.names:
            actions, state, offered = policy.decide(seen, state)
            use.add(state, offered)
        else:
            actions = policy(seen)
        result = lanes.step(actions)
        rewards.append(result.rewards.copy())
        orders += float(lanes.traded.mean())
        seen = np.array(result.observations)
    growth = np.array(rewards)
    return {
        "growth": (growth.mean(axis=0) * 252.0).tolist(),
        "sharpe": sharpe_ratio(np.expm1(growth).mean(axis=1), 252.0) or 0.0,
        "orders": orders / TEST_BARS,
        **use.told(),
    }


class Use:
    """Counts of options: bars on which each ran, how often it began, and might have."""

    def __init__(self, names: Sequence[str]) -> None:
        self.names = tuple(names)
        self.bars, self.starts, self.chances = np.zeros((3, len(self.names)))

    def add(self, state: Any, offered: Any) -> None:
        """One bar of all lanes, by the states after it."""
        running = np.eye(len(self.names))[state[:, 0].astype(int)]
        begins = state[:, 1] == 1.0
        self.bars += running.sum(axis=0)
        self.starts += running[begins].sum(axis=0)
        self.chances += offered[begins].sum(axis=0)

    def told(self) -> dict[str, list[float]]:
        """By option: mean duration, share of the choices it had, of all bars."""
        if not self.names:
            return {}
        return {
            "duration": (self.bars / np.maximum(self.starts, 1.0)).tolist(),
            "chosen": (self.starts / np.maximum(self.chances, 1.0)).tolist(),
            "share": (self.bars / self.bars.sum()).tolist(),
        }


def one(kind: str, signal: bool, seed: int, settings: str = "{}") -> dict[str, Any]:
    """One training and its judgement."""
    start = time.process_time()
    agent = trained(kind, signal, seed, json.loads(settings))
    found = judged(agent.policy(), signal)
    return {**found, "seconds": time.process_time() - start}


def plain(name: str, signal: bool) -> dict[str, Any]:
    """An expert on the same paths."""
    from offline_trader.experts import ExpertPolicy, get_expert

    market, rules = stage(signal, TEST_PATHS, TEST_BARS, TEST_SEED)
    return judged(ExpertPolicy(get_expert(name), market.layout, rules, market=market), signal)


def draw(path: Path, seed: int) -> None:
    """The report's figures of one controller on three unseen paths, the timeline of the first."""
    from offline_trader.evaluation.backtest import backtests
    from offline_trader.evaluation.judging import option_use
    from offline_trader.evaluation.report.options import options_section
    from offline_trader.evaluation.report.png import write_pngs
    from offline_trader.markets.regimes import detect_regimes
    from offline_trader.simulator.side_by_side import SideRun

    policy = trained("option_critic", True, seed, {}).policy()
    market, rules = stage(True, TEST_PATHS, TEST_BARS, TEST_SEED)
    markets = [market.instrument(k) for k in range(3)]
    runs = backtests(policy, [SideRun(each, rules) for each in markets])
    labels = [detect_regimes(run.close)[: len(run.actions)] for run in runs]
    charts = options_section(option_use(policy, runs, labels)).charts
    write_pngs(charts, path, "Option-critic on the curriculum's expert stage")


def figures_of(found: dict[str, list[dict[str, Any]]]) -> Iterator[Figure]:
    """Scores and differences, durations, use, and the placebo."""
    growth = {
        kind: [float(np.mean(each["growth"])) for each in rows] for kind, rows in found.items()
    }
    for kind in ("smdp", "option_critic", "smdp_free", "sac"):
        mean, interval = float(np.mean(growth[kind])), student_interval(growth[kind])
        yield Figure(f"{kind}: net log growth a year", mean, "", interval)
    for kind in METHODS:
        apart = np.subtract(growth[kind], growth["sac"])
        mean, interval = float(apart.mean()), student_interval(apart)
        yield Figure(
            f"{kind} less sac", mean, "", interval, target="above 0", holds=interval[0] > 0
        )
        rows = found[kind]
        lasting = np.array([row["duration"] for row in rows])
        least = float(np.delete(lasting, NAMES.index("scalp"), axis=1).mean(axis=0).min())
        yield Figure(
            f"{kind}: shortest mean duration but scalp's", least, "bars",
            target="> 5", holds=least > 5.0,
        )  # fmt: skip
        chosen = np.array([row["chosen"] for row in rows])
        k = int(chosen.mean(axis=0).argmin())
        least = float(chosen.mean(axis=0)[k])
        yield Figure(
            f"{kind}: least share of its choices", least, "", target="> 0.1", holds=least > 0.1,
            peer=NAMES[k],
        )  # fmt: skip
        used = float((chosen > 0.01).all(axis=1).sum())
        yield Figure(
            f"{kind}: seeds in which every option is used", used, "of 5",
            target="5", holds=used == len(rows),
        )  # fmt: skip
        ratios = [row["sharpe"] for row in found[f"{kind}_placebo"]]
        mean, interval = float(np.mean(ratios)), student_interval(ratios)
        yield Figure(
            f"{kind}: Sharpe ratio on the placebo", mean, "", interval,
            target="not above 0", holds=interval[0] <= 0.0,
        )  # fmt: skip
    yield Figure("seconds of a training with its judgement",
                 float(np.mean([row["seconds"] for row in found["smdp"]])), "s")  # fmt: skip


def main() -> None:
    """Train, judge, publish."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cache", type=Path, help="finished trainings, JSON lines")
    parser.add_argument("--seeds", type=int, nargs="+", default=[10, 11, 12, 13, 14])
    parser.add_argument("--pictures", type=Path, help="draw one controller's options there, only")
    args = parser.parse_args()
    if args.pictures:
        draw(args.pictures, args.seeds[0])
        return
    cache = Finished(args.cache)
    free = json.dumps({"least_share": 0.0})
    cases = {
        **{kind: (kind, True, "{}") for kind in (*METHODS, "sac")},
        "smdp_free": ("smdp", True, free),
        **{f"{kind}_placebo": (kind, False, "{}") for kind in METHODS},
    }
    found = {
        name: [
            cache.get(["options", STEPS, *case[:2], seed, case[2]],
                      lambda case=case, seed=seed: one(case[0], case[1], seed, case[2]))
            for seed in args.seeds
        ]
        for name, case in cases.items()
    }  # fmt: skip
    experts = {
        name: float(
            np.mean(cache.get(["expert", name], lambda name=name: plain(name, True))["growth"])
        )
        for name in ("buy_and_hold", "technical", "donchian")
    }
    publish("options", list(figures_of(found)), seeds=args.seeds, facts={
        "trainings": found, "experts": experts, "steps": STEPS, "options": NAMES,
    })  # fmt: skip


if __name__ == "__main__":
    main()
