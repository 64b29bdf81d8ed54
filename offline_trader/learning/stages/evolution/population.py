"""Many policies of one shape over the same windows: what a generation is tried on.

On the CPU, under the rules that the compiled kernels know, one policy after another goes through
all windows: its weights stay in the cache, where a product over all policies reads them anew at
every bar. Otherwise policies go through a bar together, on a GPU all of them, on the CPU a block
after another: one batched product a layer, one step of policies × windows portfolios.
"""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from offline_trader.errors import ConfigError
from offline_trader.learning.agents import Learner
from offline_trader.learning.d3rlpy import transfer as _transfer
from offline_trader.learning.engines import EngineFacts
from offline_trader.learning.stages.direct import Batch, CompiledUnroll, DirectMarket, TorchUnroll
from offline_trader.types import FloatArray

__all__ = ["Population"]

_ALONE, _TOGETHER = 16, 64
"""Members of a block, where each goes alone and where they go through a bar together: fewer would
leave torch with more to say than to do."""
Score = Callable[[Tensor, Tensor], float | FloatArray]


class Population:
    """Scores vectors of an actor's weights on windows of a market.

    Args:
        learner: whose actor gives the shape, and the first vector.
        market: log and dynamics.
        surprises: [R, G] float64, what is taken off a reward for a unit carried.
        engine: of :func:`offline_trader.learning.stages.direct.compiled.engine_for`.

    Attributes:
        block: members that are tried at once. Where they go through a bar together a member's last
            bit may depend on the others, so they are the same ones whoever tries them.

    Raises:
        ConfigError: an actor with other layers than linear ones with ReLU.
    """

    def __init__(
        self, learner: Learner, market: DirectMarket, surprises: Tensor, engine: EngineFacts
    ) -> None:
        layers = _transfer.actor_layers(learner.algo)
        if layers is None:
            raise ConfigError("evolution of this actor", expected="linear layers with ReLU")
        hidden, head = layers
        self._parameters = [p for layer in (*hidden, head) for p in (layer.weight, layer.bias)]
        self._device = learner.config.device
        self._tried = _Tried()
        self.block = _ALONE if engine.name != "torch" else _TOGETHER
        self._unroll: CompiledUnroll | TorchUnroll
        if engine.name == "torch":
            self._unroll = TorchUnroll(learner, market, surprises, pulled=False, actor=self._tried)
        else:
            self._unroll = CompiledUnroll(learner, market, surprises, pulled=False)

    @property
    def vector(self) -> FloatArray:
        """[D] the actor's weights of now."""
        flat = torch.cat([p.detach().reshape(-1) for p in self._parameters])
        return np.asarray(flat.cpu().numpy(), np.float64)

    def write(self, vector: FloatArray) -> None:
        """Make ``vector`` [D] the actor's weights."""
        with torch.no_grad():
            for parameter, values in zip(
                self._parameters, self._split(torch.from_numpy(vector)), strict=True
            ):
                parameter.copy_(values)

    def scores(self, members: NDArray[np.float32], batch: Batch, score: Score) -> FloatArray:
        """[P, …] ``score`` of what each of ``members`` [P, D] climbs and earns, [T, B] both."""
        stacked = torch.from_numpy(members)
        with torch.no_grad():
            if isinstance(self._unroll, CompiledUnroll):
                arrays = ([p.numpy() for p in self._split(one)] for one in stacked)
                return np.array(self._unroll.scores(batch, arrays, score))
            size = self.block if self._device == "cpu" else len(stacked)
            blocks = torch.split(stacked.to(self._device), size)
            return np.concatenate([self._together(each, batch, score) for each in blocks])

    def _together(self, members: Tensor, batch: Batch, score: Score) -> FloatArray:
        assert isinstance(self._unroll, TorchUnroll)
        count = len(members)
        self._tried.layers = list(_pairs(self._split(members)))
        tiled = Batch(
            batch.rows.repeat(1, count), tuple(x.repeat(count) for x in batch.state), None
        )
        done = self._unroll(tiled)
        climbed, rewards = (
            each.reshape(len(batch.rows), count, -1) for each in (done.climbed, done.rewards)
        )
        return np.array([score(climbed[:, i], rewards[:, i]) for i in range(count)])

    def _split(self, flat: Tensor) -> list[Tensor]:
        """Weights and biases, [..., D] → [..., *shape] each."""
        sizes = [p.numel() for p in self._parameters]
        parts = torch.split(flat, sizes, dim=-1)
        return [
            part.reshape(*flat.shape[:-1], *p.shape)
            for part, p in zip(parts, self._parameters, strict=True)
        ]


class _Tried(torch.nn.Module):
    """All members' actors as one: a batched product a layer. ``layers``: weight, bias [P, …]."""

    layers: list[tuple[Tensor, Tensor]]

    def forward(self, seen: Tensor) -> Any:
        """``mu`` [P · B, 1] for scaled observations [P · B, O], member by member."""
        values = seen.reshape(len(self.layers[0][0]), -1, seen.shape[1])
        for i, (weight, bias) in enumerate(self.layers):
            values = torch.relu(values) if i else values
            values = torch.baddbmm(bias[:, None], values, weight.transpose(1, 2))
        return SimpleNamespace(mu=values.reshape(-1, 1))


def _pairs(parts: list[Tensor]) -> zip[tuple[Tensor, Tensor]]:
    return zip(parts[::2], parts[1::2], strict=True)
