"""What each part of fine-tuning is worth: the setting of ``benchmarks.finetune`` less one part.

M1 and M3, realised rewards, from the clone, with the learner, lanes, rewards, validation and
settings of that benchmark in 12,000 environment steps in place of 64,000, with a look at each
sixteenth of them. What is a share of the steps there is the same share here: the steps before the
first update (no fewer than a batch's rows), the updates of the critics alone, how long the entropy
is high and the learning rates go down. Each arm changes one thing and takes as many steps, updates
and looks, so its difference to the full setting is paired by seed; both come from runs of this
command. Validation chooses the kept policy of every arm in the same way, without the surprises of
the gains; the last policy is one that nothing chose. Scores are of fresh lanes, the same for all
arms of a seed, intervals Student's. Curiosity, shaping, goals and the curriculum have benchmarks of
their own.

With ``--cache FILE`` finished runs are kept and not done again. With ``--arms`` or ``--steps`` the
figures are printed and not recorded.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, cast

from benchmarks import finetune as setting
from benchmarks.finetune_figures import interval_of
from benchmarks.finished import Finished
from benchmarks.record import Figure, publish, show

MARKETS = ("M1", "M3")
STEPS, LOOKS = 12_000, 16
FULL = "full setting"
LOW = setting.ONLINE["final_target_entropy"]


@dataclass(frozen=True)
class Arm:
    """One change of the full setting.

    Attributes:
        online, learner: settings in place of the full setting's.
        fresh: with the weights that a new actor has, not the clone's.
        dataset: half of each batch is of the dataset that the clone was made of.
    """

    online: dict[str, Any] = field(default_factory=dict)
    learner: dict[str, Any] = field(default_factory=dict)
    fresh: bool = False
    dataset: bool = False


ARMS: dict[str, Arm] = {
    FULL: Arm(),
    "without replays": Arm(online={"transforms": ()}),
    "without the control variate": Arm(online={"forecast_weight": 0.0}),
    "entropy high to the end": Arm(
        online={"final_target_entropy": setting.ONLINE["target_entropy"]}
    ),
    "entropy low from the start": Arm(online={"target_entropy": LOW}),
    "learning rates that stay": Arm(online={"rate_decay": 0.0}),
    "without exploring starts": Arm(online={"exploring_starts": 0.0}),
    "without the critics' head start": Arm(online={"critic_updates": 0}),
    "without the warm start": Arm(fresh=True),
    "with LayerNorm in the critics": Arm(learner={"layer_norm": True}),
    "with the dataset in half of each batch": Arm(dataset=True),
}


def online_of(arm: Arm, steps: int) -> dict[str, Any]:
    """Settings of the arm's fine-tuning over ``steps``, whose parts are those of the setting."""
    from offline_trader.learning.settings import OnlineConfig

    usual, part = OnlineConfig(), steps / setting.ONLINE["steps"]
    paces = {
        "steps": steps,
        "warmup_steps": round(part * usual.warmup_steps),
        "critic_updates": round(part * usual.critic_updates),
        "evaluate_interval": steps // LOOKS,
        "log_interval": steps,
    }
    return {**setting.ONLINE, **paces, **arm.online}


@lru_cache(maxsize=1)
def clone_of(name: str, seed: int) -> Any:
    """The learner that every arm of a market and seed begins with; no arm changes it."""
    return setting.warm_start("clone", name, seed, True)


