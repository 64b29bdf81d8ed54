"""Encoders: what they are built of, what is refused, no notice on standard error."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from offline_trader.errors import ConfigError
from offline_trader.networks.encoders import make_encoder_factory


def test_layers_are_linear_relu_and_layer_norm_on_request() -> None:
    plain = make_encoder_factory((8, 4)).create((3,))
    assert [type(m).__name__ for m in plain._layers] == ["Linear", "ReLU"] * 2
    normed = make_encoder_factory((8, 4), layer_norm=True).create_with_action((3,), 1)
    assert [type(m).__name__ for m in normed._layers] == ["Linear", "ReLU", "LayerNorm"] * 2
    assert normed._layers[0].weight.shape == (8, 4)
    assert plain(torch.zeros(2, 3)).shape == (2, 4)


def test_the_factory_is_d3rlpys_own_and_survives_its_serialisation() -> None:
    factory = make_encoder_factory((8,), layer_norm=True)
    assert type(factory).__module__.startswith("d3rlpy.")
    assert type(factory).deserialize(factory.serialize()) == factory


@pytest.mark.parametrize("hidden", [(), (8, 0)])
def test_no_layer_or_empty_layer_is_refused(hidden: tuple[int, ...]) -> None:
    with pytest.raises(ConfigError, match="hidden layers"):
        make_encoder_factory(hidden)


def test_importing_d3rlpy_prints_nothing_on_standard_error() -> None:
    code = "from offline_trader.networks.quiet_import import import_d3rlpy; import_d3rlpy()"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stderr == ""
