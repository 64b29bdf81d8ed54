"""M3 as a market: the whole line on bars whose log price reverts, against the optimal band.

Bars, features, observation, simulator and order mode are those of every other evaluation; only
the bars' law is known. ``score = 100 · net log growth of the policy ÷ that of the optimal band``
on the same bars with the same rules. This tests the line, not only the learner: a policy that
scores well on M3's arrays and badly here lost something on the way through features or orders.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from scipy.special import stdtrit

from offline_trader.errors import ConfigError
from offline_trader.evaluation.backtest import Strategy
from offline_trader.evaluation.backtest.walk import backtests
from offline_trader.evaluation.known_optimum.mean_reversion import MeanReversion, band_positions
from offline_trader.evaluation.known_optimum.scoring import Score
from offline_trader.export import OnnxPolicy
from offline_trader.features import compute_features
from offline_trader.markets import BarRange
from offline_trader.markets.synthetic import OuMarket, ou_market
from offline_trader.simulator import MarketTensor, SimulatorConfig, simulate_actions
from offline_trader.simulator.side_by_side import SideRun
from offline_trader.types import FloatArray

__all__ = ["OU_RULES", "band_actions", "ou_tensor", "score_on_bars"]

OU_RULES = SimulatorConfig(
    action_mode="target_long_short",
    commission_bps=40.0,
    half_spread_bps=0.0,
    slippage_bps=0.0,
    borrow_bps_per_year=0.0,
    min_notional=0.0,
    rebalance_threshold=0.1,
)
"""Long-short target weights at 40 bp a side. A short position's weight drifts with the price; the
threshold keeps the simulator from trading that drift away at 40 bp."""


def ou_tensor(market: OuMarket, features: Sequence[str] = ("builtin",)) -> MarketTensor:
    """The market's bars with their features, packed, without the features' warm-up."""
    bars = ou_market(market)
    computed = compute_features(bars, features)
    return MarketTensor.from_bars([bars], [computed], [BarRange(computed.warmup, len(bars))])


def band_actions(tensor: MarketTensor, market: OuMarket, cost_bps: float) -> FloatArray:
    """[T] target weights of the optimal band; row t reads closes up to t.

    Raises:
        ConfigError: a random walk, which has no band.
    """
    if market.k <= 0:
        raise ConfigError("no optimal band on a random walk", expected="synthetic:ou with k > 0")
    known = MeanReversion(k=market.k, sigma=market.sigma, cost=cost_bps * 1e-4)
    deviation = np.log(np.asarray(tensor.prices[:, 3]) / market.level)
    return band_positions(deviation, known.band)


def score_on_bars(
    strategy: Strategy,
    market: OuMarket | None = None,
    rules: SimulatorConfig | None = None,
    *,
    n_paths: int = 10,
    features: Sequence[str] = ("builtin",),
) -> Score:
    """Score of a policy or an expert through the whole line.

    Args:
        strategy: an ONNX policy, an expert, or a function of raw observations.
        market: the law of the bars; ``bars`` counts all paths together. By default M3's, 50,000
            bars, with seeds that training on ``synthetic:ou`` (seed 0, 1, …) does not meet.
        rules: of the simulator; :data:`OU_RULES` by default.
        n_paths: independent paths; the interval is Student's over their jackknife.
        features: names of the feature sets that the strategy observes.

    Raises:
        ConfigError: fewer than 2 paths or too few bars for the features, or a random walk.
        SchemaMismatch: a model for another observation layout.
    """
    law = market or OuMarket(seed=1_000_003)
    rules = rules or OU_RULES
    if n_paths < 2 or law.bars < 1_000 * n_paths:
        raise ConfigError(
            f"{law.bars} bars on {n_paths} paths", expected="2 or more paths of 1,000 bars"
        )
    cost_bps = rules.commission_bps + rules.half_spread_bps + rules.slippage_bps
    laws = _paths(law, n_paths, features)
    tensors = [ou_tensor(each, features) for each in laws]
    if isinstance(strategy, OnnxPolicy):
        strategy.require_layout(tensors[0].layout, owner="the market")
    bands = [
        simulate_actions(tensor, rules, band_actions(tensor, each, cost_bps)[:-1])
        for tensor, each in zip(tensors, laws, strict=True)
    ]
    best = np.array([band.log_growth[0] for band in bands])
    runs = backtests(strategy, [SideRun(tensor, rules) for tensor in tensors], observe=False)
    growth = np.array([np.log(run.equity[-1] / run.equity[0]) for run in runs])
    n = sum(len(tensor) - 1 for tensor in tensors)
    value = 100.0 * growth.sum() / best.sum()
    left_out = 100.0 * (growth.sum() - growth) / (best.sum() - best)
    error = np.sqrt((n_paths - 1) / n_paths * np.sum((left_out - left_out.mean()) ** 2))
    spread = error * stdtrit(n_paths - 1, 0.975)  # few paths: the error itself is an estimate
    return Score(
        market="M3 bars",
        value=float(value),
        interval=(float(value - spread), float(value + spread)),
        unit="score",
        regret=float((best.sum() - growth.sum()) / n),
        optimum=float(best.sum() / n),
        base=0.0,
        n=n,
    )


def _paths(law: OuMarket, n_paths: int, features: Sequence[str] = ("builtin",)) -> list[OuMarket]:
    """Laws of the paths: as long as asked for after the features' warm-up, a seed each."""
    bars = law.bars // n_paths
    warmup = bars - len(ou_tensor(replace(law, bars=bars), features))
    return [replace(law, bars=bars + warmup, seed=law.seed + path) for path in range(n_paths)]
