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

All arrays are C-contiguous. ``state`` is ``[2, N, STATE_SIZE] float64``: the lanes as they are, and
as the last episode that ended left them; one lane a row (two cache lines), columns named by the
constants below; row numbers and counts are stored as exact floats. Few arrays, since each costs
a call from Python 70 ns.

For speed the inner functions are inlined by force, the commonest rules have a copy of the loop
with the other rules folded away, what happens once an episode is kept out of the loop, and
logarithms are taken in passes of their own, which the compiler vectorises. None of it changes a
result: no floating-point rule is relaxed, and a lane's numbers do not depend on the others.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar, cast

import numpy as np
from numba import njit

__all__ = ["N_TERMS", "STATE_SIZE", "STATISTICS_SIZE", "reset_lanes", "run_columns", "step_lanes"]

# columns of the state
CASH, UNITS, EQUITY, PEAK, ENTRY, START_ROW, SMOOTHED, EXPOSURE = range(8)
FILLED, FILL_PRICE, COSTS, HELD, ROW, END_ROW, INSTRUMENT, EPISODE = range(8, 16)
STATE_SIZE = 16
# columns of the market table
OPEN, CLOSE, VOLUME = range(3)
# columns of the instrument table
START, STOP, BORROW = range(3)
# entries of the schedule
SEED, EPISODE_BARS, RANDOM_START, AUTO_RESET = range(4)
# rows of the flows
ACTION, REWARD, GAIN = range(3)
# layers of state and observations
NOW, FINAL = range(2)
# rows of the statistics of columns of actions
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
    GROWTH,
) = range(15)
STATISTICS_SIZE = 15

N_TERMS = 16
"""Rules in front of the hold scale."""
ORDER, TARGET_LONG, TARGET_LONG_SHORT = range(3)
SMALLEST_GROWTH = 1e-6
"""Equity that is gone, or below zero, is rewarded as a fall to this share."""
LARGEST_FRICTION = 0.5
"""Spread, slippage and impact together move a fill by at most this share of the price."""

_F = TypeVar("_F", bound=Callable[..., Any])


def _compile(function: _F) -> _F:
    """Compiled on first use, kept on disk."""
    return cast(_F, njit(cache=True, nogil=True, error_model="numpy")(function))


def _inline(function: _F) -> _F:
    """Compiled into every caller."""
    return cast(_F, njit(nogil=True, error_model="numpy", forceinline=True)(function))


def _apart(function: _F) -> _F:
    """Compiled once, called."""
    return cast(_F, njit(nogil=True, error_model="numpy")(function))


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


@_inline
def _read_terms(v: Any) -> Any:
    return _Terms(
        v[0], v[1], v[2], v[3], v[4], v[5], v[6], v[7],
        v[8], v[9], v[10], v[11], v[12], v[13], v[14], v[15],
    )  # fmt: skip


@_inline
def _is_plain(t: Any) -> Any:
    """Whether the rules are orders filled at the next open, with rates and minima alone."""
    return (
        t.mode == ORDER
        and t.at_close == 0.0
        and t.post_fee == 0.0
        and t.lot == 0.0
        and t.alpha == 1.0
        and t.volume_cap == 0.0
        and t.impact == 0.0
    )


@_inline
def _plain(t: Any) -> Any:
    """Plain rules (:func:`_is_plain`) with their fixed terms as constants for the compiler."""
    return _Terms(
        0.0, 0.0, 0.0, t.commission, t.friction, t.min_notional, 0.0, t.max_position,
        t.hold, 0.0, t.dust, 1.0, 0.0, 0.0, t.initial_cash, t.ruin_equity,
    )  # fmt: skip


