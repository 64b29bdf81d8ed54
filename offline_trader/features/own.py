"""Features of the user's own: a causal function of bars in a Python file or module.

The function takes the bars as a frame [T] of ``open, high, low, close, volume`` and the market's
signals, with times in UTC as its index, and returns a row for each bar: an array [T] or [T, k], a
Series, a frame or a dict of columns. Row t reads rows up to t.

Code is imported only where the user names it: :func:`name_features`. Datasets, runs and models
keep the name ``my_features.py:signals`` and the SHA-256 of the file, which are compared; a name out
of a file never imports anything.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from offline_trader.errors import ConfigError
from offline_trader.features.leaks import bars_frame
from offline_trader.features.schema import FeatureSchema
from offline_trader.hashing import bytes_sha256
from offline_trader.markets import SIGNAL, Bars, windowed
from offline_trader.types import FloatArray
from offline_trader.user_code import code_sha256, find_function, guarded
from offline_trader.workers import carry

if TYPE_CHECKING:
    import pandas as pd

    from offline_trader.features.admission import Admission
    from offline_trader.features.trailing import TrailingStream

__all__ = [
    "NamedFeatures",
    "OwnFeatures",
    "changed_code",
    "examine_features",
    "name_features",
    "own_features",
    "state_window",
]

_SIGNATURE = (
    "an array [T] or [T, k], a Series, a frame or a dict of columns with a row for each bar"
)


@dataclass(frozen=True, eq=False)
class NamedFeatures:
    """Own features that the user named in this process.

    Attributes:
        name: under which datasets, runs and models keep them: the file without its folder.
        place: ``file.py:function`` or ``module:function`` to import; empty: ``function`` itself.
        trusted: whether they are used although they read the future.
        function: where the user gave it.
    """

    name: str
    place: str
    trusted: bool = False
    function: Callable[..., Any] | None = None

    @cached_property
    def code(self) -> tuple[Callable[..., Any], str]:
        """The function and the SHA-256 of its file, or in a notebook of its source.

        Raises:
            ConfigError: no such file or function.
        """
        function = self.function or find_function(self.place)
        return function, code_sha256(function) or _source_sha256(function)


_NAMED: dict[str, NamedFeatures] = {}


def name_features(features: str | Callable[..., Any], *, trust: bool = False) -> str:
    """Name own features, which from then on may be imported, and their name for ``env.features``.

    Args:
        features: ``file.py:function``, ``module:function``, or the function; or a window of them,
            ``window:8:file.py:function``, or of features that are no code, whose name it is.
        trust: use them although they are found to read the future; it is recorded.

    Raises:
        ConfigError: no name of a function, or another file of the same name was named before.
    """
    window, inner = ("", features) if callable(features) else windowed(features)
    if window and not callable(inner):
        code = ":" in inner and not inner.startswith(SIGNAL)
        return f"{window}{name_features(inner, trust=trust) if code else inner}"
    given = _given(features, trust)
    name = given.name
    before, sha256 = _NAMED.get(name), given.code[1]  # a wrong name is told here
    if before is not None and before.place and before.place != given.place:
        raise ConfigError(
            f"{given.place} and {before.place} are both called {name}",
            expected="file names that tell own features apart",
        )
    if before is not None and (before.code[1], before.trusted) == (sha256, trust):
        return name
    _NAMED[name] = given
    _LOADED.clear()
    return name


def _given(features: str | Callable[..., Any], trust: bool) -> NamedFeatures:
    if callable(features):
        name = f"{features.__module__}:{features.__qualname__}"
        return NamedFeatures(name, "", trust, features)
    place, colon, function = features.rpartition(":")
    if not colon or not place or not function:
        raise ConfigError(
            f"{features!r} names no features", expected="file.py:function or module:function"
        )
    if not place.endswith(".py"):
        return NamedFeatures(features, features, trust)
    return NamedFeatures(
        f"{Path(place).name}:{function}", f"{Path(place).resolve()}:{function}", trust
    )


def examine_features(features: str | Callable[..., Any], bars: Bars) -> Admission:
    """What features pass before they are used, of ``file.py:function`` or a function; a leak is no
    error here, and nothing is named.

    Raises:
        ConfigError: no such function, one that gives two answers for the same bars, or that needs
            more bars than it says.
        DataError: too few bars to tell.
    """
    from offline_trader.features.admission import examine

    return examine(OwnFeatures(_given(features, trust=False), tuple(bars.signals)), bars)


def own_features(name: str, signals: Sequence[str] = ()) -> OwnFeatures:
    """The feature set of that name.

    Args:
        name: as datasets, runs and models keep it.
        signals: columns that its frame has beside those of the bars.

    Raises:
        ConfigError: it was not named by the user of this process.
    """
    key = (name, tuple(signals))
    if key not in _LOADED:
        if name not in _NAMED:
            raise ConfigError(
                f"features {name} are code, which is not imported unless you name it",
                expected="code that is named on the command line (or by name_features)",
                hint=f"look at it, then say so: --features {name}, with the folder that it is in",
            )
        _LOADED[key] = OwnFeatures(_NAMED[name], key[1])
    return _LOADED[key]


_WINDOWS: dict[tuple[str, str], int | None] = {}
_LOADED: dict[tuple[str, tuple[str, ...]], OwnFeatures] = {}


class OwnFeatures:
    """:class:`~offline_trader.features.sets.FeatureSet` of a function of the user's own.

    Attributes:
        named: what the user named.
        signals: columns that the function may read beside the bars.
        sha256: of the file.
        window: bars that the function needs for its last row, as its attribute ``window`` says;
            None where it says nothing.
    """

    warmup = 0

    def __init__(self, named: NamedFeatures, signals: tuple[str, ...]) -> None:
        self.named, self.signals = named, signals
        function, self.sha256 = named.code
        self._function = guarded(named.name, function)
        self._stated = getattr(function, "names", None)
        self.window: int | None = getattr(function, "window", None)
        self._short = named.name.rpartition(":")[2].rpartition(".")[2]

    @property
    def name(self) -> str:
        """As datasets, runs and models keep it."""
        return self.named.name

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Of the columns: the function's attribute ``names``, or those of what it returns for made
        bars.

        Raises:
            ConfigError: the function fails on them, or returns something else.
        """
        if self._stated is not None:
            return tuple(map(str, self._stated))
        try:
            _, found = self._table(_made_frame(self.signals))
        except ConfigError as error:
            raise ConfigError(
                f"{error.found} (asked for its names on made bars)",
                expected=error.expected,
                hint=f"if it needs other bars, give it the names: {self._short}.names = ('a', 'b')",
            ) from error
        return found

    @cached_property
    def schema(self) -> FeatureSchema:
        """Names, with function and hash as the formulas."""
        code = f"{self.name}, SHA-256 {self.sha256}"
        return FeatureSchema(self.names, formulas=tuple(f"{each} of {code}" for each in self.names))

    @property
    def may_miss(self) -> tuple[int, ...]:
        """All columns."""
        return tuple(range(len(self.names)))

    def compute(self, bars: Bars) -> FloatArray:
        """[T, k] what the function returns, NaN where there is no value.

        Raises:
            ConfigError: the function fails, returns something else, or reads the future.
        """
        from offline_trader.features.admission import admit

        admit(self, bars)
        return self.values(bars_frame(bars))

    def stream(self) -> TrailingStream:
        """The function on the last bars, as many as were found that it needs, else on all."""
        from offline_trader.features.admission import found_before
        from offline_trader.features.trailing import TrailingStream

        found = found_before(self)
        stated = _WINDOWS.get((self.name, self.sha256))
        return TrailingStream(self, stated if found is None else found.window)

    def values(self, frame: pd.DataFrame) -> FloatArray:
        """[T, k] what the function returns for a frame [T], which it may change.

        Raises:
            ConfigError: it fails, or returns something else than k numbers for each bar.
        """
        values, found = self._table(frame)
        if found != self.names and self._stated is None:
            raise ConfigError(
                f"{self.name} returned columns {', '.join(found[:8])}",
                expected=f"{', '.join(self.names[:8])}, as for made bars",
                hint=f"state them: {self._short}.names = (…)",
            )
        if values.shape[1] != len(self.names):
            raise ConfigError(
                f"{self.name} returned {values.shape[1]} columns",
                expected=f"{len(self.names)}: {', '.join(self.names[:8])}",
            )
        if np.isinf(values).any():
            row, column = (int(i) for i in np.argwhere(np.isinf(values))[0])
            raise ConfigError(
                f"{self.name}, bar {row}: {self.names[column]} is {values[row, column]}",
                expected="finite numbers, or NaN where there is no value",
            )
        return values

    def _table(self, frame: pd.DataFrame) -> tuple[FloatArray, tuple[str, ...]]:
        """[T, k] values and the names of their columns."""
        index, given = frame.index, tuple(frame.columns)
        raw = self._function(frame)
        try:
            names, columns, own_index = _columns(raw, self._short, given)
            values = np.asarray(columns, dtype=np.float64)
        except (TypeError, ValueError) as error:
            raise ConfigError(
                f"{self.name} returned no numbers: {error}", expected=_SIGNATURE
            ) from error
        if values.ndim == 1:
            values = values[:, None]
        if values.ndim != 2 or len(values) != len(index) or not values.shape[1]:
            raise ConfigError(
                f"{self.name} returned an array of shape {values.shape} for {len(index)} bars",
                expected=_SIGNATURE,
                hint="bring coarser rows back to the bars: x.reindex(bars.index).ffill(), after "
                "shifting each to the end of its period",
            )
        if own_index is not None and not _same(own_index, index):
            raise ConfigError(
                f"{self.name} returned rows of other times than the bars'", expected=_SIGNATURE
            )
        if names is None:
            k = values.shape[1]
            names = [self._short] if k == 1 else [f"{self._short}_{i}" for i in range(k)]
        return values, tuple(names)


