"""What own features pass before they are used: they read no later bar, and are the same in serving.

Three looks for leaks, each at rows that lie before a change:

1. the bars cut off after bars where a leak would hide: the ends of days, weeks, months and years,
   the bars before large moves, those where the feature itself is unusual, the first and the last;
2. the detector of ``offline-trader audit`` (:mod:`~offline_trader.features.leaks`): many kinds of
   change after some cuts, rows compared to rounding;
3. for features that need a limited number of bars, one bar in so many removed, at every place in
   turn: each pass looks at one bar in W + 1. What moves is looked at again by cutting off.

And the smallest trailing window on which the last row equals the batch, which is what serving
computes on.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from offline_trader.codec import Facts
from offline_trader.errors import ConfigError, DataError
from offline_trader.features.leaks import AuditConfig, audit_function, bars_frame, moved
from offline_trader.markets import windowed
from offline_trader.types import BoolArray, FloatArray, IntArray
from offline_trader.workers import carry

if TYPE_CHECKING:
    import pandas as pd

    from offline_trader.features.own import OwnFeatures
    from offline_trader.markets import Bars

__all__ = ["Admission", "LeakFound", "admission_notes", "admit", "admitted", "found_before"]

MOST_BARS = 5_000
"""Of an audit: the first ones of an instrument."""
FEWEST_BARS = 60
_SECONDS = 0.8
"""Of processor time, for each of the parts that look at as many places as there is time for."""
_WINDOWS = (16, 32, 64, 128, 253, 512, 1024, 2048)
_CHECKED = 24
_FORETOLD = 0.3
"""Correlation with the next bar's return that no honest source reaches."""
_EXACT = 1e-11
_FLOAT32 = 2.0**-23
_SMALL = 1e-9


@dataclass(frozen=True)
class LeakFound(Facts):
    """A feature that reads the future.

    Attributes:
        feature: its name.
        bar: the bar whose value changed though no bar up to it did.
        timestamp: of that bar.
        before, after: its values; None where there is none (NaN).
        change: what was changed after the bar.
    """

    feature: str
    bar: int
    timestamp: str
    before: float | None
    after: float | None
    change: str


@dataclass(frozen=True)
class Admission(Facts):
    """What was found of own features, kept with datasets, runs and models.

    Attributes:
        name: of the features.
        sha256: of their file.
        features: names of the columns.
        window: bars that serving needs for the last row; None: all since the first.
        bars: of the audit.
        comparisons: pairs of computations that were compared.
        bars_cut: bars after which the future was changed.
        leaks: what read the future; used all the same if trusted.
        unread: features on which the bars have no influence, which cannot be audited.
        trusted: whether the user overrode leaks.
    """

    name: str
    sha256: str
    features: tuple[str, ...]
    window: int | None
    bars: int
    comparisons: int
    bars_cut: int
    leaks: tuple[LeakFound, ...] = ()
    unread: tuple[str, ...] = ()
    trusted: bool = False


_ADMITTED: dict[tuple[str, str, tuple[str, ...]], Admission] = {}


def _key(features: OwnFeatures) -> tuple[str, str, tuple[str, ...]]:
    return features.name, features.sha256, features.signals


def found_before(features: OwnFeatures) -> Admission | None:
    """What was found of ``features`` in this process; None: they were not looked at yet."""
    return _ADMITTED.get(_key(features))


def admitted(features: Sequence[str]) -> tuple[Admission, ...]:
    """What was found in this process of the own features among names of feature sets."""
    named = [windowed(name)[1] for name in features]
    return tuple(each for key, each in _ADMITTED.items() if key[0] in named)


def admit(features: OwnFeatures, bars: Bars) -> Admission:
    """Look for leaks in ``features`` on ``bars``, once a process, and for the window they need.

    Raises:
        ConfigError: a feature reads the future and is not trusted, gives two answers for the same
            bars, or needs more bars than it says.
        DataError: too few bars to tell.
    """
    known = found_before(features)
    if known is None or (known.leaks and known.trusted != features.named.trusted):
        known = _ADMITTED[_key(features)] = _looked_at(features, bars)
    return known


def _looked_at(features: OwnFeatures, bars: Bars) -> Admission:
    found = examine(features, bars)
    if found.leaks and not features.named.trusted:
        raise _refusal(features, found.leaks)
    return found


