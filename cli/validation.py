"""The validation range: which policy of a training is kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from offline_trader.envs import EnvConfig, make_market, make_simulator
from offline_trader.errors import ConfigError
from offline_trader.evaluation import CollapseMeasures
from offline_trader.evaluation.actions import collapse_under
from offline_trader.evaluation.measures import sharpe_ratio
from offline_trader.markets import load_markets
from offline_trader.simulator import SimulatorConfig
from offline_trader.tables.dates import parse_date, parse_end
from offline_trader.types import BoolArray, FloatArray, Observations, Policy

__all__ = ["Rollout", "ValidationConfig", "Validator", "day_after", "roll_once", "whole_range"]

_PERMUTATIONS = 50


@dataclass(frozen=True)
class ValidationConfig:
    """The bars after the training range by which a policy is chosen.

    Attributes:
        start: first day; None: ``gap_bars`` after the training range.
        end: last day; None: there is no validation, and the last policy is kept.
        gap_bars: bars left out between training and validation.
        min_trades_per_1000: a policy that trades less is no candidate; nor is one with the
            verdict COLLAPSED or STATE-BLIND.
    """

    start: str | None = None
    end: str | None = None
    gap_bars: int = 5
    min_trades_per_1000: float = 20.0

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
        start = self.start or day_after(training.market, training.tz, training.end, self.gap_bars)
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


def day_after(market: Sequence[str], tz: str | None, end: str, gap_bars: int) -> str:
    """The day ``gap_bars`` bars after the date ``end``, of the instrument where that is later.

    Raises:
        ConfigError: no such bar.
    """
    days = []
    for bars in load_markets(market, tz=tz):
        first = bars.rows_between(None, end)[1] + gap_bars
        if first >= len(bars):
            raise ConfigError(
                f"{bars.symbol} has no bars {gap_bars} after {end}",
                expected="bars that neither training nor the choice of a policy has seen",
                hint="end the range earlier",
            )
        days.append(str(bars.timestamps[first].astype("datetime64[D]")))
    return max(days)


@dataclass(frozen=True)
class Rollout:
    """One deterministic pass over a range; K instruments one after another, n steps in all.

    Attributes:
        observations: [n, O] raw.
        actions: [n] as the policy gave them.
        units: [n] signed units filled for each; 0 where nothing was.
        log_returns: K arrays [T_k] of log changes of equity.
        periods_per_year: K.
    """

    observations: Observations
    actions: FloatArray
    units: FloatArray
    log_returns: tuple[FloatArray, ...]
    periods_per_year: tuple[float, ...]

    @property
    def traded(self) -> BoolArray:
        """[n] where an order was filled."""
        return np.asarray(self.units != 0.0)

    def collapse(self, rules: SimulatorConfig, seed: int = 0) -> CollapseMeasures:
        """Collapse measures and verdicts of the actions under ``rules``."""
        return collapse_under(
            rules,
            self.actions,
            self.observations,
            self.units,
            rng=np.random.default_rng(seed),
            permutations=_PERMUTATIONS,
        )

    @property
    def sharpe(self) -> float:
        """Mean annualised Sharpe ratio of the instruments; NaN where none is defined."""
        pairs = zip(self.log_returns, self.periods_per_year, strict=True)
        found = [sharpe_ratio(np.expm1(r), ppy) for r, ppy in pairs]
        known = [value for value in found if value is not None]
        return float(np.mean(known)) if known else float("nan")

    @property
    def annual_log_return(self) -> float:
        """Mean log growth a year."""
        pairs = zip(self.log_returns, self.periods_per_year, strict=True)
        return float(np.mean([r.mean() * ppy for r, ppy in pairs]))


def roll_once(policy: Policy, env: EnvConfig) -> Rollout:
    """Run ``policy`` once over every instrument of ``env``, a lane an instrument."""
    env = whole_range(env)
    market = make_market(env)
    lanes = len(market.symbols)
    simulator = make_simulator(env, lanes)
    observed = simulator.reset().copy()
    alive = np.ones(lanes, dtype=np.bool_)
    seen: list[Observations] = []
    acted, filled, gained, live = [], [], [], []
    while alive.any():
        actions = np.asarray(policy(observed), dtype=np.float64).reshape(lanes)
        result = simulator.step(actions)
        seen.append(observed)
        acted.append(actions)
        filled.append(simulator.fills.copy())
        gained.append(result.rewards.copy())
        live.append(alive.copy())
        alive &= ~(result.terminated | result.truncated)
        observed = result.observations.copy()
    mask, rewards = np.stack(live), np.stack(gained)
    return Rollout(
        observations=np.stack(seen)[mask],
        actions=np.stack(acted)[mask],
        units=np.stack(filled)[mask],
        log_returns=tuple(rewards[mask[:, k], k] for k in range(lanes)),
        periods_per_year=tuple(map(float, market.periods_per_year)),
    )


class Validator:
    """Scores a policy on the validation range: what the training stages select by.

    The score is the net Sharpe ratio; a policy that collapsed, does not look at the state or
    hardly trades has none (NaN) and never wins.
    """

    def __init__(self, env: EnvConfig, config: ValidationConfig) -> None:
        self.env = env
        self.config = config

    def __call__(self, policy: Policy) -> Mapping[str, float]:
        """``score`` and the measures it is made of."""
        rollout = roll_once(policy, self.env)
        collapse = rollout.collapse(self.env.simulator)
        trades = collapse.trades_per_1000 or 0.0
        refused: set[Any] = {"COLLAPSED", "STATE-BLIND"} & set(collapse.verdicts)
        candidate = not refused and trades >= self.config.min_trades_per_1000
        return {
            "score": rollout.sharpe if candidate else float("nan"),
            "sharpe": rollout.sharpe,
            "annual_log_return": rollout.annual_log_return,
            "trades_per_1000": trades,
            "n_effective": collapse.n_effective,
            "mi_norm": collapse.mi_norm or 0.0,
            "hold_share": collapse.hold_share,
        }
