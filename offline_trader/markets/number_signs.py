"""Points and commas in a file of bars: which is the decimal sign of each column of text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from offline_trader.errors import DataError
from offline_trader.markets.columns import BarColumns
from offline_trader.markets.validation import PRICES
from offline_trader.tables import DecimalSign, Table, decimal_sign, parse_numbers

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["choose_signs"]

_COMMA_GROUP = r"[^\d.,]*\d{1,3},\d{3}[^\d.,]*"
_EITHER_GROUP = r"[^\d.,]*\d{1,3}[.,]\d{3}[^\d.,]*"
_UNLIKELY = 30.0  # times the spread of the other reading


def choose_signs(
    table: Table, instruments: Sequence[BarColumns]
) -> tuple[dict[str, DecimalSign], list[str]]:
    """Decimal signs of the columns of bars in which no cell shows it, and what was decided.

    ``1,150`` may be 1150 or 1.15. It is decided by, in this order: other cells of the column (not
    looked at here, since they decide where the numbers are parsed); for prices, the other prices;
    the other columns of the file; the reading under which a column's numbers lie together
    (``850`` and ``1,150`` are 850 and 1150). In a file that commas delimit, commas in quotes part
    thousands.

    Returns:
        Signs by our name of a price or signal and by the file's name of a volume; notes.

    Raises:
        DataError: none of that decides on prices; with the row.
    """
    columns = _columns(table, instruments)
    if not any(_has_comma(table.frame[name]) for name in table.frame):  # points are decimal then
        return {}, []
    own = {name: decimal_sign([column]) for name, column in columns.items()}
    prices = [column for name, column in columns.items() if name in PRICES]
    pooled = decimal_sign(prices)
    doubtful = {
        name: column for name, column in columns.items()
        if own[name] is None and bool(_text(column).str.fullmatch(_EITHER_GROUP).any())
    }  # fmt: skip
    if not doubtful:
        return {}, []
    shown = decimal_sign([table.frame[name] for name in table.frame])
    likely = shown or next((s for c in columns.values() if (s := _likely(c))), None)
    signs: dict[str, DecimalSign] = {}
    notes = []
    for name, column in doubtful.items():
        sign = (pooled if name in PRICES else None) or likely
        commas = np.flatnonzero(_text(column).str.fullmatch(_COMMA_GROUP).to_numpy(dtype=bool))
        if sign is None and commas.size and name in PRICES and table.delimiter != ",":
            row = int(commas[0])
            raise DataError(
                f"{table.source} {table.locate(row)}: {name} is {str(column.iloc[row])!r}, "
                "in which the comma may part thousands or decimals; no column tells",
                expected="numbers such as 20030.0 or 20.03",
                hint="write the numbers without separators between thousands",
            )
        signs[name] = sign or "."
        pattern = _COMMA_GROUP if signs[name] == "." else _EITHER_GROUP
        told = np.flatnonzero(_text(column).str.fullmatch(pattern).to_numpy(dtype=bool))
        if told.size and not (signs[name] == "." and table.delimiter == ","):
            row = int(told[0])
            value = parse_numbers(
                column.iloc[[row]], table.source, lambda i: "", name, decimal=signs[name],
                multiples=True,
            )[0]  # fmt: skip
            cell = str(column.iloc[row]).strip()
            notes.append(f"{name}: {cell} is read as {value:.12g}, as the rest of the file has it")
    return signs, notes


def _columns(table: Table, instruments: Sequence[BarColumns]) -> dict[str, pd.Series]:
    """Columns of text by the names that :func:`choose_signs` returns; of several instruments side
    by side, the first one's."""
    import pandas as pd

    first = instruments[0]
    wanted = [name for name in first.places if name in PRICES or name.startswith("signal:")]
    places = {name: first.places[name] for name in wanted}
    named = {name: table.frame.iloc[:, place] for name, place in places.items()}
    named |= {str(table.frame.columns[i]): table.frame.iloc[:, i] for i in first.volumes}
    return {name: column for name, column in named.items() if pd.api.types.is_string_dtype(column)}


def _has_comma(column: pd.Series) -> bool:
    import pandas as pd

    is_text = pd.api.types.is_string_dtype(column)
    return is_text and bool(column.astype("str").str.contains(",", regex=False).any())


def _text(column: pd.Series) -> pd.Series:
    return column.astype("str").str.strip()


def _likely(column: pd.Series) -> DecimalSign | None:
    """The sign under which a column's numbers lie together, if they do not under the other."""
    try:
        spread = {sign: _spread(column, sign) for sign in (".", ",")}
    except DataError:
        return None
    if spread["."] * _UNLIKELY < spread[","]:
        return "."
    return "," if spread[","] * _UNLIKELY < spread["."] else None


def _spread(column: pd.Series, sign: DecimalSign) -> float:
    """Largest ÷ smallest number above 0."""
    numbers = parse_numbers(column, "", str, "", decimal=sign, multiples=True)
    positive = numbers[np.isfinite(numbers) & (numbers > 0.0)]
    return float(positive.max() / positive.min()) if positive.size else 1.0
