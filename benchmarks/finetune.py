"""Fine-tuning with one setting on markets whose best policy is known, beside stable-baselines3.

M1 is a decaying signal with quadratic costs, M3 mean reversion with proportional ones; a score of
100 is the best policy, 0 the empty portfolio. A warm start, the default chain of ``pretrain`` or
its clone alone, is made of the wide dataset; SAC goes on from it on 8 lanes, 64,000 environment
steps with an update each. Rewards are realised ones, stored without what no forecast of the gains
could foretell, or *expected* ones, as they are. Seven of eight rows of a batch are replays: the
step is taken again from another position with another action, as an order moves no price and what a
position costs is known. The entropy that SAC aims at is high for a tenth of the steps and goes down
in the next tenth, as proportional costs ask for; over the second half the learning rates go down.
Validation chooses. It is by rewards on lanes of its own, the same for every policy of a training,
realised ones also without the surprises of the gains by a forecast that is cross-fitted over these
lanes. Scores are of fresh lanes, the same for the warm start, the last policy and the kept one. The
settings are the same for both markets; they were chosen on other seeds (51, 52, 53).

stable-baselines3's SAC has the same realised lanes, steps, updates, networks and rates, no warm
start, and no replays, which it does not have. Of it the last policy is scored and, as it validates
nothing, the best of all looks by the score itself: more than any validation could give it. Seconds
of the processor to a score of 90 and of 95 begin before anything is imported, so those of ours hold
all of the pretraining; they stop while a policy is scored.

With ``--cache FILE`` finished runs are kept and not done again.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, cast

from benchmarks.finetune_figures import PEER, REACHED, beside_peer, draw, figures_of, times_of
from benchmarks.finished import Finished, own_process
from benchmarks.record import Figure, publish
from benchmarks.time_to_score import Clock

LANES = 8
LEARNER: dict[str, Any] = {"gamma": 0.95, "actor_lr": 1e-3, "critic_lr": 1e-3, "temp_lr": 1e-3}
ONLINE: dict[str, Any] = {
    "steps": 64_000,
    "update_ratio": 1.0,
    "forecast_weight": 1.0,
    "target_entropy": -1.0,
    "final_target_entropy": -3.0,
    "transforms": ("replay",),
    "entropy_hold": 0.1,
    "entropy_decay": 0.1,
    "rate_decay": 0.5,
    "evaluate_interval": 2_000,
    "log_interval": 64_000,
}
WARM_STARTS: dict[str, tuple[str, ...]] = {
    "default chain": ("clone", "direct", "offline"),
    "clone": ("clone",),
}
VALIDATION = (64, 400)


def train(warm: str, name: str, seed: int, rewards: str) -> dict[str, Any]:
    """Scores of the warm start, of the last policy, and of the kept one."""
    clock = Clock()
    import torch

    torch.set_num_threads(1)
    from offline_trader.evaluation.known_optimum import KnownOptimumLanes, get_market
    from offline_trader.learning.agents import online_learner
    from offline_trader.learning.settings import LearnerConfig, OnlineConfig
    from offline_trader.learning.stages import finetune

    real = rewards == "realised"
    source = warm_start(warm, name, seed, real)
    config = LearnerConfig(algorithm="sac", hidden=source.config.hidden, **LEARNER)
    learner = online_learner(source, config, seed)
    timed = _Timed(clock, name)
    validate, scores = validation(name, 5_000 + seed, real), dict[str, Any]()

    looks = ONLINE["steps"] // ONLINE["evaluate_interval"]

    def judge(policy: Any) -> Any:
        timed.look(policy)
        if timed.looks > looks:  # the first one is at the warm start
            clock.stop()
            scores["last"] = fresh_score(name, policy, seed)
            clock.go()
        return validate(policy)

    scores["warm"] = fresh_score(name, learner, seed)
    result = finetune(
        learner,
        KnownOptimumLanes(get_market(name), LANES, seed=seed, realised=real),
        None,
        OnlineConfig(**ONLINE | ({} if real else {"forecast_weight": 0.0})),
        None,
        judge,
        seed=seed,
    )
    kept = {"kept": fresh_score(name, learner, seed), "step": result.kept_step}
    return {**scores, **kept, "reason": result.reason, **timed.found()}


def warm_start(warm: str, name: str, seed: int, realised: bool) -> Any:
    """The learner that a warm start of ``WARM_STARTS`` makes of the wide dataset."""
    from offline_trader.config import from_dict
    from offline_trader.pipeline import KnownOptimumConfig
    from offline_trader.pipeline.known_optimum_training import train_default

    learned: list[Any] = []
    stages = {"stages": list(WARM_STARTS[warm]), "seed": seed}
    plan = from_dict(KnownOptimumConfig, {**KnownOptimumConfig.of_chain(), **stages})
    train_default(
        name, plan, realised=realised, on_stage=lambda _, learner: learned.append(learner)
    )
    return learned[-1]


def peer(name: str, seed: int) -> dict[str, Any]:
    """The same of stable-baselines3's SAC from scratch, on realised rewards."""
    clock = Clock()
    from benchmarks import online_contestants

    warmup, every = 1_000, ONLINE["evaluate_interval"]
    settings = {
        "market": name,
        "realised": True,
        "lanes": LANES,
        "warmup": warmup,
        "buffer": 100_000,
        "every": every,
        "most": ONLINE["steps"] - warmup,
        "learner": LEARNER
        | {"hidden": (64, 64), "batch_size": 256, "tau": 0.005, "initial_temperature": 0.1},
    }
    timed = _Timed(clock, name)
    scores, best, judged = dict[str, Any](), -math.inf, 0

    def judge(updates: int, policy: Any) -> bool:
        nonlocal best, judged
        judged += 1
        value = timed.look(policy)
        clock.stop()
        if value > best:
            best, scores["kept"] = value, fresh_score(name, policy, seed)
            scores["step"] = judged * every
        if judged * every >= ONLINE["steps"]:
            scores["last"] = fresh_score(name, policy, seed)
        clock.go()
        return False

    online_contestants.sb3(settings, seed, judge)
    return {**scores, **timed.found()}


