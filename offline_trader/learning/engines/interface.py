"""One update of an algorithm: the protocol of engines, d3rlpy's own, and the switch.

An engine is bound to one d3rlpy algorithm and changes its parameters and optimizer moments in
place, so at every moment the algorithm can be saved, evaluated or handed to another engine.
Random numbers come from torch's global generator, which the learner's
:class:`~offline_trader.learning.agents.randomness.TorchStream` sets apart around every loop.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from offline_trader.errors import ConfigError
from offline_trader.learning.d3rlpy import algorithms as _d3rlpy
from offline_trader.learning.settings import LearnerConfig

__all__ = ["Engine", "StockEngine", "make_engine"]


class Engine(Protocol):
    """What computes updates.

    Attributes:
        name: ``fast``, ``graphed`` or ``stock``.
        reason: what ``fast`` has no update for, where it was asked for and stock works; else None.
    """

    name: str
    reason: str | None

    def update(self, batch: Any, *, train_actor: bool = True) -> None:
        """One update from a ``d3rlpy.torch_utility.TorchMiniBatch`` of scaled tensors.

        Args:
            batch: B transitions. Its tensors may be strided views of one gathered matrix: the
                last axis is contiguous, the first has a common stride.
            train_actor: False updates the critics (and their targets) alone.
        """

    def metrics(self) -> Mapping[str, float]:
        """Mean of every loss since the last call, then forget them; the one host sync."""
        ...

    def flush(self) -> None:
        """Write whatever is not in the algorithm's parameters and optimizers into them."""

    def reload(self) -> None:
        """Read parameters and optimizer moments anew: somebody else has changed them."""

    def settings_changed(self) -> None:
        """Somebody has changed learning rates or the target entropy."""

    def state_dict(self) -> dict[str, Any]:
        """What :meth:`flush` cannot put into the algorithm: sums of metrics, counters."""
        ...

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Inverse of :meth:`state_dict`."""


class StockEngine:
    """d3rlpy's own update, as its ``algo.update`` does it after making the batch."""

    name = "stock"

    def __init__(self, algo: Any, reason: str | None = None) -> None:
        self._algo = algo
        self.reason = reason
        self._sums: dict[str, float] = {}
        self._counts: dict[str, int] = {}

    def update(self, batch: Any, *, train_actor: bool = True) -> None:
        """One update; see :meth:`Engine.update`."""
        step = _d3rlpy.full_update if train_actor else _d3rlpy.critic_update
        for name, value in step(self._algo, batch).items():
            self._sums[name] = self._sums.get(name, 0.0) + value
            self._counts[name] = self._counts.get(name, 0) + 1

    def metrics(self) -> dict[str, float]:
        """Means since the last call."""
        means = {name: total / self._counts[name] for name, total in self._sums.items()}
        self._sums, self._counts = {}, {}
        return means

    def flush(self) -> None:
        """Nothing to do: it works on the parameters themselves."""

    def reload(self) -> None:
        """Nothing to do: it keeps no copy."""

    def settings_changed(self) -> None:
        """Nothing to do: they are read at every update."""

    def state_dict(self) -> dict[str, Any]:
        """Sums and counts of the metrics since they were last read."""
        return {"sums": dict(self._sums), "counts": dict(self._counts)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Inverse of :meth:`state_dict`."""
        self._sums, self._counts = dict(state["sums"]), dict(state["counts"])


def make_engine(algo: Any, config: LearnerConfig) -> Engine:
    """The engine that ``config.engine`` asks for.

    ``fast`` means hand-written updates on the CPU and CUDA graphs on a GPU. It falls back to stock
    where neither covers the algorithm, network or optimizer; ``learner.engine.name`` says which
    one works, ``learner.engine.reason`` why it is not the one that was asked for.
    """
    if config.engine == "stock":
        return StockEngine(algo)
    if config.engine != "fast":
        raise ConfigError(f"engine {config.engine!r}", expected="fast or stock")
    if config.device.startswith("cuda"):
        from offline_trader.learning.engines import graphed

        return graphed.make_graphed_engine(algo) or StockEngine(algo, graphed.unsupported(algo))
    from offline_trader.learning.engines import fast

    return fast.make_fast_engine(algo) or StockEngine(algo, fast.unsupported(algo))
