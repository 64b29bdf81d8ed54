"""Whether fine-tuning ever ends below where it began: ten seeds on three markets, on fresh data.

The line is collect → pretrain → finetune with small budgets. The policy that ``finetune`` keeps by
validation and the one that it began with trade bars that neither saw, and the difference of their
net log growth a bar is held against zero by its 95 % interval (batch means, as in the selection):
``significantly worse`` is an interval below zero. By chance alone 2.5 % of them would be.

- ``M3-bars``: ``synthetic:ou``, long-short, 40 basis points a side; fresh bars of another seed.
- ``expert stage``: the curriculum's market of that stage, as a source; fresh bars of another seed.
- ``sp500``: trained to 2008, chosen on 2009 to 2011, fresh from 2012 on; seeds are the trainings'.

With ``--cache FILE`` finished runs are kept and not done again.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.finished import Finished, own_process
from benchmarks.record import Figure, publish

if TYPE_CHECKING:
    from offline_trader.envs import EnvConfig
    from offline_trader.pipeline.settings import LineConfig

MARKETS = ("M3-bars", "expert stage", "sp500")
BUDGET: dict[str, Any] = {
    "transitions": 20_000,
    "clone": {"updates": 800},
    "direct": {"updates": 150},
    "offline": {"updates": 1_000, "critic_updates": 500, "evaluate_interval": 500},
    "online": {"steps": 8_000, "evaluate_interval": 1_000, "critic_updates": 300},
}


def plan_of(name: str, seed: int) -> tuple[LineConfig, EnvConfig]:
    """The line's settings, and the environment of the fresh bars."""
    from offline_trader.config import from_dict
    from offline_trader.envs import EnvConfig
    from offline_trader.evaluation.known_optimum.ou_bars import OU_RULES
    from offline_trader.learning.stages.levels import LEVELS, Difficulty, level_market, level_rules
    from offline_trader.pipeline.settings import LineConfig
    from offline_trader.simulator import SimulatorConfig

    if name == "sp500":
        env = EnvConfig(end="2008-12-31")
        dates = {"validation": {"end": "2011-12-31"}}
        fresh = replace(env, start="2012-01-10", end=None)
    elif name == "M3-bars":  # hours: 20,000 of them are 833 days
        env = EnvConfig((f"synthetic:ou?bars=20000&seed={seed}",), end="2001-06-30")
        env = replace(env, simulator=OU_RULES)
        dates = {"validation": {"end": "2002-04-10"}}
        fresh = replace(env, market=(f"synthetic:ou?bars=20000&seed={seed + 1_000}",), end=None)
    else:
        level = LEVELS[3]
        law = level_market(level, Difficulty.of(level), None, 12_000, seed)
        rules = level_rules(level, Difficulty.of(level), None, SimulatorConfig())
        text = "synthetic:turbulent?" + "&".join(f"{k}={v}" for k, v in vars(law).items())
        env = EnvConfig((text,), end="2002-12-31", simulator=rules)  # business days from 1970 on
        dates = {"validation": {"end": "2015-12-15"}}
        other = text.replace(f"&seed={seed}&", f"&seed={seed + 1_000}&")
        fresh = replace(env, market=(other,), end=None)
    line = from_dict(LineConfig, {**BUDGET, **dates, "seed": seed})
    return replace(line, env=env), replace(fresh, episode_bars=None, random_start=False)


def train(name: str, seed: int) -> dict[str, Any]:
    """What one line kept, and how that does beside its warm start on fresh bars."""
    import numpy as np
    import torch

    torch.set_num_threads(1)
    from offline_trader.datasets import collect
    from offline_trader.evaluation.backtest import EvaluationRange
    from offline_trader.learning.stages.batch_means import paired_interval
    from offline_trader.pipeline.finetuning import finetune
    from offline_trader.pipeline.pretraining import pretrain
    from offline_trader.pipeline.trained_runs import finished_run, trained_policy

    line, fresh = plan_of(name, seed)
    with tempfile.TemporaryDirectory(prefix="offline-trader-") as folder:
        root, warm, tuned = (Path(folder) / each for each in ("datasets", "warm", "tuned"))
        collect(line.collecting(), root=root)
        pretrain(line.pretraining(), warm, root=root)
        finetune(line.finetuning(), warm, tuned, root=root)
        facts = finished_run(tuned).facts
        policies = [trained_policy(finished_run(each)) for each in (warm, tuned)]
    course = EvaluationRange.from_env(fresh)
    accounts = [course.account(policy, fresh.simulator) for policy in policies]
    before, after = (np.diff(np.log(each.equity)) for each in accounts)
    bounds = paired_interval(after - before)
    mean, low, high = (course.periods_per_year * each for each in bounds)
    (stage,) = [each for each in facts.history if each.stage == "online"]
    return {"kept": stage.kept, "difference": mean, "low": low, "high": high}


def found_of(cache: Finished, name: str, seed: int) -> dict[str, Any]:
    """The run's result, made now in a process of its own if it is not there."""
    named = [name, seed, BUDGET]
    found: dict[str, Any] = cache.get(named, lambda: own_process("never_worse", name, seed))
    return found


def main() -> None:
    """Measure and publish."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", nargs=2, metavar=("MARKET", "SEED"))
    parser.add_argument("--seeds", type=int, nargs="+", default=list(range(10)))
    parser.add_argument("--cache", type=Path, help="finished runs, JSON lines")
    args = parser.parse_args()
    if args.run:
        name, seed = args.run
        print(json.dumps(train(name, int(seed))))
        return
    cache = Finished(args.cache)
    runs: dict[str, list[dict[str, Any]]] = {name: [] for name in MARKETS}
    for seed in args.seeds:
        for name in MARKETS:
            runs[name].append(found_of(cache, name, seed))
            print(f"{name}, seed {seed}: {runs[name][-1]}", file=sys.stderr, flush=True)
    figures = []
    for name, found in [*runs.items(), ("all", [each for rows in runs.values() for each in rows])]:
        worse = sum(each["high"] < 0.0 for each in found)
        figures += [
            Figure(
                f"{name}: significantly worse than the warm start",
                float(worse),
                f"of {len(found)}",
                target="0" if name == "all" else "",
                holds=worse == 0 if name == "all" else None,
            ),
            Figure(
                f"{name}: significantly better",
                float(sum(each["low"] > 0.0 for each in found)),
                f"of {len(found)}",
            ),
            Figure(
                f"{name}: warm start kept",
                float(sum(each["kept"] == "warm_start" for each in found)),
                f"of {len(found)}",
            ),
        ]
    publish("never_worse", figures, seeds=args.seeds, facts={"budget": BUDGET, "runs": runs})


if __name__ == "__main__":
    main()