def fresh_score(name: str, policy: Any, seed: int) -> float:
    """Of a policy, on lanes that no training and no validation has seen."""
    from offline_trader.evaluation.known_optimum import get_market, score_policy

    return score_policy(
        get_market(name), policy, n_lanes=128, n_steps=1_000, seed=9_000 + seed
    ).value


class _Timed:
    """A policy's score at every look, and the processor's seconds at the first ones of 90, 95."""

    def __init__(self, clock: Clock, name: str) -> None:
        self._clock, self._name = clock, name
        self._reached: dict[str, float] = {}
        self._curve: list[float] = []

    @property
    def looks(self) -> int:
        """How many there were."""
        return len(self._curve)

    def look(self, policy: Any) -> float:
        """The policy's score on lanes of its own; that takes no time."""
        from offline_trader.evaluation.known_optimum import get_market, score_policy

        spent = self._clock.stop()["cpu_seconds"]
        score = score_policy(get_market(self._name), policy, n_lanes=64, n_steps=400, seed=1).value
        self._curve.append(round(score, 3))
        for goal in REACHED:
            if score >= goal:
                self._reached.setdefault(f"seconds_to_{goal:g}", spent)
        self._clock.go()
        return float(score)

    def found(self) -> dict[str, Any]:
        """Seconds to the first score of 90, of 95, and in all, and the scores of all looks."""
        seconds = self._clock.stop()["cpu_seconds"]
        reached = {f"seconds_to_{goal:g}": None for goal in REACHED} | self._reached
        return {**reached, "seconds": seconds, "curve": self._curve}


def validation(name: str, seed: int, realised: bool) -> Callable[[Any], Any]:
    """Rewards of a policy on lanes that are the same at every call; realised ones also without the
    surprises of the gains, whose forecasts are cross-fitted over these lanes."""
    from offline_trader.learning.stages import Validated

    surprises = _surprises(name, seed) if realised else None

    def judge(policy: Any) -> Validated:
        rewards, carried, _, _ = _walk(name, seed, realised, policy)
        foretold = None if surprises is None else rewards - carried * surprises
        return Validated({"score": float(rewards.mean())}, rewards, foretold=foretold)

    return judge


def _surprises(name: str, seed: int) -> Any:
    """[n] of a unit's gains on the validation's lanes; None where nothing is foretold. The gains
    are the same whatever is done, so one walk with a position tells them."""
    import numpy as np

    from offline_trader.learning.stages.direct import fit_forecast
    from offline_trader.learning.stages.direct.market import Log
    from offline_trader.learning.stages.surprises import told_surprises

    n_lanes, steps = VALIDATION
    half = lambda seen: np.full((len(seen), 1), 0.5, np.float32)  # noqa: E731
    _, _, gains, features = _walk(name, seed, True, half)
    ends = steps * np.arange(1, n_lanes + 1)
    log = Log(features, gains[:, None], np.stack([ends - steps, ends], axis=1))
    found = told_surprises(log.gains, fit_forecast(log).values)
    return None if found is None else found[:, 0]