def examine(features: OwnFeatures, bars: Bars) -> Admission:
    """What the looks at ``features`` on ``bars`` show; a leak is no error here.

    Raises:
        ConfigError: two answers for the same bars, or more bars needed than the function says.
        DataError: too few bars to tell.
    """
    if len(bars) < FEWEST_BARS:
        raise DataError(
            f"{bars.name}: {len(bars)} bars",
            expected=f"at least {FEWEST_BARS}, to see whether {features.name} reads the future",
        )
    frame = bars_frame(bars.slice(0, min(len(bars), MOST_BARS)))
    probe = _Probe(features, frame)
    leaks = probe.leaks()
    window = None if leaks else probe.window()
    if window is not None:
        leaks = probe.rare_leaks(window)
    return Admission(
        name=features.name,
        sha256=features.sha256,
        features=features.names,
        window=window,
        bars=len(frame),
        comparisons=probe.comparisons,
        bars_cut=len(probe.cuts),
        leaks=leaks,
        unread=probe.unread,
        trusted=features.named.trusted,
    )


def _refusal(features: OwnFeatures, leaks: tuple[LeakFound, ...]) -> ConfigError:
    first = leaks[0]
    more = f" (and {len(leaks) - 1} more of its features)" if len(leaks) > 1 else ""
    shown = "has"
    if first.before != first.after:
        place = f"at bar {first.bar} ({first.timestamp})"
        shown = f"{place} is {_shown(first.before)}, and {_shown(first.after)} with"
    return ConfigError(
        f"{features.name} reads the future: {first.feature} {shown} {first.change}{more}",
        expected="features whose row t stays the same whatever comes after bar t",
        hint="offline-trader audit shows how far it reads; --trust-features uses it all the same, "
        "and says so in everything that is made with it",
    )


