"""The compiled core: action → order → fill → costs → equity → reward, lane by lane.

One file on purpose: numba's disk cache sees a change of the file that holds a kernel, not of
files that the kernel calls into.

``docs/simulator.md`` states every rule with its formula. The order of events for the decision
taken at bar t (row t of ``table``):

1. the action is smoothed and becomes asked units; caps, cash, lots, dust and the minimum order
   make them fillable units;
2. they fill at the open of t+1 (or the close of t) moved against us by spread, slippage, impact;
3. borrow cost of a short position accrues, equity is marked at the close of t+1;
4. the observation reads features of row t+1 and the portfolio; ruin terminates, the last row of
   the range or of the episode truncates.

All arrays are C-contiguous. ``state`` is ``[N, STATE_SIZE] float64``, one lane a row (two cache
lines), columns named by the constants below; row numbers and counts are stored as exact floats.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numba import njit

__all__ = ["STATE_SIZE", "reset_lanes", "run_columns", "step_lanes"]

# columns of the state
CASH, UNITS, EQUITY, PEAK, ENTRY, LOG_ENTRY, SMOOTHED, EXPOSURE = range(8)
FILLED, FILL_PRICE, COSTS, HELD, ROW, END_ROW, INSTRUMENT, EPISODE = range(8, 16)
STATE_SIZE = 16
# columns of the market table
OPEN, CLOSE, LOG_CLOSE, VOLUME = range(4)
# columns of the instrument table
START, STOP, BORROW = range(3)
# entries of the schedule
SEED, EPISODE_BARS, RANDOM_START, AUTO_RESET = range(4)
# columns of the statistics of a column of actions
(
    ORDERS,
    NOTIONAL,
    ABS_EXPOSURE,
    BARS_HELD,
    TRIPS,
    WINS,
    TRIP_BARS,
    SUM_LOG,
    SUM_LOG_SQUARED,
    MAX_DRAWDOWN,
    TRIP_CASH,
    TRIP_START,
    RUIN_ROW,
    ROWS,
) = range(14)
STATISTICS_SIZE = 14

ORDER, TARGET_LONG, TARGET_LONG_SHORT = range(3)
SMALLEST_GROWTH = 1e-6
"""Equity that is gone, or below zero, is rewarded as a fall to this share."""
LARGEST_FRICTION = 0.5
"""Spread, slippage and impact together move a fill by at most this share of the price."""

_compile = njit(cache=True, nogil=True, error_model="numpy")


class _Terms(NamedTuple):
    """``SimulatorConfig.terms()`` with names; rates are fractions."""

    mode: float
    at_close: float
    post_fee: float
    commission: float
    friction: float
    min_notional: float
    lot: float
    max_position: float
    hold: float
    rebalance: float
    dust: float
    alpha: float
    volume_cap: float
    impact: float
    initial_cash: float
    ruin_equity: float


@_compile
def _read_terms(v: Any) -> Any:
    return _Terms(
        v[0], v[1], v[2], v[3], v[4], v[5], v[6], v[7],
        v[8], v[9], v[10], v[11], v[12], v[13], v[14], v[15],
    )  # fmt: skip


@_compile
def _mix(x: Any) -> Any:
    """64-bit finaliser of splitmix64 (Steele, Lea, Flood 2014): a bijection that scatters bits."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


@_compile
def _uniform(seed: Any, lane: Any, episode: Any, purpose: Any) -> Any:
    """Uniform number in [0, 1) that depends on the four counters alone."""
    golden = np.uint64(0x9E3779B97F4A7C15)
    x = _mix(np.uint64(seed) + golden)
    x = _mix(x ^ (np.uint64(lane) + golden))
    x = _mix(x ^ (np.uint64(episode) * golden + np.uint64(purpose)))
    return np.float64(x >> np.uint64(11)) * 2.0**-53


@_compile
def _friction(t: Any, quantity: Any, volume: Any) -> Any:
    """Adverse move of the fill as a fraction of the price, square-root impact included."""
    if t.impact > 0.0:
        return min(t.friction + t.impact * math.sqrt(abs(quantity) / volume), LARGEST_FRICTION)
    return t.friction


@_compile
def _asked_units(
    t: Any, action: Any, cash: Any, units: Any, exposure: Any, price: Any, volume: Any
) -> Any:
    """Signed units that the action asks for, before any limit."""
    if t.mode == ORDER:
        if abs(action) < t.hold:
            return 0.0
        if action <= 0.0:
            return action * units
        asked = action * cash * t.max_position / price
        if t.post_fee != 0.0:
            asked /= (1.0 + _friction(t, asked, volume)) * (1.0 + t.commission)
        return asked
    lowest = -1.0 if t.mode == TARGET_LONG_SHORT else 0.0
    weight = max(action, lowest) * t.max_position
    if abs(weight - exposure) < t.rebalance:
        return 0.0
    asked = weight * (cash + units * price) / price - units
    if t.post_fee != 0.0:
        friction = _friction(t, asked, volume)
        if asked > 0.0:
            asked /= 1.0 + weight * ((1.0 + friction) * (1.0 + t.commission) - 1.0)
        else:
            asked /= 1.0 - weight * (1.0 - (1.0 - friction) * (1.0 - t.commission))
    return asked


