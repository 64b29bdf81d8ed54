"""The encoder that actors and critics are built on: a plain MLP, or one with a front for windows.

For the plain one d3rlpy's ``VectorEncoderFactory`` is used as it is, so that a saved model is
opened by ``d3rlpy.load_learnable`` in a process that has never heard of this toolkit. One with a
front (:mod:`offline_trader.networks.window_encoders`) needs that module imported first.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from offline_trader.errors import ConfigError
from offline_trader.networks.quiet_import import import_d3rlpy

__all__ = ["make_encoder_factory", "require_windows"]


def make_encoder_factory(
    hidden: Sequence[int] = (64, 64),
    *,
    layer_norm: bool = False,
    kind: str = "mlp",
    windows: Sequence[Sequence[int]] = (),
) -> Any:
    """d3rlpy encoder factory: per layer ``Linear → ReLU``, then ``LayerNorm`` if asked for.

    Args:
        hidden: units of each layer, from the observation (and action) on.
        layer_norm: normalise every layer's output (Ba et al. 2016); on critics it bounds the
            values of actions that the data do not hold (Ball et al. 2023, RLPD, section 4.2).
        kind: ``mlp``, or what reads ``windows`` first: ``convolution`` or ``gru``.
        windows: [C][W] columns of each feature's last W bars, the oldest first.

    Raises:
        ConfigError: no layer, a layer without units, or a kind that needs windows of one length
            and has none.
    """
    if not hidden or min(hidden) < 1:
        raise ConfigError(f"hidden layers {tuple(hidden)}", expected="one or more positive sizes")
    if kind != "mlp":
        require_windows(kind, windows)
        from offline_trader.networks.window_encoders import WindowEncoderFactory

        return WindowEncoderFactory(
            kind, [list(map(int, each)) for each in windows], list(map(int, hidden)), layer_norm
        )
    import_d3rlpy()
    from d3rlpy.models import VectorEncoderFactory

    return VectorEncoderFactory(
        hidden_units=[int(units) for units in hidden],
        activation="relu",
        use_layer_norm=layer_norm,
    )


def require_windows(kind: str, windows: Sequence[Sequence[int]]) -> None:
    """Nothing if an encoder of this kind can read observations with these windows.

    Raises:
        ConfigError: it needs windows of one length and has none.
    """
    lengths = sorted({len(window) for window in windows})
    if kind == "mlp" or len(lengths) == 1:
        return
    told = f"windows of {' and '.join(map(str, lengths))} bars" if lengths else "no window"
    raise ConfigError(
        f"learner.encoder={kind} on observations with {told}",
        expected="features at their last bars, all of them as many",
        hint="collect with --features window:8:builtin, or train with learner.encoder=mlp",
    )
