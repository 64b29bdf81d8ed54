"""The gradient of cloning's loss by hand, for a squashed Gaussian of plain layers on a CPU.

An update of a small network is a matter of calls. Autograd records each of them, and beside what is
learned from, losses and norms are computed that nobody reads. Here is the derivative of::

    L = −E[log π(a|s)] − entropy_weight · E[H]

as :mod:`offline_trader.learning.stages.cloning` has it, in the operations and the order of sums of
autograd through
:meth:`~offline_trader.learning.stages.actor_policy.D3rlpyActorPolicy.evaluate_actions`: the same
numbers, sooner.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import linear

from offline_trader.learning.agents import Learner
from offline_trader.learning.d3rlpy import transfer as _transfer
from offline_trader.learning.settings import CloneConfig

__all__ = ["CloneGradient", "gradient_by_hand"]

_SQUASHED = ("sac", "cql", "cal_ql")
_TIE = torch.tensor(0.5)
"""The share of the gradient that ``torch.maximum`` hands to each of two equal numbers."""


@dataclass(frozen=True)
class CloneGradient:
    """A number that has the loss's gradient, and is 0 itself.

    Attributes:
        parameters: weight and bias of each hidden layer, of the mean's and of the deviation's.
        bounds: of the deviation's logarithm.
        config: of the loss; its ``l2_weight`` is 0.
    """

    parameters: tuple[Tensor, ...]
    bounds: tuple[float, float]
    config: CloneConfig

    def __call__(self, observations: Tensor, actions: Tensor) -> Tensor:
        """Of scaled observations [B, O] and actions [B, 1]."""
        found: Tensor = _Loss.apply(self, observations, actions, *self.parameters)  # type: ignore[no-untyped-call]
        return found


def gradient_by_hand(learner: Learner, config: CloneConfig) -> CloneGradient | None:
    """Of the learner's actor; None where it is left to autograd."""
    settings, layers = learner.config, _transfer.gaussian_layers(learner.algo)
    if layers is None or settings.algorithm not in _SQUASHED or settings.device != "cpu":
        return None
    if config.l2_weight != 0.0:
        return None
    every = (*layers.hidden, layers.mu, layers.log_std)
    parameters = tuple(each for layer in every for each in (layer.weight, layer.bias))
    return CloneGradient(parameters, layers.bounds, config)


class _Seen(NamedTuple):
    """What the derivative needs: the layers' inputs [B, units], and [B, 1] each of the heads."""

    layers: list[Tensor]
    actions: Tensor
    mu: Tensor
    raw_log_std: Tensor
    bounded: Tensor
    std: Tensor
    ratio: Tensor


class _Loss(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, loss: CloneGradient, observations: Tensor, actions: Tensor, *parameters: Tensor
    ) -> Tensor:
        *hidden, mean, mean_bias, spread, spread_bias = parameters
        layers = [observations]
        for weight, bias in zip(hidden[::2], hidden[1::2], strict=True):
            layers.append(torch.relu(linear(layers[-1], weight, bias)))
        mu = linear(layers[-1], mean, mean_bias)
        raw = linear(layers[-1], spread, spread_bias)
        bounded = raw.clamp(*loss.bounds)
        std = bounded.clamp_min(math.log(loss.config.min_std)).exp()
        clip = loss.config.action_clip
        ratio = (torch.atanh(actions.clamp(-clip, clip)) - mu).div_(std)
        ctx.loss, ctx.seen = loss, _Seen(layers, actions, mu, raw, bounded, std, ratio)
        return observations.new_zeros(())

    @staticmethod
    def backward(ctx: Any, *outer: Tensor) -> Any:
        heads = _of_heads(ctx.loss.config, ctx.seen, *outer)
        return None, None, None, *_of_layers(ctx.loss.parameters, ctx.seen.layers, *heads)


def _of_heads(config: CloneConfig, seen: _Seen, outer: Tensor) -> tuple[Tensor, Tensor]:
    """[B, 1] derivatives by mean and raw log deviation, times ``outer``."""
    of_density = -outer / len(seen.actions)
    of_entropy = outer * -config.entropy_weight / len(seen.actions)
    of_ratio = seen.ratio * -of_density  # of −½ ratio², the density's
    of_std = (of_ratio * (seen.ratio / seen.std)).neg_()
    of_log_std = of_std.mul_(seen.std).add_(of_entropy - of_density)
    above = torch.heaviside(seen.bounded - math.log(config.min_std), _TIE)
    of_log_std.mul_(above).mul_(seen.raw_log_std == seen.bounded)
    if config.fit != "mean":
        return of_ratio.div_(seen.std).neg_(), of_log_std
    squashed = torch.tanh(seen.mu)
    distance = (seen.actions - squashed).div_(config.min_std)
    of_squashed = (distance * of_density).div_(config.min_std)
    return torch.ops.aten.tanh_backward(of_squashed, squashed), of_log_std


def _of_layers(
    parameters: tuple[Tensor, ...], layers: list[Tensor], of_mu: Tensor, of_log_std: Tensor
) -> list[Tensor]:
    """Derivatives by the parameters, in their order."""
    found: list[Tensor] = []  # the last parameter's first
    for of_head in (of_log_std, of_mu):
        found += [of_head.sum(0), of_head.t().mm(layers[-1])]
    of_layer = of_mu.mm(parameters[-4]).add_(of_log_std.mm(parameters[-2]))
    for index in range(len(layers) - 1, 0, -1):
        of_layer = torch.ops.aten.threshold_backward(of_layer, layers[index], 0)
        found += [of_layer.sum(0), of_layer.t().mm(layers[index - 1])]
        if index > 1:
            of_layer = of_layer.mm(parameters[2 * index - 2])
    return found[::-1]
