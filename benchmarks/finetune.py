"""Fine-tuning with one setting on markets whose best policy is known, from realised rewards.

M1 is a decaying signal with quadratic costs, M3 mean reversion with proportional ones; a score of
100 is the best policy, 0 the empty portfolio. A warm start, the default chain of ``pretrain`` or
its clone alone, is made of the wide dataset; SAC goes on from it on 8 lanes, 40,000 environment
steps with an update each. The lanes' rewards are stored without what no forecast of the gains could
foretell. The entropy that SAC aims at is high for half of the steps, which quadratic costs ask for,
and goes down in the next quarter, as proportional ones ask for; validation chooses. It is by
realised rewards on lanes of its own, the same for every policy of a training; scores are of fresh
lanes, the same for the warm start, the last policy and the kept one. The settings are the same for
both markets.

With ``--cache FILE`` finished runs are kept and not done again.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from benchmarks.finished import Finished, own_process
from benchmarks.record import Figure, publish

LANES = 8
LEARNER: dict[str, Any] = {"gamma": 0.95, "actor_lr": 1e-3, "critic_lr": 1e-3, "temp_lr": 1e-3}
ONLINE: dict[str, Any] = {
    "steps": 40_000,
    "update_ratio": 1.0,
    "forecast_weight": 1.0,
    "target_entropy": -1.0,
    "final_target_entropy": -6.0,
    "entropy_hold": 0.5,
    "entropy_decay": 0.25,
    "rate_decay": 0.5,
    "evaluate_interval": 2_000,
    "log_interval": 40_000,
}
WARM_STARTS: dict[str, tuple[str, ...]] = {
    "default chain": ("clone", "direct", "offline"),
    "clone": ("clone",),
}
GOALS = {"M1": 95.0, "M3": 96.0}
VALIDATION = (64, 400)


def train(warm: str, name: str, seed: int) -> dict[str, Any]:
    """Scores of the warm start, of the last policy, and of the kept one."""
    import torch

    torch.set_num_threads(1)
    from offline_trader.config import from_dict
    from offline_trader.evaluation.known_optimum import (
        KnownOptimumLanes,
        get_market,
        score_policy,
    )
    from offline_trader.learning.agents import online_learner
    from offline_trader.learning.settings import LearnerConfig, OnlineConfig
    from offline_trader.learning.stages import finetune
    from offline_trader.pipeline import KnownOptimumConfig
    from offline_trader.pipeline.known_optimum_training import train_default

    market, learned = get_market(name), []
    stages = {"stages": list(WARM_STARTS[warm]), "seed": seed}
    plan = from_dict(KnownOptimumConfig, {**KnownOptimumConfig.of_chain(), **stages})
    train_default(name, plan, realised=True, on_stage=lambda _, learner: learned.append(learner))
    source = learned[-1]
    config = LearnerConfig(algorithm="sac", hidden=source.config.hidden, **LEARNER)
    learner = online_learner(source, config, seed)
    scores: dict[str, Any] = {}

    def score() -> float:
        return score_policy(market, learner, n_lanes=128, n_steps=1_000, seed=9_000 + seed).value

    def log(step: int, row: Mapping[str, Any]) -> None:
        if step >= ONLINE["steps"] and "online/updates" in row:
            scores["last"] = score()

    scores["warm"] = score()
    result = finetune(
        learner,
        KnownOptimumLanes(market, LANES, seed=seed, realised=True),
        None,
        OnlineConfig(**ONLINE),
        log,
        _validation(name, 5_000 + seed),
        seed=seed,
    )
    return {**scores, "kept": score(), "step": result.kept_step, "reason": result.reason}


def _validation(name: str, seed: int) -> Callable[[Any], Any]:
    """Realised rewards of a policy on lanes that are the same at every call."""
    import numpy as np

    from offline_trader.evaluation.known_optimum import KnownOptimumLanes, get_market
    from offline_trader.learning.stages import Validated

    n_lanes, steps = VALIDATION

    def judge(policy: Any) -> Validated:
        market = get_market(name)
        lanes = KnownOptimumLanes(market, n_lanes, seed=seed, realised=True, episode_steps=steps)
        seen, earned = lanes.reset(), []
        for _ in range(steps):
            step = lanes.step(policy(seen))
            earned.append(step.rewards)
            seen = step.observations
        growth = np.stack(earned, axis=1).reshape(-1)  # a lane's steps are neighbours
        return Validated({"score": float(growth.mean())}, growth)

    return judge


def found_of(cache: Finished, warm: str, name: str, seed: int) -> dict[str, Any]:
    """The run's scores, made now in a process of its own if they are not there."""
    named = [WARM_STARTS[warm], name, seed, LEARNER, ONLINE, VALIDATION, LANES]
    found: dict[str, Any] = cache.get(named, lambda: own_process("finetune", warm, name, seed))
    return found


def _interval(values: list[float]) -> tuple[float, float]:
    """Student's 95 % interval of the mean."""
    from scipy.special import stdtrit

    spread = float(stdtrit(len(values) - 1, 0.975)) * statistics.stdev(values) / len(values) ** 0.5
    return statistics.mean(values) - spread, statistics.mean(values) + spread


def figures_of(warm: str, name: str, runs: list[dict[str, Any]]) -> list[Figure]:
    """What the seeds of a warm start on a market say."""
    found = []
    for which in ("warm", "last", "kept"):
        scores = [run[which] for run in runs]
        aimed = which == "kept"
        mean = statistics.mean(scores)
        found.append(
            Figure(
                f"{name} from {warm}: {'warm start' if which == 'warm' else which}",
                mean,
                "score",
                interval=_interval(scores),
                target=f"≥ {GOALS[name]:g}" if aimed else "",
                holds=mean >= GOALS[name] if aimed else None,
            )
        )
    gained = [run["kept"] - run["warm"] for run in runs]
    low, high = _interval(gained) if any(gained) else (0.0, 0.0)
    found.append(
        Figure(
            f"{name} from {warm}: kept less warm start",
            statistics.mean(gained),
            "score",
            interval=(low, high),
            target="not below 0",
            holds=high >= 0.0,
        )
    )
    return found


def main() -> None:
    """Measure and publish."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", nargs=3, metavar=("WARM", "MARKET", "SEED"))
    parser.add_argument("--seeds", type=int, nargs="+", default=[40, 41, 42, 43, 44])
    parser.add_argument("--chain-seeds", type=int, nargs="+", help="of the default chain")
    parser.add_argument("--cache", type=Path, help="finished runs, JSON lines")
    args = parser.parse_args()
    if args.run:
        warm, name, seed = args.run
        print(json.dumps(train(warm, name, int(seed))))
        return
    cache = Finished(args.cache)
    figures: list[Figure] = []
    runs: dict[str, Any] = {}
    seeds = {"default chain": args.chain_seeds or args.seeds, "clone": args.seeds}
    for warm, name in [(warm, name) for warm in WARM_STARTS for name in GOALS]:
        for seed in seeds[warm]:
            found = found_of(cache, warm, name, seed)
            runs.setdefault(f"{name} from {warm}", []).append(found)
            print(f"{name} from {warm}, seed {seed}: {found}", file=sys.stderr, flush=True)
        figures += figures_of(warm, name, runs[f"{name} from {warm}"])
    settings = {"learner": LEARNER, "online": ONLINE, "lanes": LANES, "validation": VALIDATION}
    facts = {"settings": settings, "seeds": seeds, "runs": runs}
    publish("finetune", figures, seeds=args.seeds, facts=facts)


if __name__ == "__main__":
    main()
