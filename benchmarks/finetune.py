"""Fine-tuning with one setting on markets whose best policy is known, beside stable-baselines3.

M1 is a decaying signal with quadratic costs, M3 mean reversion with proportional ones; a score of
100 is the best policy, 0 the empty portfolio. A warm start, the default chain of ``pretrain`` or
its clone alone, is made of the wide dataset; SAC goes on from it on 8 lanes, 64,000 environment
steps with an update each. Rewards are realised ones, stored without what no forecast of the gains
could foretell, or *expected* ones, as they are. The entropy that SAC aims at is high for half of
the steps, which quadratic costs ask for, and goes down in the next tenth, as proportional ones ask
for; validation chooses. It is by rewards on lanes of its own, the same for every policy of a
training; scores are of fresh lanes, the same for the warm start, the last policy and the kept one.
The settings are the same for both markets.

stable-baselines3's SAC has the same realised lanes, steps, updates, networks and rates, and no warm
start; of it, too, the last policy is scored and the one that the same validation prefers. Seconds
of the processor to a score of 90 begin before anything is imported, so those of ours hold the warm
start; they stop while a policy is scored.

With ``--cache FILE`` finished runs are kept and not done again.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, cast

from benchmarks.finished import Finished, own_process
from benchmarks.record import Figure, publish, student_interval
from benchmarks.time_to_score import Clock

LANES = 8
LEARNER: dict[str, Any] = {"gamma": 0.95, "actor_lr": 1e-3, "critic_lr": 1e-3, "temp_lr": 1e-3}
ONLINE: dict[str, Any] = {
    "steps": 64_000,
    "update_ratio": 1.0,
    "forecast_weight": 1.0,
    "target_entropy": -1.0,
    "final_target_entropy": -6.0,
    "entropy_hold": 0.5,
    "entropy_decay": 0.1,
    "rate_decay": 0.3,
    "evaluate_interval": 2_000,
    "log_interval": 64_000,
}
WARM_STARTS: dict[str, tuple[str, ...]] = {
    "default chain": ("clone", "direct", "offline"),
    "clone": ("clone",),
}
GOALS = {
    "realised": {"M1": 95.0, "M3": 96.0},
    "expected": {"M1": 98.5, "M3": 98.0},
}
VALIDATION = (64, 400)
REACHED = 90.0
PEER = "stable-baselines3"


def train(warm: str, name: str, seed: int, rewards: str) -> dict[str, Any]:
    """Scores of the warm start, of the last policy, and of the kept one."""
    clock = Clock()
    import torch

    torch.set_num_threads(1)
    from offline_trader.config import from_dict
    from offline_trader.evaluation.known_optimum import KnownOptimumLanes, get_market
    from offline_trader.learning.agents import online_learner
    from offline_trader.learning.settings import LearnerConfig, OnlineConfig
    from offline_trader.learning.stages import finetune
    from offline_trader.pipeline import KnownOptimumConfig
    from offline_trader.pipeline.known_optimum_training import train_default

    learned: list[Any] = []
    real = rewards == "realised"
    stages = {"stages": list(WARM_STARTS[warm]), "seed": seed}
    plan = from_dict(KnownOptimumConfig, {**KnownOptimumConfig.of_chain(), **stages})
    train_default(name, plan, realised=real, on_stage=lambda _, learner: learned.append(learner))
    source = learned[-1]
    config = LearnerConfig(algorithm="sac", hidden=source.config.hidden, **LEARNER)
    learner = online_learner(source, config, seed)
    timed = _Timed(clock, name)
    validate, scores = _validation(name, 5_000 + seed, real), dict[str, Any]()

    def judge(policy: Any) -> Any:
        timed.look(policy)
        return validate(policy)

    def log(step: int, row: Mapping[str, Any]) -> None:
        if step >= ONLINE["steps"] and "online/updates" in row:
            scores["last"] = fresh_score(name, learner, seed)

    scores["warm"] = fresh_score(name, learner, seed)
    result = finetune(
        learner,
        KnownOptimumLanes(get_market(name), LANES, seed=seed, realised=real),
        None,
        OnlineConfig(**ONLINE | ({} if real else {"forecast_weight": 0.0})),
        log,
        judge,
        seed=seed,
    )
    kept = {"kept": fresh_score(name, learner, seed), "step": result.kept_step}
    return {**scores, **kept, "reason": result.reason, **timed.found()}


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
    validate = _validation(name, 5_000 + seed, True)
    scores, best, judged = dict[str, Any](), -math.inf, 0

    def judge(updates: int, policy: Any) -> bool:
        nonlocal best, judged
        judged += 1
        timed.look(policy)
        clock.stop()
        value = float(validate(policy).measures["score"])
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
    """A policy's score at every look, and the processor's seconds at the first one of 90."""

    def __init__(self, clock: Clock, name: str) -> None:
        self._clock, self._name = clock, name
        self._reached: float | None = None
        self._curve: list[float] = []

    def look(self, policy: Any) -> None:
        """Score the policy on lanes of its own; that takes no time."""
        from offline_trader.evaluation.known_optimum import get_market, score_policy

        spent = self._clock.stop()["cpu_seconds"]
        score = score_policy(get_market(self._name), policy, n_lanes=64, n_steps=400, seed=1).value
        self._curve.append(round(score, 3))
        if score >= REACHED and self._reached is None:
            self._reached = spent
        self._clock.go()

    def found(self) -> dict[str, Any]:
        """Seconds to the first score of 90 and in all, and the scores of all looks."""
        seconds = self._clock.stop()["cpu_seconds"]
        return {"seconds_to_90": self._reached, "seconds": seconds, "curve": self._curve}


def _validation(name: str, seed: int, realised: bool) -> Callable[[Any], Any]:
    """Rewards of a policy on lanes that are the same at every call."""
    import numpy as np

    from offline_trader.evaluation.known_optimum import KnownOptimumLanes, get_market
    from offline_trader.learning.stages import Validated

    n_lanes, steps = VALIDATION

    def judge(policy: Any) -> Validated:
        market = get_market(name)
        lanes = KnownOptimumLanes(
            market, n_lanes, seed=seed, realised=realised, episode_steps=steps
        )
        seen, earned = lanes.reset(), []
        for _ in range(steps):
            step = lanes.step(policy(seen))
            earned.append(step.rewards)
            seen = step.observations
        growth = np.stack(earned, axis=1).reshape(-1)  # a lane's steps are neighbours
        return Validated({"score": float(growth.mean())}, growth)

    return judge


def found_of(cache: Finished, warm: str, name: str, seed: int, rewards: str) -> dict[str, Any]:
    """The run's scores, made now in a process of its own if they are not there."""
    start = WARM_STARTS.get(warm, (warm,))
    online = {key: ONLINE[key] for key in ("steps", "evaluate_interval")}
    online = online if warm == PEER else ONLINE
    named = [start, name, seed, rewards, LEARNER, online, VALIDATION, LANES, "curve"]
    run = partial(own_process, "finetune", warm, name, seed, rewards)
    return cast("dict[str, Any]", cache.get(named, run))


