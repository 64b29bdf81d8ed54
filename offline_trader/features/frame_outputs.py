"""What an audited function returned, as numbers with the times they belong to."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from offline_trader.errors import ConfigError
from offline_trader.types import FloatArray

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["FrameFunction", "outputs_of"]

FrameFunction = Callable[["pd.DataFrame"], Any]
"""Takes a frame [T] of open, high, low, close, volume with a DatetimeIndex; returns an array,
Series or DataFrame whose rows belong to bars (same length) or carry their own timestamps."""

_EXPECTED = "numbers: an array with a row for each bar, or a Series or frame with its own times"


def outputs_of(function: FrameFunction, frame: pd.DataFrame) -> pd.DataFrame:
    """[R, K] outputs with distinct names and the times they belong to."""
    try:
        raw = function(frame.copy())
    except Exception as error:
        raise ConfigError(
            f"the audited function failed: {type(error).__name__}: {error}",
            expected=_EXPECTED,
        ) from error
    table = _table(raw, len(frame))
    table.index = _times(table.index, frame.index)
    seen: dict[str, int] = {}
    names = []
    for column in map(str, table.columns):
        seen[column] = seen.get(column, 0) + 1
        names.append(column if seen[column] == 1 else f"{column} ({seen[column]})")
    table.columns = names
    return table


def _table(raw: Any, n_bars: int) -> pd.DataFrame:
    """Whatever the function returned, as numbers in a frame; rows as it gave them."""
    import pandas as pd

    if raw is None or np.isscalar(raw):
        what = "a single number" if isinstance(raw, int | float) else f"a {type(raw).__name__}"
        raise ConfigError(f"the audited function returned {what}", expected=_EXPECTED)
    try:
        if isinstance(raw, dict):
            raw = pd.DataFrame(raw)
        if isinstance(raw, pd.Series):
            raw = raw.to_frame(str(raw.name) if raw.name is not None else "output")
        if isinstance(raw, pd.DataFrame):
            return raw.astype(float)
        values: FloatArray = np.asarray(raw, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ConfigError(
            f"the audited function's output holds no numbers or cannot be read: {error}",
            expected=_EXPECTED,
            hint="give words a number each, as 1 for buy and -1 for sell",
        ) from error
    values = values.reshape(len(values), -1) if values.ndim else values.reshape(1, 1)
    if len(values) != n_bars:
        raise ConfigError(
            f"the audited function returned {len(values)} rows for {n_bars} bars",
            expected=_EXPECTED,
        )
    names = [f"output_{k}" for k in range(values.shape[1])] if values.shape[1] > 1 else ["output"]
    return pd.DataFrame(values, columns=names)


def _times(index: pd.Index[Any], bars: pd.Index[Any]) -> pd.DatetimeIndex:
    """Times of the rows, comparable with the bars'; rows without times are those of the bars."""
    import pandas as pd

    if isinstance(index, pd.PeriodIndex):
        index = index.to_timestamp(how="end")
    elif index.dtype == object and not isinstance(index, pd.MultiIndex) and len(index):
        with contextlib.suppress(TypeError, ValueError):
            index = pd.DatetimeIndex(index)
    whole = isinstance(index, pd.RangeIndex) or pd.api.types.is_integer_dtype(index)
    if whole and len(index) == len(bars):
        return pd.DatetimeIndex(bars)
    if not isinstance(index, pd.DatetimeIndex):
        raise ConfigError(
            f"the audited function returned {len(index)} rows for {len(bars)} bars with an index "
            f"of {index.dtype}",
            expected=_EXPECTED,
        )
    if index.has_duplicates:
        raise ConfigError(
            f"the audited function returned {index[index.duplicated()][0]} twice",
            expected="each time once",
        )
    zone = pd.DatetimeIndex(bars).tz
    if index.tz is None:
        return index.tz_localize(zone)
    return index.tz_convert("UTC").tz_localize(None) if zone is None else index.tz_convert(zone)
