"""Text files to tables: encoding, layout, cells."""

from __future__ import annotations

import codecs
import io
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from offline_trader.errors import DataError
from offline_trader.tables.contents import EXPECTED, refusals
from offline_trader.tables.layout import HeaderTest, Layout, cells_of, find_layout
from offline_trader.tables.table import Table, unlike

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["read_text"]

_HEAD_BYTES = 1 << 16
# Tried in this order on files that are not UTF-8; the first under which a header is found wins.
_ENCODINGS = ("cp1252", "gb18030", "cp932", "cp949", "cp1251", "cp1250")
_NAMES_OF_ENCODINGS = {
    "cp1252": "Windows-1252", "gb18030": "GB 18030", "cp932": "Shift-JIS", "cp949": "EUC-KR",
    "cp1251": "Windows-1251", "cp1250": "Windows-1250", "latin-1": "Latin-1",
}  # fmt: skip


def read_text(data: bytes, source: str, is_header: HeaderTest | None) -> Table:
    """The table in the bytes of a text file.

    Raises:
        DataError: no text, a row with too many cells, an open quotation mark.
    """
    data, notes = _as_utf8(data, source, is_header)
    head = _head(data)
    layout = find_layout(head, source, is_header)
    with refusals(source):
        frame = _cells(data, layout, head, source)
    labels = unlike(layout.names) if layout.header else [str(i + 1) for i in range(frame.shape[1])]
    # names are fewer than cells where every row ends in a delimiter
    labels += [f"unnamed {i + 1}" for i in range(len(labels), frame.shape[1])]
    names = (*layout.names, *[""] * (frame.shape[1] - len(layout.names)))
    rows = np.arange(len(frame), dtype=np.int64) + layout.body + 1
    filled = np.zeros(len(frame), dtype=bool)
    for name in frame.columns:
        filled |= (frame[name].str.strip() != "").to_numpy(dtype=bool)
        if filled.all():
            break
    if not filled.all():
        keep = np.flatnonzero(filled)
        frame, rows = frame.iloc[keep].reset_index(drop=True), rows[keep]
    return Table(
        source, frame.set_axis(labels, axis=1), names, rows, layout.groups, layout.header,
        layout.delimiter, notes,
    )  # fmt: skip


def _head(data: bytes) -> list[str]:
    """The first lines of a file in UTF-8; the last of them may be cut."""
    return _lines(data[:_HEAD_BYTES].decode("utf-8", errors="replace"))


def _lines(text: str) -> list[str]:
    """Lines as CSV readers count them: form feeds and the like do not end one."""
    lines = re.split(r"\r\n|\n|\r", text)
    return lines if lines[-1] else lines[:-1]


def _as_utf8(
    data: bytes, source: str, is_header: HeaderTest | None
) -> tuple[bytes, tuple[str, ...]]:
    """The text in UTF-8 without a mark before it, and a note where its encoding was guessed."""
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return _without_nul(data.decode("utf-16", errors="replace").encode(), source), ()
    _without_nul(data, source)
    try:
        data.decode()
        return data.removeprefix(codecs.BOM_UTF8), ()
    except UnicodeDecodeError:
        pass
    fits: list[str] = []
    for encoding in _ENCODINGS:
        try:
            text = data.decode(encoding)
        except UnicodeDecodeError:
            continue
        fits.append(encoding)
        names = find_layout(_lines(text[:_HEAD_BYTES]), source, is_header).names
        if is_header is None or is_header(names):
            break
    else:
        encoding = fits[0] if fits else "latin-1"  # in which every byte has a meaning
    note = f"not UTF-8: read as {_NAMES_OF_ENCODINGS[encoding]}"
    return data.decode(encoding).encode(), (note,)


def _without_nul(data: bytes, source: str) -> bytes:
    if b"\0" in data:
        raise DataError(f"{source}: this is no text file", expected=EXPECTED)
    return data


def _cells(data: bytes, layout: Layout, head: Sequence[str], source: str) -> pd.DataFrame:
    """Every cell of the body as text, empty ones as the empty string."""
    width = _width(head, layout)
    regular = _regular_cells(data, layout, width)
    return _any_cells(data, layout, width, source) if regular is None else regular


def _regular_cells(data: bytes, layout: Layout, width: int) -> pd.DataFrame | None:
    """The cells where all rows have as many, which Arrow reads ten times as fast; else None."""
    import pyarrow as pa
    from pyarrow import csv

    names = list(map(str, range(width)))
    if layout.delimiter == " " or width < 2 or b' "' in data:
        return None
    try:
        table = csv.read_csv(
            pa.BufferReader(data),
            csv.ReadOptions(use_threads=False, skip_rows=layout.body, column_names=names),
            csv.ParseOptions(
                delimiter=layout.delimiter,
                newlines_in_values=b'"' in data,
                ignore_empty_lines=False,
            ),
            csv.ConvertOptions(
                column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=False
            ),
        )
    except pa.ArrowInvalid:  # blank lines, rows of other lengths: pandas' reader names the row
        return None
    frame: pd.DataFrame = table.to_pandas()
    return frame.set_axis(range(width), axis=1)


def _any_cells(data: bytes, layout: Layout, width: int, source: str) -> pd.DataFrame:
    import pandas as pd

    blanks = layout.delimiter == " "
    try:
        return pd.read_csv(
            io.BytesIO(data),
            sep=r"\s+" if blanks else layout.delimiter,
            header=None,
            names=list(range(width)),
            skiprows=layout.body,
            skip_blank_lines=False,
            skipinitialspace=True,
            dtype="str",
            na_filter=False,
            index_col=False,
            low_memory=False,
            encoding_errors="replace",
        ).fillna("")
    except pd.errors.EmptyDataError:
        return pd.DataFrame(columns=range(width), dtype="str")
    except pd.errors.ParserError as error:
        _refuse(str(error), source)
        raise


def _width(head: Sequence[str], layout: Layout) -> int:
    """Cells a row: those that have a name, or more where every row ends in delimiters."""
    line = next((each for each in head[layout.body :] if each.strip()), "")
    return max(len(layout.names), len(cells_of(line, layout.delimiter)))


def _refuse(message: str, source: str) -> None:
    """Raise what a parser's message says, if it names a row."""
    if match := re.search(r"EOF inside string starting at row (\d+)", message):
        raise DataError(
            f"{source} row {int(match[1]) + 1}: a quotation mark is opened and not closed",
            expected="quotation marks in pairs",
        )
    match = re.search(r"Expected (\d+) fields in line (\d+), saw (\d+)", message)
    if match is not None:
        wanted, line, seen = match.groups()
        raise DataError(
            f"{source} row {line}: {seen} cells, the rows before it have {wanted}",
            expected="as many cells in every row",
            hint="quote numbers that hold the delimiter, or write them without it",
        )