def interval_of(values: list[float]) -> tuple[float, float] | None:
    """Of the mean; one seed has none."""
    return student_interval(values) if len(values) > 1 else None


def figures_of(warm: str, name: str, rewards: str, runs: list[dict[str, Any]]) -> list[Figure]:
    """What the seeds of a warm start on a market say."""
    found, goal = [], GOALS[rewards][name]
    title = f"{name} from {warm}" + ("" if rewards == "realised" else ", expected rewards")
    for which in ("warm", "last", "kept"):
        scores = [run[which] for run in runs]
        aimed = which == "kept"
        mean = statistics.mean(scores)
        found.append(
            Figure(
                f"{title}: {'warm start' if which == 'warm' else which}",
                mean,
                "score",
                interval=interval_of(scores),
                target=f"≥ {goal:g}" if aimed else "",
                holds=mean >= goal if aimed else None,
            )
        )
    gained = [run["kept"] - run["warm"] for run in runs]
    interval = interval_of(gained) if any(gained) else (0.0, 0.0)
    found.append(
        Figure(
            f"{title}: kept less warm start",
            statistics.mean(gained),
            "score",
            interval=interval,
            target="not below 0",
            holds=(interval or gained * 2)[1] >= 0.0,
        )
    )
    return found


def beside_peer(
    name: str, ours: list[dict[str, Any]], theirs: list[dict[str, Any]]
) -> list[Figure]:
    """Our runs from the clone beside the peer's: scores, seconds to 90 (∞: never), all seconds."""
    kept, last = ([run[which] for run in theirs] for which in ("kept", "last"))
    mine = statistics.mean(run["kept"] for run in ours)
    late = [
        statistics.median(
            math.inf if run["seconds_to_90"] is None else run["seconds_to_90"] for run in runs
        )
        for runs in (ours, theirs)
    ]
    found = [
        Figure(f"{name}, {PEER} from scratch: last", statistics.mean(last), "score",
               interval=interval_of(last)),
        Figure(f"{name}, {PEER} from scratch: kept", statistics.mean(kept), "score",
               interval=interval_of(kept), target="below ours from the clone",
               holds=statistics.mean(kept) < mine),
        *(Figure(f"{name}, {whose}: seeds that reached 90",
                 sum(run["seconds_to_90"] is not None for run in runs), f"of {len(runs)}")
          for whose, runs in (("ours from the clone", ours), (PEER, theirs))),
    ]  # fmt: skip
    if math.isfinite(late[0]):
        whole = statistics.median(run["seconds"] for run in theirs)
        never = not math.isfinite(late[1])  # then it took longer than all its time
        found.append(
            Figure(
                f"{name} from clone: processor's seconds to 90",
                late[0],
                "s",
                peer=PEER + (", all its steps, without a 90" if never else ""),
                ratio=(whole if never else late[1]) / late[0],
                target="shorter",
                holds=late[0] < (whole if never else late[1]),
            )
        )
    return found


