"""Mini-batches by one index gather a source, from n sources in fixed shares."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Any

import torch

from offline_trader.errors import ConfigError
from offline_trader.learning.data.batch import Batch, Drawn, RowSource

__all__ = ["Sampler"]


class Sampler:
    """Draws B transitions uniformly with replacement from each of n sources, in fixed shares.

    Source i gives the rows between ``round(B · Σ_{j<i} share_j)`` and the same with ``j ≤ i``. Two
    sources at a half each are RLPD's symmetric sampling (Ball et al. 2023, section 4.1). The
    tensors of a batch are column views of one gathered [B, W] matrix, fresh at every draw.

    Args:
        sources: row sources of one layout, on one device.
        batch_size: B.
        seed: of the sampler's own generator, on the sources' device, so that no index is copied
            there; nothing else is drawn from it. A GPU's generator gives another sequence than
            the CPU's: one seed is one sequence of batches on one kind of device.
        shares: of the sources, not negative, 1 together; none: equal ones.

    Raises:
        ConfigError: no sources, sources of several layouts, shares that are none.
    """

    def __init__(
        self, *sources: RowSource, batch_size: int, seed: int, shares: Sequence[float] = ()
    ) -> None:
        if not sources:
            raise ConfigError("no source of transitions", expected="one or more")
        if len({source.layout for source in sources}) > 1:
            raise ConfigError(
                f"transitions of {sources[0].layout} and {sources[-1].layout}",
                expected="one width of observations and of actions, and the same further columns",
            )
        self._parts = [
            (source, size)
            for source, size in zip(sources, _sizes(len(sources), shares, batch_size), strict=True)
            if size > 0
        ]
        self.batch_size = batch_size
        self._layout = sources[0].layout
        self._device = str(sources[0].values.device)
        self._generator = torch.Generator(self._device).manual_seed(seed)

    def sample(self) -> Any:
        """The next mini-batch, as d3rlpy's ``TorchMiniBatch``."""
        return self.draw().minibatch()

    def draw(self) -> Batch:
        """The next mini-batch, with every column and where its rows came from."""
        if len(self._parts) == 1:
            source, size = self._parts[0]
            chosen = self._indices(source, size)
            matrix = source.values.index_select(0, chosen)
            return Batch(matrix, self._layout, (Drawn(source, chosen, slice(0, size)),))
        matrix = torch.empty((self.batch_size, self._layout.width), device=self._device)
        drawn: list[Drawn] = []
        start = 0
        for source, size in self._parts:
            place = slice(start, start + size)
            chosen = self._indices(source, size)
            torch.index_select(source.values, 0, chosen, out=matrix[place])
            drawn.append(Drawn(source, chosen, place))
            start += size
        return Batch(matrix, self._layout, tuple(drawn))

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


def _sizes(sources: int, shares: Sequence[float], batch_size: int) -> list[int]:
    """Rows of a batch that each source gives."""
    given = list(shares) or [1.0 / sources] * sources
    fits = len(given) == sources and min(given) >= 0.0 and math.isclose(sum(given), 1.0)
    if not fits:
        raise ConfigError(
            f"shares {', '.join(f'{share:g}' for share in given)} of {sources} sources",
            expected="one a source, not negative, 1 together",
        )
    edges = [round(edge * batch_size) for edge in accumulate(given)]
    edges[-1] = batch_size
    return [stop - start for start, stop in zip([0, *edges], edges, strict=False)]
