"""The fast updates as an engine of the learner."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from offline_trader.learning.d3rlpy import bindings
from offline_trader.learning.engines.fast.updates import make_update, unsupported

__all__ = ["FastEngine", "make_fast_engine"]


class FastEngine:
    """Hand-written updates; satisfies ``offline_trader.learning.engines.interface.Engine``.

    The optimizers' state lives here until :meth:`flush` puts it into torch's optimizers, which has
    to come before the algorithm is saved or stepped by anything else. Weights may be loaded into
    the modules, in place, at will; after loading optimizer state call :meth:`reload`.

    Args:
        algo: a d3rlpy algorithm of which :func:`unsupported` says None.
    """

    name = "fast"
    reason: str | None = None

    def __init__(self, algo: Any) -> None:
        self._algo = algo
        self._update = make_update(algo)
        self._sums: dict[str, float] = {}
        self._counts: dict[str, int] = {}

    def update(self, batch: Any, *, train_actor: bool = True) -> None:
        """One update from a mini-batch of scaled float32 tensors on the CPU.

        Args:
            batch: see :class:`~offline_trader.learning.engines.fast.batches.Batch`.
            train_actor: False updates the critics and their targets alone.
        """
        sums, counts = self._sums, self._counts
        for name, value in self._update(batch, train_actor=train_actor).items():
            sums[name] = sums.get(name, 0.0) + value
            counts[name] = counts.get(name, 0) + 1
        if train_actor:
            bindings.count_step(self._algo)

    def metrics(self) -> dict[str, float]:
        """Means since the last call."""
        means = {name: total / self._counts[name] for name, total in self._sums.items()}
        self._sums, self._counts = {}, {}
        return means

    def flush(self) -> None:
        """Write the optimizers' state into the algorithm's torch optimizers."""
        for adam in self._update.adams():
            adam.sync()

    def reload(self) -> None:
        """Take the optimizers' state from the algorithm's torch optimizers."""
        for adam in self._update.adams():
            adam.reload()

    def settings_changed(self) -> None:
        """Nothing to do: they are read at every update."""

    def state_dict(self) -> dict[str, Any]:
        """Sums and counts of the metrics since they were last read."""
        return {"sums": dict(self._sums), "counts": dict(self._counts)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Inverse of :meth:`state_dict`."""
        self._sums, self._counts = dict(state["sums"]), dict(state["counts"])


def make_fast_engine(algo: Any) -> FastEngine | None:
    """A :class:`FastEngine`, or None where the stock one has to do it.

    Args:
        algo: d3rlpy algorithm with its networks made.
    """
    return FastEngine(algo) if unsupported(algo) is None else None
