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

Lanes are kept in blocks of L = 64: ``state`` is ``[2, blocks, STATE_SIZE * L] float64`` (the lanes
as they are, and as the last episode that ended left them), field f of lane n at
``[n // L, f * L + n % L]``, fields named by the constants below; row numbers and counts are stored
as exact floats. So the fields of neighbouring lanes lie side by side at offsets that the compiler
knows, and it carries out the rules for several lanes at once. For that, :func:`_advance` is one
expression after another without early exits; looking up prices and writing observations, which
cannot be vectorised, have loops of their own. The commonest rules have a copy of the code with the
other rules folded away. None of it changes a result: no floating-point rule is relaxed, and a
lane's numbers depend neither on the other lanes nor on its place among them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, TypeVar, cast

import numpy as np
from numba import carray, njit, types
from numba.extending import intrinsic
from numpy.typing import NDArray

from offline_trader.compiled_code import can_be_kept
from offline_trader.simulator.config import Terms
from offline_trader.simulator.observed import single_series
from offline_trader.splitmix import GOLDEN, mix

__all__ = [
    "COLUMN_SIZE",
    "REPORT_SIZE",
    "STATE_SIZE",
    "L",
    "advance_runs",
    "blocks",
    "one_lane",
    "report_lane",
    "reset_lanes",
    "run_columns",
    "step_lane",
    "step_lanes",
]

L = 64
"""Lanes of a block."""
# fields of the state
CASH, UNITS, EQUITY, PEAK, ENTRY, START_ROW, SMOOTHED, EXPOSURE = range(8)
FILLED, FILL_PRICE, COSTS, HELD, ROW, END_ROW, INSTRUMENT, EPISODE = range(8, 16)
STATE_SIZE = 16
# columns of an observation behind the features: types.PortfolioField
SEEN_EXPOSURE, SEEN_RETURN, SEEN_HOLD, SEEN_DRAWDOWN, SEEN_SMOOTHED = range(5)
SEEN_SIZE = 5
# fields of the work space of one block
ACTION, PRICE, CLOSE_NOW, VOLUME_NOW, BORROW_NOW, GROWTH, GAIN, DRAWDOWN, ENDED = range(9)
WORK_SIZE = 9
# columns of the market table
OPEN, CLOSE, VOLUME = range(3)
# columns of the instrument table
START, STOP, BORROW = range(3)
# entries of the schedule
SEED, EPISODE_BARS, RANDOM_START, AUTO_RESET = range(4)
# rows of the flows
ACTIONS, REWARDS = range(2)
# layers of state and observations
NOW, FINAL = range(2)
# fields of the statistics of columns of actions, behind those of the state
ORDERS, NOTIONAL, ABS_EXPOSURE, BARS_HELD, TRIPS, WINS, TRIP_BARS, SUM_LOG = range(16, 24)
SUM_LOG_SQUARED, MAX_DRAWDOWN, TRIP_CASH, TRIP_START, RUIN_ROW, ROWS = range(24, 30)
COLUMN_SIZE = 30

N_TERMS = 16
"""Rules in front of the hold scale."""
ORDER, TARGET_LONG, TARGET_LONG_SHORT = range(3)
SMALLEST_GROWTH = 1e-6
"""Equity that is gone, or below zero, is rewarded as a fall to this share."""
ROUNDING = 1e-9
"""A reducing order that leaves less than this share of the position leaves nothing."""
LARGEST_FRICTION = 0.5
"""Spread, slippage and impact together move a fill by at most this share of the price."""

_F = TypeVar("_F", bound=Callable[..., Any])


def _compile(function: _F) -> _F:
    """Compiled on first use, kept on disk where that can be."""
    return cast(_F, njit(cache=can_be_kept(), nogil=True, error_model="numpy")(function))


def _inline(function: _F) -> _F:
    """Compiled into every caller."""
    return cast(_F, njit(nogil=True, error_model="numpy", forceinline=True)(function))


def _apart(function: _F) -> _F:
    """Compiled once, called."""
    return cast(_F, njit(nogil=True, error_model="numpy")(function))


def blocks(n_lanes: int) -> int:
    """Blocks that hold so many lanes."""
    return -(-n_lanes // L)


@_inline
def _read_terms(v: Any) -> Any:
    return Terms(
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
    return Terms(
        0.0, 0.0, 0.0, t.commission, t.friction, t.min_notional, 0.0, t.max_position,
        t.hold, 0.0, t.dust, 1.0, 0.0, 0.0, t.initial_cash, t.ruin_equity,
    )  # fmt: skip


_mix = _inline(mix)
_single_series = _inline(single_series)


@_inline
def _uniform(seed: Any, lane: Any, episode: Any, purpose: Any) -> Any:
    """Uniform number in [0, 1) that depends on the four counters alone."""
    x = _mix(np.uint64(seed) + GOLDEN)
    x = _mix(x ^ (np.uint64(lane) + GOLDEN))
    x = _mix(x ^ (np.uint64(episode) * GOLDEN + np.uint64(purpose)))
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
def _log_single(x: Any) -> Any:
    """As :func:`_log` to single precision, for what an observation shows."""
    bits = np.float64(x).view(np.int64)
    k = (bits - np.int64(0x3FE6A09E667F3BCD)) >> np.int64(52)
    m = np.int64(bits - (k << np.int64(52))).view(np.float64)
    return _single_series(np.float64(k), m)


@_inline
def _needs_volume(t: Any) -> Any:
    return t.volume_cap > 0.0 or t.impact > 0.0


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
        budget = cash / price * t.max_position
        asked = action * (budget if action > 0.0 else units)
        asked = asked if abs(action) >= t.hold else 0.0
        if t.post_fee != 0.0:
            cost = (1.0 + _friction(t, asked, volume)) * (1.0 + t.commission)
            asked = asked / cost if asked > 0.0 else asked
    else:
        weight = max(action, -1.0 if t.mode == TARGET_LONG_SHORT else 0.0) * t.max_position
        asked = weight * (cash + units * price) / price - units
        asked = asked if abs(weight - exposure) >= t.rebalance else 0.0
        if t.post_fee != 0.0:
            friction = _friction(t, asked, volume)
            bought = 1.0 + weight * ((1.0 + friction) * (1.0 + t.commission) - 1.0)
            sold = 1.0 - weight * (1.0 - (1.0 - friction) * (1.0 - t.commission))
            asked /= bought if asked > 0.0 else sold
    return asked


@_inline
def _fillable_units(t: Any, asked: Any, cash: Any, units: Any, price: Any, volume: Any) -> Any:
    """Asked units after volume cap, lots, cash, dust and minimum notional; units left then."""
    quantity = asked
    if t.volume_cap > 0.0:
        quantity = min(max(quantity, -t.volume_cap * volume), t.volume_cap * volume)
    if t.lot > 0.0:
        quantity = np.trunc(quantity / t.lot + math.copysign(1e-9, quantity)) * t.lot
    share = 1.0 / ((1.0 + _friction(t, quantity, volume)) * (1.0 + t.commission))
    affordable = cash / price * share
    if t.lot > 0.0:
        in_lots = np.floor(affordable / t.lot) * t.lot
        quantity = in_lots if quantity > affordable else quantity
    else:
        quantity = min(quantity, affordable)
    left = units + quantity
    if t.lot > 0.0:
        left = np.round(left / t.lot) * t.lot
        quantity = left - units
    rounding = abs(left) < ROUNDING * abs(units)
    closes = (units * quantity < 0.0) & (rounding | (abs(left) * price < t.dust))
    if t.mode == TARGET_LONG_SHORT:
        cover = (1.0 + _friction(t, units, volume)) * (1.0 + t.commission)
        closes &= (units > 0.0) | (-units * price * cover <= cash)
    quantity = -units if closes else quantity
    left = 0.0 if closes else left
    small = (abs(quantity) * price < t.min_notional) & (left != 0.0)
    return 0.0 if small else quantity, units if small else left


@_inline
def _advance(t: Any, borrow: Any, s: Any, b: Any, j: Any, w: Any) -> None:
    """Carry lane j of block b from the close of its bar to the close of the next.

    Args:
        s: [blocks, ≥ STATE_SIZE * L]; the lane's fields are changed.
        w: [WORK_SIZE * L]: the lane's action, price, close (and volume, borrow cost) are read; its
            growth of equity, close / entry price of its position (inverse when short, 1 when
            flat), drawdown, and end (2: ruin; 1: last row) are written.
    """
    cash = s[b, CASH * L + j]
    units = s[b, UNITS * L + j]
    entry = s[b, ENTRY * L + j]
    price = w[PRICE * L + j]
    close = w[CLOSE_NOW * L + j]
    volume = 1.0
    action = min(max(w[ACTION * L + j], -1.0), 1.0)
    if t.alpha < 1.0:
        action = t.alpha * action + (1.0 - t.alpha) * s[b, SMOOTHED * L + j]
        s[b, SMOOTHED * L + j] = action
    if _needs_volume(t):
        volume = w[VOLUME_NOW * L + j]
        volume = volume if volume > 0.0 else 1.0
    asked = _asked_units(t, action, cash, units, s[b, EXPOSURE * L + j], price, volume)
    if _needs_volume(t):
        asked = asked if w[VOLUME_NOW * L + j] > 0.0 else 0.0
    quantity, left = _fillable_units(t, asked, cash, units, price, volume)
    friction = _friction(t, quantity, volume)
    fill = price * (1.0 + math.copysign(friction, quantity))
    fee = abs(quantity) * fill * t.commission
    average = (units * entry + quantity * fill) / left
    opens = (units * left <= 0.0) & (quantity != 0.0)
    entry = average if abs(left) > abs(units) else entry
    entry = fill if opens else entry
    entry = entry if left != 0.0 else 0.0
    costs = fee + abs(quantity) * price * friction
    cash = max(cash - quantity * fill - fee, 0.0)
    if t.mode == TARGET_LONG_SHORT:
        charge = min(-left * close * borrow, cash) if left < 0.0 else 0.0
        cash -= charge
        costs += charge
    equity = cash + left * close
    peak = max(s[b, PEAK * L + j], equity)
    held = 1.0 if opens else s[b, HELD * L + j] + 1.0
    row = s[b, ROW * L + j] + 1.0
    w[GROWTH * L + j] = max(equity / s[b, EQUITY * L + j], SMALLEST_GROWTH)
    top = close if left > 0.0 else entry
    bottom = entry if left > 0.0 else close
    w[GAIN * L + j] = top / bottom if left != 0.0 else 1.0
    w[DRAWDOWN * L + j] = max(equity / peak - 1.0, -1.0)
    last = 1.0 if row >= s[b, END_ROW * L + j] else 0.0
    w[ENDED * L + j] = 2.0 if equity <= t.ruin_equity else last
    s[b, CASH * L + j] = cash
    s[b, UNITS * L + j] = left
    s[b, EQUITY * L + j] = equity
    s[b, PEAK * L + j] = peak
    s[b, ENTRY * L + j] = entry
    s[b, EXPOSURE * L + j] = left * close / equity if equity > 0.0 else 0.0
    s[b, FILLED * L + j] = quantity
    s[b, FILL_PRICE * L + j] = fill
    s[b, COSTS * L + j] += costs
    s[b, HELD * L + j] = held if left != 0.0 else 0.0
    s[b, ROW * L + j] = row


@_apart
def _start(
    t: Any, rules: Any, features: Any, instruments: Any, schedule: Any, s: Any, n: Any, out: Any
) -> None:
    """Begin lane n's next episode: instrument and first row from the lane's own counters."""
    b, j = n // L, n % L
    episode = int(s[b, EPISODE * L + j]) + 1
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
    for field in range(STATE_SIZE):
        s[b, field * L + j] = 0.0
    s[b, CASH * L + j] = t.initial_cash
    s[b, EQUITY * L + j] = t.initial_cash
    s[b, PEAK * L + j] = t.initial_cash
    s[b, START_ROW * L + j] = first
    s[b, ROW * L + j] = first
    s[b, END_ROW * L + j] = first + length
    s[b, INSTRUMENT * L + j] = k
    s[b, EPISODE * L + j] = episode
    width = features.shape[1]
    for i in range(width):
        out[n, i] = features[first, i]
    for i in range(width, width + SEEN_SIZE):
        out[n, i] = 0.0


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
        state: [2, blocks, STATE_SIZE * L] float64; the first layer is written.
        observations: [2, N, F + 5] float32; the first layer is written.
        flows: [2, N] float64, see :func:`step_lanes`; not touched.
        ended: [2, N] bool, written: False.
    """
    t = _read_terms(rules)
    s, out = state[NOW], observations[NOW]
    for lane in range(out.shape[0]):
        _start(t, rules, features, instruments, schedule, s, lane, out)
        ended[0, lane] = False
        ended[1, lane] = False


@_inline
def _look_up(
    t: Any, table: Any, instruments: Any, s: Any, b: Any, count: Any, flows: Any, w: Any
) -> None:
    """Bring the actions and prices of a block's lanes together in the work space."""
    for j in range(count):
        row = np.uintp(s[b, ROW * L + j])
        w[CLOSE_NOW * L + j] = table[row + np.uintp(1), CLOSE]
        if t.at_close != 0.0:
            w[PRICE * L + j] = table[row, CLOSE]
        else:
            w[PRICE * L + j] = table[row + np.uintp(1), OPEN]
        if _needs_volume(t):
            w[VOLUME_NOW * L + j] = table[row, VOLUME]
        if t.mode == TARGET_LONG_SHORT:
            k = np.uintp(s[b, INSTRUMENT * L + j])
            w[BORROW_NOW * L + j] = instruments[k, BORROW]
    for j in range(count):
        w[ACTION * L + j] = flows[ACTIONS, b * L + j]


@_inline
def _show(
    rules: Any, features: Any, s: Any, b: Any, count: Any, w: Any, out: Any, flows: Any, ended: Any
) -> Any:
    """Write a block's observations, rewards and ends; whether any lane ended."""
    width = features.shape[1]
    longest = rules.shape[0] - N_TERMS - 1.0
    any_ended = 0.0
    for j in range(count):
        n = b * L + j
        row = np.uintp(s[b, ROW * L + j])
        for i in range(width):
            out[n, i] = features[row, i]
        out[n, width + SEEN_EXPOSURE] = s[b, EXPOSURE * L + j]
        out[n, width + SEEN_RETURN] = w[GAIN * L + j]
        held = np.uintp(min(s[b, HELD * L + j], longest))
        out[n, width + SEEN_HOLD] = rules[np.uintp(N_TERMS) + held]
        out[n, width + SEEN_DRAWDOWN] = w[DRAWDOWN * L + j]
        out[n, width + SEEN_SMOOTHED] = s[b, SMOOTHED * L + j]
        flows[REWARDS, n] = w[GROWTH * L + j]
        end = w[ENDED * L + j]
        ended[0, n] = end == 2.0
        ended[1, n] = end == 1.0
        any_ended += end
    return any_ended > 0.0


@_apart
def _restart(
    t: Any, rules: Any, features: Any, instruments: Any, schedule: Any,
    state: Any, observations: Any, b: Any, count: Any, w: Any,
) -> None:  # fmt: skip
    """Keep what a block's ended lanes led to, and start their next episodes."""
    for j in range(count):
        if w[ENDED * L + j] == 0.0:
            continue
        n = b * L + j
        for field in range(STATE_SIZE):
            state[FINAL, b, field * L + j] = state[NOW, b, field * L + j]
        for i in range(observations.shape[2]):
            observations[FINAL, n, i] = observations[NOW, n, i]
        _start(t, rules, features, instruments, schedule, state[NOW], n, observations[NOW])


@_inline
def _step(
    t: Any, rules: Any, features: Any, table: Any, instruments: Any, schedule: Any,
    state: Any, observations: Any, flows: Any, ended: Any,
) -> None:  # fmt: skip
    """:func:`step_lanes` for given terms."""
    s, out = state[NOW], observations[NOW]
    n_lanes = out.shape[0]
    w = np.empty(WORK_SIZE * L)
    for b in range(s.shape[0]):
        count = min(L, n_lanes - b * L)
        _look_up(t, table, instruments, s, b, count, flows, w)
        for j in range(count):
            _advance(t, w[BORROW_NOW * L + j], s, b, j, w)
            w[GROWTH * L + j] = _log(w[GROWTH * L + j])
            w[GAIN * L + j] = _log_single(w[GAIN * L + j])
        if _show(rules, features, s, b, count, w, out, flows, ended) and schedule[AUTO_RESET] != 0:
            _restart(t, rules, features, instruments, schedule, state, observations, b, count, w)


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
        state, observations: the second layer's lane n is written when lane n ended.
        flows: [2, N] float64: the action, read; the log change of equity, written.
        ended: [2, N] bool, written: terminated, truncated.

    Returns:
        -1, or the first lane whose action is not a number; then nothing has been changed.
    """
    for lane in range(flows.shape[1]):
        if math.isnan(flows[ACTIONS, lane]):
            return lane
    t = _read_terms(rules)
    if _is_plain(t):
        _step(
            _plain(t), rules, features, table, instruments, schedule,
            state, observations, flows, ended,
        )  # fmt: skip
    else:
        _step(t, rules, features, table, instruments, schedule, state, observations, flows, ended)
    return -1


# numbers of the report of one lane
REPORT_SIZE = 11
"""Reward, equity, realised and unrealised profit, drawdown, return since the start, exposure, units
filled, fill price (0 without a fill), costs paid, market row."""


def one_lane(arguments: Sequence[NDArray[Any]], report: NDArray[np.float64]) -> NDArray[np.int64]:
    """[15] int64: where the arguments of a simulator of one lane lie, for :func:`step_lane`.

    Handing over nine arrays costs more than a step of one lane does. The arrays are contiguous and
    have to be kept for as long as the addresses are used.

    Args:
        arguments: those of :func:`step_lanes`.
        report: [REPORT_SIZE], written.
    """
    rules, features, _, instruments = arguments[:4]
    sizes = (len(rules), *features.shape, len(instruments), arguments[6].shape[2])
    arrays = (*arguments, report)
    assert all(array.flags.c_contiguous for array in arrays)
    return np.array([array.ctypes.data for array in arrays] + list(sizes), dtype=np.int64)


@intrinsic  # type: ignore[untyped-decorator]
def _pointer(typing: Any, address: Any) -> Any:
    """The pointer of an address."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.inttoptr(arguments[0], context.get_value_type(types.voidptr))

    return types.voidptr(address), generate


@_inline
def _one_lane_arrays(a: Any) -> Any:
    """The arrays behind :func:`one_lane`'s addresses."""
    rules, rows, width, instruments, seen = a[10], a[11], a[12], a[13], a[14]
    return (
        carray(_pointer(a[0]), (rules,), np.float64),
        carray(_pointer(a[1]), (rows, width), np.float32),
        carray(_pointer(a[2]), (rows, 3), np.float64),
        carray(_pointer(a[3]), (instruments, 3), np.float64),
        carray(_pointer(a[4]), (4,), np.int64),
        carray(_pointer(a[5]), (2, 1, STATE_SIZE * L), np.float64),
        carray(_pointer(a[6]), (2, 1, seen), np.float32),
        carray(_pointer(a[7]), (2, 1), np.float64),
        carray(_pointer(a[8]), (2, 1), np.bool_),
    )


@_compile
def report_lane(addresses: Any) -> None:
    """Write the report of a simulator of one lane, see :func:`one_lane`."""
    rules, _, _, _, _, state, _, flows, _ = _one_lane_arrays(addresses)
    report = carray(_pointer(addresses[9]), (REPORT_SIZE,), np.float64)
    s, initial_cash = state[NOW, 0], _read_terms(rules).initial_cash
    equity, filled = s[EQUITY * L], s[FILLED * L]
    unrealised = equity - s[CASH * L] - s[UNITS * L] * s[ENTRY * L]
    profit = equity - initial_cash
    report[0] = flows[REWARDS, 0]
    report[1] = equity
    report[2] = profit - unrealised
    report[3] = unrealised
    report[4] = max(equity / s[PEAK * L] - 1.0, -1.0)
    report[5] = profit / initial_cash
    report[6] = s[EXPOSURE * L]
    report[7] = filled
    report[8] = s[FILL_PRICE * L] if filled != 0.0 else 0.0
    report[9] = s[COSTS * L]
    report[10] = s[ROW * L]


@_compile
def step_lane(addresses: Any, action: Any) -> int:
    """:func:`step_lanes` and :func:`report_lane` for a simulator of one lane.

    Returns:
        0; 1 where the episode was terminated, 2 truncated; -1: the action is not a number, and
        nothing has been changed.
    """
    arrays = _one_lane_arrays(addresses)
    flows, ended = arrays[7], arrays[8]
    flows[ACTIONS, 0] = action
    if step_lanes(*arrays) >= 0:
        return -1
    report_lane(addresses)
    return 1 if ended[0, 0] else 2 if ended[1, 0] else 0


@_inline
def _count(t: Any, cash: Any, units: Any, i: Any, s: Any, b: Any, j: Any, w: Any) -> None:
    """Add row i to a column's statistics.

    A round trip's net profit is the cash when flat after it less the cash when flat before it.
    ``cash`` and ``units`` are those before the fill.
    """
    quantity = s[b, FILLED * L + j]
    fill = s[b, FILL_PRICE * L + j]
    left = s[b, UNITS * L + j]
    filled = quantity != 0.0
    turns = filled & (units * left <= 0.0)
    closed = turns & (units != 0.0)
    opened = turns & (left != 0.0)
    flat_cash = cash + units * fill - abs(units) * fill * t.commission
    start = s[b, TRIP_START * L + j]
    won = closed & (flat_cash > s[b, TRIP_CASH * L + j])
    log_growth = w[GROWTH * L + j]
    s[b, ORDERS * L + j] += 1.0 if filled else 0.0
    s[b, NOTIONAL * L + j] += abs(quantity) * fill
    s[b, TRIPS * L + j] += 1.0 if closed else 0.0
    s[b, TRIP_BARS * L + j] += i - start if closed else 0.0
    s[b, WINS * L + j] += 1.0 if won else 0.0
    s[b, TRIP_CASH * L + j] = flat_cash if opened else s[b, TRIP_CASH * L + j]
    s[b, TRIP_START * L + j] = i if opened else start
    s[b, SUM_LOG * L + j] += log_growth
    s[b, SUM_LOG_SQUARED * L + j] += log_growth * log_growth
    s[b, MAX_DRAWDOWN * L + j] = min(s[b, MAX_DRAWDOWN * L + j], w[DRAWDOWN * L + j])
    s[b, ABS_EXPOSURE * L + j] += abs(s[b, EXPOSURE * L + j])
    s[b, BARS_HELD * L + j] += 1.0 if left != 0.0 else 0.0
    s[b, ROWS * L + j] += 1.0


@_apart
def _settle(row: Any, s: Any, b: Any, count: Any, w: Any, frozen: Any) -> None:
    """Note a block's columns that were ruined at ``row``, and undo what others did after it."""
    for j in range(count):
        if s[b, RUIN_ROW * L + j] >= 0.0:
            for field in range(COLUMN_SIZE):
                s[b, field * L + j] = frozen[field * L + j]
        elif w[ENDED * L + j] == 2.0:
            s[b, RUIN_ROW * L + j] = row
            for field in range(COLUMN_SIZE):
                frozen[field * L + j] = s[b, field * L + j]
            frozen[FILLED * L + j] = 0.0


@_inline
def _run_block(
    t: Any, actions: Any, table: Any, first: Any, borrow: Any, s: Any, b: Any, count: Any,
    equity: Any, fills: Any, fill_prices: Any,
) -> None:  # fmt: skip
    """:func:`run_columns` for one block and given terms."""
    w = np.empty(WORK_SIZE * L)
    frozen = np.empty(COLUMN_SIZE * L)
    n_rows = actions.shape[0]
    for i in range(n_rows):
        row = np.uintp(first + i)
        close = table[row + np.uintp(1), CLOSE]
        price = table[row, CLOSE] if t.at_close != 0.0 else table[row + np.uintp(1), OPEN]
        volume = table[row, VOLUME]
        for j in range(count):
            w[ACTION * L + j] = actions[i, b * L + j]
        for j in range(count):
            w[CLOSE_NOW * L + j] = close
            w[PRICE * L + j] = price
            w[VOLUME_NOW * L + j] = volume
        dead = 0
        for j in range(count):
            cash = s[b, CASH * L + j]
            units = s[b, UNITS * L + j]
            _advance(t, borrow, s, b, j, w)
            w[GROWTH * L + j] = _log(w[GROWTH * L + j])
            _count(t, cash, units, float(i), s, b, j, w)
            dead += 1 if (w[ENDED * L + j] == 2.0) | (s[b, RUIN_ROW * L + j] >= 0.0) else 0
        if dead > 0:
            _settle(float(first + i + 1), s, b, count, w, frozen)
        if equity.shape[0] > 0:
            for j in range(count):
                equity[i + 1, b * L + j] = s[b, EQUITY * L + j]
        if fills.shape[0] > 0:
            for j in range(count):
                quantity = s[b, FILLED * L + j]
                fills[i, b * L + j] = quantity
                fill_prices[i, b * L + j] = s[b, FILL_PRICE * L + j] if quantity != 0.0 else 0.0


@_compile
def run_columns(
    actions: Any,
    terms: Any,
    table: Any,
    first: Any,
    borrow: Any,
    state: Any,
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
        state: [blocks, COLUMN_SIZE * L] float64, written: where each column ends, statistics.
        equity: [T + 1, K] float64 or [0, K]; written when it has rows.
        fills: [T, K] float64 or [0, K]: signed units, likewise.
        fill_prices: [T, K] float64 or [0, K]: 0 where nothing filled, likewise.

    Returns:
        -1, or row · K + column of an action that is not a number.
    """
    n_rows, n_columns = actions.shape
    t = _read_terms(terms)
    for i in range(n_rows):
        for k in range(n_columns):
            if math.isnan(actions[i, k]):
                return int(i * n_columns + k)
    state[:, :] = 0.0
    for b in range(state.shape[0]):
        count = min(L, n_columns - b * L)
        for j in range(count):
            state[b, CASH * L + j] = t.initial_cash
            state[b, EQUITY * L + j] = t.initial_cash
            state[b, PEAK * L + j] = t.initial_cash
            state[b, START_ROW * L + j] = first
            state[b, ROW * L + j] = first
            state[b, END_ROW * L + j] = first + n_rows
            state[b, RUIN_ROW * L + j] = -1.0
            if equity.shape[0] > 0:
                equity[0, b * L + j] = t.initial_cash
        _run_block(t, actions, table, first, borrow, state, b, count, equity, fills, fill_prices)
    return -1


@_apart
def _commit(
    s: Any, rules: Any, features: Any, table: Any, instruments: Any, schedule: Any, state: Any,
    observations: Any, flows: Any, ended: Any, delay: Any, decided: Any, foreseen: Any,
    first: Any, count: Any, t: Any, actions: Any, record: Any, seen: Any,
) -> Any:  # fmt: skip
    """Carry out run s's decided actions until an observation is not the foreseen one."""
    portfolio = features.shape[1]
    width = foreseen.shape[1]
    for i in range(count):
        if math.isnan(decided[first + i]):
            return -1 - t
        actions[s, t] = decided[first + i]
        flows[ACTIONS, 0] = actions[s, t - delay] if t >= delay else 0.0
        if seen.shape[0] > 0:
            for c in range(width):
                seen[s, t, c] = observations[NOW, 0, c]
        step_lanes(rules, features, table, instruments, schedule, state, observations, flows, ended)
        record[0, s, t] = state[NOW, 0, EQUITY * L]
        record[1, s, t] = state[NOW, 0, EXPOSURE * L]
        filled = state[NOW, 0, FILLED * L]
        record[2, s, t] = filled
        record[3, s, t] = state[NOW, 0, FILL_PRICE * L] if filled != 0.0 else 0.0
        t += 1
        if ended[0, 0] or ended[1, 0]:
            break
        if i + 1 < count:
            for c in range(portfolio, width):
                if observations[NOW, 0, c] != foreseen[first + i + 1, c]:
                    return t
    return t


@_apart
def _foresee(
    s: Any, rules: Any, features: Any, table: Any, instruments: Any, schedule: Any, state: Any,
    observations: Any, flows: Any, ended: Any, delay: Any, foreseen: Any,
    first: Any, count: Any, t: Any, actions: Any, scratch: Any,
) -> None:  # fmt: skip
    """Write the observations of run s's next ``count`` bars as they are if it does not trade."""
    width = foreseen.shape[1]
    for c in range(width):
        foreseen[first, c] = observations[NOW, 0, c]
    if count == 1:
        return
    scratch[:] = state[NOW, 0]
    # a target mode keeps what is held by asking for the weight that is there
    keeps = rules[0] != ORDER
    for i in range(1, count):
        due = t + i - 1 - delay
        if due < 0:
            flows[ACTIONS, 0] = 0.0
        elif due < t:
            flows[ACTIONS, 0] = actions[s, due]
        else:
            flows[ACTIONS, 0] = state[NOW, 0, EXPOSURE * L] / rules[7] if keeps else 0.0
        step_lanes(rules, features, table, instruments, schedule, state, observations, flows, ended)
        for c in range(width):
            foreseen[first + i, c] = observations[NOW, 0, c]
    state[NOW, 0] = scratch
    ended[:, :] = False
    for c in range(width):
        observations[NOW, 0, c] = foreseen[first, c]


@_compile
def advance_runs(
    rules: Any,
    features: Any,
    table: Any,
    instruments: Any,
    schedule: Any,
    state: Any,
    observations: Any,
    flows: Any,
    ended: Any,
    delays: Any,
    decided: Any,
    foreseen: Any,
    rows: Any,
    windows: Any,
    longest: Any,
    steps: Any,
    actions: Any,
    record: Any,
    seen: Any,
) -> int:
    """Carry S runs, each with rules and bars of its own, through the bars decided for them.

    Every run has a window of bars whose observations were foreseen as if it did not trade, and for
    which actions have been decided. It goes on as long as the observations turn out to be those
    foreseen, so every action that is carried out was decided on the observation that was there.
    Then the next windows are laid out: twice as long where a window was used up, as long as what
    was used of it otherwise, at most ``longest``. With ``longest`` 1 nothing is foreseen.

    Args (those of :func:`step_lanes` with a leading axis of runs, a lane each, but for
    ``features``, ``table`` and ``schedule``, which all share):
        instruments: [S, 1, 3]: the rows of each run.
        delays: [S] int64: bars by which an action comes late; 0.0 is executed until then.
        decided: [R] float64: actions for the foreseen rows, run after run.
        foreseen: [S * longest, F + 5] float32: those rows' observations, read and written.
        rows: [S * longest] int64, written: their rows of ``table``.
        windows: [S] int64: rows of each run in ``foreseen``, read and written; 0: it has ended.
        steps: [S] int64: bars that each run has behind it, read and written.
        actions: [S, T] float64, written.
        record: [4, S, T] float64, written: equity, exposure, units and price of the fill.
        seen: [S, T, F + 5] float32 or [0, 0, 0]: the observations, written where it has rows.

    Returns:
        R of the next call, 0 when all runs have ended; or -1 - s where run s's action is not a
        number.
    """
    n_runs = windows.size
    scratch = np.empty(STATE_SIZE * L)
    first = 0
    for s in range(n_runs):
        count = windows[s]
        if count == 0:
            continue
        before = steps[s]
        if decided.size > 0:
            after = _commit(
                s, rules[s], features, table, instruments[s], schedule, state[s], observations[s],
                flows[s], ended[s], delays[s], decided, foreseen, first, count, before, actions,
                record, seen,
            )  # fmt: skip
            if after < 0:
                return -1 - s
            steps[s] = after
        first += count
        if ended[s, 0, 0] or ended[s, 1, 0]:
            windows[s] = 0
            continue
        if decided.size > 0:
            used = steps[s] - before
            count = 2 * count if used == count else used
        left = int(instruments[s, 0, STOP] - instruments[s, 0, START]) - 1 - steps[s]
        windows[s] = min(count, longest, left)
    first = 0
    for s in range(n_runs):
        count = windows[s]
        if count == 0:
            continue
        _foresee(
            s, rules[s], features, table, instruments[s], schedule, state[s], observations[s],
            flows[s], ended[s], delays[s], foreseen, first, count, steps[s], actions, scratch,
        )  # fmt: skip
        for i in range(count):
            rows[first + i] = int(state[s, NOW, 0, ROW * L]) + i
        first += count
    return first
