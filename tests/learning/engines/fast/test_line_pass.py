"""The pass along the action axis against the dense one, where it is hardest."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from offline_trader.learning.d3rlpy import BoundStack, bind_stack
from offline_trader.learning.engines.fast.conservative import (
    DensePass,
    LinePass,
    Nodes,
    conservative_pass,
)
from offline_trader.learning.engines.fast.stacks import LayerModules, NetworkModules

SIZE, ROWS, NETS = 3, 8, 2


def critics(units: int, width: int, slope: float, seed: int) -> BoundStack:
    """Two critics whose first layers lean on the action by ``slope``."""
    generator = torch.Generator().manual_seed(seed)
    networks = []
    for _ in range(NETS):
        layers = (nn.Linear(SIZE + 1, units), nn.Linear(units, width), nn.Linear(width, 1))
        for layer in layers:
            for parameter in layer.parameters():
                parameter.data.copy_(torch.randn(parameter.shape, generator=generator))
        layers[0].weight.data[:, SIZE] *= slope
        hidden = tuple(LayerModules(layer, None) for layer in layers[:2])
        networks.append(NetworkModules(hidden, (layers[2],)))
    return bind_stack(networks)


def nodes(count: int, seed: int, floors: bool, repeated: bool) -> Nodes:
    """Random nodes, with ±1 and repeated actions among them on request."""
    rng = np.random.default_rng(seed)
    drawn = Nodes.empty(ROWS, count, 1)
    drawn.actions[:] = rng.uniform(-1, 1, drawn.actions.shape)
    if repeated:
        drawn.actions[:] = np.round(drawn.actions * 2) / 2
    drawn.shifts[:] = rng.normal(size=drawn.shifts.shape)
    drawn.floors[:] = rng.normal(size=drawn.floors.shape) if floors else -np.inf
    drawn.shifts[:, -1] = drawn.floors[:, -1] = -np.inf
    return drawn


@settings(max_examples=40, deadline=None)
@given(
    units=st.sampled_from([1, 5, 16]),
    width=st.sampled_from([1, 7, 16]),
    count=st.sampled_from([2, 9, 31]),
    slope=st.sampled_from([0.0, 0.1, 3.0, 50.0]),
    floors=st.booleans(),
    repeated=st.booleans(),
    seed=st.integers(0, 1_000),
)
def test_values_and_gradients_are_the_dense_ones(
    units: int, width: int, count: int, slope: float, floors: bool, repeated: bool, seed: int
) -> None:
    stack = critics(units, width, slope, seed)
    given_nodes = nodes(count, seed, floors, repeated)
    rng = np.random.default_rng(seed + 1)
    observations = torch.from_numpy(rng.normal(size=(ROWS, SIZE)).astype(np.float32))
    target = rng.normal(size=ROWS).astype(np.float32)
    scale = np.full(NETS, 0.3, np.float32)
    results = []
    for kind in (
        LinePass(stack, SIZE, ROWS, count),
        DensePass(stack, SIZE, ROWS, count, 1),
    ):
        stack.flat.gradient.fill_(np.nan)
        losses = kind(observations, given_nodes, target, scale).copy()
        gradients = [g.clone() for _, g in stack.flat.views(stack.flat.gradient)]
        results.append((losses, gradients))
    (line, line_gradients), (dense, dense_gradients) = results
    np.testing.assert_allclose(line, dense, rtol=2e-4, atol=1e-4)
    size = max(float(g.abs().max()) for g in dense_gradients)
    for found, expected in zip(line_gradients, dense_gradients, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-3, atol=2e-5 * size)


def test_every_unit_may_flip_and_none() -> None:
    """A steep first layer flips nearly all units between the actions, a flat one none."""
    given_nodes = nodes(31, 0, floors=False, repeated=False)
    observations = torch.zeros(ROWS, SIZE)
    shares = []
    for slope in (0.0, 100.0):
        stack = critics(16, 16, slope, 3)
        passed = LinePass(stack, SIZE, ROWS, 31)
        passed(observations, given_nodes, np.zeros(ROWS, np.float32), np.ones(NETS, np.float32))
        shares.append(float(passed.flipped[:, :, -1].mean() / 16))
    assert shares[0] == 0.0
    assert shares[1] > 0.8


def test_the_line_is_taken_where_it_applies() -> None:
    two = critics(4, 4, 1.0, 0)
    assert isinstance(conservative_pass(two, SIZE, ROWS, 5, 1), LinePass)
    assert isinstance(conservative_pass(two, SIZE, ROWS, 5, 2), DensePass)


def test_a_nan_weight_shows() -> None:
    stack = critics(4, 4, 1.0, 0)
    stack.stack.layers[0].weight[0, 0, 0] = float("nan")
    passed = LinePass(stack, SIZE, ROWS, 5)
    losses = passed(
        torch.ones(ROWS, SIZE),
        nodes(5, 0, floors=False, repeated=False),
        np.zeros(ROWS, np.float32),
        np.ones(NETS, np.float32),
    )
    assert np.isnan(losses[0]).all()
    assert losses[1] == pytest.approx(losses[1])
