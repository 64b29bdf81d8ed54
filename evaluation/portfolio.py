"""Several backtests as one account: each instrument begins with an equal share of the capital."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from offline_trader.evaluation.backtest import Backtest
from offline_trader.evaluation.record import Curve, TradeRow
from offline_trader.evaluation.trades import (
    RoundTrips,
    fifo_lots,
    outcome_measures,
    round_trips,
)
from offline_trader.types import FloatArray

__all__ = ["Account", "combine", "lot_rows", "trade_rows"]


@dataclass(frozen=True, eq=False)
class Account:
    """The marks of all instruments on one time axis.

    Attributes:
        curve: mean equity, with close and actions where there is one instrument.
        trade_measures: win rate, exposure, turnover … over all instruments.
        trade_intervals: Wilson intervals of the win rates, by name.
    """

    curve: Curve
    trade_measures: dict[str, float | None]
    trade_intervals: dict[str, tuple[float, float]]


def combine(legs: Sequence[Backtest], periods_per_year: float) -> Account:
    """One account from one backtest an instrument.

    The time axis is the union of all marks. Between its own marks an instrument keeps its last
    equity; before its first one its share lies in cash.
    """
    times = np.unique(np.concatenate([leg.timestamps for leg in legs]))
    equities = np.stack([_on(times, leg, leg.equity) for leg in legs])
    values = np.stack([_on(times, leg, leg.exposure * leg.equity) for leg in legs])
    equity = equities.mean(axis=0)
    exposure = values.mean(axis=0) / equity
    single = legs[0] if len(legs) == 1 else None
    complete = single is not None and len(single.actions) == len(times) - 1
    curve = Curve(
        timestamps=tuple(np.datetime_as_string(times.astype("datetime64[s]")).tolist()),
        equity=equity,
        close=single.close if single is not None else None,
        exposure=exposure,
        actions=single.actions if single is not None and complete else None,
        fill_units=_at_marks(single, single.fills.units) if single is not None else None,
        fill_price=_at_marks(single, single.fills.price, np.nan) if single is not None else None,
    )
    measures, intervals = _trade_measures(legs, values, equity, periods_per_year)
    return Account(curve, measures, intervals)


def _at_marks(leg: Backtest, values: FloatArray, empty: float = 0.0) -> FloatArray:
    """[T + 1] a value of each fill at its mark; there is at most one fill a bar."""
    marks = np.full(len(leg.timestamps), empty)
    marks[leg.fills.bar] = values
    return marks


def _on(times: NDArray[np.datetime64], leg: Backtest, series: FloatArray) -> FloatArray:
    """[T + 1] the leg's series at the last of its marks up to each time, its first before it."""
    rows = np.searchsorted(leg.timestamps, times, side="right") - 1
    return np.asarray(series[np.maximum(rows, 0)])


def _trade_measures(
    legs: Sequence[Backtest], values: FloatArray, equity: FloatArray, periods_per_year: float
) -> tuple[dict[str, float | None], dict[str, tuple[float, float]]]:
    """As :func:`~offline_trader.evaluation.trades.trade_measures`, over all instruments."""
    outcome, intervals = outcome_measures(
        [round_trips(leg.fills) for leg in legs], [fifo_lots(leg.fills) for leg in legs]
    )
    # the marks after the start, as trade_measures counts them
    held, marks = np.abs(values[:, 1:]), equity[1:]
    traded = sum(float(np.abs(leg.fills.units * leg.fills.price).sum()) for leg in legs)
    years = marks.size / periods_per_year
    mean_traded = traded / len(legs)
    measures: dict[str, float | None] = {
        **outcome,
        "exposure": float(np.mean(held.any(axis=0))),
        "mean_exposure": float(np.mean(held.mean(axis=0) / marks)),
        "turnover": mean_traded / float(marks.mean()) / years,
        "orders": float(sum(leg.traded.sum() for leg in legs)),
        "costs_paid": float(sum(leg.costs_paid for leg in legs)) / len(legs),
    }
    return measures, intervals


def trade_rows(legs: Sequence[Backtest]) -> tuple[TradeRow, ...]:
    """Closed position round trips of all instruments in the order of their entries."""
    rows = []
    for leg in legs:
        trips = round_trips(leg.fills)
        rows += _rows(leg, trips, range(len(trips)))
    return tuple(sorted(rows, key=lambda row: row.entry_time))


def lot_rows(legs: Sequence[Backtest], most: int = 10) -> tuple[TradeRow, ...]:
    """The ``most`` best and worst closed FIFO lots of all instruments, ordered by their entries.

    There may be more than one for every order, and no reader wants them all.
    """
    rows = []
    for leg in legs:
        lots = fifo_lots(leg.fills)
        rows += _rows(leg, lots, _extremes(lots.net_profit, most))
    chosen = [rows[i] for i in _extremes(np.array([row.net_profit for row in rows]), most)]
    return tuple(sorted(chosen, key=lambda row: row.entry_time))


def _extremes(values: FloatArray, most: int) -> list[int]:
    """Places of the ``most`` smallest and greatest values."""
    order = np.argsort(values, kind="stable")
    chosen = order if order.size <= 2 * most else np.concatenate((order[:most], order[-most:]))
    return [int(i) for i in chosen]


def _rows(leg: Backtest, trips: RoundTrips, chosen: Iterable[int]) -> list[TradeRow]:
    stamps = np.datetime_as_string(leg.timestamps.astype("datetime64[s]"))
    return [
        TradeRow(
            instrument=leg.symbol,
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