@_compile
def _fillable_units(t: Any, asked: Any, cash: Any, units: Any, price: Any, volume: Any) -> Any:
    """Asked units after volume cap, lots, cash, dust and minimum notional."""
    quantity = asked
    if t.volume_cap > 0.0:
        quantity = min(max(quantity, -t.volume_cap * volume), t.volume_cap * volume)
    if t.lot > 0.0:
        quantity = np.trunc(quantity / t.lot + math.copysign(1e-9, quantity)) * t.lot
    if quantity > 0.0:
        unit_cost = price * (1.0 + _friction(t, quantity, volume)) * (1.0 + t.commission)
        if quantity * unit_cost > cash:
            quantity = cash / unit_cost
            if t.lot > 0.0:
                quantity = np.floor(quantity / t.lot) * t.lot
    left = units + quantity
    if t.lot > 0.0:
        left = np.round(left / t.lot) * t.lot
        quantity = left - units
    if units * quantity < 0.0 and abs(left) * price < t.dust:
        closing_cost = price * (1.0 + _friction(t, units, volume)) * (1.0 + t.commission)
        if units > 0.0 or -units * closing_cost <= cash:
            return -units
    if abs(quantity) * price < t.min_notional and left != 0.0:
        return 0.0
    return quantity


@_compile
def _advance(t: Any, table: Any, borrow: Any, action: Any, s: Any, n: Any) -> Any:
    """Carry one lane from the close of its bar to the close of the next; growth of equity.

    Args:
        s: [N, STATE_SIZE]; row n is changed in place.
    """
    row = int(s[n, ROW])
    cash = s[n, CASH]
    units = s[n, UNITS]
    before = s[n, EQUITY]
    action = min(max(action, -1.0), 1.0)
    if t.alpha < 1.0:
        action = t.alpha * action + (1.0 - t.alpha) * s[n, SMOOTHED]
        s[n, SMOOTHED] = action
    close = table[row + 1, CLOSE]
    price = table[row, CLOSE] if t.at_close != 0.0 else table[row + 1, OPEN]
    volume = table[row, VOLUME]
    quantity = _asked_units(t, action, cash, units, s[n, EXPOSURE], price, volume)
    if quantity != 0.0 and (volume > 0.0 or (t.volume_cap == 0.0 and t.impact == 0.0)):
        quantity = _fillable_units(t, quantity, cash, units, price, volume)
    else:
        quantity = 0.0
    s[n, FILLED] = quantity
    if quantity != 0.0:
        friction = _friction(t, quantity, volume)
        fill = price * (1.0 + math.copysign(friction, quantity))
        fee = abs(quantity) * fill * t.commission
        left = units + quantity if quantity != -units else 0.0
        if left == 0.0:
            s[n, ENTRY] = 0.0
            s[n, LOG_ENTRY] = 0.0
            s[n, HELD] = 0.0
        elif units * left <= 0.0:
            s[n, ENTRY] = fill
            s[n, LOG_ENTRY] = math.log(fill)
            s[n, HELD] = 0.0
        elif abs(left) > abs(units):
            entry = (units * s[n, ENTRY] + quantity * fill) / left
            s[n, ENTRY] = entry
            s[n, LOG_ENTRY] = math.log(entry)
        s[n, FILL_PRICE] = fill
        s[n, COSTS] += fee + abs(quantity) * price * friction
        cash = max(cash - quantity * fill - fee, 0.0)
        units = left
        s[n, UNITS] = units
    if units < 0.0:
        charge = min(-units * close * borrow, cash)
        cash -= charge
        s[n, COSTS] += charge
    equity = cash + units * close
    s[n, CASH] = cash
    s[n, EQUITY] = equity
    s[n, PEAK] = max(s[n, PEAK], equity)
    s[n, EXPOSURE] = units * close / equity if equity > 0.0 else 0.0
    if units != 0.0:
        s[n, HELD] += 1.0
    s[n, ROW] = row + 1
    return equity / before


@_compile
def _observe_features(features: Any, s: Any, n: Any, out: Any) -> None:
    """Write the F features of lane n's row into row n of ``out``."""
    row = int(s[n, ROW])
    for j in range(features.shape[1]):
        out[n, j] = features[row, j]