@_inline
def _mix(x: Any) -> Any:
    """64-bit finaliser of splitmix64 (Steele, Lea, Flood 2014): a bijection that scatters bits."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


@_inline
def _uniform(seed: Any, lane: Any, episode: Any, purpose: Any) -> Any:
    """Uniform number in [0, 1) that depends on the four counters alone."""
    golden = np.uint64(0x9E3779B97F4A7C15)
    x = _mix(np.uint64(seed) + golden)
    x = _mix(x ^ (np.uint64(lane) + golden))
    x = _mix(x ^ (np.uint64(episode) * golden + np.uint64(purpose)))
    return np.float64(x >> np.uint64(11)) * 2.0**-53


@_inline
def _log(x: Any) -> Any:
    """Natural logarithm of a positive normal number, within 2 units in the last place.

    x = m · 2^k with m in [√½, √2), log x = k·log 2 + 2·artanh((m − 1)/(m + 1)), the series cut
    where its terms fall below half a unit. Plain arithmetic, so a loop over it is vectorised,
    which a call of the C library's is not.
    """
    bits = np.float64(x).view(np.int64)
    k = (bits - np.int64(0x3FE6A09E667F3BCD)) >> np.int64(52)
    m = np.int64(bits - (k << np.int64(52))).view(np.float64)
    s = (m - 1.0) / (m + 1.0)
    z = s * s
    w = z * z
    tail = (1 / 15 + z * (1 / 17)) + w * (1 / 19 + z * (1 / 21))
    tail = (1 / 7 + z * (1 / 9)) + w * ((1 / 11 + z * (1 / 13)) + w * tail)
    tail = (1 / 3 + z * (1 / 5)) + w * tail
    return np.float64(k) * 0.6931471805599453 + (2.0 * s + 2.0 * s * (z * tail))


@_inline
def _friction(t: Any, quantity: Any, volume: Any) -> Any:
    """Adverse move of the fill as a fraction of the price, square-root impact included."""
    if t.impact > 0.0:
        return min(t.friction + t.impact * math.sqrt(abs(quantity) / volume), LARGEST_FRICTION)
    return t.friction


@_inline
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


@_inline
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


@_inline
def _advance(t: Any, table: Any, borrow: Any, action: Any, s: Any, n: Any) -> Any:
    """Carry lane n from the close of its bar to the close of the next.

    Args:
        s: [N, STATE_SIZE]; row n is changed in place.

    Returns:
        growth of equity; close / entry price of the position (inverse when short, 1 when flat).
    """
    row = np.uintp(s[n, ROW])
    cash = s[n, CASH]
    units = s[n, UNITS]
    entry = s[n, ENTRY]
    held = s[n, HELD]
    costs = s[n, COSTS]
    action = min(max(action, -1.0), 1.0)
    if t.alpha < 1.0:
        action = t.alpha * action + (1.0 - t.alpha) * s[n, SMOOTHED]
        s[n, SMOOTHED] = action
    close = table[row + np.uintp(1), CLOSE]
    price = table[row, CLOSE] if t.at_close != 0.0 else table[row + np.uintp(1), OPEN]
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
        if units * left <= 0.0:
            entry = fill if left != 0.0 else 0.0
            held = 0.0
        elif abs(left) > abs(units):
            entry = (units * entry + quantity * fill) / left
        s[n, ENTRY] = entry
        s[n, FILL_PRICE] = fill
        costs += fee + abs(quantity) * price * friction
        cash = max(cash - quantity * fill - fee, 0.0)
        units = left
        s[n, UNITS] = units
    if units < 0.0:
        charge = min(-units * close * borrow, cash)
        cash -= charge
        costs += charge
    equity = cash + units * close
    growth = equity / s[n, EQUITY]
    s[n, COSTS] = costs
    s[n, CASH] = cash
    s[n, EQUITY] = equity
    s[n, PEAK] = max(s[n, PEAK], equity)
    s[n, EXPOSURE] = units * close / equity if equity > 0.0 else 0.0
    s[n, HELD] = held + 1.0 if units != 0.0 else 0.0
    s[n, ROW] = np.float64(row) + 1.0
    top = close if units > 0.0 else entry
    bottom = entry if units > 0.0 else close
    return growth, top / bottom if units != 0.0 else 1.0


@_inline
def _observe(rules: Any, features: Any, s: Any, n: Any, gain: Any, out: Any) -> None:
    """Write lane n's F features and five portfolio fields (``gain`` the second) into ``out``."""
    row = np.uintp(s[n, ROW])
    width = features.shape[1]
    held = np.uintp(min(s[n, HELD], rules.shape[0] - N_TERMS - 1.0))
    for j in range(width):
        out[n, j] = features[row, j]
    out[n, width] = s[n, EXPOSURE]
    out[n, width + 1] = gain
    out[n, width + 2] = rules[np.uintp(N_TERMS) + held]
    out[n, width + 3] = max(s[n, EQUITY] / s[n, PEAK] - 1.0, -1.0)
    out[n, width + 4] = s[n, SMOOTHED]


