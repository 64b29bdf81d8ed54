"""What an update reads of a mini-batch, and its small columns as contiguous arrays."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

__all__ = ["Batch", "BatchColumns"]

Array = NDArray[np.float32]


class Batch(Protocol):
    """A mini-batch; d3rlpy's ``TorchMiniBatch`` is one.

    observations and next_observations [B, O], actions [B, A], the rest [B, 1]; float32 on the
    CPU, the last axis contiguous.
    """

    observations: Any
    actions: torch.Tensor
    rewards: torch.Tensor
    next_observations: Any
    returns_to_go: torch.Tensor
    terminals: torch.Tensor
    intervals: torch.Tensor


class BatchColumns:
    """The columns that the kernels read, copied: a gathered batch holds them with a stride.

    Attributes:
        actions: [B, A].
        rewards, terminals, intervals, returns_to_go: [B].
    """

    def __init__(self, rows: int, width: int) -> None:
        self.actions = np.zeros((rows, width), np.float32)
        self.rewards = np.zeros(rows, np.float32)
        self.terminals = np.zeros(rows, np.float32)
        self.intervals = np.zeros(rows, np.float32)
        self.returns_to_go = np.zeros(rows, np.float32)

    def load(self, batch: Batch) -> None:
        """Copy the columns of ``batch``."""
        self.actions[:] = batch.actions.numpy()
        self.rewards[:] = batch.rewards.numpy()[:, 0]
        self.terminals[:] = batch.terminals.numpy()[:, 0]
        self.intervals[:] = batch.intervals.numpy()[:, 0]
        self.returns_to_go[:] = batch.returns_to_go.numpy()[:, 0]
