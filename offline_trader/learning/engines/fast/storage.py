"""Parameters of a group in one contiguous buffer, with their gradient and Adam state beside them.

The modules' parameters become views of the buffer, so that one pass steps all of them, networks
of one shape lie side by side, and the modules stay what they were for everybody else.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch

from offline_trader.learning.engines.fast.optimizer_kernels import adam, adam_with_target

__all__ = ["FlatAdam", "FlatParameters", "unsupported_optimizer"]

_ALIGNMENT = 16  # float32 numbers: one cache line


class FlatParameters:
    """One buffer for several stacks of equally shaped parameters.

    Args:
        stacks: each a list of E parameters of one shape; they lie one after another, so that
            stack i is a view [E, *shape].

    Attributes:
        data, gradient, first, second: [P] the parameters, their gradient, Adam's moments.
        values, gradient_values: the first two as arrays.
    """

    def __init__(self, stacks: Sequence[Sequence[torch.Tensor]]) -> None:
        self._stacks = [list(stack) for stack in stacks]
        offsets, size = [], 0
        for stack in self._stacks:
            offsets.append(size)
            numbers = sum(parameter.numel() for parameter in stack)
            size += -(-numbers // _ALIGNMENT) * _ALIGNMENT
        self._offsets = offsets
        self.data = torch.zeros(size)
        self.gradient = torch.zeros(size)
        self.first = torch.zeros(size)
        self.second = torch.zeros(size)
        self.values, self.gradient_values = self.data.numpy(), self.gradient.numpy()
        for parameter, view in self.views(self.data):
            view.copy_(parameter.data)
            parameter.data = view

    def stack(self, index: int) -> torch.Tensor:
        """Parameters of stack ``index``, [E, *shape], a view."""
        return self._stack_view(self.data, index)

    def stack_gradient(self, index: int) -> torch.Tensor:
        """Their gradient, [E, *shape], a view."""
        return self._stack_view(self.gradient, index)

    def views(self, buffer: torch.Tensor) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """Every parameter with its part of ``buffer`` (one of the four), in its shape."""
        pairs = []
        for index, stack in enumerate(self._stacks):
            pairs += list(zip(stack, self._stack_view(buffer, index), strict=True))
        return pairs

    def _stack_view(self, buffer: torch.Tensor, index: int) -> torch.Tensor:
        stack, start = self._stacks[index], self._offsets[index]
        shape = (len(stack), *stack[0].shape)
        return buffer[start : start + math.prod(shape)].view(shape)


def unsupported_optimizer(optimizer: torch.optim.Optimizer) -> str | None:
    """Why :class:`FlatAdam` cannot stand in for ``optimizer``, or None."""
    if type(optimizer) not in (torch.optim.Adam, torch.optim.AdamW):
        return f"optimizer {type(optimizer).__name__}"
    if len(optimizer.param_groups) != 1:
        return "an optimizer with several parameter groups"
    group = optimizer.param_groups[0]
    for option in ("amsgrad", "maximize"):
        if group.get(option):
            return f"Adam with {option}"
    steps = {float(state["step"]) for state in optimizer.state.values() if "step" in state}
    if len(steps) > 1 or (steps and len(optimizer.state) != len(group["params"])):
        return "an optimizer whose parameters have taken different numbers of steps"
    return None


class FlatAdam:
    """Adam or AdamW of ``optimizer`` over flat buffers; its settings are read at every step.

    Args:
        optimizer: the torch optimizer whose parameters the buffers hold, all of them.
        parts: the buffers.
    """

    def __init__(self, optimizer: torch.optim.Optimizer, parts: Sequence[FlatParameters]) -> None:
        self._optimizer = optimizer
        self._parts = list(parts)
        self._decoupled = isinstance(optimizer, torch.optim.AdamW)
        self._arrays = [
            tuple(buffer.numpy() for buffer in (part.data, part.gradient, part.first, part.second))
            for part in self._parts
        ]
        self._constants = np.zeros(8, dtype=np.float32)
        self._steps = 0
        self.reload()

    def step(
        self, targets: Sequence[FlatParameters | None] | None = None, tau: float = 0.0
    ) -> None:
        """One step from the gradients in the buffers; targets follow their parts by ``tau``."""
        self._steps += 1
        group = self._optimizer.param_groups[0]
        rate, (beta1, beta2) = float(group["lr"]), group["betas"]
        decay = float(group["weight_decay"])
        self._constants[:] = (
            rate / (1.0 - beta1**self._steps),
            1.0 - beta1,
            beta2,
            1.0 - beta2,
            1.0 / math.sqrt(1.0 - beta2**self._steps),
            group["eps"],
            0.0 if self._decoupled else decay,
            1.0 - rate * decay if self._decoupled else 1.0,
        )
        for index, arrays in enumerate(self._arrays):
            target = targets[index] if targets else None
            if target is None:
                adam(*arrays, self._constants)
            else:
                adam_with_target(*arrays, self._constants, target.values, np.float32(tau))

    def sync(self) -> None:
        """Write the state into the torch optimizer, in its own form."""
        if self._steps == 0:
            return
        for part in self._parts:
            moments = zip(part.views(part.first), part.views(part.second), strict=True)
            for (parameter, first), (_, second) in moments:
                self._optimizer.state[parameter] = {
                    "step": torch.tensor(float(self._steps)),
                    "exp_avg": first.clone(),
                    "exp_avg_sq": second.clone(),
                }

    def reload(self) -> None:
        """Take the state from the torch optimizer (zero where it has none yet)."""
        self._steps = 0
        for part in self._parts:
            for buffer, name in ((part.first, "exp_avg"), (part.second, "exp_avg_sq")):
                for parameter, view in part.views(buffer):
                    state = self._optimizer.state.get(parameter)
                    if state:
                        view.copy_(state[name])
                        self._steps = int(state["step"])
                    else:
                        view.zero_()
