"""Weights from one d3rlpy algorithm to another: the warm starts.

Private neighbour of :mod:`offline_trader.learning.d3rlpy.algorithms`. d3rlpy's own copies
pair parameters by position, whatever they are, and leave the target networks as they were; here
they are paired by name, refused when they do not fit, and the targets follow.
"""

from __future__ import annotations

import copy
import math
from typing import Any, NamedTuple

import torch

from offline_trader.errors import ConfigError

__all__ = [
    "actor_layers",
    "copy_actor",
    "copy_critics",
    "GaussianLayers",
    "encoder_copy",
    "gaussian_layers",
    "load_encoder",
    "reset_optimizers",
    "set_spread",
    "sync_target_actor",
    "sync_targets",
]


def copy_actor(source: Any, target: Any, fallback_std: float = 0.1, *, widen: bool = False) -> None:
    """Give ``target`` the deterministic policy of ``source``, and its spread where that fits.

    With ``widen`` the target may observe further columns behind those of the source: weights of 0
    lead from them, so that at first they change nothing.

    SAC, CQL and Cal-QL share their actor's shape. IQL and AWAC hold one standard deviation for
    all states, TD3+BC none: between these families the encoder and the mean are copied, and the
    spread is set to ``fallback_std`` (before the squash) in every state.

    Raises:
        ConfigError: encoders of different shapes.
    """
    algo, source, target = target, source.impl, target.impl
    _copy_module(source.policy._encoder, target.policy._encoder, "actor encoder", widen=widen)
    _copy_module(_mean_head(source.policy), _mean_head(target.policy), "actor head")
    if hasattr(target.policy, "_logstd"):
        ours, theirs = getattr(source.policy, "_logstd", None), target.policy._logstd
        if isinstance(ours, torch.nn.Linear) and isinstance(theirs, torch.nn.Linear):
            _copy_module(ours, theirs, "actor spread")
        elif isinstance(ours, torch.nn.Parameter) and isinstance(theirs, torch.nn.Parameter):
            theirs.data.copy_(ours.data)
        else:
            set_spread(algo, fallback_std)
    sync_target_actor(algo)


def copy_critics(source: Any, target: Any) -> None:
    """Give ``target`` the critics of ``source``, of a larger ensemble the first ones, and the same
    as its target critics.

    Raises:
        ConfigError: critics of different shape, or fewer of them.
    """
    ours, theirs = source.impl.q_function, target.impl.q_function
    _copy_module(ours[: len(theirs)], theirs, "critics")
    sync_targets(target)


def encoder_copy(algo: Any) -> tuple[torch.nn.Module, int]:
    """A copy of the actor's encoder, and the units of its output."""
    encoder: torch.nn.Module = copy.deepcopy(algo.impl.policy._encoder)
    return encoder, _linear(encoder)[-1].out_features


def load_encoder(encoder: torch.nn.Module, algo: Any) -> None:
    """Give actor, critics and, where there is one, value function the layers of ``encoder``.

    A critic's first layer also reads the action: its columns of the observation become those of
    the encoder, those of the action stay as they are, as do layer norms. Targets follow.

    Raises:
        ConfigError: an encoder of other layers.
    """
    modules = algo.impl.modules
    _copy_module(encoder, algo.impl.policy._encoder, "actor encoder")
    above = [*algo.impl.q_function]
    above += [modules.value_func] if hasattr(modules, "value_func") else []
    for each in above:
        ours, theirs = _weights(encoder), _weights(each._encoder)
        fits = len(ours) == len(theirs) and all(
            a.shape == b.shape
            or (len(a.shape) == 2 and a.shape[0] == b.shape[0] and a.shape < b.shape)
            for a, b in zip(ours, theirs, strict=True)
        )
        if not fits:
            raise ConfigError(
                "an encoder of other layers than the critics'", expected="the same hidden layers"
            )
        with torch.no_grad():
            for a, b in zip(ours, theirs, strict=True):
                b[tuple(map(slice, a.shape))].copy_(a)
    sync_targets(algo)


def _weights(module: torch.nn.Module) -> list[torch.Tensor]:
    """Weights and biases in the order of the layers, without those of layer norms."""
    return [
        parameter
        for layer in module.modules()
        if not isinstance(layer, torch.nn.LayerNorm)
        for parameter in layer.parameters(recurse=False)
    ]


def _linear(module: torch.nn.Module) -> list[torch.nn.Linear]:
    return [each for each in module.modules() if isinstance(each, torch.nn.Linear)]


