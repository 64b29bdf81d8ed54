"""Tensors that lie still while a CUDA graph is replayed: the batch, and Adam's step counters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any

import torch

__all__ = ["AdamSteps", "FixedBatch"]


class FixedBatch:
    """A mini-batch whose tensors stay where they are; others of its layout are copied into it.

    Tensors that are columns of one gathered matrix are copied with it, in one call, and keep the
    strides that they have there.

    Attributes:
        batch: the ``TorchMiniBatch`` of fixed tensors.
    """

    batch: Any

    def __init__(self, batch: Any) -> None:
        self._layout = _layout(batch)
        self._sources: list[tuple[str, torch.Tensor]] = []
        fixed: dict[int, torch.Tensor] = {}
        columns: dict[str, torch.Tensor] = {}
        for name, column in _columns(batch).items():
            matrix = _matrix(column)
            if id(matrix) not in fixed:
                fixed[id(matrix)] = torch.empty_strided(
                    matrix.size(), matrix.stride(), dtype=matrix.dtype, device=matrix.device
                )
                self._sources.append((name, fixed[id(matrix)]))
            offset = column.storage_offset() - matrix.storage_offset()
            columns[name] = fixed[id(matrix)].as_strided(column.size(), column.stride(), offset)
        self.batch = replace(batch, **columns)

    def fits(self, batch: Any) -> bool:
        """Whether the batch has the sizes, strides and common matrices that are kept here."""
        return _layout(batch) == self._layout

    def fill(self, batch: Any) -> None:
        """Take over the values."""
        for name, fixed in self._sources:
            fixed.copy_(_matrix(getattr(batch, name)))


class AdamSteps:
    """Adam's step counters on the device while graphs need them there, on the host otherwise.

    Outside of graphs d3rlpy's optimizers count on the host, and so do the models that it saves.
    With ``capturable`` torch counts on the device, in tensors that a graph has the address of:
    they are kept for the next :meth:`engage`.

    Args:
        optimizers: of type Adam or AdamW.
        device: of their parameters.
    """

    def __init__(self, optimizers: Sequence[torch.optim.Optimizer], device: torch.device) -> None:
        self._optimizers = optimizers
        self._device = device
        self._settings: list[bool] | None = None
        self._counters: dict[torch.Tensor, torch.Tensor] = {}

    def engage(self) -> None:
        """Count on the device."""
        if self._settings is not None:
            return
        groups = [group for optimizer in self._optimizers for group in optimizer.param_groups]
        self._settings = [bool(group["capturable"]) for group in groups]
        for group in groups:
            group["capturable"] = True
        for optimizer in self._optimizers:
            for parameter, values in optimizer.state.items():
                counter = self._counters.get(parameter)
                if counter is None:
                    counter = values["step"].to(self._device, copy=True)
                    self._counters[parameter] = counter
                else:
                    counter.copy_(values["step"])
                values["step"] = counter

    def release(self) -> None:
        """Count on the host, as before :meth:`engage`."""
        if self._settings is None:
            return
        groups = [group for optimizer in self._optimizers for group in optimizer.param_groups]
        for group, setting in zip(groups, self._settings, strict=True):
            group["capturable"] = setting
        for optimizer in self._optimizers:
            for parameter, values in optimizer.state.items():
                self._counters[parameter] = values["step"]
                values["step"] = values["step"].to("cpu", copy=True)
        self._settings = None


def _columns(batch: Any) -> dict[str, torch.Tensor]:
    values = {field.name: getattr(batch, field.name) for field in fields(batch)}
    return {name: value for name, value in values.items() if isinstance(value, torch.Tensor)}


def _matrix(column: torch.Tensor) -> torch.Tensor:
    """The gathered matrix [B, W] that the column belongs to; itself, if it belongs to none."""
    base = column._base
    return base if base is not None and base.shape[0] == column.shape[0] else column


def _layout(batch: Any) -> list[Any]:
    columns = _columns(batch)
    matrices: dict[int, int] = {}
    return [
        (
            name,
            column.size(),
            column.stride(),
            column.storage_offset() - _matrix(column).storage_offset(),
            matrices.setdefault(id(_matrix(column)), len(matrices)),
        )
        for name, column in columns.items()
    ]
