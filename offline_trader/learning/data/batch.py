"""One mini-batch: columns by name, and which rows of which source they came from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch

from offline_trader.learning.d3rlpy import algorithms as _d3rlpy
from offline_trader.learning.data.rows import MINIBATCH, RowLayout

__all__ = ["Batch", "Drawn", "RowSource"]


class RowSource(Protocol):
    """Rows that may grow: a packed dataset or a ring buffer."""

    @property
    def values(self) -> torch.Tensor:
        """[capacity, W] float32."""
        ...

    @property
    def layout(self) -> RowLayout:
        """Columns of a row."""
        ...

    @property
    def count(self) -> int:
        """Rows from the start that are filled."""
        ...


@dataclass(frozen=True, eq=False)
class Drawn:
    """Where some of a batch's rows came from.

    Attributes:
        source: what they were drawn from.
        indices: [n] int64, rows of the source.
        rows: the places in the batch that they fill.
    """

    source: RowSource
    indices: torch.Tensor
    rows: slice


@dataclass(frozen=True, eq=False)
class Batch(Mapping[str, torch.Tensor]):
    """B transitions: ``batch[name]`` is [B, w], a view of one matrix that is this batch's own.

    So a transform may write into a column in place.

    Attributes:
        matrix: [B, W] float32.
        layout: columns.
        drawn: where the rows came from, in order.
    """

    matrix: torch.Tensor
    layout: RowLayout
    drawn: tuple[Drawn, ...] = field(default=())

    def __getitem__(self, name: str) -> torch.Tensor:
        return self.matrix[:, self.layout.slices()[name]]

    def __iter__(self) -> Iterator[str]:
        return iter(self.layout.slices())

    def __len__(self) -> int:
        return len(self.layout.slices())

    def minibatch(self) -> Any:
        """As d3rlpy's ``TorchMiniBatch``, which knows the eight columns of a transition alone."""
        where = self.layout.slices()
        columns = {name: self.matrix[:, where[name]] for name in MINIBATCH}
        return _d3rlpy.minibatch(columns, str(self.matrix.device))
