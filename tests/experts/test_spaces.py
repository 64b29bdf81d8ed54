"""Orders and target weights: two languages for the same trade."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from offline_trader.experts.spaces import KEEP, order_to_target, target_to_order, to_actions
from offline_trader.simulator import SimulatorConfig

shares = st.floats(0.0, 1.0)
portions = st.floats(0.1, 1.0)


@pytest.mark.parametrize(
    ("target", "exposure", "portion", "order"),
    [
        (0.5, 0.0, 1.0, 0.5),  # half of the cash
        (0.5, 0.0, 0.5, 1.0),  # all that one order may spend
        (1.0, 0.6, 1.0, 1.0),
        (0.8, 0.6, 1.0, 0.5),  # half of the remaining .4
        (0.2, 0.8, 1.0, -0.75),  # three quarters of the units
        (0.0, 0.8, 1.0, -1.0),
        (-1.0, 0.8, 1.0, -1.0),  # no shorts here: flat
        (-1.0, 0.0, 1.0, 0.0),
        (0.3, 0.3, 1.0, 0.0),
        (1.0, 1.0, 1.0, 0.0),
        (1.0, 1.2, 1.0, 0.0),
    ],
)
def test_target_to_order(target: float, exposure: float, portion: float, order: float) -> None:
    got = target_to_order(np.array([target]), np.array([exposure]), portion)
    assert got[0] == pytest.approx(order)


@given(target=shares, exposure=shares, portion=portions)
def test_the_order_reaches_the_target_where_one_order_can(
    target: float, exposure: float, portion: float
) -> None:
    order = target_to_order(np.array([target]), np.array([exposure]), portion)
    reached = order_to_target(order, np.array([exposure]), 0.0, portion)[0]
    ceiling = exposure + (1.0 - exposure) * portion
    wanted = min(target, ceiling) if target > exposure else target
    assert abs(reached - wanted) <= KEEP * 1.01


@given(order=st.floats(-1.0, 1.0), exposure=shares, threshold=st.floats(0.0, 0.3))
def test_small_orders_keep_the_weight(order: float, exposure: float, threshold: float) -> None:
    reached = order_to_target(np.array([order]), np.array([exposure]), threshold)[0]
    assert (reached == exposure) == (abs(order) < threshold) or reached == pytest.approx(exposure)
    assert 0.0 <= reached <= 1.0


def test_a_buy_order_closes_a_short() -> None:
    reached = order_to_target(np.array([0.5, 0.0, -0.5]), np.full(3, -0.8), 0.1)
    np.testing.assert_allclose(reached, [0.5, -0.8, 0.0])


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("order", [0.5, -1.0, -1.0, 0.0]),
        ("target_long", [0.5, 0.0, 0.0, 0.4]),
        ("target_long_short", [0.5, 0.0, -1.0, 0.4]),
    ],
)
def test_targets_in_every_mode(mode: str, expected: list[float]) -> None:
    config = SimulatorConfig(action_mode=mode)  # type: ignore[arg-type]
    targets, exposure = np.array([0.5, 0.0, -1.0, 0.4]), np.array([0.0, 0.4, 0.4, 0.4])
    np.testing.assert_allclose(to_actions(targets, exposure, "target", config), expected)


def test_the_portion_scales_target_actions() -> None:
    config = SimulatorConfig(action_mode="target_long", max_position_pct=0.5)
    actions = to_actions(np.array([0.25, 0.9]), np.zeros(2), "target", config)
    np.testing.assert_allclose(actions, [0.5, 1.0])
