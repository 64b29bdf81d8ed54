"""The three models of curiosity and their Adam: small networks, many calls.

For networks of this size autograd and an optimizer that goes from tensor to tensor cost several
times the arithmetic. On a CPU errors and gradient are compiled, on the same memory as the torch
modules; elsewhere they are autograd's. A test compares the two.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn

from offline_trader.learning.data.curiosity_kernels import prediction_errors, slopes
from offline_trader.learning.settings import CuriosityConfig

__all__ = ["CuriosityModels", "Errors"]

_BETAS, _EPSILON = (0.9, 0.999), 1e-8


class Errors(NamedTuple):
    """What the forward model missed in a batch.

    Attributes:
        each: [B] float32, ``½‖φ̂(s') − φ(s')‖²``.
        mean: theirs.
        squares: sum of their squared distances from it.
    """

    each: torch.Tensor
    mean: float
    squares: float


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
        self._config = config
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
        self._compiled = torch.device(device).type == "cpu"
        if self._compiled:
            self._weights, self._slopes = self._views(self._flat), self._views(self._gradient)

    def errors(self, state: Any, after: Any, actions: Any) -> Errors:
        """Of states [B, S], those that follow, and actions [B, A]."""
        if self._compiled:
            given = state.numpy(), after.numpy(), actions.numpy()
            encoder, _, dynamics = self._weights
            found = np.empty(len(actions), np.float32)
            mean, squares = prediction_errors(*given, encoder, dynamics, found)
            return Errors(torch.from_numpy(found), mean, squares)
        with torch.no_grad():
            before, following = self._encoded(state, after)
            each = self._missed(before, following, actions)
            known = each.double()
            mean = known.mean()
            return Errors(each, float(mean), float((known - mean).square().sum()))

    def losses(self, state: Any, after: Any, actions: Any) -> tuple[torch.Tensor, torch.Tensor]:
        """The inverse and the forward model's loss, with their graphs."""
        state, after = self._encoded(state, after)
        guessed = self.modules["inverse"](torch.cat([state, after], dim=1))
        inverse = (guessed - actions).square().sum(dim=1).mean()
        return inverse, self._missed(state.detach(), after.detach(), actions).mean()

    def train(self, state: Any, after: Any, actions: Any) -> tuple[float, float]:
        """One step of Adam on ``(1 − β) · L_inv + β · L_fwd``; the two losses before it.

        φ is held constant in L_fwd, so the encoder learns by the inverse model alone.
        """
        losses = self._slope(state, after, actions)
        with torch.no_grad():
            self._descend()
        return losses

    def gradient(self, state: Any, after: Any, actions: Any) -> dict[str, torch.Tensor]:
        """That of the loss, by the names of the modules' parameters."""
        self._slope(state, after, actions)
        found, start = {}, 0
        for name, parameter in self.modules.named_parameters():
            part = self._gradient[start : start + parameter.numel()]
            found[name] = part.view(parameter.shape).clone()
            start += parameter.numel()
        return found

    def _encoded(self, state: Any, after: Any) -> Any:
        return self.modules["encoder"](torch.cat([state, after])).chunk(2)

    def _missed(self, state: Any, after: Any, actions: Any) -> torch.Tensor:
        told = self.modules["dynamics"](torch.cat([state, actions], dim=1))
        missed: torch.Tensor = 0.5 * (told - after).square().sum(dim=1)
        return missed

    def _slope(self, state: Any, after: Any, actions: Any) -> tuple[float, float]:
        """Put the gradient where it belongs; the two losses."""
        beta = self._config.beta
        if self._compiled:
            given = state.numpy(), after.numpy(), actions.numpy()
            losses: tuple[float, float] = slopes(*given, self._weights, self._slopes, beta)
            return losses
        inverse, forward = self.losses(state, after, actions)
        loss = (1.0 - beta) * inverse + beta * forward
        found = torch.autograd.grad(loss, list(self.modules.parameters()))
        torch.cat([each.reshape(-1) for each in found], out=self._gradient)
        return float(inverse.detach()), float(forward.detach())

    def _descend(self) -> None:
        """Adam (Kingma & Ba 2015), of all weights as one vector."""
        self._steps += 1
        (first, second), (a, b) = self._moments, _BETAS
        first.lerp_(self._gradient, 1.0 - a)
        second.mul_(b).addcmul_(self._gradient, self._gradient, value=1.0 - b)
        spread = second.sqrt().div_(math.sqrt(1.0 - b**self._steps)).add_(_EPSILON)
        rate = self._config.learning_rate / (1.0 - a**self._steps)
        self._flat.addcdiv_(first, spread, value=-rate)

    def _views(self, flat: torch.Tensor) -> tuple[Any, ...]:
        """Weight, bias, weight and bias of each network, parts of a flat vector."""
        found: dict[str, list[Any]] = {}
        start = 0
        for name, parameter in self.modules.named_parameters():
            part = flat[start : start + parameter.numel()].view(parameter.shape)
            start += parameter.numel()
            found.setdefault(name.partition(".")[0], []).append(part.numpy())
        return tuple(tuple(found[name]) for name in ("encoder", "inverse", "dynamics"))

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
