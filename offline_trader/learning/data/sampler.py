"""Mini-batches by one index gather, from one set of rows or from two in fixed shares."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import torch

from offline_trader.errors import ConfigError
from offline_trader.learning.d3rlpy import algorithms as _d3rlpy
from offline_trader.learning.data.rows import RowLayout

__all__ = ["RowSource", "Sampler"]


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


class Sampler:
    """Draws B transitions uniformly with replacement, as d3rlpy's ``TorchMiniBatch``.

    With two sources, the first gives ``round(share · B)`` of the rows and the second the rest
    (RLPD's symmetric sampling at a half, Ball et al. 2023, section 4.1). The tensors of a batch
    are column views of one gathered [B, W] matrix, fresh at every draw.

    Args:
        sources: one or two row sources of one layout, on one device.
        batch_size: B.
        seed: of the sampler's own generator, on the sources' device, so that no index is copied
            there; nothing else is drawn from it. A GPU's generator gives another sequence than
            the CPU's: one seed is one sequence of batches on one kind of device.
        share: of the first source, when there are two.
    """

    def __init__(self, *sources: RowSource, batch_size: int, seed: int, share: float = 0.5) -> None:
        if len(sources) not in (1, 2):
            raise ConfigError(f"{len(sources)} sources of transitions", expected="one or two")
        if len({source.layout for source in sources}) > 1:
            raise ConfigError(
                f"transitions of {sources[0].layout} and {sources[-1].layout}",
                expected="one width of observations and of actions",
            )
        first = batch_size if len(sources) == 1 else round(share * batch_size)
        self._parts = [(source, size) for source, size in zip(
            sources, (first, batch_size - first), strict=False) if size > 0]  # fmt: skip
        self.batch_size = batch_size
        self._layout = sources[0].layout
        self._columns = list(self._layout.slices().items())
        self._device = str(sources[0].values.device)
        self._generator = torch.Generator(self._device).manual_seed(seed)

    def sample(self) -> Any:
        """The next mini-batch."""
        rows = self.sample_rows()
        columns = {name: rows[:, where] for name, where in self._columns}
        return _d3rlpy.minibatch(columns, self._device)

    def sample_rows(self) -> torch.Tensor:
        """The next [B, W] matrix."""
        if len(self._parts) == 1:
            source, size = self._parts[0]
            return source.values.index_select(0, self._indices(source, size))
        rows = torch.empty((self.batch_size, self._layout.width), device=self._device)
        start = 0
        for source, size in self._parts:
            torch.index_select(
                source.values, 0, self._indices(source, size), out=rows[start : start + size]
            )
            start += size
        return rows

    def _indices(self, source: RowSource, size: int) -> torch.Tensor:
        return torch.randint(source.count, (size,), generator=self._generator, device=self._device)

    def state_dict(self) -> dict[str, Any]:
        """Where the generator stands."""
        return {"generator": self._generator.get_state()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Inverse of :meth:`state_dict`.

        Raises:
            ConfigError: the state of a generator of another kind of device.
        """
        try:
            self._generator.set_state(state["generator"])
        except (RuntimeError, TypeError) as error:
            raise ConfigError(
                f"a checkpoint's sampler does not fit the device {self._device}: {error}",
                hint="resume on the kind of device that the run was started on",
            ) from error