def sync_targets(algo: Any) -> None:
    """Target critics and target actor become equal to the trained ones."""
    modules = algo.impl.modules
    _copy_module(modules.q_funcs, modules.targ_q_funcs, "target critics")
    sync_target_actor(algo)


def sync_target_actor(algo: Any) -> None:
    """The target actor, where there is one (TD3+BC), becomes equal to the trained one."""
    modules = algo.impl.modules
    if hasattr(modules, "targ_policy"):
        _copy_module(modules.policy, modules.targ_policy, "target actor")


def actor_layers(algo: Any) -> tuple[list[torch.nn.Linear], torch.nn.Linear] | None:
    """The actor's hidden layers, each followed by a ReLU, and its mean's layer of one output.

    None if it is built otherwise.
    """
    encoder, head = algo.impl.policy._encoder, _mean_head(algo.impl.policy)
    layers = list(getattr(encoder, "_layers", []))
    linear, rectified = layers[::2], layers[1::2]
    plain = len(linear) == len(rectified) > 0 and all(
        isinstance(a, torch.nn.Linear) and isinstance(b, torch.nn.ReLU)
        for a, b in zip(linear, rectified, strict=True)
    )
    if not plain or not isinstance(head, torch.nn.Linear) or head.out_features != 1:
        return None
    return linear, head


class GaussianLayers(NamedTuple):
    """Layers of a squashed Gaussian: hidden ones with ReLU, mean, log deviation, its bounds."""

    hidden: list[torch.nn.Linear]
    mu: torch.nn.Linear
    log_std: torch.nn.Linear
    bounds: tuple[float, float]


def gaussian_layers(algo: Any) -> GaussianLayers | None:
    """The actor's layers; None if it is no squashed Gaussian, or built otherwise."""
    layers, policy = actor_layers(algo), algo.impl.policy
    log_std = getattr(policy, "_logstd", None)
    if layers is None or not isinstance(log_std, torch.nn.Linear):
        return None
    return GaussianLayers(*layers, log_std, (policy._min_logstd, policy._max_logstd))


def reset_optimizers(algo: Any) -> None:
    """Forget the optimizers' moments: they belong to another loss."""
    algo.impl.reset_optimizer_states()


def _mean_head(policy: Any) -> torch.nn.Module:
    head: torch.nn.Module = policy._mu if hasattr(policy, "_mu") else policy._fc
    return head


def scale_means(algo: Any, factor: float) -> None:
    """Multiply what the actor's last layer gives for the mean, before any squash."""
    with torch.no_grad():
        for parameter in _mean_head(algo.impl.policy).parameters():
            parameter.mul_(factor)


def set_spread(algo: Any, std: float) -> None:
    """The actor's standard deviation before the squash becomes ``std`` in every state, if it has
    one."""
    policy, log_std = algo.impl.policy, math.log(std)
    if not hasattr(policy, "_logstd"):
        return
    with torch.no_grad():
        if isinstance(policy._logstd, torch.nn.Linear):
            policy._logstd.weight.zero_()
            policy._logstd.bias.fill_(log_std)
        else:
            # IQL, AWAC: logstd = min + (max - min) * sigmoid(parameter)
            share = (log_std - policy._min_logstd) / (policy._max_logstd - policy._min_logstd)
            share = min(max(share, 1e-6), 1.0 - 1e-6)
            policy._logstd.fill_(math.log(share / (1.0 - share)))


def _copy_module(
    source: torch.nn.Module, target: torch.nn.Module, what: str, *, widen: bool = False
) -> None:
    ours, theirs = source.state_dict(), target.state_dict()
    if widen:
        hidden = [name for name in ours if name.startswith("_hidden.")]
        first = next(name for name in hidden or ours if ours[name].ndim == 2)
        further = max(theirs[first].shape[1] - ours[first].shape[1], 0)
        ours = {**ours, first: torch.nn.functional.pad(ours[first], (0, further))}
    shapes = [{name: tuple(t.shape) for name, t in side.items()} for side in (ours, theirs)]
    if shapes[0] != shapes[1]:
        raise ConfigError(
            f"{what}: weights of shapes {list(shapes[0].values())} into {list(shapes[1].values())}",
            expected="the same hidden layers, layer norm and number of critics in both stages",
        )
    with torch.no_grad():
        for name, tensor in theirs.items():
            tensor.copy_(ours[name])
