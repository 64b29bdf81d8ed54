"""torch's optimizers without torch's compiler.

The methods of ``torch.optim.Optimizer`` are hidden from ``torch.compile``, and the first call of
one imports the whole of ``torch._dynamo`` for it: as long as ``import torch`` itself, before the
first update of a run. Nothing here is ever compiled by torch, so there is nothing to hide from.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

__all__ = ["PlainAdam", "without_dynamo"]

_METHODS = ("add_param_group", "load_state_dict", "state_dict", "zero_grad")
# Where ``torch._compile._disable_dynamo`` keeps what it calls; another torch ignores it.
_MARK = "__dynamo_disable"
_STEP = inspect.unwrap(torch.optim.Adam.step)  # without what talks to the compiler


class PlainAdam(torch.optim.Adam):
    """torch's Adam, to the bit, whose steps do not import ``torch._dynamo`` either."""

    def step(self, closure: Any = None) -> Any:
        """One update of the parameters that have a gradient."""
        with torch.no_grad():
            return _STEP(self, closure)


@contextmanager
def without_dynamo() -> Iterator[None]:
    """Inside, optimizers are made, zeroed, saved and loaded without importing ``torch._dynamo``.

    Nothing of it outlasts the block. Not for code that traces optimizers with ``torch.compile``.
    """
    marked = []
    for name in _METHODS:
        method = getattr(getattr(torch.optim.Optimizer, name), "__wrapped__", None)
        if method is not None and not hasattr(method, _MARK):
            setattr(method, _MARK, method)
            marked.append(method)
    try:
        yield
    finally:
        for method in marked:
            delattr(method, _MARK)
