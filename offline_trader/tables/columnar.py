"""Parquet and Feather files, and pandas' frames, to tables."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from offline_trader.tables.contents import check_size, refusals
from offline_trader.tables.layout import HeaderTest
from offline_trader.tables.table import Table, unlike

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["FEATHER_MAGIC", "PARQUET_MAGIC", "frame_table", "read_columnar"]

PARQUET_MAGIC = b"PAR1"
FEATHER_MAGIC = (b"ARROW1", b"FEA1")
_CELL_BYTES = 8  # of numbers and times; text takes more, never less


def read_columnar(path: Path, source: str, parquet: bool, is_header: HeaderTest | None) -> Table:
    """The table in a Parquet or Feather file; pandas' index, where it was kept, as columns.

    Args:
        path: the file.
        source: its name in messages.
        parquet: Parquet, else Feather.
        is_header: tells names from instruments where columns have two levels.

    Raises:
        DataError: damaged or too large.
    """
    with refusals(source):
        frame = (_parquet if parquet else _feather)(path, source)
        return frame_table(frame, source, is_header)


def frame_table(frame: pd.DataFrame, source: str, is_header: HeaderTest | None) -> Table:
    """The table that a frame is; its index, unless it only counts the rows, as columns.

    Args:
        frame: T rows; it is not changed.
        source: what messages call it.
        is_header: tells names from instruments where columns have two levels.
    """
    import pandas as pd

    if not isinstance(frame.index, pd.RangeIndex):
        frame = frame.reset_index()
    frame = frame.apply(_decoded)
    names, groups = _levels(frame)
    if groups and is_header is not None and not is_header(names) and is_header(groups):
        names, groups = (
            [b if b else a for a, b in zip(names, groups, strict=True)],
            tuple(a if b else "" for a, b in zip(names, groups, strict=True)),
        )
    labelled = frame.set_axis(unlike(names), axis=1)
    rows = np.arange(len(frame), dtype=np.int64)
    return Table(source, labelled, tuple(names), rows, groups)


def _parquet(path: Path, source: str) -> pd.DataFrame:
    import pyarrow as pa
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        _check(file.metadata.num_rows, file.metadata.num_columns, source)
        batches, size = [], 0
        for batch in file.iter_batches(use_threads=False):
            size += batch.nbytes  # text that is stored once and meant a million times
            check_size(source, size, "unpacked it holds more than")
            batches.append(batch)
        table = pa.Table.from_batches(batches, file.schema_arrow)
    return _sound(table)


def _feather(path: Path, source: str) -> pd.DataFrame:
    from pyarrow import feather

    table: Any = feather.read_table(path, memory_map=True)
    _check(table.num_rows, table.num_columns, source)
    return _sound(table)


def _sound(table: Any) -> pd.DataFrame:
    """The frame of an Arrow table whose texts lie where it says.

    Arrow reads offsets and indices as the file has them; damaged ones lead outside of its memory.
    """
    table.validate(full=True)
    frame: pd.DataFrame = table.to_pandas()
    return frame


def _check(rows: int, columns: int, source: str) -> None:
    """Refuse what would take too much memory: a column of equal values takes none in the file."""
    size = rows * columns * _CELL_BYTES
    check_size(source, size, f"{rows:,} rows of {columns} columns take")


def _decoded(column: pd.Series) -> pd.Series:
    """Bytes as text; other columns as they are."""
    if column.dtype != object:
        return column
    return column.map(
        lambda cell: cell.decode("utf-8", "backslashreplace") if isinstance(cell, bytes) else cell
    )


def _levels(frame: pd.DataFrame) -> tuple[list[str], tuple[str, ...]]:
    """Names, and of columns in two levels the instruments."""
    parts = [
        tuple(map(str, name)) if isinstance(name, tuple) else (str(name),) for name in frame.columns
    ]
    if not any(len(part) > 1 for part in parts):
        return [part[0] for part in parts], ()
    return [part[0] for part in parts], tuple(part[1] if len(part) > 1 else "" for part in parts)
