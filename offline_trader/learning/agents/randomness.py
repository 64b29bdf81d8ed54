"""torch's global generator, set apart: d3rlpy draws from it and takes no generator of its own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

__all__ = ["TorchStream"]


class TorchStream:
    """A stream of torch's global draws with its own seed and a state that can be saved.

    Inside ``with stream.active():`` the global generator of the CPU (and of the CUDA device, if
    that is the device) continues this stream; on leaving, the caller's state is put back. The
    generator stays the same object, whose seed and offset CUDA graphs read at every replay.
    """

    def __init__(self, seed: int, device: str = "cpu") -> None:
        self._cuda = torch.device(device) if device.startswith("cuda") else None
        with self._outside_kept():
            torch.manual_seed(seed)
            self._states = self._read()

    @contextmanager
    def active(self) -> Iterator[None]:
        """Global draws come from this stream; do not nest."""
        with self._outside_kept():
            self._write(self._states)
            try:
                yield
            finally:
                self._states = self._read()

    def state(self) -> list[torch.Tensor]:
        """Where the stream stands, as bytes in tensors; call it outside :meth:`active`."""
        return [state.clone() for state in self._states]

    def set_state(self, states: list[torch.Tensor]) -> None:
        """Continue from :meth:`state`."""
        self._states = [state.clone() for state in states]

    @contextmanager
    def _outside_kept(self) -> Iterator[None]:
        outside = self._read()
        try:
            yield
        finally:
            self._write(outside)

    def _read(self) -> list[torch.Tensor]:
        states = [torch.get_rng_state()]
        if self._cuda is not None:
            states.append(torch.cuda.get_rng_state(self._cuda))
        return states

    def _write(self, states: list[torch.Tensor]) -> None:
        torch.set_rng_state(states[0])
        if self._cuda is not None and len(states) > 1:
            torch.cuda.set_rng_state(states[1], self._cuda)
