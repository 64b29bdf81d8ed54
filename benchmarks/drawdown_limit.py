"""The direct stage under a limit on the drawdown, on M3 as bars that no training has seen.

Trained on bars of ``synthetic:ou`` (seed 0; 64 windows of 250 bars, 300 updates, two hidden layers
of 32) without a limit and with one of 10 %; judged on 120 other paths, cut into windows of 250
bars: how many keep to 10 %, and what is left of the growth. A limit that a twentieth of the windows
may break is estimated from the deepest of them: with 50,000 bars there are ten of those in a log,
with 200,000 forty. The price on the limit, which takes nothing off for that, is measured on the
short log alone.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.finished import Finished
from benchmarks.record import Figure, publish

LIMIT, BARS, PATHS = 0.1, 250, 120
TRAINED = (50_000, 200_000)
VARIANTS: dict[str, dict[str, Any]] = {
    "without a limit": {},
    "by scale": {"drawdown_limit": LIMIT},
    "by price": {"drawdown_limit": LIMIT, "limit_by": "price"},
}


Judge = Callable[[Any], tuple[float, float]]


def judges() -> Judge:
    """Of a policy: net log growth a bar, and the share of the windows within the limit."""
    from offline_trader.evaluation.backtest.walk import backtests
    from offline_trader.evaluation.known_optimum.ou_bars import OU_RULES, ou_tensor
    from offline_trader.markets.synthetic import OuMarket
    from offline_trader.simulator.side_by_side import SideRun

    paths = [ou_tensor(OuMarket(bars=2_500, seed=1_000_003 + path)) for path in range(PATHS)]
    runs = [SideRun(each, OU_RULES, 0) for each in paths]

    def judge(policy: Any) -> tuple[float, float]:
        growth, depths = [], []
        for run in backtests(policy, runs, observe=False):
            equity = np.log(run.equity)
            growth.append((equity[-1] - equity[0]) / (len(equity) - 1))
            for start in range(0, len(equity) - BARS, BARS):
                window = equity[start : start + BARS + 1]
                depths.append(float((np.maximum.accumulate(window) - window).max()))
        within = np.mean(-np.expm1(-np.array(depths)) <= LIMIT)
        return float(np.mean(growth)), float(within)

    return judge


def trained(bars: int, seed: int, settings: dict[str, Any]) -> Any:
    """A policy."""
    from benchmarks.method_markets import scales_of
    from offline_trader.evaluation.known_optimum.ou_bars import OU_RULES, ou_tensor
    from offline_trader.learning.agents import make_learner
    from offline_trader.learning.settings import DirectConfig, LearnerConfig
    from offline_trader.learning.stages.direct import BarMarket, train_direct
    from offline_trader.markets.synthetic import OuMarket

    market = ou_tensor(OuMarket(bars=bars, seed=0))
    learner = make_learner(
        LearnerConfig(hidden=(32, 32), reward_scaling="none"),
        market.layout.size,
        scales_of(market),
        seed=seed,
    )
    config = DirectConfig(updates=300, windows=64, bars=BARS, **settings)
    train_direct(learner, BarMarket(market, OU_RULES), config, seed=seed)
    return learner.act


def figures(found: dict[str, list[tuple[float, float]]], bars: int) -> Iterator[Figure]:
    """What the limit holds and what it costs."""
    log = f"{bars:,} bars"
    free = float(np.mean([growth for growth, _ in found["without a limit"]]))
    for name, rows in found.items():
        growth, within = (float(each) for each in np.array(rows).mean(axis=0))
        aimed = name == "by scale"
        yield Figure(
            f"{log}, {name}: windows within 10 %", within, "",
            target="≥ 95 %" if aimed else "", holds=within >= 0.95 if aimed else None,
        )  # fmt: skip
        if name == "without a limit":
            continue
        kept = growth / free
        yield Figure(
            f"{log}, {name}: growth that is kept", kept, "",
            target="≥ 85 %" if aimed else "", holds=kept >= 0.85 if aimed else None,
        )  # fmt: skip


def main() -> None:
    """Train, judge, publish."""
    import torch

    torch.set_num_threads(1)
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cache", type=Path, required=True, help="finished trainings, JSON lines")
    parser.add_argument("--seeds", type=int, nargs="+", default=[20, 21, 22])
    parser.add_argument("--bars", type=int, nargs="+", default=TRAINED, help="of the logs")
    args = parser.parse_args()
    judge, cache = judges(), Finished(args.cache)
    told: list[Figure] = []
    facts: dict[str, Any] = {}

    def run(bars: int, seed: int, settings: dict[str, Any]) -> tuple[float, float]:
        return judge(trained(bars, seed, settings))

    for bars in args.bars:
        found = {
            name: [
                cache.get([bars, seed, settings], partial(run, bars, seed, settings))
                for seed in args.seeds
            ]
            for name, settings in VARIANTS.items()
            if name != "by price" or bars == TRAINED[0]
        }
        facts[f"{bars}"] = found
        told += figures(found, bars)
    publish("drawdown_limit", told, seeds=args.seeds, facts=facts)


if __name__ == "__main__":
    main()
