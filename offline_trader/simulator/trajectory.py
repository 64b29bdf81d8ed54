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
    state = np.zeros((k.blocks(n_columns), k.COLUMN_SIZE, k.L))
    packed = state.reshape(len(state), k.COLUMN_SIZE * k.L)
    equity = np.empty((n_rows + 1 if record else 0, n_columns))
    fills, prices = (np.empty((n_rows if record else 0, n_columns)) for _ in range(2))
    borrow = float(market.instruments(config.borrow_bps_per_year)[instrument, k.BORROW])
    bad = k.run_columns(
        columns, config.terms(), market.table, start, borrow, packed, equity, fills, prices
    )
    if bad >= 0:
        raise ConfigError(
            f"action in row {bad // n_columns}, column {bad % n_columns} is not a number",
            expected="-1 to 1",
        )

    def found(field: int) -> FloatArray:
        return state[:, field].reshape(-1)[:n_columns].copy()

    def count(field: int) -> IntArray:
        return found(field).astype(np.int64)

    return Trajectory(
        final_equity=found(k.EQUITY),
        final_cash=found(k.CASH),
        final_units=found(k.UNITS),
        log_growth=found(k.SUM_LOG),
        log_growth_squared=found(k.SUM_LOG_SQUARED),
        max_drawdown=found(k.MAX_DRAWDOWN),
        orders=count(k.ORDERS),
        notional=found(k.NOTIONAL),
        costs=found(k.COSTS),
        mean_exposure=found(k.ABS_EXPOSURE) / found(k.ROWS),
        bars_held=count(k.BARS_HELD),
        trips=count(k.TRIPS),
        wins=count(k.WINS),
        trip_bars=found(k.TRIP_BARS),
        ruined_at=count(k.RUIN_ROW),
        bars=count(k.ROWS),
        equity=equity if record else None,
        fills=fills if record else None,
        fill_prices=prices if record else None,
    )
