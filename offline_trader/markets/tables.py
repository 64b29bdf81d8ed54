"""Files to tables: CSV and Parquet in, columns under our names out, with each row's place."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import re
import zipfile
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from offline_trader.errors import DataError
from offline_trader.markets.columns import plain, recognise
from offline_trader.markets.headers import Header, find_header
from offline_trader.types import IntArray

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Table", "read_table"]

EXPECTED = "a CSV (.csv, .tsv or .txt, also .gz, .bz2, .xz or .zip) or Parquet file"

_TEXT = {".csv", ".tsv", ".txt", ".dat", ".asc", ""}
_PACKED = {".gz", ".bz2", ".xz", ".zip"}
_MISSING = ["", "NA", "N/A", "n/a", "#N/A", "nan", "NaN", "NAN", "null", "NULL", "None", "<NA>",
            "-", "--"]  # fmt: skip
_TEXT_COLUMNS = ("timestamp", "clock", "symbol")


@dataclass(frozen=True)
class Table:
    """Columns of a file under our names.

    Attributes:
        source: the file, for messages.
        frame: T rows; columns timestamp, open, high, low, close and, where the file has them,
            volume, symbol, clock, adjusted; as read, nothing converted.
        rows: [T] place in the file: the line as an editor counts it, from 1, for text; the row
            from 0 for Parquet.
        symbol: the instrument, where the file names it once.
        decimal_comma: True where ``1,5`` may mean one and a half.
        notes: what a reader of the file should know.
    """

    source: str
    frame: pd.DataFrame
    rows: IntArray
    symbol: str
    decimal_comma: bool = False
    notes: list[str] = field(default_factory=list)

    def locate(self, i: int) -> str:
        """What messages call row ``i``."""
        return f"row {int(self.rows[i])}"


def read_table(path: Path) -> Table:
    """The table in a CSV or Parquet file.

    Raises:
        DataError: no such file, not a table, a needed column missing, a row with too many cells.
    """
    source = str(path)
    if not path.exists():
        raise DataError(f"{source}: no such file", expected=EXPECTED)
    try:
        with path.open("rb") as file:
            is_parquet = file.read(4) == b"PAR1"
        if is_parquet:
            return _read_parquet(path)
        ending = path.suffix.lower()
        inner = Path(path.stem).suffix.lower() if ending in _PACKED else ending
        if inner not in _TEXT:
            raise DataError(f"{source}: file type {ending} is not read", expected=EXPECTED)
        return _read_text(_content(path), path)
    except (OSError, EOFError, zipfile.BadZipFile, lzma.LZMAError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise DataError(f"{source}: cannot be read ({reason})", expected=EXPECTED) from None


def _content(path: Path) -> bytes:
    """The file's bytes, unpacked."""
    data = path.read_bytes()
    match path.suffix.lower():
        case ".gz":
            return gzip.decompress(data)
        case ".bz2":
            return bz2.decompress(data)
        case ".xz":
            return lzma.decompress(data)
        case ".zip":
            with zipfile.ZipFile(io.BytesIO(data)) as archive:
                members = [name for name in archive.namelist() if not name.endswith("/")]
                if len(members) != 1:
                    raise DataError(
                        f"{path}: {len(members)} files in the archive", expected="one CSV file"
                    )
                return archive.read(members[0])
    return data


def _read_text(data: bytes, path: Path) -> Table:
    import pandas as pd

    source = str(path)
    encoding = "utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    head = data[: 1 << 16].decode(encoding, errors="replace")
    if "\0" in head:
        raise DataError(f"{source}: this is no text file", expected=EXPECTED)
    header = find_header(head.splitlines(), source)
    frame = _parse_rows(data, header, encoding, source)
    frame = frame[list(header.columns.values())].set_axis(list(header.columns), axis=1)
    rows = np.arange(len(frame), dtype=np.int64) + header.body + 1
    texts = [name for name in _TEXT_COLUMNS if name in frame]
    blank = frame.drop(columns=texts).isna().all(axis=1)
    for name in texts:
        blank &= frame[name].isna() | (frame[name].str.strip() == "")
    if bool(blank.any()):
        keep = np.flatnonzero(~blank.to_numpy())
        frame, rows = frame.iloc[keep].reset_index(drop=True), rows[keep]
    if len(frame) == 0:
        raise DataError(f"{source}: no rows", expected="a header and at least one bar")
    frame, notes = _join_clock(pd, frame), _describe(header)
    symbol = header.symbol or path.name.split(".")[0]
    return Table(source, frame, rows, symbol, header.delimiter != ",", notes)


