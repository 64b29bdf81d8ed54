"""Feature sets: what a market's columns are, the registry of them, and several as one."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Protocol

import numpy as np

from offline_trader.errors import ConfigError
from offline_trader.features.schema import FEATURE_NAMES, FeatureSchema
from offline_trader.markets import SIGNAL, Bar, Bars, signal_names, windowed
from offline_trader.registry import Registry
from offline_trader.types import FloatArray, ObservationLayout

__all__ = [
    "FEATURE_SETS",
    "FeatureSet",
    "FeatureStream",
    "feature_set",
    "feature_stream",
    "may_miss",
    "observation_layout",
]


class FeatureStream(Protocol):
    """Features bar by bar, equal to the batch."""

    def update(self, bar: Bar, /) -> FloatArray:
        """[F] float64 after ``bar``; NaN as long as there are none."""
        ...


class FeatureSet(Protocol):
    """F causal features of one instrument's bars.

    A set may have a further attribute ``may_miss``, positions of columns that have no value in some
    bars (NaN): those begin where they have their first, and their last known value stands in.
    """

    @property
    def schema(self) -> FeatureSchema:
        """Names and formulas, whose hash travels with every artefact."""
        ...

    @property
    def warmup(self) -> int:
        """Rows without features at the start."""
        ...

    def compute(self, bars: Bars, /) -> FloatArray:
        """[T, F] float64; row t reads bars up to t. The first ``warmup`` rows may be anything."""
        ...

    def stream(self) -> FeatureStream:
        """A fresh stream that has seen no bar."""
        ...


FEATURE_SETS: Registry[FeatureSet] = Registry(
    "feature set", {"builtin": "offline_trader.features.builtin:BUILTIN"}
)
"""Feature sets by name. Beside them ``signal:NAME`` is a column of the market, a built-in feature's
name that feature alone, ``file.py:function`` features of the user's own, after he named them
(:func:`offline_trader.features.own.name_features`), and ``window:BARS:SET`` any of these at its
last bars (:class:`offline_trader.features.lagged.Lagged`)."""


def may_miss(found: FeatureSet) -> tuple[int, ...]:
    """Positions of the columns of a set that have no value in some bars."""
    return tuple(getattr(found, "may_miss", ()))


def feature_set(features: str | Sequence[str]) -> FeatureSet:
    """The features of one set, or of several side by side; what two of them have in common, such as
    the present bar of a set and of its window, stands there once.

    Args:
        features: names of :data:`FEATURE_SETS`, ``signal:NAME``, own features, built-in features
            by name, and any of them behind ``window:BARS:``.

    Raises:
        ConfigError: none, an unknown set, own features that were not named, or two features of one
            name.
    """
    given = (features,) if isinstance(features, str) else tuple(features)
    if not given or len(set(given)) < len(given):
        raise ConfigError(
            f"features {', '.join(given) or '(none)'}",
            expected="one or more feature sets, each once",
        )
    signals = signal_names(given)
    parts = tuple(_part(name, signals) for name in given)
    return parts[0] if len(parts) == 1 else _joined(parts)


def _part(name: str, signals: tuple[str, ...]) -> FeatureSet:
    window, inner = windowed(name)
    if window:
        from offline_trader.features.lagged import window_of

        return window_of(name, _part(inner, signals))
    if name.startswith(SIGNAL):
        return Signal(name.removeprefix(SIGNAL))
    if name in FEATURE_NAMES and name not in FEATURE_SETS:
        from offline_trader.features.builtin import BuiltinFeature

        return BuiltinFeature(name)
    if ":" in name and name not in FEATURE_SETS:
        from offline_trader.features.own import own_features

        return own_features(name, signals)
    return FEATURE_SETS[name]


class Signal:
    """One column of the market as a feature of its own name, as it is."""

    warmup = 0
    may_miss = (0,)

    def __init__(self, name: str) -> None:
        self.name = name
        self.schema = FeatureSchema((name,), formulas=("signal: the market's column of that name",))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Signal) and other.name == self.name

    def __hash__(self) -> int:
        return hash(self.name)

    def compute(self, bars: Bars) -> FloatArray:
        """[T, 1] the column, NaN where it has no value.

        Raises:
            ConfigError: the bars were loaded without it.
        """
        if self.name not in bars.signals:
            raise _without(self.name, bars.name)
        return bars.signals[self.name][:, None]

    def stream(self) -> _SignalStream:
        """The column bar by bar."""
        return _SignalStream(self.name)


class _SignalStream:
    def __init__(self, name: str) -> None:
        self._name = name

    def update(self, bar: Bar) -> FloatArray:
        if self._name not in bar.signals:
            raise _without(self._name, f"bar {bar.timestamp}")
        return np.array([bar.signals[self._name]])


def _without(name: str, place: str) -> ConfigError:
    return ConfigError(
        f"{place} has no signal {name!r}", expected="bars loaded with it (SignalColumns)"
    )


@lru_cache(maxsize=32)
def _joined(parts: tuple[FeatureSet, ...]) -> FeatureSet:
    return _Joined(parts)


class _Joined:
    """Several sets side by side."""

    def __init__(self, parts: Sequence[FeatureSet]) -> None:
        self.parts = tuple(parts)
        stated = [
            pair
            for part in parts
            for pair in zip(part.schema.names, part.schema.stated, strict=True)
        ]
        first: dict[tuple[str, str], int] = {}
        for place, pair in enumerate(stated):
            first.setdefault(pair, place)
        self._kept = list(first.values())
        names = [stated[place][0] for place in self._kept]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise ConfigError(
                f"two features are called {twice!r}",
                expected="a name of its own for each feature",
                hint="rename yours: the built-in ones are listed in docs/markets-and-features.md",
            )
        self.schema = FeatureSchema(
            tuple(names), formulas=tuple(stated[place][1] for place in self._kept)
        )
        self.warmup = max(part.warmup for part in parts)
        missing = {
            first + place
            for first, part in zip(self._firsts(), parts, strict=True)
            for place in may_miss(part)
        }
        self.may_miss = tuple(i for i, place in enumerate(self._kept) if place in missing)
        self._whole = len(self._kept) == len(stated)

    def _firsts(self) -> list[int]:
        sizes = [len(part.schema.names) for part in self.parts]
        return [sum(sizes[:i]) for i in range(len(sizes))]

    def compute(self, bars: Bars) -> FloatArray:
        """[T, F] the columns of all parts."""
        values = np.concatenate([part.compute(bars) for part in self.parts], axis=1)
        return values if self._whole else values[:, self._kept]

    def stream(self) -> FeatureStream:
        """All parts bar by bar."""
        parts = [part.stream() for part in self.parts]
        return _JoinedStream(parts, None if self._whole else self._kept)


class _JoinedStream:
    def __init__(self, parts: Sequence[FeatureStream], kept: list[int] | None) -> None:
        self._parts, self._kept = tuple(parts), kept

    def update(self, bar: Bar) -> FloatArray:
        values = np.concatenate([part.update(bar) for part in self._parts])
        return values if self._kept is None else values[self._kept]


def feature_stream(features: str | Sequence[str] | FeatureSet = "builtin") -> FeatureStream:
    """The features bar by bar, equal to :func:`~offline_trader.features.compute_features`.

    The last known value of a column that may miss some stands in, as in the batch.

    Args:
        features: names of feature sets, or a set.

    Raises:
        ConfigError: as :func:`feature_set`.
    """
    found = feature_set(features) if isinstance(features, str | Sequence) else features
    places = may_miss(found)
    return _CarryingStream(found.stream(), places) if places else found.stream()


class _CarryingStream:
    """A stream in which the last known value of some columns stands in for one that is missing."""

    def __init__(self, stream: FeatureStream, places: Sequence[int]) -> None:
        self._stream = stream
        self._places = np.array(places)
        self._last = np.full(len(places), np.nan)

    def update(self, bar: Bar) -> FloatArray:
        values = self._stream.update(bar)
        own = values[self._places]
        self._last = np.where(np.isnan(own), self._last, own)
        values[self._places] = self._last
        return values


def observation_layout(features: str | Sequence[str] = "builtin") -> ObservationLayout:
    """The layout of observations of these feature sets.

    Raises:
        ConfigError: as :func:`feature_set`.
    """
    return feature_set(features).schema.layout
