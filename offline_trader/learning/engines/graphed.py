"""Updates on a GPU: d3rlpy's own work, captured once as CUDA graphs and replayed.

An update of small networks is several hundred kernels of a few microseconds, and starting them one
by one from Python takes much longer than running them. A CUDA graph starts all of them at once. It
repeats the same kernels on the same memory, so everything an update reads or writes lies still:
the batch is copied into fixed tensors, parameters and moments change in place, the losses are
summed on the device. Where the losses' sums are read (:meth:`GraphedEngine.metrics`) is the only
place at which the host waits.

Random numbers: torch adds the default generator's seed and offset to a graph at every replay, as
they are at that moment, and moves the offset on. So a replay draws from the stream that
:class:`~offline_trader.learning.agents.randomness.TorchStream` has swapped in, as eager updates do.
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import torch

from offline_trader.errors import OfflineTraderError
from offline_trader.learning.d3rlpy import device_update as _device_update
from offline_trader.learning.engines.fixed_memory import AdamSteps, FixedBatch

__all__ = ["Capture", "CudaCapture", "GraphedEngine", "make_graphed_engine", "unsupported"]

# Eager updates of a kind before its capture: libraries and optimizers allocate in the first.
WARMUPS = 3

Work = Callable[[], None]


class Capture(Protocol):
    """What turns device work into something that can be repeated."""

    def warm(self, work: Work) -> None:
        """Do the work, as it has to be done before a capture."""
        ...

    def capture(self, work: Work) -> Work:
        """Record the work without doing it; what is returned does it.

        Raises:
            OfflineTraderError: it cannot be recorded.
        """
        ...

    def wait(self) -> None:
        """Until all that was begun is done; then recordings may be dropped."""
        ...


class CudaCapture:
    """``torch.cuda.graph`` on a stream of its own."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]

    def warm(self, work: Work) -> None:
        """See :meth:`Capture.warm`."""
        with torch.cuda.device(self._device):
            self._stream.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(self._stream):
                work()
            torch.cuda.current_stream().wait_stream(self._stream)

    def capture(self, work: Work) -> Work:
        """See :meth:`Capture.capture`."""
        graph = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.device(self._device), torch.cuda.graph(graph, stream=self._stream):
                work()
        except RuntimeError as error:
            raise OfflineTraderError(
                f"the update cannot be captured as a CUDA graph: {error}",
                hint="--set learner.engine=stock trains on the same device without graphs",
            ) from error
        replay: Work = graph.replay
        return replay

    def wait(self) -> None:
        """See :meth:`Capture.wait`."""
        torch.cuda.synchronize(self._device)


class GraphedEngine:
    """d3rlpy's update from fixed tensors; satisfies ``offline_trader.learning.engines.Engine``.

    Args:
        algo: a d3rlpy algorithm that
            :func:`offline_trader.learning.d3rlpy.device_update.unsupported` has nothing against.
        capture: None does the same work every time without recording it, as on the CPU.
    """

    name = "graphed"
    reason: str | None = None

    def __init__(self, algo: Any, capture: Capture | None = None) -> None:
        self._algo = algo
        self._capture = capture
        self._device = _device_update.parameters(algo)[0].device
        self._adams = AdamSteps(_device_update.optimizers(algo), self._device)
        self._batch: FixedBatch | None = None
        self._done: Counter[str] = Counter()
        self._replays: dict[str, Work] = {}
        self._names: dict[str, tuple[str, ...]] = {}
        self._sums: dict[str, torch.Tensor] = {}
        self._counts: Counter[str] = Counter()

    def update(self, batch: Any, *, train_actor: bool = True) -> None:
        """One update; see :meth:`offline_trader.learning.engines.interface.Engine.update`."""
        if self._batch is None or not self._batch.fits(batch):
            self._forget()
            self._batch = FixedBatch(batch)
        self._batch.fill(batch)
        if self._capture is not None:
            self._adams.engage()
        kind = _device_update.kind_of(self._algo, train_actor=train_actor)
        self._run(kind)
        self._counts.update(self._names[kind])
        if train_actor:
            _device_update.count_step(self._algo)

    def _run(self, kind: str) -> None:
        def work() -> None:
            self._work(kind)

        if self._capture is None:
            work()
        elif self._done[kind] < WARMUPS:
            self._done[kind] += 1
            with warnings.catch_warnings():
                # Adam remarks that it is ready for a capture and works without one
                warnings.filterwarnings("ignore", "This instance was constructed with capturable")
                self._capture.warm(work)
        else:
            if kind not in self._replays:
                # gradients that the graph makes itself lie in its own memory
                for parameter in _device_update.parameters(self._algo):
                    parameter.grad = None
                self._replays[kind] = self._capture.capture(work)
            self._replays[kind]()

    def _work(self, kind: str) -> None:
        """What is captured: nothing here may wait for the device or bring data to it."""
        assert self._batch is not None
        with _device_update.device_only():
            losses = _device_update.losses(self._algo, self._batch.batch, kind)
        self._names[kind] = tuple(losses)
        for name, loss in losses.items():
            self._sum(name).add_(loss)

    def _sum(self, name: str) -> torch.Tensor:
        """The sum of a loss: float64, which is what Python's own sum of floats is."""
        if name not in self._sums:
            self._sums[name] = torch.zeros((), dtype=torch.float64, device=self._device)
        return self._sums[name]

    def _read(self) -> dict[str, float]:
        """All sums in one transfer."""
        names = [name for name in self._sums if self._counts[name] > 0]
        if not names:
            return {}
        values = torch.stack([self._sums[name] for name in names]).tolist()
        return dict(zip(names, values, strict=True))

    def metrics(self) -> dict[str, float]:
        """Means since the last call."""
        means = {name: total / self._counts[name] for name, total in self._read().items()}
        for total in self._sums.values():
            total.zero_()
        self._counts.clear()
        return means

    def flush(self) -> None:
        """Adam's counters back to the host and its settings to d3rlpy's."""
        self._adams.release()

    def reload(self) -> None:
        """Record anew: the optimizers' tensors may be others now."""
        self._forget()
        self._adams.release()  # the settings outlast the moments that were replaced
        self._adams = AdamSteps(_device_update.optimizers(self._algo), self._device)

    def settings_changed(self) -> None:
        """Record anew: a graph repeats the numbers that it was recorded with."""
        self._forget()

    def _forget(self) -> None:
        if self._capture is not None and self._replays:
            self._capture.wait()
        self._replays.clear()
        self._done.clear()

    def state_dict(self) -> dict[str, Any]:
        """Sums and counts of the metrics since they were last read."""
        return {"sums": self._read(), "counts": {n: c for n, c in self._counts.items() if c > 0}}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Inverse of :meth:`state_dict`."""
        for total in self._sums.values():
            total.zero_()
        for name, total in state["sums"].items():
            self._sum(name).fill_(total)
        self._counts = Counter(state["counts"])


def unsupported(algo: Any) -> str | None:
    """Why ``algo`` has no update as a CUDA graph; None if it has."""
    if _device_update.parameters(algo)[0].device.type != "cuda":
        return "parameters that are not on a GPU"
    return _device_update.unsupported(algo)


def make_graphed_engine(algo: Any) -> GraphedEngine | None:
    """A :class:`GraphedEngine` for an algorithm on a CUDA device, or None where stock has to do it.

    Args:
        algo: d3rlpy algorithm with its networks made.
    """
    if unsupported(algo) is not None:
        return None
    return GraphedEngine(algo, CudaCapture(_device_update.parameters(algo)[0].device))
