"""Reading numbers: plain ones, and text such as ``$1,234.50``, ``1.234,50``, ``1.2M`` or ``3%``."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np

from offline_trader.errors import DataError
from offline_trader.types import BoolArray, FloatArray

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["MISSING", "DecimalSign", "decimal_sign", "parse_numbers"]

DecimalSign: TypeAlias = Literal[".", ","]
Locate: TypeAlias = Callable[[int], str]

MISSING = frozenset(
    ("", "na", "n/a", "#n/a", "nan", "null", "none", "<na>", "nat", "-", "--", "#div/0!", "#value!")
)
"""What a cell without a number holds, in lower case."""

_MULTIPLES = {"k": 1e3, "m": 1e6, "b": 1e9, "t": 1e12, "万": 1e4, "亿": 1e8}
_JUNK = r"[$€£¥₩₽₹\s'’\u00a0\u202f\u2009]|^(?:USD|EUR|GBP)|(?:USD|EUR|GBP|zł|kr)$"
_SIGN = r"[+-]?"
_EXP = r"(?:[eE][+-]?\d+)?"
# definite: this sign can only be what the name says
_POINT_DECIMAL = re.compile(
    rf"{_SIGN}(?:\d{{1,3}}(?:,\d{{2,3}})*,\d{{3}}\.\d*|\d{{1,3}}(?:,\d{{2,3}})+,\d{{3}}"
    rf"|\d*\.(?!\d{{3}}$)\d*{_EXP}|0+\.\d+|\d{{4,}}\.\d+)"
)
_COMMA_DECIMAL = re.compile(
    rf"{_SIGN}(?:\d{{1,3}}(?:\.\d{{3}})+,\d*|\d{{1,3}}(?:\.\d{{3}}){{2,}}"
    rf"|\d*,(?!\d{{3}}$)\d*{_EXP}|0+,\d+|\d{{4,}},\d+)"
)
_GROUPED = {
    ".": re.compile(rf"{_SIGN}(?:\d{{1,3}}(?:,\d{{2,3}})*,\d{{3}}(?:\.\d*)?|\d*\.?\d*{_EXP})"),
    ",": re.compile(rf"{_SIGN}(?:\d{{1,3}}(?:\.\d{{3}})+(?:,\d*)?|\d*,?\d*{_EXP})"),
}


def parse_numbers(
    column: pd.Series,
    source: str,
    locate: Locate,
    name: object = "",
    *,
    decimal: DecimalSign | None = None,
    multiples: bool = False,
    percent: bool = False,
) -> FloatArray:
    """[T] float64 of a column of numbers or text; a missing value is NaN.

    Text is read without currency signs, apostrophes and blanks; ``1.5%`` is 0.015 and ``(2)`` is
    −2. Points and commas are told apart by what the column itself shows (``1,234.5``; ``7,5``);
    where it does not (``1,150``), commas part thousands and points are decimal.

    Args:
        column: [T] cells.
        source, locate, name: file, row and column for messages.
        decimal: the decimal sign of a column that does not show its own, as the rest of the file
            has it (see :func:`decimal_sign`).
        multiples: K, M, B, T multiply, as volumes are written.
        percent: numbers without a per cent sign are in per cent, too.

    Raises:
        DataError: text that is no number, or one of another form than the rest, with its row.
    """
    import pandas as pd

    if pd.api.types.is_bool_dtype(column) or _is_time(column):
        raise _refusal(column, 0, source, locate, name)
    if pd.api.types.is_numeric_dtype(column):
        values = np.asarray(column.to_numpy(dtype=np.float64, na_value=np.nan))
        return values / 100.0 if percent else values
    text = column.astype("str")
    values, read = _cast(text)
    scale = np.full(len(text), 0.01 if percent else 1.0)
    if not read.all() or decimal == ",":
        sign = decimal_sign([column]) or decimal or "."
        if sign == ",":
            read &= ~text.str.contains(".", regex=False).to_numpy(dtype=bool)
        rest = np.flatnonzero(~read)
        cells = _tidy(text.iloc[rest])
        absent = cells.str.lower().isin(MISSING).to_numpy(dtype=bool) | column.iloc[
            rest
        ].isna().to_numpy(dtype=bool)
        share = cells.str.endswith("%").to_numpy(dtype=bool)
        cells = cells.str.rstrip("%")
        factors = np.where(share | percent, 0.01, 1.0)
        if multiples:
            last = cells.str.slice(-1).str.lower()
            factors = factors * last.map(_MULTIPLES).fillna(1.0).to_numpy(dtype=np.float64)
            cells = cells.where(~last.isin(list(_MULTIPLES)), cells.str.slice(0, -1))
        values[rest] = np.where(absent, np.nan, _numbers(cells, sign))
        scale[rest] = factors
        bad = rest[np.isnan(values[rest]) & ~absent]
        if bad.size:
            raise _refusal(column, int(bad[0]), source, locate, name)
    return np.asarray(values * scale) if (scale != 1.0).any() else values


def decimal_sign(columns: Iterable[pd.Series]) -> DecimalSign | None:
    """The decimal sign that the cells of some columns show without doubt; None where none does.

    ``1,234.5`` and ``1,234,567`` show a point, ``1.234,5`` and ``7,5`` a comma; ``1,150`` neither.
    The sign shown by more cells is taken.
    """
    import pandas as pd

    shown = {".": 0, ",": 0}
    for column in columns:
        if not (pd.api.types.is_string_dtype(column) or column.dtype == object):
            continue
        text = column.astype("str")
        text = text[text.str.contains("[.,]", regex=True)]
        cells = _tidy(text).str.replace(r"[%KMBTkmbt万亿]$", "", regex=True)
        shown["."] += int(cells.str.fullmatch(_POINT_DECIMAL.pattern).sum())
        shown[","] += int(cells.str.fullmatch(_COMMA_DECIMAL.pattern).sum())
    if shown["."] == shown[","]:
        return None
    return "." if shown["."] > shown[","] else ","


def _is_time(column: pd.Series) -> bool:
    import pandas as pd

    return bool(
        pd.api.types.is_datetime64_any_dtype(column) or pd.api.types.is_timedelta64_dtype(column)
    )


def _refusal(column: pd.Series, row: int, source: str, locate: Locate, name: object) -> DataError:
    cell = str(column.iloc[row])
    shown = cell if len(cell) <= 60 else f"{cell[:57]}…"
    return DataError(f"{source} {locate(row)}: {name} is {shown!r}", expected="a number")


def _cast(text: pd.Series) -> tuple[FloatArray, BoolArray]:
    """[T] numbers of plain text, the nearest float64 of each, and which cells are that plain."""
    import pandas as pd
    import pyarrow as pa
    import pyarrow.compute as pc

    cells = pa.array(text, type=pa.large_string(), from_pandas=True)
    try:
        values = np.array(pc.cast(cells, pa.float64()).to_numpy(zero_copy_only=False))
        if not np.isnan(values).any():
            return values, np.ones(len(values), dtype=bool)
    except pa.ArrowInvalid:
        pass
    plain = pc.match_substring_regex(cells, r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$")
    read = np.array(pc.fill_null(plain, False).to_numpy(zero_copy_only=False), dtype=bool)
    values = np.full(len(read), np.nan)
    values[read] = [float(cell) for cell in pd.Series(text)[read]]
    return values, read


def _tidy(text: pd.Series) -> pd.Series:
    """Cells without currency signs and blanks, with a plain minus."""
    cells = text.str.replace("−", "-", regex=False).str.replace(_JUNK, "", regex=True)
    return cells.str.replace(r"^\((.*)\)(%?)$", r"-\1\2", regex=True)


def _numbers(cells: pd.Series, decimal: DecimalSign) -> FloatArray:
    """[N] numbers of tidy cells; NaN where a cell is not written with this decimal sign."""
    import pandas as pd

    group = "," if decimal == "." else "."
    fits = cells.str.fullmatch(_GROUPED[decimal].pattern).to_numpy(dtype=bool)
    infinite = cells.str.fullmatch(r"[+-]?inf(?:inity)?", case=False).to_numpy(dtype=bool)
    plain = cells.str.replace(group, "", regex=False).str.replace(decimal, ".", regex=False)
    values = pd.to_numeric(plain.where(fits | infinite), errors="coerce")
    return np.asarray(values.to_numpy(dtype=np.float64, na_value=np.nan))
