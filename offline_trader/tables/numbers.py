"""Reading numbers: plain ones, and text such as ``$1,234.50``, ``1.234,50``, ``1.2M`` or ``3%``."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

from offline_trader.errors import DataError
from offline_trader.types import BoolArray, FloatArray

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["MISSING", "DecimalSign", "decimal_sign", "parse_numbers"]

DecimalSign: TypeAlias = Literal[".", ","]
Locate: TypeAlias = Callable[[int], str]

MISSING = frozenset(
    (
        "",
        "na",
        "n/a",
        "#n/a",
        "nan",
        "null",
        "none",
        "<na>",
        "nat",
        ".",
        "-",
        "--",
        "#div/0!",
        "#value!",
    )
)
"""What a cell without a number holds, in lower case."""

_MULTIPLES = {"k": 1e3, "m": 1e6, "b": 1e9, "t": 1e12, "万": 1e4, "亿": 1e8}
_JUNK = "[$€£¥₩₽₹\\s'’\u00a0\u202f\u2009]|^(?:USD|EUR|GBP)|(?:USD|EUR|GBP|zł|kr)$"
_SIGN = r"[+-]?"
_EXP = r"(?:[eE][+-]?\d+)?"
# Cells that can only have this decimal sign; RE2's syntax, since Arrow matches whole columns.
_SHOWN = {
    ".": rf"^{_SIGN}(?:\d{{1,3}}(?:,\d{{2,3}})*,\d{{3}}\.\d*|\d{{1,3}}(?:,\d{{2,3}})+,\d{{3}}"
    rf"|\d*\.(?:\d{{0,2}}|\d{{4,}}){_EXP}|0+\.\d+|\d{{4,}}\.\d+)$",
    ",": rf"^{_SIGN}(?:\d{{1,3}}(?:\.\d{{3}})+,\d*|\d{{1,3}}(?:\.\d{{3}}){{2,}}"
    rf"|\d*,(?:\d{{0,2}}|\d{{4,}}){_EXP}|0+,\d+|\d{{4,}},\d+)$",
}
_WRITTEN = {
    ".": rf"^{_SIGN}(?:\d{{1,3}}(?:,\d{{2,3}})*,\d{{3}}(?:\.\d*)?|\d*\.?\d*{_EXP})$",
    ",": rf"^{_SIGN}(?:\d{{1,3}}(?:\.\d{{3}})+(?:,\d*)?|\d*,?\d*{_EXP})$",
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
    import pyarrow.compute as pc

    if pd.api.types.is_bool_dtype(column) or _is_time(column):
        raise _refusal(column, 0, source, locate, name)
    if pd.api.types.is_numeric_dtype(column):
        values = np.asarray(column.to_numpy(dtype=np.float64, na_value=np.nan))
        return values / 100.0 if percent else values
    cells = _texts(column)
    values, read = _cast(cells)
    scale = np.full(len(values), 0.01 if percent else 1.0)
    if not read.all() or decimal == ",":
        sign = decimal_sign([column]) or decimal or "."
        if sign == ",":
            read &= ~_bools(pc.match_substring(cells, "."))
        rest = np.flatnonzero(~read)
        values[rest], scale[rest], absent = _written(cells.take(rest), sign, multiples, percent)
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
    import pyarrow.compute as pc

    shown = {".": 0, ",": 0}
    for column in columns:
        if not (pd.api.types.is_string_dtype(column) or column.dtype == object):
            continue
        cells = _texts(column)
        marked = cells.filter(pc.match_substring_regex(cells, "[.,]"))
        tidy = pc.replace_substring_regex(_tidy(marked), "[%KMBTkmbt万亿]$", "")
        for sign, pattern in _SHOWN.items():
            shown[sign] += int(pc.sum(pc.match_substring_regex(tidy, pattern)).as_py() or 0)
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


def _texts(column: pd.Series) -> Any:
    """The cells as an Arrow array of text; a missing one is empty."""
    import pyarrow as pa
    import pyarrow.compute as pc

    cells = pa.array(column.astype("str"), type=pa.large_string(), from_pandas=True)
    return pc.fill_null(cells, "")


def _bools(matches: Any) -> BoolArray:
    return np.array(matches.to_numpy(zero_copy_only=False), dtype=bool)


def _cast(cells: Any) -> tuple[FloatArray, BoolArray]:
    """[T] numbers of plain text, the nearest float64 of each, and which cells are that plain."""
    import pyarrow as pa
    import pyarrow.compute as pc

    plain = np.ones(len(cells), dtype=bool)
    try:
        values = np.array(pc.cast(cells, pa.float64()).to_numpy(zero_copy_only=False))
        if not np.isnan(values).any():
            return values, plain
    except pa.ArrowInvalid:
        pass
    plain = _bools(pc.match_substring_regex(cells, r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,3})?$"))
    values = np.full(len(cells), np.nan)
    values[plain] = _floats(cells.filter(pa.array(plain)))
    return values, plain


def _floats(cells: Any) -> FloatArray:
    """Numbers of plain cells; Arrow's cast knows no leading plus and no trailing point."""
    import pyarrow as pa
    import pyarrow.compute as pc

    tidy = pc.replace_substring_regex(cells, r"^\+", "")
    try:
        return np.array(pc.cast(tidy, pa.float64()).to_numpy(zero_copy_only=False))
    except pa.ArrowInvalid:
        return np.array([float(cell) for cell in cells.to_pylist()])


def _tidy(cells: Any) -> Any:
    """Cells without currency signs and blanks, with a plain minus."""
    import pyarrow.compute as pc

    bare = pc.replace_substring_regex(pc.replace_substring(cells, "−", "-"), _JUNK, "")
    return pc.replace_substring_regex(bare, r"^\((.*)\)(%?)$", r"-\1\2")


def _written(
    cells: Any, decimal: DecimalSign, multiples: bool, percent: bool
) -> tuple[FloatArray, FloatArray, BoolArray]:
    """Numbers [N] (NaN where a cell is not written with this decimal sign), their factors, and
    which cells hold none."""
    import pandas as pd
    import pyarrow as pa
    import pyarrow.compute as pc

    tidy = _tidy(cells)
    absent = _bools(pc.is_in(pc.utf8_lower(tidy), pa.array(sorted(MISSING), pa.large_string())))
    share = _bools(pc.ends_with(tidy, "%"))
    tidy = pc.replace_substring_regex(tidy, "%$", "")
    factors = np.where(share | percent, 0.01, 1.0)
    if multiples:
        last = pd.Series(pc.utf8_lower(pc.utf8_slice_codeunits(tidy, -1)).to_pylist())
        factors = factors * last.map(_MULTIPLES).fillna(1.0).to_numpy(dtype=np.float64)
        tidy = pc.replace_substring_regex(tidy, "(?i)[KMBT万亿]$", "")
    group = "," if decimal == "." else "."
    fits = _bools(pc.match_substring_regex(tidy, _WRITTEN[decimal]))
    fits &= _bools(pc.match_substring_regex(tidy, r"\d"))
    infinite = _bools(pc.match_substring_regex(tidy, "(?i)^[+-]?inf(inity)?$"))
    plain = pc.replace_substring(pc.replace_substring(tidy, group, ""), decimal, ".")
    values = np.full(len(cells), np.nan)
    values[fits] = _floats(plain.filter(pa.array(fits)))
    values[infinite] = [float(cell) for cell in plain.filter(pa.array(infinite)).to_pylist()]
    return values, factors, absent