@_compile
def _observe_portfolio(table: Any, hold_scale: Any, s: Any, n: Any, width: Any, out: Any) -> None:
    """Write the five portfolio fields of lane n behind its ``width`` features."""
    row = int(s[n, ROW])
    units = s[n, UNITS]
    out[n, width] = s[n, EXPOSURE]
    if units != 0.0:
        gain = table[row, LOG_CLOSE] - s[n, LOG_ENTRY]
        out[n, width + 1] = gain if units > 0.0 else -gain
        out[n, width + 2] = hold_scale[min(int(s[n, HELD]), hold_scale.shape[0] - 1)]
    else:
        out[n, width + 1] = 0.0
        out[n, width + 2] = 0.0
    out[n, width + 3] = max(s[n, EQUITY] / s[n, PEAK] - 1.0, -1.0)
    out[n, width + 4] = s[n, SMOOTHED]


@_compile
def _observe_all(features: Any, table: Any, hold_scale: Any, s: Any, out: Any) -> None:
    """Observations of every lane. Two plain passes: one loop with both is not vectorised, and
    took six times as long."""
    width = features.shape[1]
    for n in range(s.shape[0]):
        _observe_features(features, s, n, out)
    for n in range(s.shape[0]):
        _observe_portfolio(table, hold_scale, s, n, width, out)


@_compile
def _start(t: Any, instruments: Any, schedule: Any, s: Any, n: Any) -> None:
    """Begin the lane's next episode: instrument and first row from the lane's own counters."""
    episode = int(s[n, EPISODE]) + 1
    n_instruments = instruments.shape[0]
    seed = schedule[SEED]
    random_start = schedule[RANDOM_START] != 0
    if n_instruments == 1:
        k = 0
    elif random_start:
        k = int(_uniform(seed, n, episode, 0) * n_instruments)
    else:
        k = (n + episode) % n_instruments
    first = int(instruments[k, START])
    last = int(instruments[k, STOP]) - 1
    length = min(schedule[EPISODE_BARS], last - first)
    if random_start:
        first += int(_uniform(seed, n, episode, 1) * (last - length - first + 1))
    s[n, :] = 0.0
    s[n, CASH] = t.initial_cash
    s[n, EQUITY] = t.initial_cash
    s[n, PEAK] = t.initial_cash
    s[n, ROW] = first
    s[n, END_ROW] = first + length
    s[n, INSTRUMENT] = k
    s[n, EPISODE] = episode


@_compile
def reset_lanes(
    terms: Any,
    features: Any,
    table: Any,
    instruments: Any,
    hold_scale: Any,
    schedule: Any,
    state: Any,
    observations: Any,
) -> None:
    """Start the next episode of every lane and write its first observation.

    Args:
        terms: [16] float64, ``SimulatorConfig.terms()``.
        features: [sumT, F] float32.
        table: [sumT, 4] float64: open, close, log close, volume.
        instruments: [K, 3] float64: first row, row behind the last, borrow cost a bar.
        hold_scale: [H] float64: what h bars held read as in the observation.
        schedule: [4] int64: seed, bars of an episode, random start (0/1), auto-reset (0/1).
        state: [N, STATE_SIZE] float64, written.
        observations: [N, F + 5] float32, written.
    """
    t = _read_terms(terms)
    for lane in range(state.shape[0]):
        _start(t, instruments, schedule, state, lane)
    _observe_all(features, table, hold_scale, state, observations)


@_compile
def step_lanes(
    actions: Any,
    terms: Any,
    features: Any,
    table: Any,
    instruments: Any,
    hold_scale: Any,
    schedule: Any,
    state: Any,
    observations: Any,
    rewards: Any,
    ended: Any,
    final_observations: Any,
    final_state: Any,
) -> int:
    """Advance every lane by one bar; lanes that end start their next episode in the same call.

    Args (beyond :func:`reset_lanes`):
        actions: [N] float64.
        rewards: [N] float64, written: log change of equity.
        ended: [2, N] bool, written: terminated, truncated.
        final_observations: [N, F + 5] float32; row n is written when lane n ended.
        final_state: [N, STATE_SIZE] float64; likewise.

    Returns:
        -1, or the first lane whose action is not a number; then nothing has been changed.
    """
    n_lanes = actions.shape[0]
    for lane in range(n_lanes):
        if math.isnan(actions[lane]):
            return lane
    t = _read_terms(terms)
    auto_reset = schedule[AUTO_RESET] != 0
    for lane in range(n_lanes):
        borrow = instruments[int(state[lane, INSTRUMENT]), BORROW]
        growth = _advance(t, table, borrow, actions[lane], state, lane)
        rewards[lane] = math.log(max(growth, SMALLEST_GROWTH)) if growth != 1.0 else 0.0
        terminated = state[lane, EQUITY] <= t.ruin_equity
        truncated = state[lane, ROW] >= state[lane, END_ROW] and not terminated
        ended[0, lane] = terminated
        ended[1, lane] = truncated
        if auto_reset and (terminated or truncated):
            final_state[lane, :] = state[lane, :]
            _observe_features(features, state, lane, final_observations)
            _observe_portfolio(
                table, hold_scale, state, lane, features.shape[1], final_observations
            )
            _start(t, instruments, schedule, state, lane)
    _observe_all(features, table, hold_scale, state, observations)
    return -1


