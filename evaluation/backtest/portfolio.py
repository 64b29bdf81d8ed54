"""Several backtests as one account: each instrument begins with an equal share of the capital."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from offline_trader.evaluation.backtest.walk import Backtest
from offline_trader.evaluation.judging import Curve, TradeRow
from offline_trader.evaluation.measures import (
    RoundTrips,
    fifo_lots,
    outcome_measures,
    round_trips,
    sharpe_ratio,
)
from offline_trader.types import FloatArray

__all__ = ["Account", "combine", "lot_rows", "trade_rows", "union_of"]


@dataclass(frozen=True, eq=False)
class Account:
    """The marks of all instruments on one time axis.

    What is derived from them is computed when it is asked for.

    Attributes:
        backtests: one backtest an instrument.
        periods_per_year: marks a year.
        times: [T + 1] datetime64[ns], the union of all marks.
        equities: [K, T + 1] equity of each instrument.
        values: [K, T + 1] signed value of each position.
    """

    backtests: tuple[Backtest, ...]
    periods_per_year: float
    times: NDArray[np.datetime64]
    equities: FloatArray
    values: FloatArray

    @cached_property
    def equity(self) -> FloatArray:
        """[T + 1] mean equity of the instruments."""
        return np.asarray(self.equities.mean(axis=0))

    @cached_property
    def returns(self) -> FloatArray:
        """[T] simple returns of the mean equity: what a policy is chosen and judged by."""
        return np.asarray(self.equity[1:] / self.equity[:-1] - 1.0)

    @property
    def sharpe(self) -> float | None:
        """Annualised Sharpe ratio of :attr:`returns`."""
        return sharpe_ratio(self.returns, self.periods_per_year)

    @cached_property
    def curve(self) -> Curve:
        """Mean equity, with close and actions where there is one instrument."""
        exposure = self.values.mean(axis=0) / self.equity
        single = self.backtests[0] if len(self.backtests) == 1 else None
        complete = single is not None and len(single.actions) == len(self.times) - 1
        return Curve(
            timestamps=tuple(np.datetime_as_string(self.times.astype("datetime64[s]")).tolist()),
            equity=self.equity,
            close=single.close if single is not None else None,
            exposure=exposure,
            actions=single.actions if single is not None and complete else None,
            fill_units=None if single is None else _at_marks(single, single.fills.units),
            fill_price=None if single is None else _at_marks(single, single.fills.price, np.nan),
        )

    @cached_property
    def _trades(self) -> tuple[dict[str, float | None], dict[str, tuple[float, float]]]:
        return _trade_measures(self.backtests, self.values, self.equity, self.periods_per_year)

    @property
    def trade_measures(self) -> dict[str, float | None]:
        """Win rate, exposure, turnover … over all instruments."""
        return self._trades[0]

    @property
    def trade_intervals(self) -> dict[str, tuple[float, float]]:
        """Wilson intervals of the win rates, by name."""
        return self._trades[1]


def combine(backtests: Sequence[Backtest], periods_per_year: float) -> Account:
    """One account from one backtest an instrument.

    The time axis is the union of all marks. Between its own marks an instrument keeps its last
    equity; before its first one its share lies in cash.
    """
    first = backtests[0].timestamps
    if all(
        each.timestamps is first or np.array_equal(each.timestamps, first) for each in backtests
    ):
        equities = np.stack([each.equity for each in backtests])
        values = np.stack([each.exposure * each.equity for each in backtests])
        return Account(tuple(backtests), periods_per_year, first, equities, values)
    times = union_of([each.timestamps for each in backtests])
    equities = np.stack([_on(times, each, each.equity) for each in backtests])
    values = np.stack([_on(times, each, each.exposure * each.equity) for each in backtests])
    return Account(tuple(backtests), periods_per_year, times, equities, values)


def union_of(stamps: Sequence[NDArray[np.datetime64]]) -> NDArray[np.datetime64]:
    """All different time stamps in order; sorted, because ``np.unique`` hashes and is slow."""
    times = np.sort(np.concatenate(stamps), kind="stable")
    return times[np.concatenate(([True], times[1:] != times[:-1]))]


def _at_marks(backtest: Backtest, values: FloatArray, empty: float = 0.0) -> FloatArray:
    """[T + 1] a value of each fill at its mark; there is at most one fill a bar."""
    marks = np.full(len(backtest.timestamps), empty)
    marks[backtest.fills.bar] = values
    return marks


def _on(times: NDArray[np.datetime64], backtest: Backtest, series: FloatArray) -> FloatArray:
    """[T + 1] its series at the last of its marks up to each time, its first before it."""
    rows = np.searchsorted(backtest.timestamps, times, side="right") - 1
    return np.asarray(series[np.maximum(rows, 0)])


def _trade_measures(
    backtests: Sequence[Backtest], values: FloatArray, equity: FloatArray, periods_per_year: float
) -> tuple[dict[str, float | None], dict[str, tuple[float, float]]]:
    """As :func:`~offline_trader.evaluation.measures.trade_measures`, over all instruments."""
    outcome, intervals = outcome_measures(
        [round_trips(each.fills) for each in backtests],
        [fifo_lots(each.fills) for each in backtests],
    )
    # the marks after the start, as trade_measures counts them
    held, marks = np.abs(values[:, 1:]), equity[1:]
    traded = sum(float(np.abs(each.fills.units * each.fills.price).sum()) for each in backtests)
    years = marks.size / periods_per_year
    mean_traded = traded / len(backtests)
    measures: dict[str, float | None] = {
        **outcome,
        "exposure": float(np.mean(held.any(axis=0))),
        "mean_exposure": float(np.mean(held.mean(axis=0) / marks)),
        "turnover": mean_traded / float(marks.mean()) / years,
        "orders": float(sum(each.traded.sum() for each in backtests)),
        "costs_paid": float(sum(each.costs_paid for each in backtests)) / len(backtests),
    }
    return measures, intervals


def trade_rows(backtests: Sequence[Backtest]) -> tuple[TradeRow, ...]:
    """Closed position round trips of all instruments in the order of their entries."""
    rows = []
    for each in backtests:
        trips = round_trips(each.fills)
        rows += _rows(each, trips, range(len(trips)))
    return tuple(sorted(rows, key=lambda row: row.entry_time))


def lot_rows(backtests: Sequence[Backtest], most: int = 10) -> tuple[TradeRow, ...]:
    """The ``most`` best and worst closed FIFO lots of all instruments, ordered by their entries.

    There may be more than one for every order, and no reader wants them all.
    """
    rows = []
    for each in backtests:
        lots = fifo_lots(each.fills)
        rows += _rows(each, lots, _extremes(lots.net_profit, most))
    chosen = [rows[i] for i in _extremes(np.array([row.net_profit for row in rows]), most)]
    return tuple(sorted(chosen, key=lambda row: row.entry_time))


def _extremes(values: FloatArray, most: int) -> list[int]:
    """Places of the ``most`` smallest and greatest values."""
    order = np.argsort(values, kind="stable")
    chosen = order if order.size <= 2 * most else np.concatenate((order[:most], order[-most:]))
    return [int(i) for i in chosen]


def _rows(backtest: Backtest, trips: RoundTrips, chosen: Iterable[int]) -> list[TradeRow]:
    stamps = np.datetime_as_string(backtest.timestamps.astype("datetime64[s]"))
    return [
        TradeRow(
            instrument=backtest.symbol,
            entry_time=str(stamps[trips.entry_bar[i]]),
            exit_time=str(stamps[trips.exit_bar[i]]),
            direction=int(trips.direction[i]),
            entry_price=float(trips.entry_price[i]),
            exit_price=float(trips.exit_price[i]),
            net_profit=float(trips.net_profit[i]),
            bars=int(trips.duration_bars[i]),
        )
        for i in chosen
    ]