def draw(runs: Mapping[str, list[dict[str, Any]]], path: Path) -> None:
    """A panel a market: mean and range of the seeds' scores over the steps."""
    import matplotlib

    matplotlib.use("Agg")
    import numpy as np
    from matplotlib import pyplot

    pyplot.rcParams["svg.hashsalt"] = "finetune"

    ways = {
        "clone, realised": "from the clone",
        "default chain, realised": "from the default chain",
        f"{PEER}, realised": f"{PEER} from scratch",
    }
    figure, panels = pyplot.subplots(1, 2, figsize=(9.0, 3.4), sharey=True, layout="constrained")
    for panel, name in zip(panels, ("M1", "M3"), strict=True):
        for (way, label), colour in zip(ways.items(), ("C0", "C2", "C1"), strict=True):
            rows = runs.get(f"{name} from {way}", [])
            if not rows:
                continue
            whole = min(len(row["curve"]) for row in rows)
            scores = np.array([row["curve"][:whole] for row in rows])
            at = np.linspace(0.0, ONLINE["steps"], whole)
            if way.startswith(PEER):
                at = ONLINE["steps"] * np.arange(1, whole + 1) / whole
            panel.plot(at, scores.mean(axis=0), color=colour, label=label)
            panel.fill_between(at, scores.min(axis=0), scores.max(axis=0), color=colour, alpha=0.2)
        panel.axhline(100.0, color="grey", linewidth=0.8, linestyle=":")
        panel.set(title=name, xlabel="environment steps", ylim=(-20.0, 104.0))
    panels[0].set_ylabel("score")
    panels[1].legend(loc="lower right", frameon=False)
    figure.savefig(path, metadata={"Date": None})


def main() -> None:
    """Measure and publish."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", nargs=4, metavar=("WARM", "MARKET", "SEED", "REWARDS"))
    parser.add_argument("--seeds", type=int, nargs="+", default=[40, 41, 42, 43, 44])
    parser.add_argument(
        "--chain-seeds", type=int, nargs="*", help="of the default chain; none: not measured"
    )
    parser.add_argument("--expected-seeds", type=int, nargs="*", help="on expected rewards")
    parser.add_argument("--peer-seeds", type=int, nargs="*", help=f"of {PEER}")
    parser.add_argument("--cache", type=Path, help="finished runs, JSON lines")
    parser.add_argument("--picture", type=Path, help="draw the scores over the steps here")
    args = parser.parse_args()
    if args.run:
        warm, name, seed, rewards = args.run
        found = peer(name, int(seed)) if warm == PEER else train(warm, name, int(seed), rewards)
        print(json.dumps(found))
        return
    cache = Finished(args.cache)
    parts = {
        ("clone", "realised"): args.seeds,
        ("default chain", "realised"): args.seeds if args.chain_seeds is None else args.chain_seeds,
        ("clone", "expected"): args.seeds if args.expected_seeds is None else args.expected_seeds,
        (PEER, "realised"): args.seeds if args.peer_seeds is None else args.peer_seeds,
    }
    figures: list[Figure] = []
    runs: dict[str, Any] = {}
    for (warm, rewards), seeds in parts.items():
        for name in () if not seeds else ("M1", "M3"):
            rows = runs.setdefault(f"{name} from {warm}, {rewards}", [])
            for seed in seeds:
                rows.append(found_of(cache, warm, name, seed, rewards))
                print(f"{name}, {warm}, {rewards}, seed {seed}: {rows[-1]}", file=sys.stderr)
            if warm == PEER:
                figures += beside_peer(name, runs[f"{name} from clone, realised"], rows)
            else:
                figures += figures_of(warm, name, rewards, rows)
    settings = {"learner": LEARNER, "online": ONLINE, "lanes": LANES, "validation": VALIDATION}
    seeds_of = {f"{warm}, {rewards}": seeds for (warm, rewards), seeds in parts.items()}
    facts = {"settings": settings, "seeds": seeds_of, "runs": runs}
    publish("finetune", figures, seeds=args.seeds, facts=facts)
    if args.picture is not None:
        draw(runs, args.picture)


if __name__ == "__main__":
    main()
