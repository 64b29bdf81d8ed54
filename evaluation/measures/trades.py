"""Round trips from fills, and the measures that need them: win rate, pay-off, duration, turnover.

Two views of the same fills. A **position round trip** begins when a flat position is opened and
ends when it is flat again; a fill that turns a long position into a short one ends one trip and
begins the next, its costs shared in proportion to the units. With orders in proportion to cash or
units a position may never be flat: then **FIFO lots** tell what was won, where every unit sold is
one of the oldest still held (bought back: of the oldest still owed). What is still open at the end
is in neither.

Net profit is what the kernel counts: after commission, spread, slippage and the cost of borrowing
what is sold short.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from offline_trader.errors import DataError
from offline_trader.evaluation.statistics import wilson_interval
from offline_trader.types import BoolArray, FloatArray, IntArray

__all__ = [
    "Fills",
    "RoundTrips",
    "TradeMeasures",
    "TripOutcome",
    "fifo_lots",
    "outcome_measures",
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
        borrow: [M] float64, what one unit that was short from the start has cost until the fill; by
            default 0.

    Raises:
        DataError: arrays that do not fit, are out of order or not finite.
    """

    bar: IntArray
    units: FloatArray
    price: FloatArray
    cost: FloatArray
    borrow: FloatArray | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "bar", np.asarray(self.bar, dtype=np.int64))
        if self.borrow is None:
            object.__setattr__(self, "borrow", np.zeros(self.bar.shape))
        for name in ("units", "price", "cost", "borrow"):
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
        costs: [K] float64, costs of its fills, and of borrowing.
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


@dataclass(frozen=True)
class _Parts:
    """What each of M fills does to the position.

    Attributes:
        before: [M] signed units before the fill.
        closing, opening: [M] signed units towards zero and away from it.
        starts: [M] a trip begins.
        ends: [M] a trip ends.
        trip: [M] number of the trip that the opening part belongs to.
        closes: [M] number of the trip that the closing part belongs to.
        tolerance: units below it are what rounding left.
    """

    before: FloatArray
    closing: FloatArray
    opening: FloatArray
    starts: BoolArray
    ends: BoolArray
    trip: IntArray
    closes: IntArray
    tolerance: float

    @property
    def closed(self) -> int:
        """Trips that have ended."""
        return int(self.ends.sum())


def _parts(fills: Fills) -> _Parts:
    position = np.cumsum(fills.units)
    tolerance = float(np.abs(position).max(initial=0.0)) * _FLAT
    position[np.abs(position) <= tolerance] = 0.0
    before = np.concatenate(([0.0], position))[: position.size]
    same_side = before * position >= 0
    smaller = np.abs(position) < np.abs(before)
    closing = np.where(same_side, np.where(smaller, position - before, 0.0), -before)
    opening = np.where(same_side, np.where(smaller, 0.0, position - before), position)
    starts = (opening != 0) & ((before == 0) | ~same_side)
    trip = np.cumsum(starts) - 1
    return _Parts(
        before=before,
        closing=closing,
        opening=opening,
        starts=starts,
        ends=(closing != 0) & ((position == 0) | ~same_side),
        trip=trip,
        closes=np.where(starts, trip - 1, trip),
        tolerance=tolerance,
    )


def round_trips(fills: Fills) -> RoundTrips:
    """The closed position round trips of the fills, in order of their beginning."""
    parts = _parts(fills)
    opened, closed = np.abs(parts.opening), np.abs(parts.closing)
    n = parts.closed

    def at_close(values: FloatArray) -> FloatArray:
        rows = parts.before != 0
        return np.asarray(np.bincount(parts.closes[rows], values[rows], n)[:n], dtype=np.float64)

    def at_open(values: FloatArray) -> FloatArray:
        rows = parts.opening != 0
        return np.asarray(np.bincount(parts.trip[rows], values[rows], n)[:n], dtype=np.float64)

    assert fills.borrow is not None
    short = np.maximum(-parts.before, 0.0)
    borrowed = at_close(short * np.diff(fills.borrow, prepend=0.0))
    moved = opened + closed
    share = np.divide(closed, moved, out=np.zeros_like(moved), where=moved > 0)
    costs = at_close(share * fills.cost) + at_open((1.0 - share) * fills.cost) + borrowed
    bought, sold = at_open(opened * fills.price), at_close(closed * fills.price)
    direction = np.sign(parts.opening[parts.starts])[:n].astype(np.int64)
    return RoundTrips(
        entry_bar=fills.bar[parts.starts][:n],
        exit_bar=fills.bar[parts.ends],
        direction=direction,
        entry_price=bought / at_open(opened),
        exit_price=sold / at_close(closed),
        units=at_open(opened),
        costs=costs,
        net_profit=direction * (sold - bought) - costs,
    )


