"""The best that can be made of a planted signal by somebody who knows the market's law."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from offline_trader.evaluation.backtest import EvaluationRange
from offline_trader.evaluation.backtest.evaluation_range import Instrument
from offline_trader.evaluation.power.band import SIGNAL
from offline_trader.evaluation.power.planted import Planted
from offline_trader.evaluation.power.programme import Programme, SignalMarket, solve
from offline_trader.evaluation.power.volatility import known_variance
from offline_trader.experts import Columns, Expert
from offline_trader.experts.interface import ExpertParams
from offline_trader.markets import BarRange, Bars
from offline_trader.simulator import MarketTensor, SimulatorConfig
from offline_trader.types import FloatArray

__all__ = ["optimal_rule", "signal_span"]

_VARIANCE = "known_variance"
_AVERSIONS = np.geomspace(0.1, 150.0, 28)
_SCALES = slice(8, 24)
"""Of the aversions, those tried as the risk aversion at the mean variance; the others are for
bars that are calmer or wilder."""


@dataclass(frozen=True, eq=False)
class _Known(ExpertParams):
    """The programme; κ at a variance is ``aversion`` times variance ÷ ``variance``."""

    programme: Programme
    aversion: float
    variance: float


def optimal_rule(planted: Planted, rules: SimulatorConfig) -> Expert:
    """The policy by dynamic programming on (signal, position) with the highest Sharpe ratio.

    What it knows, and no trained policy does: β, the signal's AR(1) coefficient and normal law,
    what a side and a short position cost, which moves the rules fill, and the standard deviation
    of the residual returns on the test bars. Of the bars it reads, causally, a variance of the next
    return (:func:`~offline_trader.evaluation.power.volatility.known_variance`, chosen before the
    test bars): κ is proportional to it, as if it stayed. The factor is the one of the highest
    Sharpe ratio in the model, the variance spread around its mean as it was before the test bars.

    It is a ceiling to the precision of that: it does not know the residuals' blocks or that the
    variance will return to its mean, and leaves smoothing, lots, volumes and drift of the
    position between decisions to the simulator.
    """
    if planted.strength == 0.0:
        return Expert(_NAME, "stays out", _nothing, ExpertParams(), "target")
    tested = len(planted.bars) - planted.split.test
    residual = planted.residual[tested:]
    deviation = float(residual.std())
    market = SignalMarket(
        strength=planted.strength / deviation,
        persistence=planted.persistence,
        cost=(rules.commission_bps + rules.half_spread_bps + rules.slippage_bps) * 1e-4 / deviation,
        borrow=rules.borrow_bps_per_year * 1e-4 / planted.bars.periods_per_year / deviation,
        rules=rules,
    )
    programme = solve(market, market.strength * _AVERSIONS)
    variance = known_variance(planted.bars, tested)
    before = variance[:tested] / variance[:tested].mean()
    known = _Known(programme, _best_aversion(programme, before), deviation**2)
    return Expert(
        _NAME,
        "knows the law of the signal",
        _decide,
        known,
        "target",
        row_columns=(_VARIANCE,),
        row_table=partial(_variances, planted.bars, variance),
    )


def signal_span(planted: Planted) -> EvaluationRange:
    """The test bars with the signal as the one feature; decisions begin at the close before."""
    bars = replace(planted.bars, signals={SIGNAL: planted.signal})
    judged = BarRange(len(bars) - planted.split.test - 1, len(bars))
    return EvaluationRange((Instrument(bars, judged, (f"signal:{SIGNAL}",)),))


_NAME = "optimum"


def _best_aversion(programme: Programme, variances: FloatArray) -> float:
    """κ at a variance of 1 with the highest Sharpe ratio where the bars' variances are [T]."""
    tried = programme.aversions[_SCALES]
    at = programme.nearest(tried[:, None] * variances)
    mean = programme.mean[at].mean(axis=1)
    square = (programme.square[at] * variances).mean(axis=1)
    return float(tried[np.argmax(mean / np.sqrt(np.maximum(square - mean**2, 1e-300)))])


def _variances(
    bars: Bars, variance: FloatArray, market: MarketTensor, _rules: object, _params: object
) -> FloatArray:
    """[S, 1] of the market's rows, which are some of the bars."""
    return variance[np.searchsorted(bars.timestamps, market.timestamps), None]


def _decide(features: Columns, portfolio: Columns, params: _Known) -> FloatArray:
    aversions = params.aversion * features[_VARIANCE] / params.variance
    return params.programme.best(features[SIGNAL], portfolio["exposure"], aversions)


def _nothing(features: Columns, portfolio: Columns, params: ExpertParams) -> FloatArray:
    return np.zeros(features.rows)
