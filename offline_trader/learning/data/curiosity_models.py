"""The three models of curiosity with their gradient, written out: small networks, many calls.

For networks of this size autograd and an optimizer that goes from tensor to tensor cost several
times the arithmetic. On a CPU it is numpy's on the same memory as the torch modules; elsewhere
the same lines are torch's. A test compares the gradient with autograd's.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import nn

from offline_trader.learning.settings import CuriosityConfig

__all__ = ["CuriosityModels"]

_BETAS, _EPSILON = (0.9, 0.999), 1e-8


class CuriosityModels:
    """Encoder, inverse and forward model, each ``Linear → ReLU → Linear``, and their Adam.

    Args:
        config: sizes, β, learning rate.
        inputs: S, numbers of a state that are seen.
        action_size: A.
        seed: of the first weights.
        device: of the batches.

    Attributes:
        modules: ``encoder``, ``inverse`` and ``dynamics``, whose parameters are what is trained.
    """

    def __init__(
        self, config: CuriosityConfig, inputs: int, action_size: int, seed: int, device: str
    ) -> None:
        self._config, self._features = config, config.features
        hidden, features = config.hidden, config.features
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.modules = nn.ModuleDict(
                {
                    "encoder": _network(inputs, hidden, features),
                    "inverse": _network(2 * features, hidden, action_size),
                    "dynamics": _network(features + action_size, hidden, features),
                }
            ).to(device)
        self._flat = _flattened(self.modules)
        self._steps = 0
        self._moments = torch.zeros((2, len(self._flat)), device=device)
        self._gradient = torch.zeros_like(self._flat)
        self._plain = torch.device(device).type == "cpu"
        self._xp: Any = np if self._plain else torch
        self._weights = self._views(self._flat)
        self._slopes = self._views(self._gradient)

    def errors(self, state: Any, after: Any, actions: Any) -> torch.Tensor:
        """[B] ``½‖φ̂(s') − φ(s')‖²`` of states [B, S], those that follow, and actions [B, A]."""
        with torch.no_grad():
            pair, acted = self._given(state, after, actions)
            _, encoded = self._layers("encoder", pair)
            *_, gap = self._told(encoded, acted)
            found = 0.5 * (gap * gap).sum(1)
        return torch.from_numpy(found) if self._plain else found

    def train(self, state: Any, after: Any, actions: Any) -> tuple[float, float]:
        """One step of Adam on ``(1 − β) · L_inv + β · L_fwd``; the two losses before it.

        φ is held constant in L_fwd, so the encoder learns by the inverse model alone.
        """
        with torch.no_grad():
            losses = self._slope(state, after, actions)
            self._descend()
        return losses

    def gradient(self, state: Any, after: Any, actions: Any) -> dict[str, torch.Tensor]:
        """That of the loss, by the names of the modules' parameters."""
        with torch.no_grad():
            self._slope(state, after, actions)
        found, start = {}, 0
        for name, parameter in self.modules.named_parameters():
            part = self._gradient[start : start + parameter.numel()]
            found[name] = part.view(parameter.shape).clone()
            start += parameter.numel()
        return found

    def _given(self, state: Any, after: Any, actions: Any) -> tuple[Any, Any]:
        """States [2B, S], first those before, and actions [B, A]."""
        pair = torch.cat([state, after])
        return (pair.numpy(), actions.numpy()) if self._plain else (pair, actions)

    def _layers(self, name: str, x: Any) -> tuple[Any, Any]:
        """Hidden layer and output of one network."""
        w, b, v, c = self._weights[name]
        hidden = x @ w.T
        hidden += b
        hidden = np.maximum(hidden, 0.0, out=hidden) if self._plain else torch.relu_(hidden)
        output = hidden @ v.T
        output += c
        return hidden, output

    def _told(self, encoded: Any, actions: Any) -> tuple[Any, Any, Any]:
        """Input, hidden layer and error of the forward model."""
        half = len(actions)
        given = self._xp.concatenate([encoded[:half], actions], 1)
        hidden, told = self._layers("dynamics", given)
        told -= encoded[half:]
        return given, hidden, told

    def _slope(self, state: Any, after: Any, actions: Any) -> tuple[float, float]:
        """Put the gradient where it belongs; the two losses."""
        pair, acted = self._given(state, after, actions)
        half, width, beta = len(acted), self._features, self._config.beta
        seen, encoded = self._layers("encoder", pair)
        both = self._xp.concatenate([encoded[:half], encoded[half:]], 1)
        hidden, guessed = self._layers("inverse", both)
        guessed -= acted
        inverse = float((guessed * guessed).sum()) / half
        given, dreaming, gap = self._told(encoded, acted)
        forward = 0.5 * float((gap * gap).sum()) / half
        self._back("dynamics", given, dreaming, gap * (beta / half))
        back = self._back("inverse", both, hidden, guessed * (2.0 * (1.0 - beta) / half))
        back = back @ self._weights["inverse"][0]
        stacked = self._xp.concatenate([back[:, :width], back[:, width:]], 0)
        self._back("encoder", pair, seen, stacked)
        return inverse, forward

    def _back(self, name: str, x: Any, hidden: Any, slope: Any) -> Any:
        """Slopes of a network's weights from that of its output; that of its hidden layer."""
        to_w, to_b, to_v, to_c = self._slopes[name]
        to_v[:], to_c[:] = slope.T @ hidden, slope.sum(0)
        below = slope @ self._weights[name][2]
        below *= hidden > 0.0
        to_w[:], to_b[:] = below.T @ x, below.sum(0)
        return below

    def _descend(self) -> None:
        """Adam (Kingma & Ba 2015), of all weights as one vector."""
        self._steps += 1
        (first, second), (a, b) = self._moments, _BETAS
        first.lerp_(self._gradient, 1.0 - a)
        second.mul_(b).addcmul_(self._gradient, self._gradient, value=1.0 - b)
        spread = second.sqrt().div_(math.sqrt(1.0 - b**self._steps)).add_(_EPSILON)
        rate = self._config.learning_rate / (1.0 - a**self._steps)
        self._flat.addcdiv_(first, spread, value=-rate)

    def _views(self, flat: torch.Tensor) -> dict[str, list[Any]]:
        """Weight, bias, weight and bias of each network, parts of a flat vector."""
        found: dict[str, list[Any]] = {}
        start = 0
        for name, parameter in self.modules.named_parameters():
            part = flat[start : start + parameter.numel()].view(parameter.shape)
            start += parameter.numel()
            found.setdefault(name.partition(".")[0], []).append(
                part.numpy() if self._plain else part
            )
        return found

    def state_dict(self) -> dict[str, Any]:
        """Weights, moments, steps."""
        return {
            "weights": self._flat.clone(),
            "moments": self._moments.clone(),
            "steps": self._steps,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Inverse of :meth:`state_dict`."""
        self._flat.copy_(state["weights"])
        self._moments.copy_(state["moments"])
        self._steps = int(state["steps"])


def _flattened(modules: nn.Module) -> torch.Tensor:
    """All parameters as one vector, of which each becomes a part."""
    flat = torch.cat([each.detach().reshape(-1) for each in modules.parameters()])
    start = 0
    for each in modules.parameters():
        each.data = flat[start : start + each.numel()].view(each.shape)
        start += each.numel()
    return flat


def _network(inputs: int, hidden: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(inputs, hidden), nn.ReLU(), nn.Linear(hidden, outputs))
