"""The encoder that actors and critics are built on: a plain MLP, by d3rlpy's own factory.

d3rlpy's ``VectorEncoderFactory`` is used as it is, so that a saved model is opened by
``d3rlpy.load_learnable`` in a process that has never heard of this toolkit.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from offline_trader.errors import ConfigError
from offline_trader.networks.quiet_import import import_d3rlpy

__all__ = ["make_encoder_factory"]


def make_encoder_factory(hidden: Sequence[int] = (64, 64), *, layer_norm: bool = False) -> Any:
    """d3rlpy encoder factory: per layer ``Linear → ReLU``, then ``LayerNorm`` if asked for.

    Args:
        hidden: units of each layer, from the observation (and action) on.
        layer_norm: normalise every layer's output (Ba et al. 2016); on critics it bounds the
            values of actions that the data do not hold (Ball et al. 2023, RLPD, section 4.2).

    Raises:
        ConfigError: no layer, or a layer without units.
    """
    if not hidden or min(hidden) < 1:
        raise ConfigError(f"hidden layers {tuple(hidden)}", expected="one or more positive sizes")
    import_d3rlpy()
    from d3rlpy.models import VectorEncoderFactory

    return VectorEncoderFactory(
        hidden_units=[int(units) for units in hidden],
        activation="relu",
        use_layer_norm=layer_norm,
    )
