"""Given actions over a range of bars in one compiled call: the backtest of K columns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from offline_trader.errors import ConfigError
from offline_trader.simulator import kernel as k
from offline_trader.simulator.config import SimulatorConfig
from offline_trader.simulator.market_tensor import MarketTensor
from offline_trader.types import FloatArray, IntArray

__all__ = ["Trajectory", "simulate_actions"]


@dataclass(frozen=True, eq=False)
class Trajectory:
    """K portfolios over T decisions on one instrument.

    Attributes:
        final_equity, final_cash, final_units: [K].
        log_growth: [K] sum of log changes of equity.
        log_growth_squared: [K] sum of their squares.
        max_drawdown: [K] in [−1, 0], initial capital included.
        orders: [K] filled orders.
        notional: [K] traded value, quote currency.
        costs: [K] commission, spread, slippage, impact and borrow, quote currency.
        mean_exposure: [K] mean of |exposure|.
        bars_held: [K] bars with a position.
        trips, wins: [K] closed round trips, and those with a positive net profit.
        trip_bars: [K] bars in closed round trips.
        ruined_at: [K] market row at which equity reached the ruin level, −1 if never.
        bars: [K] decisions that were carried out.
        equity: [T + 1, K] or None, quote currency; the first row is the initial cash.
        fills: [T, K] or None, signed units.
        fill_prices: [T, K] or None, 0 where nothing filled.
    """

    final_equity: FloatArray
    final_cash: FloatArray
    final_units: FloatArray
    log_growth: FloatArray
    log_growth_squared: FloatArray
    max_drawdown: FloatArray
    orders: IntArray
    notional: FloatArray
    costs: FloatArray
    mean_exposure: FloatArray
    bars_held: IntArray
    trips: IntArray
    wins: IntArray
    trip_bars: FloatArray
    ruined_at: IntArray
    bars: IntArray
    equity: FloatArray | None
    fills: FloatArray | None
    fill_prices: FloatArray | None


def simulate_actions(
    market: MarketTensor,
    config: SimulatorConfig,
    actions: NDArray[np.floating[Any]],
    *,
    instrument: int = 0,
    first: int = 0,
    record: bool = True,
) -> Trajectory:
    """Trade ``actions`` on one instrument; row i is decided at its bar ``first + i``.

    Args:
        market: packed bars.
        config: trading rules.
        actions: [T] or [T, K], T at most the bars from ``first`` less one.
        instrument: which one.
        first: first bar, counted from the instrument's first.
        record: whether equity and fills are kept for every bar.

    Raises:
        ConfigError: more actions than bars, or an action that is no number.
    """
    columns = np.ascontiguousarray(actions, dtype=np.float64)
    columns = columns.reshape(len(columns), -1)
    n_rows, n_columns = columns.shape
    start = int(market.start[instrument]) + first
    room = int(market.stop[instrument]) - 1 - start
    if first < 0 or n_rows < 1 or n_rows > room:
        raise ConfigError(
            f"{n_rows} rows of actions from bar {first}", expected=f"1 to {max(room, 0)} rows"
        )
    state = np.zeros((n_columns, k.STATE_SIZE))
    c = np.zeros((k.STATISTICS_SIZE, n_columns))
    equity = np.empty((n_rows + 1 if record else 0, n_columns))
    fills, prices = (np.empty((n_rows if record else 0, n_columns)) for _ in range(2))
    borrow = float(market.instruments(config.borrow_bps_per_year)[instrument, k.BORROW])
    bad = k.run_columns(
        columns, config.terms(), market.table, start, borrow, state, c, equity, fills, prices
    )
    if bad >= 0:
        raise ConfigError(
            f"action in row {bad // n_columns}, column {bad % n_columns} is not a number",
            expected="-1 to 1",
        )
    return Trajectory(
        final_equity=state[:, k.EQUITY],
        final_cash=state[:, k.CASH],
        final_units=state[:, k.UNITS],
        log_growth=c[k.SUM_LOG],
        log_growth_squared=c[k.SUM_LOG_SQUARED],
        max_drawdown=c[k.MAX_DRAWDOWN],
        orders=c[k.ORDERS].astype(np.int64),
        notional=c[k.NOTIONAL],
        costs=state[:, k.COSTS],
        mean_exposure=c[k.ABS_EXPOSURE] / np.maximum(c[k.ROWS], 1.0),
        bars_held=c[k.BARS_HELD].astype(np.int64),
        trips=c[k.TRIPS].astype(np.int64),
        wins=c[k.WINS].astype(np.int64),
        trip_bars=c[k.TRIP_BARS],
        ruined_at=c[k.RUIN_ROW].astype(np.int64),
        bars=c[k.ROWS].astype(np.int64),
        equity=equity if record else None,
        fills=fills if record else None,
        fill_prices=prices if record else None,
    )
