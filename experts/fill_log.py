"""Logged fills as the simulator's actions: the account is carried along, fill by fill."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from offline_trader.types import FloatArray, IntArray

if TYPE_CHECKING:
    from offline_trader.simulator import SimulatorConfig

__all__ = ["actions_of_fills"]

_SLACK = 1e-9


def actions_of_fills(
    units: FloatArray,
    decided: IntArray,
    prices: FloatArray,
    config: SimulatorConfig,
    capital: float = 0.0,
    borrow: float = 0.0,
    held_before: float = 0.0,
) -> tuple[FloatArray, list[str]]:
    """Actions [R] that make a simulator, from flat with ``capital``, fill ``units`` [R].

    The inverse of the simulator's sizing at its own price, costs and mode (without impact and
    lots): in order mode ``a = q·P / (cash·m)`` for a buy and ``q / units`` for a sale, in the
    target modes ``w = (units + q)·P / (cash + units·P) / m``; with ``post_fee`` the costs that the
    simulator takes out of the order are put on top. Orders that the account cannot carry, or that
    the mode does not know, are clipped and counted.

    Args:
        units: signed units of the fills decided at a bar, together.
        decided: [R] bar of each, increasing.
        prices: [T, 5] open, high, low, close, volume of the instrument.
        config: the simulator's rules.
        capital: cash at the start; 0: the simulator's.
        borrow: cost of a short position a bar, as a fraction of its value.
        held_before: units that the log held before its first fill here; the replay begins flat.

    Returns:
        actions: [R] in [−1, 1].
        notes: how many were clipped, and why.
    """
    rules = _Rules.of(config)
    later = config.fill == "next_open"
    at = np.minimum(decided + 1, len(prices) - 1) if later else decided
    reference = prices[at, 0 if later else 3]
    scale = (capital or config.initial_cash) / config.initial_cash
    cash, held, since = config.initial_cash, 0.0, 0
    closes = np.concatenate([[0.0], np.cumsum(prices[:, 3])])  # closes before each bar, added up
    actions = np.zeros(len(units))
    clipped = shorts = 0
    for i, (asked, price) in enumerate(zip(units / scale, reference, strict=True)):
        if held < 0.0:
            cash += held * borrow * (closes[decided[i] + 1] - closes[since + 1])
        since = int(decided[i])
        action = rules.inverse(asked, cash, held, price)
        actions[i] = min(max(action, rules.low), 1.0)
        if abs(actions[i] - action) > _SLACK:
            is_short = asked < 0.0 and held + asked < -_SLACK * abs(asked) and rules.long_only
            clipped, shorts = clipped + (not is_short), shorts + is_short
        filled = rules.filled(actions[i], cash, held, price)
        fill = price * (1.0 + np.sign(filled) * rules.friction)
        cash -= filled * fill + abs(filled) * fill * rules.commission
        held += filled
    notes = []
    carried = ""
    if abs(held_before) > _SLACK:
        carried = (
            f"the log held {held_before:g} units before the first of these bars, and a replay "
            "begins flat"
        )
    if shorts:
        notes.append(
            f"{shorts:,} of {len(units):,} fills sell more than is held, which the mode "
            f"{config.action_mode!r} does not know, and were cut; "
            + (carried or "env.simulator.action_mode=target_long_short holds short positions")
        )
    if clipped:
        notes.append(
            f"{clipped:,} of {len(units):,} fills are more than the account or the mode "
            f"{config.action_mode!r} allows and were cut; "
            + (carried or "is the capital right (capital=…)?")
        )
    if config.action_mode == "order" and config.hold_threshold > 0.0:
        small = int(np.count_nonzero((actions != 0.0) & (np.abs(actions) < config.hold_threshold)))
        if small:
            notes.append(
                f"{small:,} of {len(units):,} fills lie in the hold zone and will not be filled; "
                "set env.simulator.hold_threshold=0, or a target mode"
            )
    return actions, notes


class _Rules(NamedTuple):
    """The simulator's sizing, without impact and lots.

    Attributes:
        by_order: order mode; otherwise a target mode.
        long_only: no short positions.
        low: smallest action.
        portion: share of the cash, or of the equity, that an action of 1 asks for.
        post: costs are inside the asked amount.
        hold: order mode: smaller actions are holds.
        friction, commission: fractions of the price, of the notional.
        buying, selling: what a unit costs and brings, as a multiple of its price.
    """

    by_order: bool
    long_only: bool
    low: float
    portion: float
    post: bool
    hold: float
    friction: float
    commission: float
    buying: float
    selling: float

    @classmethod
    def of(cls, config: SimulatorConfig) -> _Rules:
        """Those of a simulator."""
        friction = (config.half_spread_bps + config.slippage_bps) * 1e-4
        commission = config.commission_bps * 1e-4
        return cls(
            by_order=config.action_mode == "order",
            long_only=config.action_mode != "target_long_short",
            low=0.0 if config.action_mode == "target_long" else -1.0,
            portion=config.max_position_pct,
            post=config.sizing == "post_fee",
            hold=config.hold_threshold,
            friction=friction,
            commission=commission,
            buying=(1.0 + friction) * (1.0 + commission),
            selling=(1.0 - friction) * (1.0 - commission),
        )

    def inverse(self, units: float, cash: float, held: float, price: float) -> float:
        """The action that fills ``units``."""
        if self.by_order:
            if units > 0.0:
                spent = units * price * (self.buying if self.post else 1.0)
                return spent / (cash * self.portion) if cash > 0.0 else np.inf
            return units / held if held > 0.0 else -np.inf
        shares = (cash + held * price) / price
        if self.post:
            cost = 1.0 - self.selling if units < 0.0 else 1.0 - self.buying
            shares += units * cost
        return (held + units) / shares / self.portion if shares > 0.0 else 0.0

    def filled(self, action: float, cash: float, held: float, price: float) -> float:
        """Units that the simulator fills for ``action``: its sizing and its limit by cash."""
        if self.by_order:
            if abs(action) < self.hold:
                return 0.0
            asked = action * (cash / price * self.portion if action > 0.0 else held)
            asked = asked / self.buying if self.post and asked > 0.0 else asked
        else:
            weight = action * self.portion
            asked = weight * (cash + held * price) / price - held
            if self.post:
                cost = self.buying - 1.0 if asked > 0.0 else self.selling - 1.0
                asked /= 1.0 + weight * cost
        return min(asked, cash / price / self.buying)
