"""Trade logs: CSV and Parquet files of actions, target weights, fills or legacy actions."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from offline_trader.envs.discrete import LEGACY_ACTIONS
from offline_trader.errors import ConfigError, DataError
from offline_trader.tables import SYMBOL_NAMES, TIME_NAMES, parse_times, plain
from offline_trader.types import FloatArray

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["TradeLog", "read_log"]

ACTIONS = ("action", "actions", "signal", "decision", "order")
WEIGHTS = (
    "weight", "targetweight", "target", "targetpct", "targetpercent", "allocation", "position",
    "positionweight", "exposure",
)  # fmt: skip
UNITS = ("units", "quantity", "qty", "size", "shares", "amount", "filledqty", "fillqty", "volume")
SIDES = ("side", "direction", "type", "buysell")
BUYS = {"buy", "b", "long", "bot", "bought", "1", "+1"}
SELLS = {"sell", "s", "short", "sld", "sold", "-1"}
_KIND_COLUMNS = {"actions": ACTIONS, "legacy": ACTIONS, "weights": WEIGHTS, "fills": UNITS}


@dataclass(frozen=True, eq=False)
class TradeLog:
    """Rows of a log in time order.

    Attributes:
        source: the file, for messages.
        kind: actions, weights, fills or legacy.
        times: [R] datetime64[ns] UTC.
        values: [R] action in [−1, 1], weight in [−1, 1], signed units, or legacy number.
        symbols: [R] instruments, where the log names them.
        lines: [R] place in the file.
        sha256: of the file.
    """

    source: str
    kind: str
    times: NDArray[np.datetime64]
    values: FloatArray
    symbols: NDArray[Any] | None
    lines: NDArray[np.int64]
    sha256: str

    def locate(self, i: int) -> str:
        """What messages call row ``i``."""
        return f"row {int(self.lines[i])}"


def read_log(path: str, kind: str = "auto", tz: str | None = None) -> TradeLog:
    """The log in a CSV or Parquet file.

    Args:
        path: the file.
        kind: ``auto`` tells it by the columns: units are fills, a weight is a weight, an action
            is a legacy action where it is one of their names, else a number in [−1, 1].
        tz: zone of times that carry none; UTC if None.

    Raises:
        DataError: no such file, no rows, a value that cannot be read (with its row).
        ConfigError: columns that tell no kind.
    """
    file = Path(path)
    if not file.is_file():
        raise DataError(f"no file {path}", expected="a log, CSV or Parquet")
    return _read(path, hashlib.sha256(file.read_bytes()).hexdigest(), kind, tz)


@lru_cache(maxsize=8)
def _read(path: str, sha256: str, kind: str, tz: str | None) -> TradeLog:
    frame, first = _frame(path)
    columns = {plain(name): name for name in reversed(list(frame.columns))}
    stamp = _first(columns, TIME_NAMES)
    if stamp is None:
        raise DataError(
            f"{path}: no column of times among {', '.join(map(str, frame.columns))}",
            expected="a column such as `timestamp` or `date`",
        )
    lines = np.arange(len(frame), dtype=np.int64) + first
    locate = lambda i: f"row {int(lines[i])}"  # noqa: E731
    times = parse_times(frame[stamp], tz, path, locate).utc
    kind, value = _kind(columns, frame, kind, path)
    values = _values(frame, columns, kind, value, path, lines)
    named = _first(columns, SYMBOL_NAMES)
    symbols = None if named is None else frame[named].astype(str).to_numpy()
    order = np.argsort(times, kind="stable")
    return TradeLog(
        path, kind, times[order], values[order],
        None if symbols is None else symbols[order], lines[order], sha256,
    )  # fmt: skip


def _frame(path: str) -> tuple[pd.DataFrame, int]:
    """Rows of the file, and the number that its first one has in messages."""
    import pandas as pd

    try:
        if path.lower().endswith((".parquet", ".pq")):
            frame, first = pd.read_parquet(path), 0
            if not isinstance(frame.index, pd.RangeIndex):
                frame = frame.reset_index()
        else:
            with open(path, encoding="utf-8-sig", errors="replace") as file:
                head = file.readline()
            delimiter = max(",;\t|", key=head.count)
            frame, first = pd.read_csv(path, sep=delimiter, encoding="utf-8-sig"), 2
    except Exception as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise DataError(f"{path} cannot be read: {reason}", expected="CSV or Parquet") from None
    if frame.empty:
        raise DataError(f"{path}: no rows", expected="a header and at least one row")
    return frame, first


def _first(columns: dict[str, Any], spellings: Sequence[str]) -> Any:
    return next((columns[one] for one in spellings if one in columns), None)


def _kind(columns: dict[str, Any], frame: pd.DataFrame, asked: str, path: str) -> tuple[str, Any]:
    """What the rows say, and the column that says it."""
    if asked != "auto":
        column = _first(columns, _KIND_COLUMNS[asked])
        if column is None:
            raise ConfigError(
                f"{path}: no column of {asked} among {', '.join(map(str, frame.columns))}",
                expected="one of " + ", ".join(_KIND_COLUMNS[asked]),
            )
        return asked, column
    found = {kind: _first(columns, _KIND_COLUMNS[kind]) for kind in ("actions", "weights", "fills")}
    given = [kind for kind, column in found.items() if column is not None]
    says_side = "actions" not in given or _is_side(frame[found["actions"]])
    if "fills" in given and "weights" not in given and says_side:
        return "fills", found["fills"]
    if len(given) != 1:
        raise ConfigError(
            f"{path}: columns {', '.join(map(str, frame.columns))} tell "
            + (f"several kinds ({', '.join(given)})" if given else "no kind of log"),
            expected="a column such as `action`, `weight` or `units`",
            hint="name the kind: log:FILE?kind=weights (actions, weights, fills, legacy)",
        )
    kind, column = given[0], found[given[0]]
    if kind == "actions" and _legacy_numbers(frame[column]) is not None:
        kind = "legacy"
    return kind, column


def _is_side(column: pd.Series) -> bool:
    words = {str(word).strip().lower() for word in column.dropna().unique()}
    return bool(words) and words <= BUYS | SELLS


def _legacy_numbers(column: pd.Series) -> FloatArray | None:
    """Numbers of legacy actions written by name; None where they are not all names."""
    known = {plain(name): float(i) for i, name in enumerate(LEGACY_ACTIONS)}
    words = [known.get(plain(word)) for word in column]
    return None if None in words else np.array(words, dtype=np.float64)


def _values(
    frame: pd.DataFrame, columns: dict[str, Any], kind: str, column: Any, path: str,
    lines: NDArray[np.int64],
) -> FloatArray:  # fmt: skip
    import pandas as pd

    if kind == "legacy" and (named := _legacy_numbers(frame[column])) is not None:
        return named
    values = np.array(pd.to_numeric(frame[column], errors="coerce"), dtype=np.float64)
    low, high = {"fills": (-np.inf, np.inf), "legacy": (0.0, 6.0)}.get(kind, (-1.0, 1.0))
    bad = np.flatnonzero(~np.isfinite(values) | (values < low) | (values > high))
    if kind == "legacy":
        bad = np.union1d(bad, np.flatnonzero(np.isfinite(values) & (values != np.rint(values))))
    if bad.size:
        expected = {
            "fills": "numbers of units",
            "legacy": "0 to 6, or " + ", ".join(LEGACY_ACTIONS),
        }.get(kind, "numbers in [-1, 1]")
        raise DataError(
            f"{path} row {int(lines[bad[0]])}: {column} is {frame[column].iloc[int(bad[0])]!r}",
            expected=expected,
            hint="" if kind != "weights" else "write per cent as shares: 0.5, not 50",
        )
    side = _first(columns, (*SIDES, *ACTIONS)) if kind == "fills" else None
    return values if side is None else _signed(values, frame[side], path, side, lines)


def _signed(
    units: FloatArray, column: pd.Series, path: str, name: Any, lines: NDArray[np.int64]
) -> FloatArray:
    """Units with the sign that a column of sides gives them."""
    words = [str(word).strip().lower().removesuffix(".0") for word in column]
    for i, word in enumerate(words):
        if word not in BUYS | SELLS:
            raise DataError(
                f"{path} row {int(lines[i])}: {name} is {column.iloc[i]!r}",
                expected="buy or sell",
            )
    return np.abs(units) * np.where([word in BUYS for word in words], 1.0, -1.0)
