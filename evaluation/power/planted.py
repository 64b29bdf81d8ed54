"""Bars rebuilt from a real history with a signal of known strength in them, and nothing else.

Training, validation and test are made of disjoint stretches of the history, so that no row of one
is copied into another. The simple returns of each stretch lose their mean and are put together anew
from blocks of random length, as in the stationary bootstrap (Politis & Romano 1994), each bar with
its own gap, range and volume; then

    r_t = x_t + β·s_{t−1},   s_t = φ·s_{t−1} + √(1 − φ²)·e_t,   β = c·σ_x/√(1 − c²)

where ``c`` is the information coefficient: the correlation of the signal at the close of a bar with
the next bar's return. No row is drawn twice while others were not drawn at all: a history holds no
day twice, and one copy would be known from the other wherever a method is fitted on some of the
training bars and judged on the rest.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from offline_trader.errors import ConfigError, DataError
from offline_trader.markets import Bars
from offline_trader.types import FloatArray, IntArray

__all__ = ["Planted", "Split", "plant"]

_START = np.datetime64("1980-01-01", "D")
_DAY = 86_400 * 10**9  # ns
_LEAST_SOURCE = 250
"""Bars of a stretch of the history that blocks are drawn from, at least."""


@dataclass(frozen=True)
class Split:
    """How many bars there are before training, and of training, validation and test."""

    warm_up: int
    train: int
    validation: int
    test: int

    @property
    def total(self) -> int:
        """Of all four."""
        return self.warm_up + self.train + self.validation + self.test


@dataclass(frozen=True, eq=False)
class Planted:
    """What was made.

    Attributes:
        bars: T rebuilt bars.
        signal: [T] s at the close of each bar, of variance 1.
        coefficient: c.
        split: of the T bars.
        strength: β, return of the next bar for a signal of 1.
        persistence: φ.
    """

    bars: Bars
    signal: FloatArray
    coefficient: float
    split: Split
    strength: float
    persistence: float

    @property
    def residual(self) -> FloatArray:
        """[T] x, the returns without what the signal adds; of the first bar 0."""
        close = self.bars.close
        r = close[1:] / close[:-1] - 1.0 - self.strength * self.signal[:-1]
        return np.concatenate(([0.0], r))


def plant(
    history: Bars,
    split: Split,
    coefficient: float,
    *,
    persistence: float = 0.95,
    block_bars: float = 20.0,
    seed: int = 0,
) -> Planted:
    """Rebuild ``history`` with a signal of ``coefficient``.

    The same seed draws the same blocks and the same signal for every coefficient, so that a curve
    over coefficients is one over markets that differ in nothing else.

    Args:
        history: one instrument's bars; the first row only begins the returns.
        split: bars of each part; a part's blocks come from as large a share of the history.
        coefficient: c in [0, 1).
        persistence: φ in [0, 1).
        block_bars: mean length of a block.
        seed: of blocks and signal.

    Raises:
        ConfigError: a coefficient or persistence out of range.
        DataError: a history too short for disjoint stretches of 250 bars.
    """
    for name, value in (("coefficient", coefficient), ("persistence", persistence)):
        if not 0.0 <= value < 1.0:
            raise ConfigError(f"{name} = {value}", expected="0 or more and below 1")
    blocks, innovations = (
        np.random.default_rng(stream) for stream in np.random.SeedSequence(seed).spawn(2)
    )
    wanted = np.array([split.warm_up + split.train, split.validation, split.test])
    edges = _stretches(len(history) - 1, wanted, history.name)
    stretches = list(pairwise(edges))
    x = history.close[1:] / history.close[:-1] - 1.0
    x -= np.repeat([x[first:last].mean() for first, last in stretches], np.diff(edges))
    parts = zip(stretches, wanted, strict=True)
    rows = np.concatenate([_rows(*ends, length, block_bars, blocks) for ends, length in parts])
    x = x[rows]
    signal = _signal(split.total, persistence, innovations)
    strength = coefficient / math.sqrt(1.0 - coefficient**2) * float(x.std())
    r = x + strength * np.concatenate(([0.0], signal[:-1]))
    if (r <= -1.0).any():
        raise DataError(
            f"{history.name}: a rebuilt return of {r.min():.0%}", expected="above −100 %"
        )
    bars = _bars(history, rows + 1, r)
    return Planted(bars, signal, coefficient, split, strength, persistence)


def _stretches(n: int, wanted: IntArray, name: str) -> IntArray:
    """[4] where the parts' stretches of n returns begin and end; warm-up and training share one."""
    shares = np.concatenate(([0.0], np.cumsum(wanted))) / wanted.sum()
    edges: IntArray = np.round(shares * n).astype(np.int64)
    if np.diff(edges).min() < _LEAST_SOURCE:
        raise DataError(
            f"{name}: {n + 1:,} bars give stretches of {', '.join(map(str, np.diff(edges)))} for "
            "training, validation and test",
            expected=f"at least {_LEAST_SOURCE} bars each",
            hint="take a longer history, or longer validation and test",
        )
    return edges


