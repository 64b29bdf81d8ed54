"""A tower whose every observation is met by several actions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from offline_trader.learning.engines.fast import dense_kernels
from offline_trader.learning.engines.fast.stacks import NetworkStack
from offline_trader.learning.engines.fast.tower import Tower

__all__ = ["FanTower"]

Array = NDArray[np.float32]


class FanTower(Tower):
    """Rows are (observation, action) pairs, ``fan`` actions an observation, observation-major.

    The observation's share of the first layer is computed once an observation, forward and
    backward.
    """

    def __init__(
        self,
        stack: NetworkStack,
        gradients: NetworkStack | None,
        observation_size: int,
        action_size: int,
        blocks: Sequence[int],
        fan: int,
    ) -> None:
        rows = sum(blocks) * fan
        super().__init__(stack, gradients, observation_size, action_size, (rows,))
        nets, _, units = self._hidden[0].shape
        self._fan = fan
        self._share = torch.zeros(nets, rows // fan, units)
        self._share_gradient = torch.zeros(nets, rows // fan, units)

    def _compiled(self) -> bool:
        """Never: the first layer is another one."""
        return False

    def _first_forward(self, observations: Sequence[torch.Tensor]) -> None:
        first = self._stack.layers[0].weight
        for e, out in enumerate(self._share):
            torch.mm(observations[0], first[e, :, : self._size].t(), out=out)
        dense_kernels.repeat_rows(self._share.numpy(), self._fan, self._hidden[0].numpy())

    def _first_backward(self, observations: torch.Tensor) -> None:
        assert self._gradients is not None
        dense_kernels.sum_rows(self._delta_arrays[0], self._fan, self._share_gradient.numpy())
        for e, gradient in enumerate(self._share_gradient):
            out = self._gradients.layers[0].weight[e, :, : self._size]
            torch.mm(gradient.t(), observations, out=out)