@_apart
def _start(
    t: Any,
    rules: Any,
    features: Any,
    instruments: Any,
    schedule: Any,
    s: Any,
    n: Any,
    out: Any,
) -> None:
    """Begin lane n's next episode: instrument and first row from the lane's own counters."""
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
    for j in range(STATE_SIZE):
        s[n, j] = 0.0
    s[n, CASH] = t.initial_cash
    s[n, EQUITY] = t.initial_cash
    s[n, PEAK] = t.initial_cash
    s[n, START_ROW] = first
    s[n, ROW] = first
    s[n, END_ROW] = first + length
    s[n, INSTRUMENT] = k
    s[n, EPISODE] = episode
    _observe(rules, features, s, n, 0.0, out)


@_apart
def _finish(rules: Any, features: Any, s: Any, n: Any, gain: Any, final: Any, out: Any) -> None:
    """Keep what lane n's ended episode led to."""
    for j in range(STATE_SIZE):
        final[n, j] = s[n, j]
    _observe(rules, features, s, n, _log(gain), out)


@_compile
def reset_lanes(
    rules: Any,
    features: Any,
    table: Any,
    instruments: Any,
    schedule: Any,
    state: Any,
    observations: Any,
    flows: Any,
    ended: Any,
) -> None:
    """Start the next episode of every lane and write its first observation.

    Args:
        rules: [16 + H] float64: ``SimulatorConfig.terms()``, then what 0 … H - 1 bars held read
            as in the observation.
        features: [sumT, F] float32.
        table: [sumT, 3] float64: open, close, volume.
        instruments: [K, 3] float64: first row, row behind the last, borrow cost a bar.
        schedule: [4] int64: seed, bars of an episode, random start (0/1), auto-reset (0/1).
        state: [2, N, STATE_SIZE] float64; the first layer is written.
        observations: [2, N, F + 5] float32; the first layer is written.
        flows: [3, N] float64, see :func:`step_lanes`; not touched.
        ended: [2, N] bool, written: False.
    """
    t = _read_terms(rules)
    s, out = state[NOW], observations[NOW]
    for lane in range(s.shape[0]):
        _start(t, rules, features, instruments, schedule, s, lane, out)
        ended[0, lane] = False
        ended[1, lane] = False


@_inline
def _step(
    t: Any,
    rules: Any,
    features: Any,
    table: Any,
    instruments: Any,
    schedule: Any,
    state: Any,
    observations: Any,
    flows: Any,
    ended: Any,
) -> None:
    """The loop of :func:`step_lanes`, all but the logarithms."""
    auto_reset = schedule[AUTO_RESET] != 0
    s, final_state = state[NOW], state[FINAL]
    out, final_out = observations[NOW], observations[FINAL]
    for lane in range(s.shape[0]):
        borrow = instruments[np.uintp(s[lane, INSTRUMENT]), BORROW]
        growth, gain = _advance(t, table, borrow, flows[ACTION, lane], s, lane)
        terminated = s[lane, EQUITY] <= t.ruin_equity
        truncated = s[lane, ROW] >= s[lane, END_ROW] and not terminated
        ended[0, lane] = terminated
        ended[1, lane] = truncated
        flows[REWARD, lane] = max(growth, SMALLEST_GROWTH)
        if auto_reset and (terminated or truncated):
            _finish(rules, features, s, lane, gain, final_state, final_out)
            _start(t, rules, features, instruments, schedule, s, lane, out)
            flows[GAIN, lane] = 1.0
        else:
            _observe(rules, features, s, lane, 0.0, out)
            flows[GAIN, lane] = gain


@_compile
def step_lanes(
    rules: Any,
    features: Any,
    table: Any,
    instruments: Any,
    schedule: Any,
    state: Any,
    observations: Any,
    flows: Any,
    ended: Any,
) -> int:
    """Advance every lane by one bar; lanes that end start their next episode in the same call.

    Args (beyond :func:`reset_lanes`):
        state, observations: the second layer's row n is written when lane n ended.
        flows: [3, N] float64: the action, read; the log change of equity, written; the log gain
            of the position's price, written.
        ended: [2, N] bool, written: terminated, truncated.

    Returns:
        -1, or the first lane whose action is not a number; then nothing has been changed.
    """
    n_lanes = state.shape[1]
    for lane in range(n_lanes):
        if math.isnan(flows[ACTION, lane]):
            return lane
    t = _read_terms(rules)
    if _is_plain(t):
        _step(
            _plain(t), rules, features, table, instruments, schedule,
            state, observations, flows, ended,
        )  # fmt: skip
    else:
        _step(t, rules, features, table, instruments, schedule, state, observations, flows, ended)
    for row in range(REWARD, GAIN + 1):
        for lane in range(n_lanes):
            flows[row, lane] = _log(flows[row, lane])
    gain_column = features.shape[1] + 1
    for lane in range(n_lanes):
        observations[NOW, lane, gain_column] = flows[GAIN, lane]
    return -1


