"""Changes of what is stored and of what is sampled: relabelling, shaping, intrinsic rewards.

A transform is made for one training by what :data:`TRANSFORMS` holds under its name; several are
applied in order.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from offline_trader.errors import ConfigError
from offline_trader.learning.data.batch import Batch
from offline_trader.learning.data.rows import FACTS
from offline_trader.learning.data.transitions import Transitions
from offline_trader.registry import Registry

__all__ = ["TRANSFORMS", "Columns", "Transform", "TransformChain"]

Columns = Mapping[str, NDArray[Any]]
"""Raw columns of rows by name: [n, w], or [n] of one number a row."""

_CHANGEABLE = tuple(each.name for each in fields(Transitions))


class Transform(Protocol):
    """One change; what it does not change it hands on."""

    @property
    def columns(self) -> tuple[tuple[str, int], ...]:
        """(name, width) of the columns that :meth:`stored` adds to every row."""
        ...

    def stored(self, columns: Columns, *, online: bool) -> Columns:
        """The columns to be stored, given those that were to be: ``observations``, ``actions``,
        ``rewards``, ``next_observations``, ``terminals``, all raw, ``raw_rewards``, ``timeouts``
        and what agent and earlier transforms added. Offline ``episode_ids`` are there, too, and
        a change may give more rows or fewer, as replays of one episode under other decisions: of
        every column then, whole episodes one after another in order of their ids.

        Args:
            columns: of one step of the N lanes, or of all M rows of the offline data.
            online: which of the two.
        """
        ...

    def sampled(self, batch: Batch) -> Batch:
        """The batch to learn from; its columns are scaled and may be written to in place."""
        ...

    def metrics(self) -> Mapping[str, float]:
        """Means since the last call, for the log."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """All that the next call reads: tensors, numbers, texts, lists and dicts."""
        ...

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Inverse of :meth:`state_dict`."""
        ...


TRANSFORMS: Registry[Callable[[Any, Any], Transform]] = Registry(
    "transform",
    {
        "replay": "offline_trader.learning.stages.replayed_lanes:lane_replay",
        "whole_options": "offline_trader.learning.options.whole_options:WholeOptions",
    },
)
"""Makers of transforms by name; each gets the agent that it is to serve, and its lanes: None in
offline training."""


class TransformChain:
    """Transforms one after another.

    Args:
        transforms: in the order in which they are applied.
        further: (name, width) of columns that something else adds to every row.
    """

    def __init__(
        self, transforms: Sequence[Transform] = (), further: Sequence[tuple[str, int]] = ()
    ) -> None:
        self._transforms = tuple(transforms)
        added = (column for each in self._transforms for column in each.columns)
        self.further: tuple[tuple[str, int], ...] = (*FACTS, *further, *added)

    def __bool__(self) -> bool:
        return bool(self._transforms)

    def stored(self, columns: Columns) -> Columns:
        """One step of the lanes as it is to be stored."""
        for each in self._transforms:
            columns = each.stored(columns, online=True)
        return columns

    def dataset(self, data: Transitions) -> tuple[Transitions, dict[str, NDArray[Any]]]:
        """The offline data as they are to be packed, and their further columns.

        Raises:
            ConfigError: a column that the rows of the lanes have and the data lack.
            DataError: columns of a transform that are no transitions.
        """
        columns: Columns = {
            **{name: getattr(data, name) for name in _CHANGEABLE},
            "raw_rewards": data.rewards,
        }
        before = columns
        for each in self._transforms:
            columns = each.stored(columns, online=False)
        lacking = [name for name, _ in self.further if name not in columns]
        if lacking:
            raise ConfigError(
                f"offline data without {', '.join(lacking)}",
                hint="train without them (online.offline_share=0), or let a transform fill these "
                "columns in",
            )
        changed = {name: columns[name] for name in _CHANGEABLE if columns[name] is not before[name]}
        further = {name: np.asarray(columns[name]) for name, _ in self.further}
        return (replace(data, **changed) if changed else data), further

    def sampled(self, batch: Batch) -> Batch:
        """The batch to learn from."""
        for each in self._transforms:
            batch = each.sampled(batch)
        return batch

    def metrics(self) -> dict[str, float]:
        """What the transforms log."""
        return {name: value for each in self._transforms for name, value in each.metrics().items()}

    def state_dict(self) -> list[dict[str, Any]]:
        """Theirs, in order."""
        return [each.state_dict() for each in self._transforms]

    def load_state_dict(self, states: Sequence[Mapping[str, Any]]) -> None:
        """Inverse of :meth:`state_dict`.

        Raises:
            ConfigError: the states of other transforms.
        """
        if len(states) != len(self._transforms):
            raise ConfigError(
                f"a checkpoint with {len(states)} transforms", expected=str(len(self._transforms))
            )
        for each, state in zip(self._transforms, states, strict=True):
            each.load_state_dict(state)