@_compile
def _count_trip(t: Any, cash: Any, units: Any, row: Any, s: Any, c: Any, n: Any) -> None:
    """Book a round trip that this bar's fill ended, and the beginning of the next.

    A trip's net profit is the cash when flat after it less the cash when flat before it.
    ``cash`` and ``units`` are those before the fill.
    """
    quantity = s[n, FILLED]
    c[n, ORDERS] += 1.0
    c[n, NOTIONAL] += abs(quantity) * s[n, FILL_PRICE]
    left = s[n, UNITS]
    flat_cash = cash
    if units != 0.0 and units * left <= 0.0:
        fill = s[n, FILL_PRICE]
        flat_cash = cash + units * fill - abs(units) * fill * t.commission
        c[n, TRIPS] += 1.0
        c[n, TRIP_BARS] += row - c[n, TRIP_START]
        if flat_cash > c[n, TRIP_CASH]:
            c[n, WINS] += 1.0
    if left != 0.0 and units * left <= 0.0:
        c[n, TRIP_CASH] = flat_cash
        c[n, TRIP_START] = row


@_compile
def run_columns(
    actions: Any,
    terms: Any,
    table: Any,
    first: Any,
    borrow: Any,
    state: Any,
    statistics: Any,
    equity: Any,
    fills: Any,
    fill_prices: Any,
) -> int:
    """Trade K columns of actions over rows first … first + T; all of it in one call.

    Args:
        actions: [T, K] float64; row i is decided at table row first + i.
        terms: [16] float64.
        table: [sumT, 4] float64.
        first: first row.
        borrow: borrow cost a bar.
        state: [K, STATE_SIZE] float64, written: where each column ends.
        statistics: [K, STATISTICS_SIZE] float64, written.
        equity: [T + 1, K] float64 or [0, K]; written when it has rows.
        fills: [T, K] float64 or [0, K]: signed units, likewise.
        fill_prices: [T, K] float64 or [0, K]: 0 where nothing filled, likewise.

    Returns:
        -1, or row · K + column of the first action that is not a number.
    """
    n_rows, n_columns = actions.shape
    t = _read_terms(terms)
    record_equity = equity.shape[0] > 0
    record_fills = fills.shape[0] > 0
    for k in range(n_columns):
        state[k, :] = 0.0
        state[k, CASH] = t.initial_cash
        state[k, EQUITY] = t.initial_cash
        state[k, PEAK] = t.initial_cash
        state[k, ROW] = first
        state[k, END_ROW] = first + n_rows
        statistics[k, :] = 0.0
        statistics[k, RUIN_ROW] = -1.0
        if record_equity:
            equity[0, k] = t.initial_cash
    for i in range(n_rows):
        for k in range(n_columns):
            if math.isnan(actions[i, k]):
                return i * n_columns + k
            quantity = 0.0
            if statistics[k, RUIN_ROW] < 0.0:
                cash = state[k, CASH]
                units = state[k, UNITS]
                growth = _advance(t, table, borrow, actions[i, k], state, k)
                quantity = state[k, FILLED]
                if quantity != 0.0:
                    _count_trip(t, cash, units, i, state, statistics, k)
                if growth != 1.0:
                    log_growth = math.log(max(growth, SMALLEST_GROWTH))
                    statistics[k, SUM_LOG] += log_growth
                    statistics[k, SUM_LOG_SQUARED] += log_growth * log_growth
                statistics[k, MAX_DRAWDOWN] = min(
                    statistics[k, MAX_DRAWDOWN], state[k, EQUITY] / state[k, PEAK] - 1.0
                )
                statistics[k, ABS_EXPOSURE] += abs(state[k, EXPOSURE])
                statistics[k, ROWS] += 1.0
                if state[k, UNITS] != 0.0:
                    statistics[k, BARS_HELD] += 1.0
                if state[k, EQUITY] <= t.ruin_equity:
                    statistics[k, RUIN_ROW] = first + i + 1
            if record_equity:
                equity[i + 1, k] = state[k, EQUITY]
            if record_fills:
                fills[i, k] = quantity
                fill_prices[i, k] = state[k, FILL_PRICE] if quantity != 0.0 else 0.0
    return -1