@_inline
def _count_trip(t: Any, cash: Any, units: Any, row: Any, s: Any, c: Any, n: Any) -> None:
    """Book a round trip that this bar's fill ended, and the beginning of the next.

    A trip's net profit is the cash when flat after it less the cash when flat before it.
    ``cash`` and ``units`` are those before the fill.
    """
    quantity = s[n, FILLED]
    c[ORDERS, n] += 1.0
    c[NOTIONAL, n] += abs(quantity) * s[n, FILL_PRICE]
    left = s[n, UNITS]
    flat_cash = cash
    if units != 0.0 and units * left <= 0.0:
        fill = s[n, FILL_PRICE]
        flat_cash = cash + units * fill - abs(units) * fill * t.commission
        c[TRIPS, n] += 1.0
        c[TRIP_BARS, n] += row - c[TRIP_START, n]
        if flat_cash > c[TRIP_CASH, n]:
            c[WINS, n] += 1.0
    if left != 0.0 and units * left <= 0.0:
        c[TRIP_CASH, n] = flat_cash
        c[TRIP_START, n] = row


@_inline
def _trade_row(
    t: Any, table: Any, borrow: Any, i: Any, actions: Any, s: Any, c: Any, fills: Any, prices: Any
) -> Any:
    """Row i of :func:`run_columns` for every column, all but the logarithms."""
    record_fills = fills.shape[0] > 0
    for k in range(actions.shape[1]):
        quantity = 0.0
        c[GROWTH, k] = 1.0
        if c[RUIN_ROW, k] < 0.0:
            if math.isnan(actions[i, k]):
                return k
            cash = s[k, CASH]
            units = s[k, UNITS]
            growth, _ = _advance(t, table, borrow, actions[i, k], s, k)
            quantity = s[k, FILLED]
            if quantity != 0.0:
                _count_trip(t, cash, units, i, s, c, k)
            c[GROWTH, k] = max(growth, SMALLEST_GROWTH)
            c[ROWS, k] += 1.0
            if s[k, EQUITY] <= t.ruin_equity:
                c[RUIN_ROW, k] = s[k, ROW]
            c[MAX_DRAWDOWN, k] = min(c[MAX_DRAWDOWN, k], s[k, EQUITY] / s[k, PEAK] - 1.0)
            c[ABS_EXPOSURE, k] += abs(s[k, EXPOSURE])
            c[BARS_HELD, k] += 1.0 if s[k, UNITS] != 0.0 else 0.0
        if record_fills:
            fills[i, k] = quantity
            prices[i, k] = s[k, FILL_PRICE] if quantity != 0.0 else 0.0
    return -1


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
        table: [sumT, 3] float64.
        first: first row.
        borrow: borrow cost a bar.
        state: [K, STATE_SIZE] float64, written: where each column ends.
        statistics: [STATISTICS_SIZE, K] float64, written.
        equity: [T + 1, K] float64 or [0, K]; written when it has rows.
        fills: [T, K] float64 or [0, K]: signed units, likewise.
        fill_prices: [T, K] float64 or [0, K]: 0 where nothing filled, likewise.

    Returns:
        -1, or row · K + column of the first action that is not a number (those after a column's
        ruin are not read).
    """
    n_rows, n_columns = actions.shape
    t = _read_terms(terms)
    c = statistics
    record_equity = equity.shape[0] > 0
    state[:, :] = 0.0
    c[:, :] = 0.0
    for k in range(n_columns):
        state[k, CASH] = t.initial_cash
        state[k, EQUITY] = t.initial_cash
        state[k, PEAK] = t.initial_cash
        state[k, START_ROW] = first
        state[k, ROW] = first
        state[k, END_ROW] = first + n_rows
        c[RUIN_ROW, k] = -1.0
        if record_equity:
            equity[0, k] = t.initial_cash
    for i in range(n_rows):
        bad = _trade_row(t, table, borrow, i, actions, state, c, fills, fill_prices)
        if bad >= 0:
            return int(i * n_columns + bad)
        for k in range(n_columns):
            log_growth = _log(c[GROWTH, k])
            c[SUM_LOG, k] += log_growth
            c[SUM_LOG_SQUARED, k] += log_growth * log_growth
        if record_equity:
            for k in range(n_columns):
                equity[i + 1, k] = state[k, EQUITY]
    return -1
