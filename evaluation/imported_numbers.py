"""Numbers as people and programs write them into result files."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from offline_trader.errors import DataError
from offline_trader.types import FloatArray

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["numbers_of"]

_THOUSANDS = r"[-+]?[1-9]\d{0,2}(,\d{3})+(\.\d*)?"
_DECIMAL_COMMA = r"[-+]?(\d+|\d{1,3}(\.\d{3})+),\d+([eE][-+]?\d+)?"
_BESIDE_DECIMAL_COMMA = r"[-+]?(\d+|\d{1,3}(\.\d{3})+)([eE][-+]?\d+)?"


def numbers_of(column: pd.Series, label: str, name: object, percent: bool = False) -> FloatArray:
    """Numbers [T]; ``1.5%`` is 0.015, ``1,234.5`` is 1234.5, ``(2)`` is −2, empty is NaN.

    The column's index is what a message calls its rows. ``0,5`` is a half in a column that is
    written so throughout; a column in which every comma could part thousands is read so.
    ``percent``: values without a % sign are in per cent too.
    """
    import pandas as pd

    if pd.api.types.is_numeric_dtype(column):
        values = column.to_numpy(dtype=np.float64, na_value=np.nan)
        return values / 100.0 if percent else values
    text = column.astype("string").str.replace("−", "-", regex=False)
    text = text.str.replace(r"[$€£\s']", "", regex=True)
    text = text.str.replace(r"^\((.*)\)(%?)$", r"-\1\2", regex=True)
    share = text.str.endswith("%").fillna(False).to_numpy(dtype=bool)
    parsed = pd.to_numeric(_with_points(text.str.rstrip("%"), label, name), errors="coerce")
    bad = np.flatnonzero((parsed.isna() & text.notna() & (text != "")).to_numpy(dtype=bool))
    if bad.size:
        raise DataError(
            f"{label}, row {column.index[bad[0]]}: {name} is {column.iloc[int(bad[0])]!r}",
            expected="a number",
        )
    values = parsed.to_numpy(dtype=np.float64, na_value=np.nan)
    return np.where(share | percent, values / 100.0, values)


def _with_points(text: pd.Series, label: str, name: object) -> pd.Series:
    """The texts with a decimal point and nothing between thousands."""
    commas = text.str.contains(",", regex=False).fillna(False)
    if not commas.any():
        return text
    if text[commas].str.fullmatch(_THOUSANDS).all():
        return text.str.replace(",", "", regex=False)
    whole = text.notna() & (text != "")
    pattern = commas & text.str.fullmatch(_DECIMAL_COMMA).fillna(False)
    pattern |= ~commas & text.str.fullmatch(_BESIDE_DECIMAL_COMMA).fillna(False)
    strange = np.flatnonzero((whole & ~pattern).to_numpy(dtype=bool))
    if strange.size:
        raise DataError(
            f"{label}, row {text.index[strange[0]]}: {name} is {text.iloc[int(strange[0])]!r}",
            expected="numbers of one form: 1,234.5 or 1.234,5 throughout",
        )
    return text.str.replace(".", "", regex=False).str.replace(",", ".", regex=False)