class _Probe:
    """One function on one frame [T], and what comparisons have shown."""

    def __init__(self, features: OwnFeatures, frame: pd.DataFrame) -> None:
        self.features, self.frame = features, frame
        self.comparisons = 0
        self.cuts: set[int] = set()
        self.unread: tuple[str, ...] = ()
        # The first call sees half of the bars: a function that keeps what it was first given shows.
        half = len(frame) // 2
        early = self._values(frame.iloc[:half])
        begun = time.process_time()
        self.batch = self._values(frame)
        self.cost = max(time.process_time() - begun, 1e-5)
        self._first = self._differences(early, half - 1, "the later bars cut off")

    def _values(self, frame: pd.DataFrame) -> FloatArray:
        return self.features.values(frame.copy())

    def _moved(self, other: FloatArray, rows: IntArray | slice) -> BoolArray:
        columns = [
            moved(self.batch[rows, k], other[:, k], _EXACT) for k in range(self.batch.shape[1])
        ]
        return np.stack(columns, axis=1)

    def _differences(self, other: FloatArray, cut: int, change: str) -> list[LeakFound]:
        """Leaks that rows 0 to ``cut`` of ``other`` show."""
        self.comparisons += 1
        self.cuts.add(cut)
        found = self._moved(other[: cut + 1], slice(0, cut + 1))
        with np.errstate(invalid="ignore"):
            size = np.where(found, np.abs(self.batch[: cut + 1] - other[: cut + 1]), -1.0)
        size[np.isnan(size)] = np.inf
        return [
            self._leak(int(np.argmax(size[:, k])), k, other, change)
            for k in np.flatnonzero(found.any(axis=0)).tolist()
        ]

    def _leak(self, bar: int, column: int, other: FloatArray, change: str) -> LeakFound:
        return LeakFound(
            self.features.names[column],
            bar,
            str(self.frame.index[bar])[:19],
            _number(self.batch[bar, column]),
            _number(other[bar, column]),
            change,
        )

    def leaks(self) -> tuple[LeakFound, ...]:
        """What the detector and the bars cut off show, one a feature."""
        found = {leak.feature: leak for leak in reversed(self._first)}
        if not found:
            begun = time.process_time()
            for cut in _suspects(self.frame, self.batch):
                if found or time.process_time() - begun > _SECONDS:
                    break
                found |= {leak.feature: leak for leak in self._cut_off(cut)}
        return tuple((found or self._by_detector()).values())

    def _cut_off(self, cut: int) -> list[LeakFound]:
        try:
            other = self._values(self.frame.iloc[: cut + 1])
        except ConfigError:
            return []  # too few bars for the function
        return self._differences(other, cut, "the later bars cut off")

    def _by_detector(self) -> dict[str, LeakFound]:
        often = int(np.clip(2.0 * _SECONDS / (8.0 * (self.cost + 0.004)), 4, 18))
        config = AuditConfig(max(2, often // 3), min(3, often // 2), _EXACT)

        def table(frame: pd.DataFrame) -> pd.DataFrame:
            import pandas as pd

            return pd.DataFrame(
                self.features.values(frame), index=frame.index, columns=list(self.features.names)
            )

        result = audit_function(table, self.frame, config)
        self.comparisons += result.comparisons
        self.unread = result.unread
        foretold = {name: leak for name in result.unread if (leak := self._foretells(name))}
        return foretold | {
            leak.output: LeakFound(
                leak.output, leak.bar, leak.timestamp[:19],
                _number(leak.before), _number(leak.after),
                f"{leak.perturbation} from bar {leak.cut + 1} on",
            )
            for leak in result.leaks
        }  # fmt: skip

    def _foretells(self, name: str) -> LeakFound | None:
        """A feature that no bar moves and that knows the next one: it has it from elsewhere."""
        values = self.batch[:-1, self.features.names.index(name)]
        following = np.diff(np.log(self.frame["close"].to_numpy()))
        there = np.flatnonzero(~np.isnan(values))
        if there.size < FEWEST_BARS or np.ptp(values[there]) == 0.0:
            return None
        alike = float(np.corrcoef(values[there], following[there])[0, 1])
        if abs(alike) < _FORETOLD:
            return None
        bar = int(there[np.argmax(np.abs(following[there]))])
        change = f"a correlation of {alike:.2f} with the next bar's return, though no bar moves it"
        value = float(values[bar])
        return LeakFound(name, bar, str(self.frame.index[bar])[:19], value, value, change)

    def window(self) -> int | None:
        """The smallest window on whose last row the batch agrees, or the one that was stated.

        Raises:
            ConfigError: it does not agree on the stated one.
        """
        stated = self.features.window
        sizes = [size for size in _WINDOWS if size < len(self.frame) // 2]
        if stated is not None:
            differs = self._disagreement(int(stated))
            if differs is None:
                return int(stated)
            needed = next((w for w in sizes if w > stated and self._agrees(w)), None)
            leak, shown = differs, f"{needed} bars" if needed else "all bars since the first"
            raise ConfigError(
                f"{self.features.name}: {leak.feature} at bar {leak.bar} ({leak.timestamp}) is "
                f"{_shown(leak.before)} in batch and {_shown(leak.after)} on the last {stated} "
                "bars",
                expected="the same number in training and in serving",
                hint=f"it needs {shown}: set its attribute `window`"
                + (f" to {needed}" if needed else " to None"),
            )
        return next((size for size in sizes if self._agrees(size)), None)

    def _agrees(self, size: int) -> bool:
        return self._disagreement(size) is None

    def _disagreement(self, size: int) -> LeakFound | None:
        """A bar whose row on the last ``size`` bars is another one than in batch."""
        last = len(self.frame) - 1
        spread = _spread(self.batch)
        places = np.unique(np.linspace(min(size, last), last, _CHECKED).astype(int))
        for bar in places[::-1].tolist():
            try:
                row = self._values(self.frame.iloc[max(0, bar + 1 - size) : bar + 1])[-1]
            except ConfigError:
                row = np.full(self.batch.shape[1], np.nan)  # too few bars for the function
            self.comparisons += 1
            wrong = np.flatnonzero(~_close(self.batch[bar], row, spread))
            if wrong.size:
                other = np.full_like(self.batch, np.nan)
                other[bar] = row
                return self._leak(bar, int(wrong[0]), other, "")
        return None

    def rare_leaks(self, window: int) -> tuple[LeakFound, ...]:
        """What shows where one bar in ``window`` + 1 is removed, at every place in turn."""
        step, n = window + 1, len(self.frame)
        spread = _spread(self.batch)
        begun = time.process_time()
        found: dict[str, LeakFound] = {}
        for offset in np.random.default_rng(0).permutation(step).tolist():
            if found or time.process_time() - begun > 2.0 * _SECONDS:
                break
            removed = np.arange(offset + 1, n, step)
            kept = np.delete(np.arange(n), removed)
            try:
                other = self._values(self.frame.iloc[kept])
            except ConfigError:
                continue
            self.comparisons += 1
            cuts = removed - 1
            self.cuts.update(cuts.tolist())
            rows = other[cuts - np.arange(len(cuts))]
            suspects = ~_close(self.batch[cuts], rows, spread)
            for cut in cuts[suspects.any(axis=1)][:8].tolist():
                found |= {leak.feature: leak for leak in self._cut_off(cut)}
        return tuple(found.values())


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def _shown(value: float | None) -> str:
    return "nan" if value is None else f"{value:.12g}"


def _spread(values: FloatArray) -> FloatArray:
    """[k] standard deviation of each column; 0 where there is none."""
    with np.errstate(invalid="ignore"):
        known = ~np.isnan(values)
        count = np.maximum(known.sum(axis=0), 1)
        mean = np.where(known, values, 0.0).sum(axis=0) / count
        square = np.where(known, (values - mean) ** 2, 0.0).sum(axis=0) / count
    return np.asarray(np.sqrt(square))


def _close(one: FloatArray, other: FloatArray, spread: FloatArray) -> BoolArray:
    """Equal to what float32, in which observations are stored, tells apart."""
    with np.errstate(invalid="ignore"):
        largest = np.maximum(np.abs(one), np.abs(other))
        near = np.abs(one - other) <= np.maximum(_FLOAT32 * largest, _SMALL * spread)
    return np.asarray(near | (np.isnan(one) & np.isnan(other)))


def _suspects(frame: pd.DataFrame, batch: FloatArray) -> Iterator[int]:
    """Bars after which the bars are cut off, those first where a leak would hide."""
    import pandas as pd

    n = len(frame)
    rng = np.random.default_rng(0)
    groups: list[IntArray] = [np.arange(min(n - 1, 40)), np.arange(n - 2, n - 12, -1)]
    stamps = pd.DatetimeIndex(frame.index).tz_localize(None).to_numpy()
    for unit in ("D", "W", "M", "Y"):
        period = stamps.astype(f"datetime64[{unit}]")
        ends = np.flatnonzero(period[1:] != period[:-1])
        groups.append(rng.permutation(np.concatenate([ends, ends - 1])))
    close, volume = frame["close"].to_numpy(), frame["volume"].to_numpy()
    size = np.abs(np.diff(np.log(close)))
    groups += [np.argsort(-size)[:60], np.argsort(-volume)[:60], np.argsort(-volume)[:60] - 1]
    for column in batch.T[:16]:
        known = column[~np.isnan(column)]
        value = np.where(np.isnan(column), np.median(known) if known.size else 0.0, column)
        groups.append(np.argsort(-np.abs(value - np.median(value)))[:40])
        groups.append(np.argsort(-np.abs(np.diff(value)))[:40] + 1)
        groups.append(np.argsort(-np.abs(np.diff(value)))[:40])
    groups.append(rng.permutation(n - 1))
    seen: set[int] = set()
    for place in range(max(map(len, groups))):
        for group in groups:
            if place < len(group) and 0 <= group[place] < n - 1 and int(group[place]) not in seen:
                seen.add(int(group[place]))
                yield int(group[place])


def admission_notes(found: Sequence[Admission]) -> list[str]:
    """What is to know of own features that are used."""
    notes = []
    for each in found:
        needed = "all since the first" if each.window is None else f"the last {each.window}"
        if each.leaks:
            wrong = ", ".join(leak.feature for leak in each.leaks)
            notes.append(f"{each.name}: {wrong} read the future, and are used, as you asked")
        else:
            notes.append(
                f"{each.name}: {', '.join(each.features)}; no leak seen on {each.bars:,} bars, "
                f"cut after {each.bars_cut:,} of them; of the bars serving needs {needed}"
            )
        if each.unread:
            notes.append(
                f"{each.name}: the bars have no influence on {', '.join(each.unread)}; what a "
                "function reads elsewhere cannot be audited"
            )
    return notes


def _found() -> dict[tuple[str, str, tuple[str, ...]], Admission]:
    return dict(_ADMITTED)


def _take_over(found: dict[tuple[str, str, tuple[str, ...]], Admission]) -> None:
    _ADMITTED.update(found)


carry(_found, _take_over)  # a worker does not look again
