"""JSON to tables: lines of objects, lists of objects or of rows, objects of lists."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from offline_trader.errors import DataError
from offline_trader.tables.contents import check_size, refusals
from offline_trader.tables.table import Table, unlike

__all__ = ["read_json"]

_OBJECTS = 8  # bytes in memory for one in the file
_EXPECTED = "a list of objects or of rows, one object a line, or an object of lists"


def read_json(data: bytes, source: str) -> Table:
    """The table in the bytes of a JSON file; every cell as text, as it is written.

    Read are lists of objects (objects inside them as ``mid.o``), lists of rows without names, one
    object a line, an object of columns (``{"t": […], "o": […]}``), and an object that holds one of
    these under some key, as the answers of data vendors do. Rows count from 0; of one object a
    line, from 1.

    Raises:
        DataError: no JSON, or nothing in it that is a table.
    """
    check_size(source, _OBJECTS * len(data), "as objects it takes about")
    with refusals(source, _EXPECTED):
        text = data.decode("utf-8-sig")
        try:
            found = _records(json.loads(text, parse_float=str, parse_int=str))
            first = 0
        except json.JSONDecodeError:
            lines = [line for line in text.splitlines() if line.strip()]
            found = [json.loads(line, parse_float=str, parse_int=str) for line in lines]
            first = 1
        if not found:
            raise DataError(f"{source}: no table in the JSON", expected=_EXPECTED)
        return _table(found, source, first)


def _records(value: Any) -> list[Any]:
    """The first list of objects or rows in ``value``, at most two levels down."""
    if isinstance(value, list):
        return value if value and all(isinstance(row, dict | list) for row in value) else []
    if not isinstance(value, dict):
        return []
    columns = {name: each for name, each in value.items() if _is_column(each)}
    lengths = {len(each) for each in columns.values()}
    if len(columns) >= 2 and len(lengths) == 1 and lengths != {0}:
        together = zip(*columns.values(), strict=True)
        return [dict(zip(columns, row, strict=True)) for row in together]
    if len(value) > 0 and all(isinstance(each, dict) for each in value.values()):
        records = [{"timestamp": key, **each} for key, each in value.items()]
        if all(not isinstance(cell, dict) for row in records for cell in row.values()):
            return records
    return next((rows for each in value.values() if (rows := _records(each))), [])


def _is_column(value: Any) -> bool:
    return isinstance(value, list) and not any(isinstance(cell, dict | list) for cell in value)


def _table(records: list[Any], source: str, first: int) -> Table:
    import pandas as pd

    named = [isinstance(record, dict) for record in records]
    if len(set(named)) != 1:
        raise DataError(f"{source}: objects and lists in one table", expected=_EXPECTED)
    rows = np.arange(len(records), dtype=np.int64) + first
    if named[0]:
        flat = [_flatten(record) for record in records]
        names = list(dict.fromkeys(name for record in flat for name in record))
        cells = [[record.get(name, "") for name in names] for record in flat]
        frame = pd.DataFrame(cells, columns=unlike(names), dtype="str")
        return Table(source, frame, tuple(names), rows)
    width = max(map(len, records))
    cells = [[*map(_text, record), *[""] * (width - len(record))] for record in records]
    frame = pd.DataFrame(cells, columns=[str(i + 1) for i in range(width)], dtype="str")
    return Table(source, frame, ("",) * width, rows, header=False)


def _flatten(record: dict[str, Any], before: str = "") -> dict[str, str]:
    """Cells of an object as text; those of objects inside it under ``outer.inner``."""
    cells: dict[str, str] = {}
    for name, value in record.items():
        if isinstance(value, dict):
            cells |= _flatten(value, f"{before}{name}.")
        else:
            cells[f"{before}{name}"] = _text(value)
    return cells


def _text(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value)
