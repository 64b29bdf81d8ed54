"""A feature set at its last bars: ``window:8:builtin`` is the 32 features of each of eight bars.

What a policy with a convolution or a recurrent network reads is one flat observation as ever, whose
columns' names say how many bars ago they were, so that all on the way from bars to a served model
takes it as it takes any other feature set.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

import numpy as np

from offline_trader.errors import ConfigError
from offline_trader.features.schema import FeatureSchema
from offline_trader.markets import Bar, Bars, windowed
from offline_trader.types import LAG, FloatArray

if TYPE_CHECKING:
    from offline_trader.features.sets import FeatureSet, FeatureStream

__all__ = ["MOST_BARS", "Lagged", "window_of"]

MOST_BARS = 256
"""In a window."""


def window_of(name: str, inner: FeatureSet) -> Lagged:
    """The set ``inner`` at as many bars as ``name``, ``window:BARS:SET``, says.

    Raises:
        ConfigError: no number of bars between 2 and 256, or a window of a window.
    """
    text = windowed(name)[0].split(":")[1]
    bars = int(text) if text.isascii() and text.isdigit() and len(text) < 9 else 0
    if not 2 <= bars <= MOST_BARS:
        raise ConfigError(
            f"features {name!r}: a window of {text!r} bars",
            expected=f"window:BARS:SET with 2 to {MOST_BARS} bars, as window:8:builtin",
        )
    if any(LAG in each for each in inner.schema.names):
        raise ConfigError(
            f"features {name!r}: a window of columns that are of earlier bars already",
            expected="one window around a feature set",
        )
    return Lagged(bars, inner)


class Lagged:
    """:class:`~offline_trader.features.sets.FeatureSet` of another one at its last W bars.

    The columns are those of the present bar under their own names, then those of the bar before,
    ``return_1@1``, and so on to ``return_1@7``. Row t reads what the inner set's rows t − W + 1 to
    t read; its warm-up is longer by W − 1 bars.

    Args:
        bars: W.
        inner: the set.
    """

    def __init__(self, bars: int, inner: FeatureSet) -> None:
        self.bars, self.inner = bars, inner
        names, texts = inner.schema.names, inner.schema.stated
        lags = range(1, bars)
        self.schema = FeatureSchema(
            (*names, *(f"{name}{LAG}{lag}" for lag in lags for name in names)),
            version=inner.schema.version,
            formulas=(*texts, *(f"{lag} bars before t: {text}" for lag in lags for text in texts)),
        )
        missing: tuple[int, ...] = getattr(inner, "may_miss", ())
        self.may_miss = tuple(lag * len(names) + place for lag in range(bars) for place in missing)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Lagged) and (other.bars, other.inner) == (self.bars, self.inner)

    def __hash__(self) -> int:
        return hash((self.bars, self.inner))

    @property
    def warmup(self) -> int:
        """Rows without features at the start."""
        return self.inner.warmup + self.bars - 1

    def compute(self, bars: Bars) -> FloatArray:
        """[T, W · F] float64; NaN where there was no bar yet."""
        values = self.inner.compute(bars)
        rows, width = values.shape
        found = np.empty((rows, self.bars * width))
        for lag in range(self.bars):
            part = found[:, lag * width : (lag + 1) * width]
            part[:lag] = np.nan
            part[lag:] = values[: max(rows - lag, 0)]
        return found

    def stream(self) -> _LaggedStream:
        """The same bar by bar."""
        return _LaggedStream(self.inner.stream(), self.bars, len(self.inner.schema.names))


class _LaggedStream:
    """The last rows of a stream, the present one first."""

    def __init__(self, inner: FeatureStream, bars: int, width: int) -> None:
        self._inner = inner
        self._rows = deque([np.full(width, np.nan)] * bars, maxlen=bars)

    def update(self, bar: Bar) -> FloatArray:
        self._rows.appendleft(self._inner.update(bar))
        return np.concatenate(self._rows)
