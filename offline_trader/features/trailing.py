"""Own features bar by bar: the function on the last bars, for serving."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from offline_trader.markets import BAR_COLUMNS, Bar, check_bar
from offline_trader.types import FloatArray

if TYPE_CHECKING:
    import pandas as pd

    from offline_trader.features.own import OwnFeatures

__all__ = ["TrailingStream"]


class TrailingStream:
    """The last row of own features on a trailing window of bars.

    Args:
        features: the function.
        window: bars that it is given; None: all since the first, which is then the first of the
            batch that it equals.
    """

    def __init__(self, features: OwnFeatures, window: int | None) -> None:
        self.features, self.window = features, window
        self.count = 0
        self._names = (*BAR_COLUMNS, *features.signals)
        room = 256 if window is None else 2 * window
        self._rows = np.zeros((len(self._names), room))
        self._times = np.zeros(room, dtype="datetime64[ns]")
        self._end = 0

    def update(self, bar: Bar) -> FloatArray:
        """[k] float64 after ``bar``; NaN where there is no value.

        Raises:
            DataError: a bar that cannot be, or that is not later than the one before.
            ConfigError: the function fails.
        """
        before = self._times[self._end - 1] if self.count else None
        check_bar(bar, before, f"streamed bar {self.count}")
        self._make_room()
        column = self._rows[:, self._end]
        column[:5] = bar[1:]
        for i, name in enumerate(self.features.signals, 5):
            column[i] = bar.signals.get(name, np.nan)
        self._times[self._end] = bar.timestamp
        self._end += 1
        self.count += 1
        first = 0 if self.window is None else max(self._end - self.window, 0)
        values: FloatArray = self.features.values(self._frame(first))[-1].copy()
        return values

    def _frame(self, first: int) -> pd.DataFrame:
        import pandas as pd

        rows = slice(first, self._end)
        index = pd.DatetimeIndex(self._times[rows].copy(), tz="UTC", name="timestamp")
        columns = {name: self._rows[i, rows].copy() for i, name in enumerate(self._names)}
        return pd.DataFrame(columns, index=index)

    def _make_room(self) -> None:
        room = self._rows.shape[1]
        if self._end < room:
            return
        if self.window is None:
            self._rows = np.concatenate([self._rows, np.zeros_like(self._rows)], axis=1)
            self._times = np.concatenate([self._times, np.zeros_like(self._times)])
            return
        kept = self.window - 1
        self._rows[:, :kept] = self._rows[:, room - kept :].copy()
        self._times[:kept] = self._times[room - kept :].copy()
        self._end = kept
