"""Networks of one shape side by side: the named views that the passes work on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn

from offline_trader.learning.engines.fast.storage import FlatParameters

__all__ = ["HiddenLayer", "LayerModules", "NetworkModules", "NetworkStack"]


@dataclass(frozen=True)
class LayerModules:
    """One hidden layer of one network: linear, ReLU, then perhaps a layer norm."""

    linear: nn.Linear
    norm: nn.LayerNorm | None


@dataclass(frozen=True)
class NetworkModules:
    """The modules of one network: hidden layers, and heads of one output size each.

    ``extra`` are parameters outside the layers (IQL's log standard deviation), of any shape.
    """

    layers: tuple[LayerModules, ...]
    heads: tuple[nn.Linear, ...]
    extra: tuple[nn.Parameter, ...] = ()


@dataclass(frozen=True)
class HiddenLayer:
    """Views of one hidden layer of E networks, parameters or their gradients.

    Attributes:
        weight: [E, H, I].
        bias: [E, H].
        gain: [E, H] of the layer norm, or None.
        shift: [E, H] of the layer norm, or None.
        epsilon: of the layer norm.
    """

    weight: torch.Tensor
    bias: torch.Tensor
    gain: torch.Tensor | None
    shift: torch.Tensor | None
    epsilon: float


@dataclass(frozen=True)
class NetworkStack:
    """Views of E equal networks: hidden layers, heads, extras.

    Attributes:
        layers: the hidden layers.
        head_weight: [E, D, H], the heads' outputs one after another.
        head_bias: [E, D].
        extra: the parameters outside the layers, [E, *shape] each.
    """

    layers: tuple[HiddenLayer, ...]
    head_weight: torch.Tensor
    head_bias: torch.Tensor
    extra: tuple[torch.Tensor, ...]

    @staticmethod
    def flatten(
        networks: Sequence[NetworkModules],
    ) -> tuple[FlatParameters, NetworkStack, NetworkStack]:
        """Put the networks into one buffer: the buffer, its parameter and its gradient views."""
        stacks: list[list[torch.Tensor]] = []
        for index in range(len(networks[0].layers)):
            layers = [network.layers[index] for network in networks]
            linears = [layer.linear for layer in layers]
            stacks += [[x.weight for x in linears], [x.bias for x in linears]]
            norms = [layer.norm for layer in layers if layer.norm is not None]
            if norms:
                stacks += [[x.weight for x in norms], [x.bias for x in norms]]
        heads = [head for network in networks for head in network.heads]
        stacks += [[x.weight for x in heads], [x.bias for x in heads]]
        for index in range(len(networks[0].extra)):
            stacks.append([network.extra[index] for network in networks])
        flat = FlatParameters(stacks)
        shape = networks[0]
        return (
            flat,
            _views(shape, len(networks), [flat.stack(i) for i in range(len(stacks))]),
            _views(shape, len(networks), [flat.stack_gradient(i) for i in range(len(stacks))]),
        )


def _views(shape: NetworkModules, count: int, views: list[torch.Tensor]) -> NetworkStack:
    rest = iter(views)
    layers = []
    for layer in shape.layers:
        weight, bias = next(rest), next(rest)
        if layer.norm is None:
            layers.append(HiddenLayer(weight, bias, None, None, 0.0))
        else:
            layers.append(HiddenLayer(weight, bias, next(rest), next(rest), layer.norm.eps))
    weight, bias = next(rest), next(rest)
    return NetworkStack(
        layers=tuple(layers),
        head_weight=weight.view(count, -1, weight.shape[-1]),
        head_bias=bias.view(count, -1),
        extra=tuple(rest),
    )
