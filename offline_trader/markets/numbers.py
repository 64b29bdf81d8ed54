"""Reading numbers: plain ones, and text such as ``$1,234.50``, ``1.234,50`` or ``1.2M``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from offline_trader.errors import DataError
from offline_trader.markets.tables import Table
from offline_trader.types import FloatArray

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["read_numbers"]

_SUFFIXES = {"K": 1e3, "M": 1e6, "B": 1e9}
_COMMA_DECIMALS = r"[+-]?(?:\d{1,3}(?:\.\d{3})+|\d+)(?:,\d+)?"
_COMMA_THOUSANDS = r"[+-]?\d{1,3}(?:,\d{3})+(?:\.\d+)?"


def read_numbers(table: Table, name: str) -> FloatArray:
    """[T] float64 of the column ``name``; a missing value is NaN.

    Text is read without currency signs and spaces. A comma groups thousands; where commas do not
    delimit the file and every value fits, it is the decimal sign. K, M and B multiply volumes.

    Raises:
        DataError: text that is no number, with its row.
    """
    import pandas as pd

    column = table.frame[name]
    if pd.api.types.is_bool_dtype(column) or pd.api.types.is_datetime64_any_dtype(column):
        raise DataError(
            f"{table.source} {table.locate(0)}: {name} is {str(column.iloc[0])!r}",
            expected="a number",
        )
    if pd.api.types.is_numeric_dtype(column):
        return np.asarray(column.to_numpy(dtype=np.float64, na_value=np.nan))
    given = column.notna().to_numpy()
    text = column.astype("string").str.replace(r"[$€£¥\s\u00a0]", "", regex=True)
    scale: FloatArray = np.ones(len(text))
    if name == "volume":
        suffix = text.str.upper().str.extract(r"^[\d.,]+([KMB])$", expand=False)
        scale = np.asarray(suffix.map(_SUFFIXES).astype("Float64").fillna(1.0), dtype=np.float64)
        text = text.str.replace(r"(?i)(?<=\d)[KMB]$", "", regex=True)
    text = _without_groups(text, table.decimal_comma)
    numbers = pd.to_numeric(text, errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
    named = text.str.lower().isin(["", "nan", "na", "n/a", "null", "none", "-"]).to_numpy()
    bad = np.flatnonzero(np.isnan(numbers) & given & ~named.astype(bool))
    if bad.size:
        row = int(bad[0])
        raise DataError(
            f"{table.source} {table.locate(row)}: {name} is {str(column.iloc[row])!r}",
            expected="a number",
        )
    return np.asarray(numbers * scale)


def _without_groups(text: pd.Series, decimal_comma: bool) -> pd.Series:
    """Numbers as text with a point for the decimals and nothing between thousands."""
    comma = text.str.contains(",", regex=False).fillna(False)
    if not bool(comma.any()):
        return text
    if decimal_comma and bool(text[comma].str.fullmatch(_COMMA_DECIMALS).all()):
        european = text.str.fullmatch(_COMMA_DECIMALS).fillna(False)
        plain = text.str.replace(".", "", regex=False).str.replace(",", ".", regex=False)
        return text.where(~european, plain)
    grouped = text.str.fullmatch(_COMMA_THOUSANDS).fillna(False)
    return text.where(~grouped, text.str.replace(",", "", regex=False))
