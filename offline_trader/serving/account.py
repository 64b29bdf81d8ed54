"""One portfolio by the simulator's rules, without a compiler: the account of a bar-by-bar session.

The rules are those of :mod:`offline_trader.simulator.kernel` in the same order of operations, so
that both give the same bits; ``tests/serving/test_account.py`` holds them to that over every order
mode, sizing, cost and limit. What is here besides is the reason why an action fills nothing, which
a simulation of thousands of lanes need not know and whoever runs a policy has to.
"""

from __future__ import annotations

import math
from enum import StrEnum
from typing import NamedTuple

from offline_trader.simulator import SimulatorConfig
from offline_trader.simulator.config import Terms
from offline_trader.simulator.observed import hold_scale, log_single
from offline_trader.types import Observations

__all__ = ["FLAT", "Fill", "Hold", "Plan", "Portfolio", "adopt", "carry", "observe", "plan"]

_ORDER, _TARGET_LONG_SHORT = 0.0, 2.0
_LARGEST_FRICTION = 0.5
_ROUNDING = 1e-9
_MOST = 1e150
"""Units, or lots, beyond which nothing is traded: a price near 0 that stands for none would make
an account's value no number for good."""
_HOLD_SCALE = hold_scale().tolist()


class Hold(StrEnum):
    """Why a decision comes without an order."""

    WARMING_UP = "warming up"
    NO_FEATURES = "no features"
    NO_ACTION = "no action"
    STALE = "stale bar"
    GAP = "missing bars"
    REPEATED = "repeated bar"
    RUINED = "ruined"
    HOLD_ZONE = "hold zone"
    AT_TARGET = "at target"
    NOTHING_HELD = "nothing held"
    NO_CASH = "no cash"
    NO_VOLUME = "no volume"
    BELOW_LOT = "below a lot"
    BELOW_MINIMUM = "below the minimum"


class Portfolio(NamedTuple):
    """A portfolio at the close of a bar.

    Attributes:
        cash: quote currency.
        units: signed units held.
        equity: cash + units · close.
        peak: highest equity so far.
        entry: average fill price of the open position, 0 when flat.
        exposure: signed position value / equity.
        smoothed: state of the action smoother, 0 when smoothing is off.
        bars_held: bars since the position was opened, that of the fill included.
        costs: commission, friction and borrow cost so far.
        gain: close / entry price of a long position, the inverse of a short one, 1 when flat.
    """

    cash: float
    units: float
    equity: float
    peak: float
    entry: float = 0.0
    exposure: float = 0.0
    smoothed: float = 0.0
    bars_held: float = 0.0
    costs: float = 0.0
    gain: float = 1.0

    @property
    def drawdown(self) -> float:
        """equity / its running maximum − 1, in [−1, 0]."""
        return max(self.equity / self.peak - 1.0, -1.0)


class Fill(NamedTuple):
    """What was filled: signed units (0: nothing) at a price, friction included, and commission."""

    units: float
    price: float
    commission: float


class Plan(NamedTuple):
    """What an action comes to at a price.

    Attributes:
        executed: the action after clipping and smoothing.
        units: signed units to trade, 0 where nothing is.
        left: signed units held afterwards.
        hold: why nothing is traded, or None.
    """

    executed: float
    units: float
    left: float
    hold: Hold | None


FLAT = Fill(0.0, 0.0, 0.0)
"""No fill."""


def start(rules: SimulatorConfig) -> Portfolio:
    """The portfolio before its first bar."""
    cash = rules.initial_cash
    return Portfolio(cash, 0.0, cash, cash)


