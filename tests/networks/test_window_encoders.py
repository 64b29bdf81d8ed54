"""Encoders over windows: both fronts against formulas in numpy, columns, refusals."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from offline_trader.errors import ConfigError
from offline_trader.networks import WindowEncoderFactory, make_encoder_factory
from offline_trader.types import FloatArray, ObservationLayout

NAMES = ("x", "calm", "y", *(f"{name}@{lag}" for lag in range(1, 6) for name in ("x", "y")))
LAYOUT = ObservationLayout(NAMES, "0", ("exposure",))
WINDOWS = tuple(LAYOUT.windows.values())
ROWS = np.random.default_rng(0).normal(size=(4, LAYOUT.size)).astype(np.float32)


def encoder_of(kind: str) -> Any:
    torch.manual_seed(0)
    return make_encoder_factory((8, 3), kind=kind, windows=WINDOWS).create((LAYOUT.size,))


def weights_of(module: Any) -> dict[str, FloatArray]:
    return {name: value.detach().numpy().astype(float) for name, value in module.named_parameters()}


def after(front: FloatArray, encoder: Any) -> FloatArray:
    """The hidden layers on the front's [4, 4], the present bar and the portfolio."""
    hidden = np.concatenate([front, ROWS[:, [0, 1, 2, 13]]], axis=1)
    named = weights_of(encoder._hidden)
    for place in (0, 2):
        hidden = np.maximum(hidden @ named[f"{place}.weight"].T + named[f"{place}.bias"], 0.0)
    return hidden


def window() -> FloatArray:
    """[4, 2, 6] x and y, the oldest bar first."""
    columns = [[NAMES.index(f"{n}@{lag}") for lag in range(5, 0, -1)] for n in ("x", "y")]
    present = [NAMES.index(n) for n in ("x", "y")]
    return np.stack(
        [ROWS[:, [*past, now]] for past, now in zip(columns, present, strict=True)], axis=1
    ).astype(float)


def test_a_convolution_is_dilated_and_causal() -> None:
    encoder = encoder_of("convolution")
    named = weights_of(encoder._window._front)
    hidden = np.concatenate([np.zeros((4, 2, 2)), window()], axis=2)  # eight bars for three levels
    for level in range(3):
        weight, bias = (named[f"_convolutions.{level}.{part}"] for part in ("weight", "bias"))
        apart = 2**level
        rows = [
            np.einsum("bc,uc->bu", hidden[:, :, t - apart], weight[:, :, 0])
            + np.einsum("bc,uc->bu", hidden[:, :, t], weight[:, :, 1])
            + bias
            for t in range(apart, hidden.shape[2])
        ]
        hidden = np.maximum(np.stack(rows, axis=2), 0.0)
    assert hidden.shape == (4, 4, 1)
    found = encoder(torch.from_numpy(ROWS)).detach().numpy()
    np.testing.assert_allclose(found, after(hidden[:, :, 0], encoder), atol=1e-6)


def test_a_gru_ends_in_the_state_after_the_present_bar() -> None:
    encoder = encoder_of("gru")
    named = weights_of(encoder._window._front._cell)
    state = np.zeros((4, 4))
    for t in range(6):
        a = window()[:, :, t] @ named["weight_ih"].T + named["bias_ih"]
        b = state @ named["weight_hh"].T + named["bias_hh"]
        reset, keep = (1.0 / (1.0 + np.exp(-(a + b)[:, s])) for s in (slice(0, 4), slice(4, 8)))
        new = np.tanh(a[:, 8:] + reset * b[:, 8:])
        state = (1.0 - keep) * new + keep * state
    found = encoder(torch.from_numpy(ROWS)).detach().numpy()
    np.testing.assert_allclose(found, after(state, encoder), atol=1e-6)


@pytest.mark.parametrize("kind", ["convolution", "gru"])
def test_the_factory_survives_its_serialisation_and_critics_read_the_action(kind: str) -> None:
    factory = make_encoder_factory((8, 3), layer_norm=True, kind=kind, windows=WINDOWS)
    assert WindowEncoderFactory.deserialize(factory.serialize()) == factory
    critic = factory.create_with_action((LAYOUT.size,), 1)
    names = [type(module).__name__ for module in critic._hidden]
    assert names == ["Linear", "ReLU", "LayerNorm"] * 2
    seen = torch.from_numpy(ROWS)
    low, high = (critic(seen, torch.full((4, 1), a)) for a in (-1.0, 1.0))
    assert not torch.equal(low, high)
    # two encoders of one factory share no weight, and columns are no weights
    assert not any("_columns" in name or "_present" in name for name in critic.state_dict())


def test_what_no_encoder_can_read_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"learner.encoder=gru on observations with no window"):
        make_encoder_factory((8,), kind="gru")
    uneven = ((1, 0), (4, 3, 2))
    with pytest.raises(ConfigError, match="windows of 2 and 3 bars"):
        make_encoder_factory((8,), kind="convolution", windows=uneven)
    for kind, windows in (
        ("lstm", [[1, 0]]),
        ("gru", [[0]]),
        ("gru", [[0, 0]]),
        ("gru", [[0, -1]]),
    ):
        with pytest.raises(ValueError, match="an encoder"):
            WindowEncoderFactory(kind, windows, [8])
    with pytest.raises(ValueError, match="in observations of 5 columns"):
        WindowEncoderFactory("gru", [[5, 0]], [8]).create((5,))
