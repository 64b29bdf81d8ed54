"""Transitions packed a row each, scaled once: what one index gather turns into a mini-batch."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from offline_trader.errors import ConfigError, DataError
from offline_trader.learning.data.preprocessing import Preprocessing
from offline_trader.learning.data.transitions import Transitions

__all__ = ["FACTS", "MINIBATCH", "PackedRows", "RowLayout", "pack"]

Float32Array = NDArray[np.float32]


MINIBATCH = (
    "observations",
    "next_observations",
    "actions",
    "next_actions",
    "rewards",
    "returns_to_go",
    "terminals",
    "intervals",
)
"""The columns that every row has, under the names of d3rlpy's mini-batch."""

FACTS = (("raw_rewards", 1), ("timeouts", 1))
"""Further columns that are known of every transition: the reward before it was scaled, and whether
the episode was truncated (``terminals`` says whether it was terminated)."""


@dataclass(frozen=True)
class RowLayout:
    """Where a packed row holds what; all float32.

    Attributes:
        observation_size: O, of ``observations`` and ``next_observations``.
        action_size: A, of ``actions`` and ``next_actions``.
        further: (name, width) of the columns behind the eight of :data:`MINIBATCH`, in order: a
            goal, the raw reward, the behaviour policy's log-probability.

    Raises:
        ConfigError: a name twice, or a column without width.
    """

    observation_size: int
    action_size: int
    further: tuple[tuple[str, int], ...] = ()

    def __post_init__(self) -> None:
        names = [*MINIBATCH, *(name for name, _ in self.further)]
        twice = {name for name in names if names.count(name) > 1}
        if twice or any(width < 1 for _, width in self.further):
            raise ConfigError(
                f"columns {', '.join(f'{name} [{width}]' for name, width in self.further)}",
                expected="names that differ from one another and from "
                f"{', '.join(MINIBATCH)}, and positive widths",
            )

    @property
    def width(self) -> int:
        """Columns of a row."""
        return sum(where.stop - where.start for where in self.slices().values())

    def slices(self) -> Mapping[str, slice]:
        """Columns of every tensor by name."""
        return _slices(self)


@lru_cache(maxsize=64)
def _slices(layout: RowLayout) -> Mapping[str, slice]:
    o, a = layout.observation_size, layout.action_size
    widths = dict(zip(MINIBATCH, (o, o, a, a, 1, 1, 1, 1), strict=True)) | dict(layout.further)
    result, start = {}, 0
    for name, width in widths.items():
        result[name] = slice(start, start + width)
        start += width
    return MappingProxyType(result)


@dataclass(frozen=True)
class PackedRows:
    """[M, W] rows on a device, or on disk behind a memory map.

    Attributes:
        values: the rows; only the first ``count`` are transitions.
        layout: columns.
        count: M.
        file: the memory-mapped temporary file, if there is one; it lives as long as this object.
    """

    values: torch.Tensor
    layout: RowLayout
    count: int
    file: Any = None


def pack(
    data: Transitions,
    preprocessing: Preprocessing,
    *,
    n_steps: int = 1,
    device: str = "cpu",
    memory_share: float = 0.25,
    directory: Path | None = None,
    block: int = 1 << 16,
    further: Mapping[str, NDArray[Any]] | None = None,
) -> PackedRows:
    """The transitions, scaled and packed in blocks of rows.

    Observations and rewards are scaled here, once, so that no update pays for it. With
    ``n_steps = n`` a row holds the sum of up to n scaled discounted rewards, the observation
    after them, whether the last of them was terminal, and how many they were
    (``interval``: the target bootstraps with ``gamma ** interval``).

    Args:
        data: what is packed.
        preprocessing: scales and discount.
        n_steps: n.
        device: where the rows go; on a GPU they are copied there, and stay.
        memory_share: rows larger than this share of the machine's memory are written to a
            temporary file in ``directory`` and mapped, not held.
        directory: place of that file; None is the system's.
        further: columns [M] or [M, w] by name behind the usual ones, as they are.
    """
    added = {name: _as_columns(name, values, len(data)) for name, values in (further or {}).items()}
    layout = RowLayout(
        data.observation_size,
        data.action_size,
        tuple((name, values.shape[1]) for name, values in added.items()),
    )
    shape = (len(data), layout.width)
    rows, file = _allocate(shape, memory_share, directory)
    where = layout.slices()
    columns = _scalar_columns(data, preprocessing, n_steps)
    last = columns.pop("last")
    for start in range(0, len(data), block):
        part, out = slice(start, start + block), rows[start : start + block]
        out[:, where["observations"]] = preprocessing.observations(data.observations[part])
        out[:, where["next_observations"]] = preprocessing.observations(
            data.next_observations[last[part]]
        )
        out[:, where["actions"]] = data.actions[part]
        out[:, where["next_actions"]] = _next_actions(data, last[part])
        for name, column in columns.items():
            out[:, where[name]] = column[part, None]
        for name, column in added.items():
            out[:, where[name]] = column[part]
    values = torch.from_numpy(rows).to(device)
    return PackedRows(values, layout, len(data), file if values.device.type == "cpu" else None)


def _as_columns(name: str, values: NDArray[Any], count: int) -> Float32Array:
    """[M, w] float32 of a further column."""
    columns = np.asarray(values, np.float32)
    columns = columns[:, None] if columns.ndim == 1 else columns
    if columns.ndim != 2 or len(columns) != count:
        raise DataError(
            f"{name} of shape {np.shape(values)}", expected=f"[{count}] or [{count}, w]"
        )
    return columns


def _allocate(
    shape: tuple[int, int], memory_share: float, directory: Path | None
) -> tuple[Float32Array, Any]:
    if shape[0] * shape[1] * 4 <= memory_share * _memory_bytes():
        return np.empty(shape, np.float32), None
    file = tempfile.NamedTemporaryFile(dir=directory, prefix="transitions-", suffix=".rows")  # noqa: SIM115
    return np.memmap(file.name, np.float32, "w+", shape=shape), file


def _memory_bytes() -> int:
    import os

    return int(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))


def _scalar_columns(
    data: Transitions, preprocessing: Preprocessing, n_steps: int
) -> dict[str, NDArray[Any]]:
    """Reward, return to go, terminal and interval of every row, and its last transition."""
    rewards = preprocessing.rewards(data.rewards)
    rows = np.arange(len(data))
    stops = np.append(np.flatnonzero(data.ends), len(data))
    end = stops[np.searchsorted(stops, rows)]
    last = np.minimum(rows + n_steps - 1, end)
    total = np.zeros(len(data))
    for step in range(n_steps):
        inside = rows + step <= end
        total[inside] += preprocessing.gamma**step * rewards[rows[inside] + step]
    scaled = data if preprocessing.reward is None else _with_rewards(data, rewards)
    return {
        "rewards": total.astype(np.float32),
        "returns_to_go": scaled.returns_to_go(preprocessing.gamma),
        "terminals": data.terminals[last].astype(np.float32),
        "intervals": (last - rows + 1).astype(np.float32),
        "last": last,
    }


def _with_rewards(data: Transitions, rewards: Float32Array) -> Transitions:
    from dataclasses import replace

    return replace(data, rewards=rewards)


def _next_actions(data: Transitions, last: NDArray[np.int64]) -> Float32Array:
    """The action after each row's last transition; 0 at an episode's end, as d3rlpy has it."""
    ends = data.ends[last]
    following = data.actions[np.minimum(last + 1, len(data) - 1)]
    return np.where(ends[:, None], np.float32(0.0), following)
