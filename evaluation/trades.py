"""Round trips from fills, and the measures that need them: win rate, pay-off, duration, turnover.

A round trip begins when a flat position is opened and ends when it is flat again; a fill that
turns a long position into a short one ends one trip and begins the next, its costs shared in
proportion to the units. What is still open at the end is no round trip and counts nowhere.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from offline_trader.errors import DataError
from offline_trader.evaluation.statistics import wilson_interval
from offline_trader.types import FloatArray, IntArray

__all__ = [
    "Fills",
    "RoundTrips",
    "TradeMeasures",
    "TripOutcome",
    "round_trips",
    "trade_measures",
    "trip_outcome",
]

_FLAT = 1e-9
"""A position below this share of the largest one is what rounding left of a closed one."""


@dataclass(frozen=True)
class Fills:
    """M fills of one instrument in time order.

    Attributes:
        bar: [M] int64, non-decreasing bar index.
        units: [M] float64, signed: bought > 0, sold < 0.
        price: [M] float64 > 0, before costs.
        cost: [M] float64 ≥ 0, quote currency.

    Raises:
        DataError: arrays that do not fit, are out of order or not finite.
    """

    bar: IntArray
    units: FloatArray
    price: FloatArray
    cost: FloatArray

    def __post_init__(self) -> None:
        object.__setattr__(self, "bar", np.asarray(self.bar, dtype=np.int64))
        for name in ("units", "price", "cost"):
            object.__setattr__(self, name, np.asarray(getattr(self, name), dtype=np.float64))
            array = getattr(self, name)
            if array.shape != self.bar.shape or array.ndim != 1:
                raise DataError(f"fills: {name} has shape {array.shape}", expected="[M], as bar")
            if not np.isfinite(array).all():
                row = int(np.flatnonzero(~np.isfinite(array))[0])
                raise DataError(f"fill {row}: {name} is {array[row]}", expected="a finite number")
        if (np.diff(self.bar) < 0).any():
            row = int(np.flatnonzero(np.diff(self.bar) < 0)[0]) + 1
            raise DataError(f"fill {row} is earlier than the one before", expected="time order")
        if (self.price <= 0).any():
            row = int(np.flatnonzero(self.price <= 0)[0])
            raise DataError(f"fill {row}: price {self.price[row]}", expected="more than 0")

    @classmethod
    def from_bars(cls, units: ArrayLike, price: ArrayLike, cost: ArrayLike) -> Fills:
        """Fills from [T] arrays with the signed units filled at each bar, 0 for none."""
        filled = np.asarray(units, dtype=np.float64)
        rows = np.flatnonzero(filled)
        prices, costs = (np.broadcast_to(np.asarray(x), filled.shape) for x in (price, cost))
        return cls(rows, filled[rows], prices[rows], costs[rows])


@dataclass(frozen=True)
class RoundTrips:
    """K closed round trips.

    Attributes:
        entry_bar, exit_bar: [K] int64, bars of the first and the last fill.
        direction: [K] int64, 1 long, −1 short.
        entry_price, exit_price: [K] float64, averages weighted by units.
        units: [K] float64, units opened over the trip's life.
        costs: [K] float64, costs of its fills.
        net_profit: [K] float64, quote currency, after costs.
    """

    entry_bar: IntArray
    exit_bar: IntArray
    direction: IntArray
    entry_price: FloatArray
    exit_price: FloatArray
    units: FloatArray
    costs: FloatArray
    net_profit: FloatArray

    def __len__(self) -> int:
        return int(self.entry_bar.size)

    @property
    def net_return(self) -> FloatArray:
        """[K] net profit ÷ notional opened."""
        return np.asarray(self.net_profit / (self.units * self.entry_price))

    @property
    def duration_bars(self) -> IntArray:
        """[K] bars from the first fill to the last."""
        return self.exit_bar - self.entry_bar


def round_trips(fills: Fills) -> RoundTrips:
    """The closed round trips of the fills, in order of their beginning."""
    position = np.cumsum(fills.units)
    scale = np.abs(position).max(initial=0.0) * _FLAT
    position[np.abs(position) <= scale] = 0.0
    before = np.concatenate(([0.0], position[:-1]))
    # each fill is a closing part (towards zero) and an opening part (away from it)
    same_side = before * position >= 0
    smaller = np.abs(position) < np.abs(before)
    closing = np.where(same_side, np.where(smaller, position - before, 0.0), -before)
    opening = np.where(same_side, np.where(smaller, 0.0, position - before), position)
    starts = (opening != 0) & ((before == 0) | ~same_side)
    trip = np.cumsum(starts) - 1
    trip_of_closing = np.where(starts, trip - 1, trip)
    n_trips = int(starts.sum())
    closed = n_trips - (1 if position.size and position[-1] != 0 else 0)

    def summed(close_values: FloatArray, open_values: FloatArray) -> FloatArray:
        has_close, has_open = closing != 0, opening != 0
        total = np.bincount(trip_of_closing[has_close], close_values[has_close], n_trips)
        total = total + np.bincount(trip[has_open], open_values[has_open], n_trips)
        return np.asarray(total[:closed])

    nothing = np.zeros_like(position)
    moved = np.abs(closing) + np.abs(opening)
    share = np.divide(np.abs(closing), moved, out=np.zeros_like(moved), where=moved > 0)
    opened = summed(nothing, np.abs(opening))
    closed_units = summed(np.abs(closing), nothing)
    bought = summed(nothing, np.abs(opening) * fills.price)
    sold = summed(np.abs(closing) * fills.price, nothing)
    costs = summed(share * fills.cost, (1.0 - share) * fills.cost)
    direction = np.sign(opening[starts])[:closed].astype(np.int64)
    exits = np.flatnonzero((closing != 0) & ((position == 0) | ~same_side))
    return RoundTrips(
        entry_bar=fills.bar[starts][:closed],
        exit_bar=fills.bar[exits],
        direction=direction,
        entry_price=bought / opened,
        exit_price=sold / closed_units,
        units=opened,
        costs=costs,
        net_profit=direction * (sold - bought) - costs,
    )


@dataclass(frozen=True)
class TradeMeasures:
    """What the round trips and the position path say; ``None`` where not defined.

    Attributes:
        trades: closed round trips.
        win_rate: share of them with positive net profit, with its Wilson interval.
        payoff_ratio: mean net profit of the winners ÷ mean net loss of the others.
        profit_factor: net profits ÷ net losses.
        mean_duration_bars: average bars of a round trip.
        exposure: share of bars with a position.
        mean_exposure: mean |position value ÷ equity|.
        turnover: Σ|Δ notional| ÷ mean equity, a year.
    """

    trades: int
    win_rate: float | None
    win_rate_interval: tuple[float, float] | None
    payoff_ratio: float | None
    profit_factor: float | None
    mean_duration_bars: float | None
    exposure: float | None
    mean_exposure: float | None
    turnover: float | None

    def to_dict(self) -> dict[str, float | None]:
        """The numbers by name, without the interval."""
        return {name: value for name, value in vars(self).items() if name != "win_rate_interval"}


@dataclass(frozen=True)
class TripOutcome:
    """Win rate, pay-off and profit factor of closed round trips, as in :class:`TradeMeasures`."""

    win_rate: float | None
    win_rate_interval: tuple[float, float] | None
    payoff_ratio: float | None
    profit_factor: float | None


def trip_outcome(net_profit: FloatArray) -> TripOutcome:
    """Outcome of [K] net profits in quote currency."""
    won = net_profit > 0
    gains, losses = net_profit[won], -net_profit[~won]
    even = not losses.size or losses.sum() == 0
    return TripOutcome(
        win_rate=float(won.mean()) if won.size else None,
        win_rate_interval=wilson_interval(int(won.sum()), won.size),
        payoff_ratio=None if even or not gains.size else float(gains.mean() / losses.mean()),
        profit_factor=None if even else float(gains.sum() / losses.sum()),
    )


def trade_measures(
    fills: Fills, weight: ArrayLike, equity: ArrayLike, periods_per_year: float
) -> TradeMeasures:
    """Measures of one instrument's fills.

    Args:
        fills: every fill of the run.
        weight: [T] position value ÷ equity at the close of each bar.
        equity: [T] equity at the close of each bar.
        periods_per_year: bars a year.
    """
    trips = round_trips(fills)
    exposures = np.abs(np.asarray(weight, dtype=np.float64))
    marks = np.asarray(equity, dtype=np.float64)
    outcome = trip_outcome(trips.net_profit)
    years = marks.size / periods_per_year
    traded = float(np.abs(fills.units * fills.price).sum())
    return TradeMeasures(
        trades=len(trips),
        win_rate=outcome.win_rate,
        win_rate_interval=outcome.win_rate_interval,
        payoff_ratio=outcome.payoff_ratio,
        profit_factor=outcome.profit_factor,
        mean_duration_bars=float(trips.duration_bars.mean()) if len(trips) else None,
        exposure=float(np.mean(exposures > 0)) if exposures.size else None,
        mean_exposure=float(exposures.mean()) if exposures.size else None,
        turnover=traded / float(marks.mean()) / years if marks.size else None,
    )