def _columns(raw: Any, short: str, given: Sequence[str]) -> tuple[list[str] | None, Any, Any]:
    """Names (None: an array has none), numbers, and times of the rows (None: those of the bars)."""
    import pandas as pd

    if isinstance(raw, Mapping):
        own = [each for each in raw.values() if isinstance(each, pd.Series)]
        if not all(_same(each.index, own[0].index) for each in own):
            raw = pd.DataFrame(dict(raw))
        else:  # a frame would compare and copy them one by one
            columns = [_numbers(each) for each in raw.values()]
            if len({each.shape for each in columns}) == 1 and columns[0].ndim == 1:
                times = _times(own[0].index) if own else None
                return [str(name) for name in raw], np.array(columns, dtype=np.float64).T, times
            raw = pd.DataFrame(dict(raw))
    if isinstance(raw, pd.Series):
        return [_name(raw, short, given)], raw.to_numpy(), _times(raw.index)
    if isinstance(raw, pd.DataFrame):
        return [str(name) for name in raw.columns], raw.to_numpy(), _times(raw.index)
    return None, raw, None


def _numbers(column: Any) -> Any:
    """The array of a column, without what ``np.asarray`` of a Series takes (12 µs)."""
    values = getattr(column, "values", column)
    return values if type(values) is np.ndarray else np.asarray(column, dtype=np.float64)


