"""What an expert is: named columns in, N actions out, nothing remembered in between."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from offline_trader.errors import ConfigError, nearest
from offline_trader.types import FloatArray

__all__ = [
    "HELD",
    "Columns",
    "Decision",
    "Expert",
    "MissingColumn",
    "ExpertParams",
    "ExpertSpace",
    "RowTable",
]

ExpertSpace: TypeAlias = Literal["order", "target", "action"]

HELD = 1e-3
"""Smallest |exposure| that counts as a position; below it a lane is flat."""


class MissingColumn(ConfigError):
    """An expert reads a column that the observation does not have."""


class Columns(Mapping[str, FloatArray]):
    """N rows of named columns: ``columns["rsi_14"]`` is ``[N] float64``.

    Args:
        names: C column names.
        values: [N, C], any float type.
    """

    def __init__(self, names: Sequence[str], values: NDArray[np.floating[Any]]) -> None:
        if values.ndim != 2 or values.shape[1] != len(names):
            raise ConfigError(
                f"observations of shape {values.shape}",
                expected=f"[N, {len(names)}] for the columns {', '.join(names)}",
            )
        self._index = _index_of(tuple(names))
        self._values = values

    def __getitem__(self, name: str) -> FloatArray:
        column = self._index.get(name)
        if column is None:
            near = nearest(name, self._index)
            raise MissingColumn(
                f"no column {name!r} in the observation",
                expected=f"{near!r}" if near else f"one of {', '.join(self._index)}",
                hint="take the feature set that has it, or experts that read what there is: "
                "buy_and_hold, random, or a rule of your own (--expert my_rules.py:rule)",
            )
        return np.asarray(self._values[:, column], dtype=np.float64)

    def __iter__(self) -> Iterator[str]:
        return iter(self._index)

    def __len__(self) -> int:
        return len(self._index)

    @property
    def rows(self) -> int:
        """N, the number of lanes."""
        return int(self._values.shape[0])


@dataclass(frozen=True)
class ExpertParams:
    """Base of every expert's parameters; subclasses check theirs in ``__post_init__``."""

    def require(self, condition: bool, found: str, expected: str) -> None:
        """Raise :class:`ConfigError` unless ``condition`` holds."""
        if not condition:
            raise ConfigError(f"{type(self).__name__}: {found}", expected=expected)


@lru_cache(maxsize=64)
def _index_of(names: tuple[str, ...]) -> dict[str, int]:
    return {name: column for column, name in enumerate(names)}


Decision: TypeAlias = Callable[[Columns, Columns, Any], FloatArray]
RowTable: TypeAlias = Callable[[Any, Any, Any], FloatArray]
"""(market tensor of S rows, simulator settings, params) → [S, C]: what a bar's row adds."""


@dataclass(frozen=True)
class Expert:
    """A rule with its parameters.

    Attributes:
        name: name in the registry.
        summary: one line for listings.
        decide: pure function (features [N, F], portfolio [N, P], params) → [N] float64. Row n of
            the result reads row n of its inputs only.
        params: frozen dataclass of the rule's numbers.
        space: what the result means. ``order``: fraction of cash to spend (> 0) or of the
            position to sell (< 0). ``target``: position value / equity, signed. ``action``: what
            the simulator takes, whatever its mode.
        exploration: probability that the executed action is replaced by a uniform draw; only
            the random expert has one of its own.
        row_columns: columns beside the features that depend on the row of the market alone, such
            as what a log says of a bar.
        row_table: computes them.
        privileged: whether they read bars after t; marks a teacher, and every dataset made with it.
        sha256: of the file that the rule was read from; empty for those of the toolkit.
    """

    name: str
    summary: str
    decide: Decision
    params: ExpertParams
    space: ExpertSpace
    exploration: float = 0.0
    row_columns: tuple[str, ...] = ()
    row_table: RowTable | None = None
    privileged: bool = False
    sha256: str = ""

    def on(self, periods_per_year: float) -> Expert:
        """The expert on bars of which a year has so many, where its parameters leave that open."""
        if getattr(self.params, "periods_per_year", None) != 0.0:
            return self
        known: Any = replace(self.params, periods_per_year=periods_per_year)  # type: ignore[call-arg]
        return replace(self, params=known)

    def __call__(self, features: Columns, portfolio: Columns) -> FloatArray:
        """[N] decisions in the expert's own space."""
        return self.decide(features, portfolio, self.params)

    def to_dict(self) -> dict[str, object]:
        """JSON form: name, parameters, space, whether privileged, hash of a file it came from."""
        form: dict[str, object] = {
            "name": self.name,
            "params": asdict(self.params),
            "space": self.space,
            "privileged": self.privileged,
        }
        return form | ({"sha256": self.sha256} if self.sha256 else {})
