"""The validation range: which policy of a training is kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from offline_trader.envs import EnvConfig, make_market
from offline_trader.errors import ConfigError
from offline_trader.evaluation.backtest import EvaluationRange
from offline_trader.evaluation.measures import collapse_of
from offline_trader.markets import load_markets
from offline_trader.pipeline.foretold_growth import ForetoldGrowth
from offline_trader.tables.dates import date_of, parse_date, parse_end
from offline_trader.types import Policy

if TYPE_CHECKING:
    from offline_trader.learning.stages import Validated

__all__ = ["ValidationConfig", "Validator", "bar_after", "whole_range"]

_RUINED = 1e-9


@dataclass(frozen=True)
class ValidationConfig:
    """The bars after the training range by which a policy is chosen.

    Attributes:
        start: first day; None: ``gap_bars`` after the training range.
        end: last day; None: there is no validation, and the last policy is kept.
        gap_bars: bars left out between training and validation.
        min_trades_per_1000: a policy that trades less is no candidate, unless every one is none;
            nor is one with the verdict COLLAPSED or STATE-BLIND.
        min_exposure: nor one whose mean |position value ÷ equity| is less.
    """

    start: str | None = None
    end: str | None = None
    gap_bars: int = 5
    min_trades_per_1000: float = 20.0
    min_exposure: float = 0.05

    def __post_init__(self) -> None:
        if self.gap_bars < 0:
            raise ConfigError(f"gap_bars={self.gap_bars}", expected="0 or more")
        if self.start is not None and self.end is None:
            raise ConfigError("start without end", expected="the last day, too")

    def env(self, training: EnvConfig) -> EnvConfig | None:
        """The environment to validate in, or None.

        Raises:
            ConfigError: the validation range would begin within the training range, or end before
                it begins.
            DataError: it has no bars.
        """
        if self.end is None:
            return None
        if training.end is None:
            raise ConfigError(
                "the training range has no end, so nothing is left to validate on",
                hint="collect with --end, or drop validation.end",
            )
        if self.start is not None and parse_date(self.start) < parse_end(training.end):
            raise ConfigError(
                f"validation.start is {self.start}",
                expected=f"a day after the training range's end, {training.end}",
            )
        start = self.start or bar_after(training.market, training.tz, training.end, self.gap_bars)
        if parse_end(self.end) <= parse_date(start):
            raise ConfigError(
                f"validation.end is {self.end}",
                expected=f"a day from {start} on, where the validation range begins",
            )
        found = whole_range(replace(training, start=start, end=self.end))
        make_market(found)
        return found


def whole_range(env: EnvConfig) -> EnvConfig:
    """``env`` as one episode an instrument, from its first bar to its last."""
    return replace(env, episode_bars=None, random_start=False)


def bar_after(market: Sequence[str], tz: str | None, end: str, gap_bars: int) -> str:
    """The bar ``gap_bars`` bars after the date ``end``, of the instrument where that is later.

    It is told by its day where no earlier bar has that day, and otherwise by its time.

    Raises:
        ConfigError: no such bar.
    """
    moments = []
    for bars in load_markets(market, tz=tz):
        first = bars.rows_between(None, end)[1] + gap_bars
        if first >= len(bars):
            raise ConfigError(
                f"{bars.symbol} has no bars {gap_bars} after {end}",
                expected="bars that neither training nor the choice of a policy has seen",
                hint="end the range earlier",
            )
        stamp = bars.timestamps[first]
        day = stamp.astype("datetime64[D]")
        shared = bars.timestamps[first - 1] >= day  # of which no date tells a part
        moments.append(date_of(stamp) if shared else str(day))
    return max(moments)


class Validator:
    """Judges a policy on the validation range: what the training stages select by.

    Policies are compared by the net log growth of the account over all instruments, bar by bar.
    The score that is shown is its net Sharpe ratio, which is what ``evaluate`` states, too; a
    policy that collapsed, does not look at the state, hardly trades or hardly invests has none
    (NaN) and is no candidate.

    Args:
        env: the bars, and the rules.
        config: who is a candidate.
        training: whose bars a forecast is fitted on, so that policies which are better than the
            warm start are ranked without the noise of the gains; None: they are not.
        forecast_weight: share of what nobody could foretell that is taken off then.

    Raises:
        DataError: no bars in the range, or too few before it for the features.
        ConfigError: an instrument twice.
    """

    def __init__(
        self,
        env: EnvConfig,
        config: ValidationConfig,
        training: EnvConfig | None = None,
        forecast_weight: float = 1.0,
    ) -> None:
        self.env = env
        self.config = config
        self._course = EvaluationRange.from_env(env)
        self._foretold: ForetoldGrowth | None = None
        if training is not None and forecast_weight > 0.0:
            self._foretold = ForetoldGrowth(training, self._course, forecast_weight)

    def __call__(self, policy: Policy) -> Validated:
        """``score``, the measures it is made of, and the growth of every bar.

        ``collapsed`` is 1 where the verdict is COLLAPSED.
        """
        from offline_trader.learning.stages import Validated

        account = self._course.account(policy, self.env.simulator)
        collapse = collapse_of(account.backtests)
        trades = collapse.trades_per_1000 or 0.0
        invested = float(np.mean([np.abs(leg.exposure).mean() for leg in account.backtests]))
        refused = {"COLLAPSED", "STATE-BLIND"} & set(collapse.verdicts)
        active = (
            not refused
            and trades >= self.config.min_trades_per_1000
            and invested >= self.config.min_exposure
        )
        sharpe = float("nan") if account.sharpe is None else account.sharpe
        growth = np.diff(np.log(np.maximum(account.equity, _RUINED * account.equity[0])))
        measures = {
            "score": sharpe if active else float("nan"),
            "sharpe": sharpe,
            "annual_log_return": float(growth.mean()) * account.periods_per_year,
            "trades_per_1000": trades,
            "mean_exposure": invested,
            "n_effective": collapse.n_effective,
            "mi_norm": collapse.mi_norm or 0.0,
            "hold_share": collapse.hold_share,
            "collapsed": float("COLLAPSED" in collapse.verdicts),
        }
        foretold = None if self._foretold is None else self._foretold(account, growth)
        return Validated(measures, growth, active, account.periods_per_year, foretold)
