"""Transitions packed a row each, scaled once: what one index gather turns into a mini-batch."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from offline_trader.learning.data.preprocessing import Preprocessing
from offline_trader.learning.data.transitions import Transitions

__all__ = ["PackedRows", "RowLayout", "pack"]

Float32Array = NDArray[np.float32]


@dataclass(frozen=True)
class RowLayout:
    """Where a packed row holds what.

    Columns: observation (O), next observation (O), action (A), next action (A), reward, return to
    go, terminal, interval. All float32.
    """

    observation_size: int
    action_size: int

    @property
    def width(self) -> int:
        """Columns of a row."""
        return 2 * self.observation_size + 2 * self.action_size + 4

    def slices(self) -> dict[str, slice]:
        """Columns of every tensor of d3rlpy's mini-batch, by its name there."""
        widths = {
            "observations": self.observation_size,
            "next_observations": self.observation_size,
            "actions": self.action_size,
            "next_actions": self.action_size,
            "rewards": 1,
            "returns_to_go": 1,
            "terminals": 1,
            "intervals": 1,
        }
        result, start = {}, 0
        for name, width in widths.items():
            result[name] = slice(start, start + width)
            start += width
        return result


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
    """
    layout = RowLayout(data.observation_size, data.action_size)
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
    values = torch.from_numpy(rows).to(device)
    return PackedRows(values, layout, len(data), file if values.device.type == "cpu" else None)


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
