"""Logged fills as the simulator's actions: the account is carried along, fill by fill."""

from __future__ import annotations

from typing import TYPE_CHECKING

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

    Returns:
        actions: [R] in [−1, 1].
        notes: how many were clipped, and why.
    """
    friction = (config.half_spread_bps + config.slippage_bps) * 1e-4
    commission = config.commission_bps * 1e-4
    later = config.fill == "next_open"
    at = np.minimum(decided + 1, len(prices) - 1) if later else decided
    reference = prices[at, 0 if later else 3]
    scale = (capital or config.initial_cash) / config.initial_cash
    cash, held = config.initial_cash, 0.0
    actions = np.zeros(len(units))
    clipped = 0
    for i, (asked, price) in enumerate(zip(units / scale, reference, strict=True)):
        action = _inverse(asked, cash, held, price, config, friction, commission)
        low = 0.0 if config.action_mode == "target_long" else -1.0
        actions[i] = min(max(action, low), 1.0)
        clipped += abs(actions[i] - action) > _SLACK
        filled = _filled(actions[i], cash, held, price, config, friction, commission)
        fill = price * (1.0 + np.sign(filled) * friction)
        cash -= filled * fill + abs(filled) * fill * commission
        held += filled
    notes = []
    if clipped:
        notes.append(
            f"{clipped:,} of {len(units):,} fills are more than the account or the mode "
            f"{config.action_mode!r} allows and were cut; is the capital right (capital=…)?"
        )
    if config.action_mode == "order" and config.hold_threshold > 0.0:
        small = int(np.count_nonzero((actions != 0.0) & (np.abs(actions) < config.hold_threshold)))
        if small:
            notes.append(
                f"{small:,} of {len(units):,} fills lie in the hold zone and will not be filled; "
                "set env.simulator.hold_threshold=0, or a target mode"
            )
    return actions, notes


def _inverse(
    units: float, cash: float, held: float, price: float, config: SimulatorConfig,
    friction: float, commission: float,
) -> float:  # fmt: skip
    """The action that fills ``units``."""
    portion = config.max_position_pct
    post = config.sizing == "post_fee"
    buying = (1.0 + friction) * (1.0 + commission)
    selling = (1.0 - friction) * (1.0 - commission)
    if config.action_mode == "order":
        if units > 0.0:
            spent = units * price * (buying if post else 1.0)
            return spent / (cash * portion) if cash > 0.0 else np.inf
        return units / held if held > 0.0 else -np.inf
    shares = (cash + held * price) / price
    if post:
        shares += units * (1.0 - selling) if units < 0.0 else -units * (buying - 1.0)
    return (held + units) / shares / portion if shares > 0.0 else 0.0


def _filled(
    action: float, cash: float, held: float, price: float, config: SimulatorConfig,
    friction: float, commission: float,
) -> float:  # fmt: skip
    """Units that the simulator fills for ``action``: its sizing and its limit by cash."""
    portion = config.max_position_pct
    post = config.sizing == "post_fee"
    buying = (1.0 + friction) * (1.0 + commission)
    selling = (1.0 - friction) * (1.0 - commission)
    if config.action_mode == "order":
        if abs(action) < config.hold_threshold:
            return 0.0
        asked = action * (cash / price * portion if action > 0.0 else held)
        asked = asked / buying if post and asked > 0.0 else asked
    else:
        weight = action * portion
        asked = weight * (cash + held * price) / price - held
        if post:
            grows = 1.0 + weight * (buying - 1.0) if asked > 0.0 else 1.0 - weight * (1.0 - selling)
            asked /= grows
    return min(asked, cash / price / buying)