def _rows(
    first: int, last: int, length: int, block_bars: float, rng: np.random.Generator
) -> IntArray:
    """[length] rows of a stretch; all of them before any a second time."""
    passes = -(-length // (last - first))
    drawn = [first + _shuffled(last - first, block_bars, rng) for _ in range(passes)]
    return np.concatenate(drawn)[:length]


def _shuffled(n: int, block_bars: float, rng: np.random.Generator) -> IntArray:
    """[n] every number below n once, in blocks of the circle that begin at random and are mixed."""
    begins = np.flatnonzero(rng.random(n) < 1.0 / block_bars)
    turned = np.roll(np.arange(n), -int(begins[0])) if len(begins) else np.arange(n)
    blocks = np.split(turned, begins[1:] - begins[0]) if len(begins) else [turned]
    return np.concatenate([blocks[i] for i in rng.permutation(len(blocks))])


def _signal(n: int, persistence: float, rng: np.random.Generator) -> FloatArray:
    from scipy.signal import lfilter

    e = rng.standard_normal(n)
    e[1:] *= math.sqrt(1.0 - persistence**2)
    return np.asarray(lfilter([1.0], [1.0, -persistence], e), dtype=np.float64)


def _bars(history: Bars, rows: IntArray, r: FloatArray) -> Bars:
    """Bars with returns r [T] and the gaps, ranges and volumes of the history's ``rows``."""
    close = history.close[rows[0] - 1] * np.cumprod(1.0 + r)
    before = np.concatenate(([history.close[rows[0] - 1]], close[:-1]))
    opened = before * (history.open[rows] / history.close[rows - 1])
    top = history.high[rows] / np.maximum(history.open[rows], history.close[rows])
    bottom = history.low[rows] / np.minimum(history.open[rows], history.close[rows])
    return Bars(
        symbol="planted",
        timestamps=_stamps(history, len(rows)),
        open=opened,
        high=np.maximum(opened, close) * top,
        low=np.minimum(opened, close) * bottom,
        close=close,
        volume=history.volume[rows],
        periods_per_year=history.periods_per_year,
        source=f"planted in {history.symbol}",
    )


def _stamps(history: Bars, count: int) -> NDArray[np.datetime64]:
    """[T] times: weekdays for a history of weekdays, otherwise its own, over and over.

    Costs of borrowing and features of the calendar read them, so hours have to stay hours. The
    history is repeated after whole weeks, which keep the days of the week.
    """
    own = history.timestamps
    days, step = own.astype("datetime64[D]"), np.median(np.diff(own).astype(np.int64)) / _DAY
    if 0.9 < step < 1.5 and np.is_busday(days).all():
        weekdays = np.busday_offset(_START, np.arange(count), roll="forward")
        return weekdays.astype("datetime64[ns]")
    span = (own[-1] - own[0]).astype(np.int64) / _DAY + step
    shift = np.timedelta64(7 * math.ceil(span / 7.0), "D")
    rounds = [own + k * shift for k in range(-(-count // len(own)))]
    return np.concatenate(rounds)[:count]