def train(title: str, name: str, seed: int, steps: int) -> dict[str, Any]:
    """Scores of the policy that an arm begins with, of its last one, and of the kept one."""
    from offline_trader.evaluation.known_optimum import (
        KnownOptimumLanes,
        get_market,
        make_dataset,
    )
    from offline_trader.learning.agents import make_learner, online_learner
    from offline_trader.learning.settings import LearnerConfig, OnlineConfig
    from offline_trader.learning.stages import finetune

    arm = ARMS[title]
    source = clone_of(name, seed)
    changed = {**setting.LEARNER, **arm.learner}
    config = LearnerConfig(algorithm="sac", hidden=source.config.hidden, **changed)
    scales = source.preprocessing
    learner = (
        make_learner(config, len(scales.mean), scales, seed)
        if arm.fresh
        else online_learner(source, config, seed)
    )
    validate = setting.validation(name, 5_000 + seed, True)
    scores = {"warm": setting.fresh_score(name, learner, seed)}
    reached = 0

    def log(step: int, row: Mapping[str, Any]) -> None:
        nonlocal reached
        reached = step  # the last step is logged before it is validated

    def judge(policy: Any) -> Any:
        if reached >= steps:
            scores["last"] = setting.fresh_score(name, policy, seed)
        return validate(policy)

    wide = make_dataset(f"{name}-wide", seed=seed, realised=True) if arm.dataset else None
    result = finetune(
        learner,
        KnownOptimumLanes(get_market(name), setting.LANES, seed=seed, realised=True),
        None if wide is None else wide.transitions(),
        OnlineConfig(**online_of(arm, steps)),
        log,
        judge,
        seed=seed,
    )
    kept = {"kept": setting.fresh_score(name, learner, seed), "step": result.kept_step}
    return {**scores, **kept, "updates": result.updates, "reason": result.reason}


def found_of(cache: Finished, title: str, name: str, seed: int, steps: int) -> dict[str, Any]:
    """The run's scores, made now if they are not there."""
    arm = ARMS[title]
    shared = [setting.LEARNER, setting.VALIDATION, setting.LANES]
    named = [name, seed, asdict(arm), online_of(arm, steps), *shared]
    return cast("dict[str, Any]", cache.get(named, partial(train, title, name, seed, steps)))


def figures(name: str, found: Mapping[str, list[dict[str, Any]]]) -> Iterator[Figure]:
    """What the arms' runs on a market say, and how far each is from the full setting's."""
    full = found[FULL]
    for title, runs in found.items():
        for which in ("kept", "last"):
            scores = [run[which] for run in runs]
            yield Figure(
                f"{name}, {title}: {which}",
                statistics.mean(scores),
                "score",
                interval=interval_of(scores),
            )
            yield Figure(f"{name}, {title}: {which}, worst seed", min(scores), "score")
            if title == FULL:
                continue
            apart = [run[which] - beside[which] for run, beside in zip(runs, full, strict=True)]
            yield Figure(
                f"{name}, {title}: {which} less the full setting's",
                statistics.mean(apart),
                "score",
                interval=interval_of(apart),
            )


def main() -> None:
    """Measure and publish."""
    import torch

    torch.set_num_threads(1)
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[43, 44, 45, 46, 47])
    parser.add_argument("--arms", nargs="+", choices=list(ARMS), help=f"beside the {FULL}")
    parser.add_argument("--steps", type=int, default=STEPS, help="environment steps of a run")
    parser.add_argument("--cache", type=Path, help="finished runs, JSON lines")
    args = parser.parse_args()
    cache = Finished(args.cache)
    asked = [title for title in ARMS if args.arms is None or title in (FULL, *args.arms)]
    runs: dict[str, dict[str, list[dict[str, Any]]]] = {name: {} for name in MARKETS}
    for seed in args.seeds:
        for name in MARKETS:
            for title in asked:
                run = found_of(cache, title, name, seed, args.steps)
                runs[name].setdefault(title, []).append(run)
                print(f"{name}, {title}, seed {seed}: {run}", file=sys.stderr)
    told = [figure for name, found in runs.items() for figure in figures(name, found)]
    if args.arms is not None or args.steps != STEPS:
        show(told)
        return
    settings = {
        "learner": setting.LEARNER,
        "online": online_of(ARMS[FULL], args.steps),
        "arms": {title: asdict(arm) for title, arm in ARMS.items()},
        "lanes": setting.LANES,
        "validation": setting.VALIDATION,
    }
    publish("ablations", told, seeds=args.seeds, facts={"settings": settings, "runs": runs})


if __name__ == "__main__":
    main()
