"""Whether fine-tuning leaves a policy that trades: the gates after 10,000 steps of SAC.

The chain of ``pretrain`` with small budgets, on hourly bars that revert to their mean
(``synthetic:ou``), then SAC with its defaults for 10,000 environment steps. Nothing chooses: the
last policy is judged on later bars. Where trading is free its rates of trading are held against
the gates (docs/evaluation.md), on bars of another seed; where it costs 40 basis points, with a
threshold below which a weight is not corrected, whether its actions depend on the state. Of the
training: values of its log that are no finite number, and the smallest entropy of executed actions
in 1,000 steps.

With ``--cache FILE`` finished seeds are kept and not done again.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import sys
import tempfile
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.finished import Finished, own_process
from benchmarks.record import Figure, publish

BARS = 9_000
TRAINED, VALIDATED, JUDGED = "2000-09-30", "2000-10-31", "2000-11-03"
BUDGET: dict[str, Any] = {
    "transitions": 20_000,
    "clone": {"updates": 800},
    "direct": {"updates": 200},
    "offline": {"updates": 1_000},
    "online": {"steps": 10_000},
}
GATES = {
    "free": ("action_entropy", "largest_bin", "largest_side", "trades_per_1000",
             "trades_per_episode", "voluntary_trade_rate"),
    "40 bp": ("state_dependence",),
}  # fmt: skip
LEAST_ENTROPY = 0.5


def judged(market: str, seed: int) -> dict[str, Any]:
    """Gates of the last policy by name (value, verdict, limit), and what its training logged."""
    from offline_trader.config import from_dict
    from offline_trader.datasets import collect
    from offline_trader.envs import EnvConfig
    from offline_trader.evaluation.gates import GateRuns, gate_rows, without_costs
    from offline_trader.evaluation.judging import EvaluateOptions, evaluate
    from offline_trader.evaluation.known_optimum.ou_bars import OU_RULES
    from offline_trader.pipeline import LineConfig, ValidationConfig
    from offline_trader.pipeline.finetuning import finetune
    from offline_trader.pipeline.pretraining import pretrain
    from offline_trader.pipeline.trained_runs import finished_run, trained_policy

    free = replace(without_costs(OU_RULES), rebalance_threshold=0.0)  # that saves costs
    rules = OU_RULES if market == "40 bp" else free
    source = f"synthetic:ou?bars={BARS}&seed={100 + seed}"
    env = EnvConfig(market=(source,), end=TRAINED, simulator=rules)
    line = replace(
        from_dict(LineConfig, BUDGET),
        env=env,
        validation=ValidationConfig(end=VALIDATED),
        seed=seed,
    )
    with tempfile.TemporaryDirectory(prefix="gates-") as folder:
        root, parent, run = (Path(folder) / name for name in ("datasets", "parent", "online"))
        collect(line.collecting(), root=root)
        pretrain(line.pretraining(), parent, root=root)
        unchosen = replace(line.finetuning(), validation=ValidationConfig())
        finetune(unchosen, parent, run, root=root)
        rows = [json.loads(each) for each in (run / "metrics.jsonl").read_text().splitlines()]
        policy = trained_policy(finished_run(run))
    later = replace(env, start=JUDGED, end=None)
    brief = EvaluateOptions(costs_bps=(), delay_bars=0, noise_draws=0, oracle=False, replicates=100)
    found = gate_rows(
        policy.act,
        later,
        evaluate(policy.act, later, brief),
        runs=GateRuns(latency_calls=0),
    )
    numbers = [v for row in rows for v in row.values() if isinstance(v, int | float)]
    entropies = [row["online/action_entropy"] for row in rows if "online/action_entropy" in row]
    return {
        "gates": {r.name: [r.value, r.verdict, r.threshold] for r in found
                  if r.name in GATES[market]},
        "steps": rows[-1]["step"],
        "not finite": sum(not math.isfinite(v) for v in numbers),
        "least entropy": min(entropies),
    }  # fmt: skip


def figures_of(market: str, rows: list[dict[str, Any]]) -> list[Figure]:
    """Every gate with the seeds that pass it, and the training's entropy."""
    found = []
    for gate in GATES[market]:
        values = [row["gates"][gate][0] for row in rows]
        passed = sum(row["gates"][gate][1] == "pass" for row in rows)
        found.append(
            Figure(
                f"{market}: {gate}", statistics.median(values), "",
                (min(values), max(values)), target=rows[0]["gates"][gate][2],
                holds=passed == len(rows),
            )
        )  # fmt: skip
    wrong, least = (
        sum(row["not finite"] for row in rows), min(row["least entropy"] for row in rows),
    )  # fmt: skip
    found.append(Figure(f"{market}: numbers that are not finite", wrong, "", target="0",
                        holds=wrong == 0))  # fmt: skip
    found.append(Figure(f"{market}: least entropy of 1,000 steps", least, "nats",
                        target=f"> {LEAST_ENTROPY:g}", holds=least > LEAST_ENTROPY))  # fmt: skip
    return found


def main() -> None:
    """Train, judge, publish."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", nargs=2, metavar=("MARKET", "SEED"))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--cache", type=Path, help="finished seeds, JSON lines")
    args = parser.parse_args()
    if args.run:
        market, seed = args.run
        print(json.dumps(judged(market, int(seed))))
        return
    cache, figures, facts = Finished(args.cache), list[Figure](), dict[str, Any]()
    for market in GATES:
        rows = facts[market] = []
        for seed in args.seeds:
            key = [market, seed, BARS, BUDGET]
            rows.append(cache.get(key, partial(own_process, "finetune_gates", market, seed)))
            print(f"{market}, seed {seed}: {rows[-1]}", file=sys.stderr)
        figures += figures_of(market, rows)
    publish("finetune_gates", figures, seeds=args.seeds, facts={"budget": BUDGET, "runs": facts})


if __name__ == "__main__":
    main()
