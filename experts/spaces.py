"""Translation between what experts say (orders, target weights) and what a simulator takes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from offline_trader.experts.interface import ExpertSpace
from offline_trader.types import FloatArray

if TYPE_CHECKING:
    from offline_trader.simulator import SimulatorConfig

__all__ = ["KEEP", "order_to_target", "target_to_order", "to_actions"]

KEEP = 1e-3
"""Smallest change of weight that a translation asks for."""


def target_to_order(
    target: FloatArray, exposure: FloatArray, max_position_pct: float = 1.0
) -> FloatArray:
    """Orders [N] in [−1, 1] that take the weight from ``exposure`` to ``target``, before costs.

    A buy spends a share of cash: ``a = (w − e) / ((1 − e)·m)``; a sale a share of the units:
    ``a = −(e − w) / e``. Shorts do not exist in this mode, so a negative target is flat. The
    simulator's hold zone then works as a no-trade band.

    Args:
        target: [N] weight asked for.
        exposure: [N] position value / equity now.
        max_position_pct: m, the simulator's share of cash a full buy may spend.
    """
    held = _clipped(exposure, 0.0)
    change = _clipped(target, 0.0) - held
    cash = np.maximum((1.0 - held) * max_position_pct, KEEP)
    order = np.where(change > 0.0, change / cash, change / np.maximum(held, KEEP))
    return np.where(np.abs(change) < KEEP, 0.0, _clipped(order, -1.0))


def order_to_target(
    order: FloatArray, exposure: FloatArray, hold_threshold: float, max_position_pct: float = 1.0
) -> FloatArray:
    """Weights [N] after ``order``, before costs: the inverse of :func:`target_to_order`.

    A buy moves the weight to ``e + a·(1 − e)·m``, a sale to ``e·(1 + a)``; ``|a|`` strictly below
    ``hold_threshold`` keeps ``e``. A buy closes a short first: it starts from max(e, 0).
    """
    base = np.maximum(exposure, 0.0)
    bought = base + order * (1.0 - np.minimum(base, 1.0)) * max_position_pct
    sold = base * (1.0 + order)
    moved = np.where(order > 0.0, bought, sold)
    return np.where(np.abs(order) < hold_threshold, exposure, moved)


def to_actions(
    decisions: FloatArray, exposure: FloatArray, space: ExpertSpace, config: SimulatorConfig
) -> FloatArray:
    """Simulator actions [N] in [−1, 1] for ``decisions`` [N] made in ``space``.

    ``action`` is the simulator's own already.
    In the target modes the action is weight / max_position_pct, and a weight that the mode does
    not allow (a short in ``target_long``) becomes the nearest one that it does.
    """
    portion = config.max_position_pct
    if space == "action":
        return _clipped(decisions, 0.0 if config.action_mode == "target_long" else -1.0)
    if config.action_mode == "order":
        if space == "order":
            return _clipped(decisions, -1.0)
        return target_to_order(decisions, exposure, portion)
    if space == "order":
        decisions = order_to_target(decisions, exposure, config.hold_threshold, portion)
    low = -1.0 if config.action_mode == "target_long_short" else 0.0
    return _clipped(decisions / portion, low)


def _clipped(values: FloatArray, low: float) -> FloatArray:
    """Values in [low, 1]; a third of ``np.clip``'s time on the few hundred lanes of a step."""
    return np.minimum(np.maximum(values, low), 1.0)
