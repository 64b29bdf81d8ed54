"""torch's Adam over all parameters in one row: its results, a few calls instead of many.

A step of a small network is a matter of calls: torch makes eight of them a parameter. Adam works
number by number, so on the moments of all parameters in one row the same eight calls give the same
numbers. The parameters stay where they are, for whoever else has them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from offline_trader.learning.engines.plain_torch import PlainAdam

__all__ = ["RowAdam"]


@dataclass
class _Row:
    """Moments [P] of all parameters after ``step`` steps; what is added to them, and its parts."""

    step: int
    mean: Tensor
    square: Tensor
    change: Tensor
    changes: list[Tensor]


class RowAdam(PlainAdam):
    """:class:`PlainAdam` without weight decay, to the bit, for parameters of one device and type.

    Where a parameter has no gradient, or did not have one in an earlier step, it is stepped as
    ``PlainAdam`` does. :attr:`state` is that of torch after :meth:`state_dict`.

    Args:
        parameters: as torch's.
        lr, betas, eps: as torch's.
    """

    def __init__(
        self,
        parameters: Any,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
    ) -> None:
        self._row: _Row | None = None
        super().__init__(parameters, lr=lr, betas=betas, eps=eps)

    def step(self, closure: Any = None) -> Any:
        """One update of the parameters that have a gradient."""
        (group,) = self.param_groups
        parameters = group["params"]
        gradients = [each.grad for each in parameters]
        row = None
        if closure is None and all(each is not None for each in gradients):
            row = self._row = self._row or self._gathered(parameters)
        if row is None:
            self._settle()
            self._row = None
            return super().step(closure)
        with torch.no_grad():
            _descend(row, parameters, gradients, group)
        return None

    def zero_grad(self, set_to_none: bool = True) -> None:
        """No gradients, or zeros."""
        if not set_to_none:
            return super().zero_grad(set_to_none)
        for each in self.param_groups[0]["params"]:
            each.grad = None
        return None

    def _gathered(self, parameters: list[Tensor]) -> _Row | None:
        """The moments that :attr:`state` holds; None where parameters differ in their steps."""
        held = [self.state.get(each) or {} for each in parameters]
        steps = {int(each.get("step", 0)) for each in held}
        if len(steps) > 1:
            return None
        first, second = (
            torch.cat(
                [
                    each.get(name, torch.zeros_like(parameter)).reshape(-1)
                    for each, parameter in zip(held, parameters, strict=True)
                ]
            )
            for name in ("exp_avg", "exp_avg_sq")
        )
        change = torch.empty_like(first)
        return _Row(steps.pop(), first, second, change, _parts(change, parameters))

    def _settle(self) -> None:
        """Write the row into :attr:`state`, tensors of their own for each parameter."""
        if self._row is None:
            return
        parameters = self.param_groups[0]["params"]
        means, squares = (_parts(each, parameters) for each in (self._row.mean, self._row.square))
        for parameter, mean, square in zip(parameters, means, squares, strict=True):
            step = torch.tensor(float(self._row.step), dtype=torch.float32)
            self.state[parameter] = {
                "step": step,
                "exp_avg": mean.clone(),
                "exp_avg_sq": square.clone(),
            }

    def state_dict(self) -> dict[str, Any]:
        """As torch's Adam has it."""
        self._settle()
        return super().state_dict()

    def __getstate__(self) -> dict[str, Any]:
        """What a copy begins with: that the moments lie in a row is no part of it."""
        self._settle()
        found: dict[str, Any] = super().__getstate__()
        return found

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Inverse of :meth:`__getstate__`; ``load_state_dict`` ends here, too."""
        super().__setstate__(state)  # type: ignore[no-untyped-call]
        self._row = None


def _parts(row: Tensor, parameters: list[Tensor]) -> list[Tensor]:
    sizes = [each.numel() for each in parameters]
    return [
        part.view_as(each) for part, each in zip(torch.split(row, sizes), parameters, strict=True)
    ]


def _descend(
    row: _Row, parameters: list[Tensor], gradients: list[Tensor], group: Mapping[str, Any]
) -> None:
    """Kingma & Ba (2015), algorithm 1, in the order in which torch computes it."""
    beta1, beta2 = group["betas"]
    gradient = torch.cat([each.reshape(-1) for each in gradients])
    row.step += 1
    row.mean.lerp_(gradient, 1 - beta1)
    row.square.mul_(beta2).addcmul_(gradient, gradient, value=1 - beta2)
    rate = group["lr"] / (1 - beta1**row.step)
    root = (1 - beta2**row.step) ** 0.5
    bounds = row.square.sqrt().div_(root).add_(group["eps"])
    torch.mul(row.mean, -rate, out=row.change).div_(bounds)
    torch._foreach_add_(parameters, row.changes)
