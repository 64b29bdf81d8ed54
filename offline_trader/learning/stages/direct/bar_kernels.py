"""One bar of one portfolio under the simulator's rules, and its adjoint, as scalar compiled code.

The twin :mod:`offline_trader.simulator.differentiable` written out: :func:`bar_step` is its
forward pass for rules without volume and lots, :func:`bar_adjoint` what torch's reverse pass does
with it, surrogate gradients included (derivations: the chain rule, line by line, upwards). At a
tie of a minimum or maximum both sides get half, as in torch.

State, in this order: cash, units, entry, equity, peak, exposure, smoothed, held, gain.
Terms ``c``: mode, close fill (0/1), post-fee (0/1), commission, friction, minimum notional,
largest position, hold, rebalance, dust, alpha, initial cash, ruin equity.
Bar ``x``: reference price of the fill, next close, borrow cost.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from offline_trader.learning.engines.fast.compiled import kernel

__all__ = ["BAR_STATE", "bar_adjoint", "bar_observation", "bar_observation_adjoint", "bar_step"]

BAR_STATE = 9
CASH, UNITS, ENTRY, EQUITY, PEAK, EXPOSURE, SMOOTHED, HELD, GAIN = range(9)
# columns of an observation behind the features: types.PortfolioField
SEEN_EXPOSURE, SEEN_RETURN, SEEN_HOLD, SEEN_DRAWDOWN, SEEN_SMOOTHED = range(5)
MODE, AT_CLOSE, POST_FEE, COMMISSION, FRICTION, MINIMUM, LARGEST, HOLD = range(8)
REBALANCE, DUST, ALPHA, INITIAL_CASH, RUIN = range(8, 13)
ORDER, LONG, LONG_SHORT = 0.0, 1.0, 2.0
SMALLEST_GROWTH = 1e-6
ROUNDING = 1e-9
LOG_253 = 5.53338948872752


@kernel
def _asked(c: Any, action: Any, cash: Any, units: Any, price: Any, unbounded: Any) -> Any:
    """Units asked for without a hold zone; slopes by action, cash and units; the weight."""
    cost = (1.0 + c[FRICTION]) * (1.0 + c[COMMISSION])
    if c[MODE] == ORDER:
        divided = cost if (c[POST_FEE] != 0.0) & (action > 0.0) else 1.0
        if (action > 0.0) | (unbounded & (units == 0.0)):
            budget = cash / price * c[LARGEST]
            slope = budget / divided
            return action * slope, slope, action * c[LARGEST] / price / divided, 0.0, action
        return action * units, units, 0.0, action, action
    lowest = -1.0 if unbounded | (c[MODE] == LONG_SHORT) else 0.0
    weight = max(action, lowest) * c[LARGEST]
    wealth = (cash + units * price) / price
    asked = weight * wealth - units
    by_weight, by_cash, by_units = wealth, weight / price, weight - 1.0
    if c[POST_FEE] != 0.0:
        if asked > 0.0:
            share = cost - 1.0
            divided = 1.0 + weight * share
        else:
            share = (1.0 - c[FRICTION]) * (1.0 - c[COMMISSION]) - 1.0
            divided = 1.0 + weight * share
        asked /= divided
        by_weight = (by_weight - asked * share) / divided
        by_cash /= divided
        by_units /= divided
    by_action = by_weight * c[LARGEST] if action >= lowest else 0.0
    return asked, by_action, by_cash, by_units, weight


@kernel
def _order(c: Any, action: Any, s: Any, price: Any) -> Any:
    """Units filled and left, side, rule, share of the slope that the cash has, whether flat.

    Rule: 0 as asked or as the cash allows, 1 held, 2 dust is closed, 3 too small.
    """
    cash, units = s[CASH], s[UNITS]
    asked, _, _, _, weight = _asked(c, action, cash, units, price, False)
    wish, _, _, _, _ = _asked(c, action, cash, units, price, True)
    if c[MODE] == ORDER:
        holds = abs(action) < c[HOLD]
        nothing = (action < 0.0) & (units == 0.0)
    else:
        holds = abs(weight - s[EXPOSURE]) < c[REBALANCE]
        nothing = (action < 0.0) & (c[MODE] == LONG)
    quantity = 0.0 if holds else asked
    rule, bound = (1 if holds else 0), 0.0
    cover = (1.0 + c[FRICTION]) * (1.0 + c[COMMISSION])
    affordable = cash / price * (1.0 / cover)
    if quantity > affordable:
        quantity, bound = affordable, 1.0
    elif quantity == affordable:
        bound = 0.5
    left = units + quantity
    rounding = abs(left) < ROUNDING * abs(units)
    closes = (units * quantity < 0.0) & (rounding | (abs(left) * price < c[DUST]))
    if c[MODE] == LONG_SHORT:
        closes &= (units > 0.0) | (-units * price * cover <= cash)
    if closes:
        quantity, left, rule = -units, 0.0, 2
    if (abs(quantity) * price < c[MINIMUM]) & (left != 0.0):
        quantity, left, rule = 0.0, units, 3
    flat = holds | nothing | (rule >= 2)
    signed = quantity if quantity != 0.0 else wish
    side = 1.0 if signed > 0.0 else (-1.0 if signed < 0.0 else 0.0)
    return quantity, left, side, rule, bound, flat


@kernel
def bar_step(c: Any, x: Any, action: Any, s: Any, after: Any) -> Any:
    """Write the state ``after`` the bar; log growth, the two positions carried, ruined."""
    price, close, borrow = x[0], x[1], x[2]
    told = action
    if c[ALPHA] < 1.0:
        told = c[ALPHA] * action + (1.0 - c[ALPHA]) * s[SMOOTHED]
    quantity, left, side, _, _, _ = _order(c, told, s, price)
    fill = price * (1.0 + side * c[FRICTION])
    fee = quantity * side * fill * c[COMMISSION]
    cash = max(s[CASH] - quantity * fill - fee, 0.0)
    if (c[MODE] == LONG_SHORT) & (left < 0.0):
        cash -= min(-left * close * borrow, cash)
    equity = cash + left * close
    opens = (s[UNITS] * left <= 0.0) & (quantity != 0.0)
    entry, gain, held = 0.0, 1.0, 0.0
    if left != 0.0:
        entry, held = s[ENTRY], s[HELD] + 1.0
        if opens:
            entry, held = fill, 1.0
        elif abs(left) > abs(s[UNITS]):
            entry = (s[UNITS] * s[ENTRY] + quantity * fill) / left
        gain = close / entry if left > 0.0 else entry / close
    growth = np.log(max(equity / s[EQUITY], SMALLEST_GROWTH))
    carried = left * price / s[EQUITY]
    gap = 0.0 if c[AT_CLOSE] != 0.0 else s[EXPOSURE]
    after[CASH], after[UNITS], after[ENTRY], after[EQUITY] = cash, left, entry, equity
    after[PEAK] = max(s[PEAK], equity)
    after[EXPOSURE] = left * close / equity if equity > 0.0 else 0.0
    after[SMOOTHED] = told if c[ALPHA] < 1.0 else s[SMOOTHED]
    after[HELD], after[GAIN] = held, gain
    ruined = equity <= c[RUIN]
    if ruined:  # it trades no more; a new portfolio keeps its numbers finite
        for i in range(BAR_STATE):
            after[i] = 0.0
        after[CASH] = after[EQUITY] = after[PEAK] = c[INITIAL_CASH]
        after[GAIN] = 1.0
    return growth, gap, carried, ruined


@kernel
def bar_adjoint(
    c: Any, x: Any, action: Any, s: Any, g: Any, by_growth: Any, by_gap: Any, by_carried: Any
) -> Any:
    """Slope by the action; ``g``, slopes by the state after the bar, becomes those by the state
    before it. The other slopes are those by what :func:`bar_step` returns."""
    price, close, borrow = x[0], x[1], x[2]
    cash0, units0, entry0, equity0 = s[CASH], s[UNITS], s[ENTRY], s[EQUITY]
    told = action
    if c[ALPHA] < 1.0:
        told = c[ALPHA] * action + (1.0 - c[ALPHA]) * s[SMOOTHED]
    quantity, left, side, rule, bound, flat = _order(c, told, s, price)
    fill = price * (1.0 + side * c[FRICTION])
    spent = fill * (1.0 + side * c[COMMISSION])
    raw = cash0 - quantity * spent
    paid = max(raw, 0.0)
    cash = paid
    short = (c[MODE] == LONG_SHORT) & (left < 0.0)
    owed = -left * close * borrow
    if short:
        cash -= min(owed, paid)
    equity = cash + left * close
    if equity <= c[RUIN]:  # what follows is another portfolio's
        for i in range(BAR_STATE):
            g[i] = 0.0
    by_cash, by_left, by_equity = g[CASH], g[UNITS], g[EQUITY]
    to_peak, to_exposure, to_equity, to_units, to_entry = 0.0, by_gap, 0.0, 0.0, 0.0
    by_quantity = 0.0
    if equity / equity0 >= SMALLEST_GROWTH:
        by_equity += by_growth / equity
        to_equity -= by_growth / equity0
    by_left += by_carried * price / equity0
    to_equity -= by_carried * left * price / (equity0 * equity0)
    if equity > 0.0:
        by_left += g[EXPOSURE] * close / equity
        by_equity -= g[EXPOSURE] * left * close / (equity * equity)
    if equity > s[PEAK]:
        by_equity += g[PEAK]
    elif equity < s[PEAK]:
        to_peak = g[PEAK]
    else:
        by_equity += 0.5 * g[PEAK]
        to_peak = 0.5 * g[PEAK]
    if left != 0.0:
        opens = (units0 * left <= 0.0) & (quantity != 0.0)
        grown = (not opens) & (abs(left) > abs(units0))
        entry = entry0
        if opens:
            entry = fill
        elif grown:
            entry = (units0 * entry0 + quantity * fill) / left
        by_entry = g[ENTRY]
        by_entry += g[GAIN] / close if left < 0.0 else -g[GAIN] * close / (entry * entry)
        if grown:
            to_units += by_entry * entry0 / left
            to_entry += by_entry * units0 / left
            by_quantity += by_entry * fill / left
            by_left -= by_entry * entry / left
        elif not opens:
            to_entry += by_entry
    by_cash += by_equity
    by_left += by_equity * close
    if short:
        if owed < paid:
            by_left += by_cash * close * borrow
        elif owed > paid:
            by_cash = 0.0
        else:
            by_left += 0.5 * by_cash * close * borrow
            by_cash *= 0.5
    if raw < 0.0:
        by_cash = 0.0
    to_cash = by_cash
    by_quantity -= by_cash * spent
    by_told = g[SMOOTHED] if c[ALPHA] < 1.0 else 0.0
    if flat:
        _, by_action, _, _, _ = _asked(c, told, cash0, units0, price, True)
        by_told += (by_quantity + by_left) * by_action
    if rule == 2:
        to_units -= by_quantity
    else:
        to_units += by_left
        if rule != 3:
            by_quantity += by_left
            bought = bound * by_quantity
            to_cash += bought / (price * (1.0 + c[FRICTION]) * (1.0 + c[COMMISSION]))
            if rule != 1:
                by_asked = by_quantity - bought
                _, by_action, from_cash, from_units, _ = _asked(
                    c, told, cash0, units0, price, False
                )
                by_told += by_asked * by_action
                to_cash += by_asked * from_cash
                to_units += by_asked * from_units
    to_smoothed, slope = g[SMOOTHED], by_told
    if c[ALPHA] < 1.0:
        slope = c[ALPHA] * by_told
        to_smoothed = (1.0 - c[ALPHA]) * by_told
    g[CASH], g[UNITS], g[ENTRY], g[EQUITY], g[PEAK] = (
        to_cash, to_units, to_entry, to_equity, to_peak,
    )  # fmt: skip
    g[EXPOSURE], g[SMOOTHED], g[HELD], g[GAIN] = to_exposure, to_smoothed, 0.0, 0.0
    return slope


@kernel
def bar_observation(s: Any, out: Any) -> None:
    """The portfolio's five numbers of the observation."""
    out[SEEN_EXPOSURE] = s[EXPOSURE]
    out[SEEN_RETURN] = np.log(s[GAIN])
    out[SEEN_HOLD] = np.log1p(min(s[HELD], 4095.0)) / LOG_253
    out[SEEN_DRAWDOWN] = max(s[EQUITY] / s[PEAK] - 1.0, -1.0)
    out[SEEN_SMOOTHED] = s[SMOOTHED]


@kernel
def bar_observation_adjoint(s: Any, by: Any, g: Any) -> None:
    """Add the slopes ``by`` the five numbers to those by the state, ``g``."""
    g[EXPOSURE] += by[SEEN_EXPOSURE]
    g[GAIN] += by[SEEN_RETURN] / s[GAIN]
    if s[EQUITY] / s[PEAK] - 1.0 >= -1.0:
        g[EQUITY] += by[SEEN_DRAWDOWN] / s[PEAK]
        g[PEAK] -= by[SEEN_DRAWDOWN] * s[EQUITY] / (s[PEAK] * s[PEAK])
    g[SMOOTHED] += by[SEEN_SMOOTHED]