def _parse_rows(data: bytes, header: Header, encoding: str, source: str) -> pd.DataFrame:
    import pandas as pd

    texts = [header.columns[name] for name in _TEXT_COLUMNS if name in header.columns]
    numbers = [i for i in range(header.width) if i not in texts]
    missing: dict[Any, list[str]] = dict.fromkeys(numbers, _MISSING)
    try:
        return pd.read_csv(
            io.BytesIO(data),
            sep=header.delimiter,
            header=None,
            names=list(range(header.width)),
            skiprows=header.body,
            skip_blank_lines=False,
            skipinitialspace=True,
            dtype=dict.fromkeys(texts, "str"),
            na_values=missing,
            keep_default_na=False,
            encoding=encoding,
            encoding_errors="replace",
            low_memory=False,
        )
    except pd.errors.EmptyDataError:
        raise DataError(f"{source}: no rows", expected="a header and at least one bar") from None
    except pd.errors.ParserError as error:
        if match := re.search(r"EOF inside string starting at row (\d+)", str(error)):
            raise DataError(
                f"{source} row {int(match[1]) + 1}: a quotation mark is opened and not closed",
                expected="quotation marks in pairs",
            ) from None
        match = re.search(r"Expected (\d+) fields in line (\d+), saw (\d+)", str(error))
        if match is None:
            reason = str(error).strip().splitlines()[-1]
            raise DataError(f"{source}: cannot be read ({reason})", expected=EXPECTED) from None
        wanted, line, seen = match.groups()
        raise DataError(
            f"{source} row {line}: {seen} cells, the rows before it have {wanted}",
            expected="as many cells in every row",
            hint="quote numbers that hold the delimiter, or write them without it",
        ) from None


def _join_clock(pd: object, frame: pd.DataFrame) -> pd.DataFrame:
    """One timestamp column where the file has a date and a time of day in two."""
    if "clock" not in frame:
        return frame
    clock = frame["clock"].astype("string").str.strip()
    compact = clock.str.fullmatch(r"\d{1,6}").fillna(False)
    width = 4 if int(clock.str.len().max()) <= 4 else 6
    clock = clock.where(~compact, clock.str.zfill(width) + ("00" if width == 4 else ""))
    of_day = clock.str.fullmatch(r"\d{6}|\d{1,2}:\d{2}.*").fillna(False)
    joined = frame.drop(columns="clock")
    if bool(of_day.all()):
        joined["timestamp"] = frame["timestamp"].astype("string").str.strip() + " " + clock
    return joined


def _describe(header: Header) -> list[str]:
    """Notes on columns that were chosen or left."""
    notes = []
    if not header.names:
        notes.append(f"no header: columns read as {', '.join(header.columns)}")
    elif "volume" in header.columns:
        name = header.names[header.columns["volume"]]
        if plain(name) not in ("volume", "vol", "v"):
            notes.append(f"column {name} is used as volume")
    return notes


def _read_parquet(path: Path) -> Table:
    import pandas as pd
    import pyarrow

    source = str(path)
    try:
        frame = pd.read_parquet(path)
    except (pyarrow.ArrowException, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise DataError(f"{source}: cannot be read ({reason})", expected=EXPECTED) from None
    if not isinstance(frame.index, pd.RangeIndex):
        frame = frame.reset_index()
    if len(frame) == 0:
        raise DataError(f"{source}: no rows", expected="at least one bar")
    symbol = path.name.split(".")[0]
    if isinstance(frame.columns, pd.MultiIndex):
        symbol = _one_instrument(frame, source) or symbol
    columns = recognise(list(frame.columns), source)
    chosen = frame.iloc[:, list(columns.values())].set_axis(list(columns), axis=1)
    rows = np.arange(len(frame), dtype=np.int64)
    return Table(source, _join_clock(pd, chosen), rows, symbol)


def _one_instrument(frame: pd.DataFrame, source: str) -> str:
    """The instrument in the second level of the columns; refused where there are several."""
    symbols = {str(name[1]) for name in frame.columns if len(name) > 1 and str(name[1])}
    if len(symbols) > 1:
        raise DataError(
            f"{source}: {len(symbols)} instruments side by side ({', '.join(sorted(symbols)[:8])})",
            expected="one instrument, or rows with a column `symbol`",
            hint="stack them, as with pandas' `stack`, or save one file for each",
        )
    return next(iter(symbols), "")