def fifo_lots(fills: Fills) -> RoundTrips:
    """The closed FIFO lots of the fills, in order of their exits, then of their entries.

    A lot is what one fill opened and another closed: a fill that closes what three have opened
    closes three lots. Costs of a fill are shared in proportion to the units.
    """
    parts = _parts(fills)
    entries, exits = np.flatnonzero(parts.opening), np.flatnonzero(parts.closing)
    if exits.size == 0:
        nothing, none = np.empty(0), np.empty(0, dtype=np.int64)
        return RoundTrips(none, none, none, nothing, nothing, nothing, nothing, nothing)
    # units opened and closed so far: a lot lies between neighbouring edges of the two
    opened, closed = _cumulative(parts, entries, exits)
    edges = np.sort(np.concatenate(([0.0], opened[opened < closed[-1]], closed)))
    apart = np.diff(edges) > parts.tolerance
    edges = np.concatenate((edges[:1], edges[1:][apart]))
    units = np.diff(edges)
    middle = edges[:-1] + units / 2.0
    entry = entries[np.searchsorted(opened, middle)]
    exit_ = exits[np.searchsorted(closed, middle)]
    assert fills.borrow is not None
    direction = np.sign(parts.opening[entry])
    owed = np.where(direction < 0, fills.borrow[exit_] - fills.borrow[entry], 0.0)
    a_unit = fills.cost / np.maximum(np.abs(parts.opening) + np.abs(parts.closing), 1e-300)
    costs = units * (a_unit[entry] + a_unit[exit_] + owed)
    entry_price, exit_price = fills.price[entry], fills.price[exit_]
    return RoundTrips(
        entry_bar=fills.bar[entry],
        exit_bar=fills.bar[exit_],
        direction=direction.astype(np.int64),
        entry_price=entry_price,
        exit_price=exit_price,
        units=units,
        costs=costs,
        net_profit=direction * (exit_price - entry_price) * units - costs,
    )


def _cumulative(parts: _Parts, entries: IntArray, exits: IntArray) -> tuple[FloatArray, FloatArray]:
    """Units opened until each of the entries and closed until each of the exits.

    Where a trip ends, both are the same number: rounding is not carried into the next trip.
    """
    opened = np.cumsum(np.abs(parts.opening[entries]))
    closed = np.cumsum(np.abs(parts.closing[exits]))
    trip, closes = parts.trip[entries], parts.closes[exits]
    last = np.searchsorted(trip, np.arange(trip[-1] + 1), side="right") - 1
    until = np.concatenate(([0.0], opened[last]))  # opened before each trip
    first = np.searchsorted(closes, closes)
    before = np.concatenate(([0.0], closed))[first]
    closed = np.minimum(until[closes] + (closed - before), until[closes + 1])
    return opened, np.where(parts.ends[exits], until[closes + 1], closed)


@dataclass(frozen=True)
class TradeMeasures:
    """What the round trips and the position path say; ``None`` where not defined.

    Attributes:
        trades: closed position round trips.
        win_rate: share of them with positive net profit, with its Wilson interval.
        payoff_ratio: mean net profit of the winners ÷ mean net loss of the others.
        profit_factor: net profits ÷ net losses.
        mean_duration_bars: average bars of a round trip.
        exposure: share of bars with a position.
        mean_exposure: mean |position value ÷ equity|.
        turnover: Σ|Δ notional| ÷ mean equity, a year.
        lots, lot_win_rate, lot_payoff_ratio, lot_profit_factor, mean_lot_bars: the same of the
            closed FIFO lots.
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
    lots: int
    lot_win_rate: float | None
    lot_payoff_ratio: float | None
    lot_profit_factor: float | None
    mean_lot_bars: float | None

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
    even = losses.sum() <= 1e-12 * np.abs(net_profit).sum()  # what rounding leaves is no loss
    return TripOutcome(
        win_rate=float(won.mean()) if won.size else None,
        win_rate_interval=wilson_interval(int(won.sum()), won.size),
        payoff_ratio=None if even or not gains.size else float(gains.mean() / losses.mean()),
        profit_factor=None if even else float(gains.sum() / losses.sum()),
    )


def outcome_measures(
    trips: Sequence[RoundTrips], lots: Sequence[RoundTrips]
) -> tuple[dict[str, float | None], dict[str, tuple[float, float]]]:
    """Measures of position round trips and of FIFO lots by name, and the intervals of the win
    rates."""
    measures: dict[str, float | None] = {}
    intervals = {}
    names = (("trades", "", "mean_duration_bars", trips), ("lots", "lot_", "mean_lot_bars", lots))
    for count, prefix, duration, found in names:
        bars = np.concatenate([each.duration_bars for each in found])
        outcome = trip_outcome(np.concatenate([each.net_profit for each in found]))
        measures |= {
            count: float(bars.size),
            f"{prefix}win_rate": outcome.win_rate,
            f"{prefix}payoff_ratio": outcome.payoff_ratio,
            f"{prefix}profit_factor": outcome.profit_factor,
            duration: float(bars.mean()) if bars.size else None,
        }
        if outcome.win_rate_interval is not None:
            intervals[f"{prefix}win_rate"] = outcome.win_rate_interval
    return measures, intervals


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
    measures, intervals = outcome_measures([round_trips(fills)], [fifo_lots(fills)])
    exposures = np.abs(np.asarray(weight, dtype=np.float64))
    marks = np.asarray(equity, dtype=np.float64)
    years = marks.size / periods_per_year
    traded = float(np.abs(fills.units * fills.price).sum())
    return TradeMeasures(
        trades=int(measures.pop("trades") or 0),
        lots=int(measures.pop("lots") or 0),
        win_rate_interval=intervals.get("win_rate"),
        exposure=float(np.mean(exposures > 0)) if exposures.size else None,
        mean_exposure=float(exposures.mean()) if exposures.size else None,
        turnover=traded / float(marks.mean()) / years if marks.size else None,
        **measures,
    )