def plan(t: Terms, p: Portfolio, action: float, price: float, volume: float) -> Plan:
    """What ``action`` comes to for portfolio ``p`` at ``price`` (``docs/simulator.md``).

    Args:
        t: the trading rules.
        action: clipped to [−1, 1], then smoothed.
        price: at which the order is sized, quote currency; friction comes on top.
        volume: of the bar that the action was decided on.
    """
    executed = min(max(action, -1.0), 1.0)
    if t.alpha < 1.0:
        executed = t.alpha * executed + (1.0 - t.alpha) * p.smoothed
    needs_volume = t.volume_cap > 0.0 or t.impact > 0.0
    if needs_volume and not volume > 0.0:
        return Plan(executed, 0.0, p.units, Hold.NO_VOLUME)
    asked, hold = _asked_units(t, p, executed, price, volume)
    if asked == 0.0:
        return Plan(executed, 0.0, p.units, hold or _nothing_to_do(t, executed))
    if not abs(asked) < _MOST * min(t.lot or 1.0, 1.0):
        return Plan(executed, 0.0, p.units, Hold.NO_ACTION)
    units, left, hold = _fillable_units(t, p, asked, price, volume)
    return Plan(executed, units, left, hold)


def carry(
    t: Terms,
    p: Portfolio,
    action: float | None,
    *,
    price: float,
    close: float,
    volume: float,
    borrow: float,
    units: float | None = None,
) -> tuple[Portfolio, Fill]:
    """``p`` from the close of its bar to the close of the next, and what was filled between them.

    Args:
        t: the trading rules.
        action: as decided; None: nothing is traded, and the smoother stays as it is.
        price: at which the order fills before friction.
        close: of the next bar.
        volume: of the bar that the action was decided on.
        borrow: cost of a short position a bar, as a fraction.
        units: signed units that are traded, within what cash and limits allow, in place of what
            the action comes to; the action moves the smoother all the same.
    """
    if action is None:
        done = Plan(p.smoothed, 0.0, p.units, None)
    else:
        done = plan(t, p, action, price, volume)
        if units == 0.0:
            done = done._replace(units=0.0, left=p.units)
        elif units is not None:
            traded, left, _ = _fillable_units(t, p, units, price, volume)
            done = done._replace(units=traded, left=left)
    quantity, left = done.units, done.left
    friction = _friction(t, quantity, volume)
    fill = price * (1.0 + math.copysign(friction, quantity))
    fee = abs(quantity) * fill * t.commission
    opens = p.units * left <= 0.0 and quantity != 0.0
    entry = p.entry
    if opens:
        entry = fill
    elif abs(left) > abs(p.units):
        entry = (p.units * p.entry + quantity * fill) / left
    costs = fee + abs(quantity) * price * friction
    cash = max(p.cash - quantity * fill - fee, 0.0)
    if t.mode == _TARGET_LONG_SHORT and left < 0.0:
        charge = min(-left * close * borrow, cash)
        cash -= charge
        costs += charge
    held = 1.0 if opens else p.bars_held + 1.0
    smoothed = done.executed if t.alpha < 1.0 else 0.0
    after = _marked(p, cash, left, entry, close, held, smoothed, p.costs + costs)
    return after, (Fill(quantity, fill, fee) if quantity != 0.0 else FLAT)


def adopt(
    t: Terms,
    p: Portfolio,
    action: float | None,
    *,
    cash: float,
    units: float,
    entry: float,
    close: float,
) -> Portfolio:
    """``p`` at the next close where the broker says what is held, whatever was filled of an order.

    Args:
        t: the trading rules.
        action: the last one as decided, which moves the smoother; None: it stays.
        cash, units, entry: the broker's.
        close: of the next bar.
    """
    smoothed = p.smoothed
    if action is not None and t.alpha < 1.0:
        smoothed = t.alpha * min(max(action, -1.0), 1.0) + (1.0 - t.alpha) * smoothed
    held = p.bars_held + 1.0 if p.units * units > 0.0 else 1.0
    return _marked(p, cash, units, entry, close, held, smoothed, p.costs)


def observe(p: Portfolio, out: Observations) -> None:
    """Write the portfolio into ``out`` [P] float32, as ``PortfolioField`` orders it."""
    # one by one: numpy takes longer to make an array of a tuple
    out[0] = p.exposure
    out[1] = log_single(p.gain) if p.units != 0.0 else 0.0
    out[2] = _HOLD_SCALE[min(int(p.bars_held), len(_HOLD_SCALE) - 1)]
    out[3] = p.drawdown
    out[4] = p.smoothed


