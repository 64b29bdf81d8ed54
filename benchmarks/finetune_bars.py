"""Fine-tuning M3 as a market: through experts, dataset, features, costs and simulator.

The line is collect → pretrain → finetune on ``synthetic:ou``, with ``finetune --agent direct`` for
64,000 environment steps and the defaults before it. A warm start is the default chain of
``pretrain`` or its clone alone, on the built-in features or with the deviation from the level as a
user's own feature beside them (``with y``). Bars to mid-2004 are trained on, later ones validate;
scores are of 60 paths that nobody saw: 100 is the best policy. The size of the noise on the
features and of the weight decay was found on seed 50, where SAC with the settings of
``benchmarks.finetune`` came to 78 from the clone.

With ``--cache FILE`` finished runs are kept and not done again.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.finetune import LANES, WARM_STARTS
from benchmarks.finetune_figures import score_figure
from benchmarks.finished import Finished, own_process
from benchmarks.record import Figure, publish

Y = "benchmarks.default_chain:deviation"
CASES: dict[str, tuple[str, tuple[str, ...], float]] = {
    "default chain": ("default chain", (), 88.0),
    "default chain with y": ("default chain", (Y,), 97.0),
    "clone": ("clone", (), 84.0),
}
ONLINE: dict[str, Any] = {"steps": 64_000, "update_ratio": 0.02, "evaluate_interval": 4_000}
AGENT: dict[str, Any] = {"weight_decay": 0.01, "feature_noise": 0.1}
TRAINED, VALIDATED = "2004-06-30", "2005-09-10"
PATHS, BARS = 60, 4_000


def train(case: str, seed: int) -> dict[str, Any]:
    """Scores of the warm start, of the last policy, and of the kept one."""
    import torch

    torch.set_num_threads(1)
    from offline_trader.config import from_dict
    from offline_trader.datasets import collect
    from offline_trader.envs import EnvConfig
    from offline_trader.evaluation.known_optimum.ou_bars import OU_RULES, score_on_bars
    from offline_trader.features import name_features
    from offline_trader.markets.synthetic import OuMarket
    from offline_trader.pipeline import LineConfig, finetune, pretrain
    from offline_trader.pipeline.trained_runs import finished_run, trained_policy

    warm, own, _ = CASES[case]
    features = ("builtin", *map(name_features, own))
    source = (f"synthetic:ou?seed={seed}",)
    env = EnvConfig(market=source, end=TRAINED, simulator=OU_RULES, features=features)
    line = from_dict(
        LineConfig,
        {
            "stages": list(WARM_STARTS[warm]),
            "validation": {"end": VALIDATED},
            "agent": "direct",
            "direct_agent": AGENT,
            "online": ONLINE,
            "lanes": LANES,
            "seed": seed,
        },
    )
    line = replace(line, env=env)

    def score(run: Path) -> float:
        law = OuMarket(bars=PATHS * BARS, seed=1_000_003 + 1_000 * seed)
        policy = trained_policy(finished_run(run))
        return score_on_bars(policy, law, n_paths=PATHS, features=features).value

    with tempfile.TemporaryDirectory(prefix="offline-trader-") as folder:
        root, before, after = (Path(folder) / each for each in ("datasets", "warm", "tuned"))
        collect(line.collecting(), root=root)
        pretrain(line.pretraining(), before, root=root)
        finetune(line.finetuning(), before, after, root=root)
        facts = finished_run(after).facts
        (stage,) = [each for each in facts.history if each.stage == "online"]
        return {"warm": score(before), "kept": score(after), "stage": str(stage.kept)}


def figures(found: dict[str, list[dict[str, Any]]]) -> Iterator[Figure]:
    """Means over the seeds with Student's 95 % intervals."""
    for case, rows in found.items():
        for which in ("warm", "kept"):
            yield score_figure(f"M3 as bars from {case}", which, rows, CASES[case][2])


def main() -> None:
    """Measure and publish."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", nargs=2, metavar=("CASE", "SEED"))
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--seeds", type=int, nargs="+", default=[43, 44, 45, 46, 47])
    parser.add_argument("--cache", type=Path, help="finished runs, JSON lines")
    args = parser.parse_args()
    if args.run:
        print(json.dumps(train(args.run[0], int(args.run[1]))))
        return
    cache = Finished(args.cache)
    found: dict[str, list[dict[str, Any]]] = {case: [] for case in args.cases}
    for case in args.cases:
        for seed in args.seeds:
            run = partial(own_process, "finetune_bars", case, seed)
            found[case].append(cache.get([case, seed, ONLINE, AGENT, TRAINED], run))
            print(f"{case}, seed {seed}: {found[case][-1]}", file=sys.stderr, flush=True)
    facts = {"runs": found, "settings": {"agent": AGENT, "online": ONLINE, "lanes": LANES}}
    publish("finetune_bars", list(figures(found)), seeds=args.seeds, facts=facts)


if __name__ == "__main__":
    main()