def _name(column: pd.Series[Any], short: str, given: Sequence[str]) -> str:
    """What a column is called: not after the one of the bars that it was computed from."""
    return short if column.name is None or column.name in given else str(column.name)


def _same(one: pd.Index[Any], other: pd.Index[Any]) -> bool:
    """Whether two indices have the same times; most are views of one, which is told at once."""
    return bool(one.is_(other)) or bool(one.equals(other))


def _times(index: pd.Index[Any]) -> Any:
    import pandas as pd

    return None if isinstance(index, pd.RangeIndex) else index


def _made_frame(signals: Sequence[str]) -> pd.DataFrame:
    """600 daily bars of a random walk, with signals."""
    rng = np.random.default_rng(0)
    close = 100.0 * np.exp(np.cumsum(rng.normal(0.0, 0.01, 600)))
    opened = np.append(100.0, close[:-1])
    days = np.datetime64("2015-01-01", "ns") + np.arange(840) * np.timedelta64(86_400_000_000_000)
    work = days[(days.astype("datetime64[D]").view("int64") + 3) % 7 < 5][:600]
    return bars_frame(
        Bars(
            "made",
            work,
            open=opened,
            high=np.maximum(opened, close) * 1.001,
            low=np.minimum(opened, close) * 0.999,
            close=close,
            volume=rng.uniform(1e5, 2e5, 600),
            periods_per_year=252.0,
            signals={name: rng.normal(size=600) for name in signals},
        )
    )


def state_window(name: str, sha256: str, window: int | None) -> None:
    """Let streams of own features keep ``window`` bars, as what was made with them states.

    For serving, where no history is looked at again. It holds for the code of that hash alone.
    """
    _WINDOWS[name, sha256] = window


def _source_sha256(function: Callable[..., Any]) -> str:
    """SHA-256 of what can be told of a function that is in no file."""
    try:
        text = inspect.getsource(function)
    except (OSError, TypeError):
        code = getattr(function, "__code__", None)
        text = "" if code is None else f"{code.co_code.hex()} {code.co_consts} {code.co_names}"
    return bytes_sha256(text.encode())


def changed_code(stated: Iterable[tuple[str, str]]) -> str:
    """What to do where own features that were named have other code than a file states; empty
    where there are none.

    Args:
        stated: name and SHA-256 of the own features of a dataset, run or model.
    """
    for name, sha256 in stated:
        named = _NAMED.get(name)
        if named is not None and named.code[1] != sha256:
            now, then = named.code[1][:16], sha256[:16]
            return (
                f"{named.name} has SHA-256 {now}… now and had {then}… then: take the file as it "
                "was, or collect and train again"
            )
    return ""


def _for_workers() -> list[NamedFeatures]:
    """What another process can import."""
    return [replace(each) for each in _NAMED.values() if each.place]


def _name_again(named: Sequence[NamedFeatures]) -> None:
    _NAMED.update({each.name: each for each in named})


carry(_for_workers, _name_again)
