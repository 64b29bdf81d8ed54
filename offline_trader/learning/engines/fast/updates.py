"""The fast update of a d3rlpy algorithm, or why there is none."""

from __future__ import annotations

from typing import Any, Protocol

import torch

from offline_trader.learning.d3rlpy import bindings
from offline_trader.learning.engines.fast.batches import Batch
from offline_trader.learning.engines.fast.cql import CQLUpdate
from offline_trader.learning.engines.fast.iql import IQLUpdate
from offline_trader.learning.engines.fast.sac import SACUpdate
from offline_trader.learning.engines.fast.storage import FlatAdam

__all__ = ["Update", "make_update", "unsupported"]


class Update(Protocol):
    """Updates of a d3rlpy algorithm in place: its modules are trained, and stay its own."""

    def __call__(
        self,
        batch: Batch,
        generator: torch.Generator | None = None,
        *,
        train_actor: bool = True,
    ) -> dict[str, float]:
        """One update; the losses by d3rlpy's names. See :meth:`SACUpdate.__call__`."""
        ...

    def adams(self) -> list[FlatAdam]:
        """All optimizers, whose state is here until they are synced."""
        ...


def unsupported(algo: Any) -> str | None:
    """Why ``algo``, a d3rlpy algorithm with its networks made, has no fast update; None if it has.

    Supported are SAC, CQL, Cal-QL and IQL with float32 networks on the CPU: linear layers with
    ReLU and optional layer norm, mean Q functions, Adam or AdamW; CQL without ``max_q_backup``.
    """
    return bindings.unsupported_impl(bindings.impl_of(algo))


def make_update(algo: Any) -> Update:
    """The fast update of ``algo``.

    Raises:
        ValueError: it has none; :func:`unsupported` says why.
    """
    reason = unsupported(algo)
    if reason is not None:
        raise ValueError(f"no fast update for {reason}")
    impl = bindings.impl_of(algo)
    name = bindings.algorithm_name(impl)
    if name == "iql":
        return IQLUpdate(impl)
    if name == "sac":
        return SACUpdate(impl)
    return CQLUpdate(impl, calibrated=name == "cal_ql")
