"""The direct stage under a limit on the drawdown, on M3 as bars that no training has seen.

Trained on the bars of ``synthetic:ou`` (seed 0; 64 windows of 250 bars, 300 updates, two hidden
layers of 32) without a limit and with one of 10 %; judged on 20 other paths, cut into windows of
250 bars: how many keep to 10 %, and what is left of the growth.
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np

from benchmarks.record import Figure, publish

LIMIT, BARS, PATHS = 0.1, 250, 20


def judged(seed: int, **settings: Any) -> tuple[float, float]:
    """Net log growth a bar, and the share of the windows within the limit."""
    from benchmarks.shaping import scales_of
    from offline_trader.evaluation.backtest import backtest
    from offline_trader.evaluation.known_optimum.ou_bars import OU_RULES, ou_tensor
    from offline_trader.learning.agents import make_learner
    from offline_trader.learning.settings import DirectConfig, LearnerConfig
    from offline_trader.learning.stages.direct import BarMarket, train_direct
    from offline_trader.markets.synthetic import OuMarket

    market = ou_tensor(OuMarket(seed=0))
    learner = make_learner(
        LearnerConfig(hidden=(32, 32), reward_scaling="none"),
        market.layout.size,
        scales_of(market),
        seed=seed,
    )
    config = DirectConfig(updates=300, windows=64, bars=BARS, **settings)
    train_direct(learner, BarMarket(market, OU_RULES), config, seed=seed)
    growth, depths = [], []
    for path in range(PATHS):
        tensor = ou_tensor(OuMarket(bars=2_500, seed=1_000_003 + path))
        equity = np.log(backtest(learner.act, tensor, OU_RULES).equity)
        growth.append((equity[-1] - equity[0]) / (len(equity) - 1))
        for start in range(0, len(equity) - BARS, BARS):
            window = equity[start : start + BARS + 1]
            depths.append(float((np.maximum.accumulate(window) - window).max()))
    within = np.mean(-np.expm1(-np.array(depths)) <= LIMIT)
    return float(np.mean(growth)), float(within)


def main() -> None:
    """Train, judge, publish."""
    import torch

    torch.set_num_threads(1)
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[20, 21, 22])
    args = parser.parse_args()
    free = [judged(seed) for seed in args.seeds]
    held = [judged(seed, drawdown_limit=LIMIT) for seed in args.seeds]
    kept = float(np.mean([b[0] for b in held]) / np.mean([a[0] for a in free]))
    within = float(np.mean([b[1] for b in held]))
    figures = [
        Figure("windows within 10 % without a limit", float(np.mean([a[1] for a in free])), ""),
        Figure("windows within 10 % with a limit", within, "", target="≥ 95 %",
               holds=within >= 0.95),
        Figure("share of the growth that is kept", kept, "", target="≥ 85 %", holds=kept >= 0.85),
    ]  # fmt: skip
    publish("drawdown_limit", figures, seeds=args.seeds, facts={"free": free, "held": held})


if __name__ == "__main__":
    main()
