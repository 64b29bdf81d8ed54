"""d3rlpy's update as device work alone: its own losses, optimizers and targets in its own order.

Private neighbour of :mod:`offline_trader.learning.d3rlpy.algorithms`. d3rlpy 2.6's
``update_critic`` and
``update_actor`` turn every loss into a Python float, which waits for the device; its losses make a
zero on the host and copy it over; torch's distributions look at their arguments' values. None of
that can be part of a CUDA graph. Here the losses stay tensors, and inside :func:`device_only` the
other two do not happen. The numbers are d3rlpy's, to the bit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields
from typing import Any

import torch
from torch.distributions import Distribution
from torch.overrides import TorchFunctionMode

from offline_trader.learning.d3rlpy import algorithms as _d3rlpy
from offline_trader.learning.d3rlpy.bindings import count_step

__all__ = ["count_step", "device_only", "kind_of", "losses", "optimizers", "parameters",
           "unsupported"]  # fmt: skip

_ADAMS = (torch.optim.Adam, torch.optim.AdamW)

Losses = dict[str, torch.Tensor]


def unsupported(algo: Any) -> str | None:
    """Why this update cannot stand in for d3rlpy's ``impl.update``, or None."""
    if type(algo.config).__name__ not in _d3rlpy._CONFIGS.values():
        return f"algorithm {type(algo.config).__name__}"
    reasons = [f"optimizer {type(o).__name__}" for o in optimizers(algo) if type(o) not in _ADAMS]
    kinds = [type(function).__name__ for function in algo.impl.modules.q_funcs]
    # quantile functions index with host tensors
    reasons += [f"Q function {kind}" for kind in kinds if kind != "ContinuousMeanQFunction"]
    return reasons[0] if reasons else None


def optimizers(algo: Any) -> list[torch.optim.Optimizer]:
    """The algorithm's optimizers."""
    parts = vars(algo.impl.modules).values()
    return [part for part in parts if isinstance(part, torch.optim.Optimizer)]


def parameters(algo: Any) -> list[torch.nn.Parameter]:
    """The parameters of all its networks, targets included."""
    parts = vars(algo.impl.modules).values()
    return [p for part in parts if isinstance(part, torch.nn.Module) for p in part.parameters()]


def kind_of(algo: Any, *, train_actor: bool) -> str:
    """Which sequence of device work the next update is: ``critic``, ``full``, or ``delayed``.

    TD3+BC moves its actor and its targets at every second update: the others are ``delayed``.
    """
    if not train_actor:
        return "critic"
    interval = getattr(algo.impl, "_update_actor_interval", 1)
    return "full" if algo.grad_step % interval == 0 else "delayed"


def losses(algo: Any, batch: Any, kind: str) -> Losses:
    """One update of ``kind``; its losses, scalars on the device without their graph."""
    impl = algo.impl
    impl.modules.set_train()
    late = hasattr(impl, "update_actor_target")  # TD3+BC: the actor is evaluated after the critics
    action = impl.policy(batch.observations) if kind == "full" and not late else None
    result = _critic(impl, batch)
    if kind == "full":
        result |= _actor(impl, batch, impl.policy(batch.observations) if late else action)
    if kind != "delayed":
        impl.update_critic_target()
    if kind == "full" and late:
        impl.update_actor_target()
    return result


def _critic(impl: Any, batch: Any) -> Losses:
    """``DDPGBaseImpl.update_critic``."""
    optimizer = impl.modules.critic_optim
    optimizer.zero_grad()
    loss = impl.compute_critic_loss(batch, impl.compute_target(batch))
    loss.critic_loss.backward()
    optimizer.step()
    return _detached(loss)


def _actor(impl: Any, batch: Any, action: Any) -> Losses:
    """``DDPGBaseImpl.update_actor``."""
    impl.modules.q_funcs.eval()
    optimizer = impl.modules.actor_optim
    optimizer.zero_grad()
    loss = impl.compute_actor_loss(batch, action)
    loss.actor_loss.backward()
    optimizer.step()
    return _detached(loss)


def _detached(loss: Any) -> Losses:
    return {field.name: getattr(loss, field.name).detach() for field in fields(loss)}


@contextmanager
def device_only() -> Iterator[None]:
    """Inside, numbers become tensors by a fill on their device, and arguments are not looked at.

    A policy that has become NaN is therefore noticed by its losses, not by the distribution.
    """
    checks = Distribution._validate_args
    Distribution.set_default_validate_args(False)
    try:
        with _FilledScalars():
            yield
    finally:
        Distribution.set_default_validate_args(checks)


class _FilledScalars(TorchFunctionMode):
    """``torch.tensor(number, device=d)`` as ``torch.full``: the same value, no copy."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        given = kwargs or {}
        if func is torch.tensor and isinstance(args[0], float):
            given = {"dtype": torch.float32, **given}
            return torch.full((), args[0], **given)
        return func(*args, **given)