def _walk(name: str, seed: int, realised: bool, policy: Any) -> tuple[Any, Any, Any, Any]:
    """[n] rewards, how much of the gains is in them, the gains of a unit (expected rewards: none
    of both), and [n, F] what was seen of the market; a lane's steps are neighbours."""
    import numpy as np

    from offline_trader.evaluation.known_optimum import KnownOptimumLanes, get_market

    n_lanes, steps = VALIDATION
    lanes = KnownOptimumLanes(
        get_market(name), n_lanes, seed=seed, realised=realised, episode_steps=steps
    )
    outer = [i for i in range(lanes.observation_size) if i not in lanes.endogenous]
    seen, rows = lanes.reset(), []
    for _ in range(steps):
        before = seen[:, outer]
        step = lanes.step(policy(seen))
        met = lanes.gains() if realised else (step.rewards, step.rewards)
        rows.append([step.rewards, *met, *before.T])
        seen = step.observations
    rewards, carried, gains, *market = np.stack(rows, axis=2).reshape(3 + len(outer), -1)
    return rewards, carried, gains, np.stack(market, axis=1).astype(np.float32)


def key_of(warm: str, name: str, seed: int, rewards: str) -> list[Any]:
    """Of the run in the cache: all that its scores depend on."""
    start = WARM_STARTS.get(warm, (warm,))
    online = {key: ONLINE[key] for key in ("steps", "evaluate_interval")}
    online = online if warm == PEER else ONLINE
    chosen = "best look" if warm == PEER else "foretold"
    return [start, name, seed, rewards, LEARNER, online, VALIDATION, LANES, chosen]


def found_of(cache: Finished, warm: str, name: str, seed: int, rewards: str) -> dict[str, Any]:
    """The run's scores, made now in a process of its own if they are not there."""
    run = partial(own_process, "finetune", warm, name, seed, rewards)
    return cast("dict[str, Any]", cache.get(key_of(warm, name, seed, rewards), run))


def gathered(
    parts: Mapping[tuple[str, str], list[int]], cache: Finished, finished: bool
) -> tuple[list[Figure], dict[str, list[dict[str, Any]]], dict[str, list[int]]]:
    """Figures, runs and their seeds by (warm start, rewards); ``finished``: without new runs."""
    figures: list[Figure] = []
    runs: dict[str, list[dict[str, Any]]] = {}
    seeds: dict[str, list[int]] = {}
    for (warm, rewards), asked in parts.items():
        for name in ("M1", "M3"):
            title, rows = f"{name} from {warm}, {rewards}", []
            for seed in asked:
                if finished and not cache.has(key_of(warm, name, seed, rewards)):
                    continue
                rows.append(found_of(cache, warm, name, seed, rewards))
                seeds.setdefault(title, []).append(seed)
                print(f"{name}, {warm}, {rewards}, seed {seed}: {rows[-1]}", file=sys.stderr)
            if not rows:
                continue
            runs[title] = rows
            if warm == PEER:
                figures += beside_peer(name, runs[f"{name} from clone, realised"], rows)
            else:
                figures += figures_of(warm, name, rewards, rows)
    return figures, runs, seeds


def main() -> None:
    """Measure and publish."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", nargs=4, metavar=("WARM", "MARKET", "SEED", "REWARDS"))
    parser.add_argument("--seeds", type=int, nargs="+", default=[43, 44, 45, 46, 47])
    parser.add_argument(
        "--chain-seeds", type=int, nargs="*", help="of the default chain; none: not measured"
    )
    parser.add_argument("--expected-seeds", type=int, nargs="*", help="on expected rewards")
    parser.add_argument(
        "--chain-expected-seeds",
        type=int,
        nargs="*",
        help="of the default chain on expected rewards; left out: those of --chain-seeds",
    )
    parser.add_argument("--peer-seeds", type=int, nargs="*", help=f"of {PEER}")
    parser.add_argument("--cache", type=Path, help="finished runs, JSON lines")
    parser.add_argument("--publish", action="store_true", help="what is in the cache, no run more")
    parser.add_argument("--picture", type=Path, help="draw the scores over the steps here")
    args = parser.parse_args()
    if args.run:
        warm, name, seed, rewards = args.run
        found = peer(name, int(seed)) if warm == PEER else train(warm, name, int(seed), rewards)
        print(json.dumps(found))
        return
    cache = Finished(args.cache)

    def asked(seeds: list[int] | None, otherwise: list[int]) -> list[int]:
        return otherwise if seeds is None else seeds

    chain = asked(args.chain_seeds, args.seeds)
    parts = {
        ("clone", "realised"): args.seeds,
        ("default chain", "realised"): chain,
        ("clone", "expected"): asked(args.expected_seeds, args.seeds),
        ("default chain", "expected"): asked(args.chain_expected_seeds, chain),
        (PEER, "realised"): asked(args.peer_seeds, args.seeds),
    }
    figures, runs, seeds_of = gathered(parts, cache, args.publish)
    for name in ("M1", "M3"):
        figures += times_of(name, runs)
    settings = {"learner": LEARNER, "online": ONLINE, "lanes": LANES, "validation": VALIDATION}
    facts = {"settings": settings, "seeds": seeds_of, "runs": runs}
    publish("finetune", figures, seeds=args.seeds, facts=facts)
    if args.picture is not None:
        draw(runs, ONLINE["steps"], args.picture)


if __name__ == "__main__":
    main()
