"""One reader for the tables that people have."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from offline_trader.errors import DataError
from offline_trader.tables.columnar import (
    FEATHER_MAGIC,
    PARQUET_MAGIC,
    frame_table,
    read_columnar,
)
from offline_trader.tables.contents import EXPECTED, PACKED, label, refusals, unpack
from offline_trader.tables.json_rows import read_json
from offline_trader.tables.layout import HeaderTest
from offline_trader.tables.table import Table
from offline_trader.tables.text import read_text
from offline_trader.tables.tidying import tidy

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["read_frame", "read_table"]

_JSON = {".json", ".jsonl", ".ndjson"}
_TEXT = {".csv", ".tsv", ".txt", ".dat", ".asc", ".prn", ".tab", ""}


def read_table(
    path: str | Path,
    is_header: HeaderTest | None = None,
    check: Callable[[Table], object] | None = None,
) -> Table:
    """The table in a file of text, JSON, Parquet or Feather.

    Text may be packed (gzip, bzip2, xz, zip with one file), in UTF-8, UTF-16 or another encoding
    (noted), and parted by comma, semicolon, tab, ``|`` or runs of blanks; blank lines and up to
    30 lines above the header are passed over, and a sentence below the rows (noted); a header may
    have two levels; year, month and day in three columns become one (noted). Nothing is converted:
    :func:`~offline_trader.tables.parse_numbers` and :func:`~offline_trader.tables.parse_times`
    do that.

    Args:
        path: the file.
        is_header: whether the cells of one line are the names that are looked for; without it
            the first line of two or more names is taken.
        check: called with the table before its rows are counted, to raise what a reader has to
            say about the names.

    Raises:
        DataError: no such file, not a table, damaged, too large once unpacked, no rows, a row
            with too many cells.
        ConfigError: the limit in the environment is no number.
    """
    path = Path(path)
    source = label(path)
    with refusals(source):
        if not path.exists():
            raise DataError(f"{source}: no such file", expected=EXPECTED)
        if not path.is_file():  # opening a pipe would wait for ever
            raise DataError(f"{source}: cannot be read (it is no file)", expected=EXPECTED)
        with path.open("rb") as file:
            magic = file.read(6)
    if magic.startswith((PARQUET_MAGIC, *FEATHER_MAGIC)):
        table = read_columnar(path, source, magic.startswith(PARQUET_MAGIC), is_header)
    else:
        table = _from_text(path, source, is_header)
    return _checked(table, check)


def read_frame(
    frame: pd.DataFrame,
    source: str,
    is_header: HeaderTest | None = None,
    check: Callable[[Table], object] | None = None,
) -> Table:
    """The table that a pandas frame is, as if it were read from a Parquet file of it.

    Args:
        frame: T rows; it is not changed.
        source: what messages call it.
        is_header, check: as for :func:`read_table`.

    Raises:
        DataError: no rows, or something in it that no file could hold.
    """
    with refusals(source, "a pandas frame of plain columns"):
        table = frame_table(frame, source, is_header)
    return _checked(table, check)


def _checked(table: Table, check: Callable[[Table], object] | None) -> Table:
    table = tidy(table)
    if check is not None:
        check(table)
    if len(table.frame) == 0:
        raise DataError(f"{table.source}: no rows", expected="a header and at least one row")
    return table


def _from_text(path: Path, source: str, is_header: HeaderTest | None) -> Table:
    ending = path.suffix.lower()
    inner = Path(path.stem).suffix.lower() if ending in PACKED else ending
    if inner in _JSON:
        return read_json(unpack(path, source), source)
    if inner not in _TEXT:
        raise DataError(f"{source}: file type {label(ending)} is not read", expected=EXPECTED)
    return read_text(unpack(path, source), source, is_header)
