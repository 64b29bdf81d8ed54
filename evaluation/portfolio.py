"""Several backtests as one account: each instrument begins with an equal share of the capital."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from offline_trader.evaluation.backtest import Backtest
from offline_trader.evaluation.record import Curve, TradeRow
from offline_trader.evaluation.trades import round_trips, trip_outcome
from offline_trader.types import FloatArray

__all__ = ["Account", "combine", "trade_rows"]


@dataclass(frozen=True, eq=False)
class Account:
    """The marks of all instruments on one time axis.

    Attributes:
        curve: mean equity, with close and actions where there is one instrument.
        trade_measures: win rate, exposure, turnover … over all instruments.
        win_rate_interval: Wilson interval of the win rate.
    """

    curve: Curve
    trade_measures: dict[str, float | None]
    win_rate_interval: tuple[float, float] | None


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
    measures, interval = _trade_measures(legs, values, equity, periods_per_year)
    return Account(curve, measures, interval)


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
) -> tuple[dict[str, float | None], tuple[float, float] | None]:
    """As :func:`~offline_trader.evaluation.trades.trade_measures`, over all instruments."""
    trips = [round_trips(leg.fills) for leg in legs]
    outcome = trip_outcome(np.concatenate([each.net_profit for each in trips]))
    durations = np.concatenate([each.duration_bars for each in trips])
    # the marks after the start, as trade_measures counts them
    held, marks = np.abs(values[:, 1:]), equity[1:]
    traded = sum(float(np.abs(leg.fills.units * leg.fills.price).sum()) for leg in legs)
    years = marks.size / periods_per_year
    mean_traded = traded / len(legs)
    measures: dict[str, float | None] = {
        "trades": float(durations.size),
        "win_rate": outcome.win_rate,
        "payoff_ratio": outcome.payoff_ratio,
        "profit_factor": outcome.profit_factor,
        "mean_duration_bars": float(durations.mean()) if durations.size else None,
        "exposure": float(np.mean(held.any(axis=0))),
        "mean_exposure": float(np.mean(held.mean(axis=0) / marks)),
        "turnover": mean_traded / float(marks.mean()) / years,
        "orders": float(sum(leg.traded.sum() for leg in legs)),
        "costs_paid": float(sum(leg.costs_paid for leg in legs)) / len(legs),
    }
    return measures, outcome.win_rate_interval


def trade_rows(legs: Sequence[Backtest]) -> tuple[TradeRow, ...]:
    """Closed round trips of all instruments in the order of their entries."""
    rows = []
    for leg in legs:
        trips = round_trips(leg.fills)
        stamps = np.datetime_as_string(leg.timestamps.astype("datetime64[s]"))
        for i in range(len(trips)):
            rows.append(
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
            )
    return tuple(sorted(rows, key=lambda row: row.entry_time))
