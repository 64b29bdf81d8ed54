"""Text files to tables: encoding, layout, cells."""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING

import numpy as np

from offline_trader.errors import DataError
from offline_trader.tables.contents import EXPECTED, refusals
from offline_trader.tables.layout import HeaderTest, Layout, find_layout
from offline_trader.tables.table import Table, unlike

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["read_text"]

_HEAD_BYTES = 1 << 16
# Tried in this order on files that are not UTF-8; the first under which a header is found wins.
_ENCODINGS = ("cp1252", "gb18030", "cp932", "cp949", "cp1251", "cp1250")
_NAMES_OF_ENCODINGS = {
    "cp1252": "Windows-1252", "gb18030": "GB 18030", "cp932": "Shift-JIS", "cp949": "EUC-KR",
    "cp1251": "Windows-1251", "cp1250": "Windows-1250",
}  # fmt: skip


def read_text(data: bytes, source: str, is_header: HeaderTest | None) -> Table:
    """The table in the bytes of a text file.

    Raises:
        DataError: no text, a row with too many cells, an open quotation mark.
    """
    text, notes = _decoded(data, source, is_header)
    layout = find_layout(_head(text).splitlines(), source, is_header)
    with refusals(source):
        frame = _cells(text, layout, source)
    labels = unlike(layout.names) if layout.header else [str(i + 1) for i in range(frame.shape[1])]
    # names are fewer than cells where every row ends in a delimiter
    labels += [f"unnamed {i + 1}" for i in range(len(labels), frame.shape[1])]
    names = (*layout.names, *[""] * (frame.shape[1] - len(layout.names)))
    rows = np.arange(len(frame), dtype=np.int64) + layout.body + 1
    filled = np.zeros(len(frame), dtype=bool)
    for name in frame.columns:
        filled |= (frame[name].str.strip() != "").to_numpy(dtype=bool)
    if not filled.all():
        keep = np.flatnonzero(filled)
        frame, rows = frame.iloc[keep].reset_index(drop=True), rows[keep]
    return Table(
        source, frame.set_axis(labels, axis=1), names, rows, layout.groups, layout.header,
        layout.delimiter, notes,
    )  # fmt: skip


def _head(text: str) -> str:
    return text[:_HEAD_BYTES]


def _decoded(data: bytes, source: str, is_header: HeaderTest | None) -> tuple[str, tuple[str, ...]]:
    """The text, and a note where its encoding was guessed."""
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return _as_text(data.decode("utf-16", errors="replace"), source), ()
    try:
        return _as_text(data.decode("utf-8-sig"), source), ()
    except UnicodeDecodeError:
        pass
    fits: list[str] = []
    for encoding in _ENCODINGS:
        try:
            text = data.decode(encoding)
        except UnicodeDecodeError:
            continue
        fits.append(encoding)
        if is_header is None or "\0" in text[:_HEAD_BYTES]:
            break
        if is_header(find_layout(_head(text).splitlines(), source, is_header).names):
            return _as_text(text, source), _encoding_note(encoding)
    if fits:
        return _as_text(data.decode(fits[0]), source), _encoding_note(fits[0])
    # every byte has a meaning in Latin-1
    return _as_text(data.decode("latin-1"), source), ("not UTF-8: read as Latin-1",)


def _encoding_note(encoding: str) -> tuple[str, ...]:
    return (f"not UTF-8: read as {_NAMES_OF_ENCODINGS[encoding]}",)


def _as_text(text: str, source: str) -> str:
    if "\0" in text:
        raise DataError(f"{source}: this is no text file", expected=EXPECTED)
    return text


def _cells(text: str, layout: Layout, source: str) -> pd.DataFrame:
    """Every cell of the body as text, empty ones as the empty string."""
    import pandas as pd

    blanks = layout.delimiter == " "
    try:
        return pd.read_csv(
            io.StringIO(text),
            sep=r"\s+" if blanks else layout.delimiter,
            header=None,
            names=list(range(_width(text, layout))),
            skiprows=layout.body,
            skip_blank_lines=False,
            skipinitialspace=True,
            dtype="str",
            na_filter=False,
            index_col=False,
            low_memory=False,
        ).fillna("")
    except pd.errors.EmptyDataError:
        return pd.DataFrame(columns=range(_width(text, layout)), dtype="str")
    except pd.errors.ParserError as error:
        _refuse(str(error), source)
        raise


def _width(text: str, layout: Layout) -> int:
    """Cells a row: those that have a name, or more where every row ends in delimiters."""
    from offline_trader.tables.layout import cells_of

    lines = _head(text).splitlines()
    line = next((each for each in lines[layout.body :] if each.strip()), "")
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
