"""The growth of an account with the gains that were foretold, in place of those that came.

What a policy earned on the bars of a validation range is nearly all luck, and the best of many
checkpoints is the luckiest one. Its positions times the surprises of the gains (gain less
forecast) have mean zero whatever it does, as far as the forecast is right, so the growth without
them ranks policies with far less noise (the control variate of
:mod:`~offline_trader.learning.stages.surprises`). The forecast is fitted on the training range
alone and counts only where it foretells the gains of the validation range.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from offline_trader.envs import EnvConfig, make_market
from offline_trader.evaluation.backtest import Account, Backtest, EvaluationRange
from offline_trader.types import FloatArray

if TYPE_CHECKING:
    from collections.abc import Sequence

    from offline_trader.simulator import MarketTensor, SimulatorConfig

__all__ = ["ForetoldGrowth"]


class ForetoldGrowth:
    """Made once a training, asked for every policy.

    Args:
        training: the environment whose bars the forecast is fitted on.
        course: the bars that policies are validated on.
        weight: share of the surprises that is taken off, in (0, 1].

    Attributes:
        told: whether the forecast foretells any of the gains.
    """

    def __init__(self, training: EnvConfig, course: EvaluationRange, weight: float) -> None:
        found = _surprises(make_market(training), course.markets, training.simulator)
        self.told, self._weight = found is not None, weight
        self._gains, self._surprises = found or ([], [])

    def __call__(self, account: Account, growth: FloatArray) -> FloatArray | None:
        """``growth`` [T] of the account without the surprises; None where nothing is foretold."""
        if not self.told:
            return None
        total, taken = account.equities.sum(axis=0), np.zeros(len(growth))
        for leg, gains, surprises in zip(
            account.backtests, self._gains, self._surprises, strict=True
        ):
            marks = np.searchsorted(account.times, leg.timestamps[1:]) - 1
            taken[marks] += leg.equity[:-1] / total[marks] * _carried(leg, gains, surprises)
        return np.asarray(growth - self._weight * taken)


def _carried(leg: Backtest, gains: FloatArray, surprises: FloatArray) -> FloatArray:
    from offline_trader.learning.stages.surprises import carried_surprise

    return carried_surprise(leg.exposure[:-1], leg.exposure[1:], gains, surprises)


def _surprises(
    training: MarketTensor, markets: Sequence[MarketTensor], rules: SimulatorConfig
) -> tuple[list[FloatArray], list[FloatArray]] | None:
    """[K] of [T, G] gains of the markets and [K] of [T, G] their surprises."""
    from offline_trader.learning.stages.direct.bars import BarMarket
    from offline_trader.learning.stages.direct.forecast import fit_forecast
    from offline_trader.learning.stages.surprises import told_surprises

    fitted = fit_forecast(BarMarket(training, rules).log)
    logs = [BarMarket(each, rules).log for each in markets]
    ends = np.cumsum([len(each.gains) for each in logs])[:-1]
    gains, features = (
        np.concatenate([getattr(each, name) for each in logs]) for name in ("gains", "features")
    )
    found = told_surprises(gains, features @ fitted.coefficients + fitted.intercept)
    return None if found is None else (np.split(gains, ends), np.split(found, ends))