def _marked(
    p: Portfolio,
    cash: float,
    units: float,
    entry: float,
    close: float,
    held: float,
    smoothed: float,
    costs: float,
) -> Portfolio:
    """What was held is ``p``; now it is this, marked at ``close``."""
    equity = cash + units * close
    flat = units == 0.0
    gain = 1.0 if flat else close / entry if units > 0.0 else entry / close
    return Portfolio(
        cash,
        units,
        equity,
        max(p.peak, equity),
        0.0 if flat else entry,
        units * close / equity if equity > 0.0 else 0.0,
        smoothed,
        0.0 if flat else held,
        costs,
        gain,
    )


def _friction(t: Terms, quantity: float, volume: float) -> float:
    """Adverse move of the fill as a fraction of the price, square-root impact included."""
    if t.impact > 0.0:
        known = volume if volume > 0.0 else 1.0
        return min(t.friction + t.impact * math.sqrt(abs(quantity) / known), _LARGEST_FRICTION)
    return t.friction


def _asked_units(
    t: Terms, p: Portfolio, action: float, price: float, volume: float
) -> tuple[float, Hold | None]:
    """Signed units that the action asks for, before any limit."""
    if t.mode == _ORDER:
        if abs(action) < t.hold:
            return 0.0, Hold.HOLD_ZONE
        asked = action * (p.cash / price * t.max_position if action > 0.0 else p.units)
        if t.post_fee != 0.0 and asked > 0.0:
            asked = asked / ((1.0 + _friction(t, asked, volume)) * (1.0 + t.commission))
        return asked, None
    lowest = -1.0 if t.mode == _TARGET_LONG_SHORT else 0.0
    weight = max(action, lowest) * t.max_position
    if abs(weight - p.exposure) < t.rebalance:
        return 0.0, Hold.AT_TARGET
    asked = weight * (p.cash + p.units * price) / price - p.units
    if t.post_fee != 0.0:
        friction = _friction(t, asked, volume)
        if asked > 0.0:
            asked /= 1.0 + weight * ((1.0 + friction) * (1.0 + t.commission) - 1.0)
        else:
            asked /= 1.0 - weight * (1.0 - (1.0 - friction) * (1.0 - t.commission))
    return asked, None


def _nothing_to_do(t: Terms, action: float) -> Hold:
    if t.mode != _ORDER:
        return Hold.AT_TARGET
    if action == 0.0:
        return Hold.HOLD_ZONE
    return Hold.NO_CASH if action > 0.0 else Hold.NOTHING_HELD


def _fillable_units(
    t: Terms, p: Portfolio, asked: float, price: float, volume: float
) -> tuple[float, float, Hold | None]:
    """Asked units after volume cap, lots, cash, dust and minimum notional; units left then."""
    quantity, units, cash = asked, p.units, p.cash
    if t.volume_cap > 0.0:
        quantity = min(max(quantity, -t.volume_cap * volume), t.volume_cap * volume)
    if t.lot > 0.0:
        quantity = math.trunc(quantity / t.lot + math.copysign(1e-9, quantity)) * t.lot
    hold = Hold.BELOW_LOT if quantity == 0.0 else None
    share = 1.0 / ((1.0 + _friction(t, quantity, volume)) * (1.0 + t.commission))
    affordable = cash / price * share
    if quantity > affordable:
        quantity = math.floor(affordable / t.lot) * t.lot if t.lot > 0.0 else affordable
        hold = Hold.NO_CASH if quantity == 0.0 else None
    left = units + quantity
    if t.lot > 0.0:
        left = round(left / t.lot) * t.lot
        quantity = left - units
    rounding = abs(left) < _ROUNDING * abs(units)
    closes = units * quantity < 0.0 and (rounding or abs(left) * price < t.dust)
    if closes and t.mode == _TARGET_LONG_SHORT and units < 0.0:
        cover = (1.0 + _friction(t, units, volume)) * (1.0 + t.commission)
        closes = -units * price * cover <= cash
    if closes:
        return -units, 0.0, None
    if abs(quantity) * price < t.min_notional and left != 0.0:
        return 0.0, units, hold or Hold.BELOW_MINIMUM
    return quantity, left, hold
