"""A table as a file holds it: cells under the file's own names, with each row's place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from offline_trader.types import IntArray

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Table", "unlike"]


@dataclass(frozen=True)
class Table:
    """Columns of a file as they are; nothing is converted yet.

    Attributes:
        source: the file, for messages.
        frame: T rows; columns in the file's order under ``unlike(names)``. Of a text file every
            cell is text and an empty one the empty string; of Parquet and Feather columns have
            the file's types.
        names: the file's own name of each column; empty strings where it has no header.
        rows: [T] place in the file: the line as an editor counts it, from 1, for text; the row
            from 0 for Parquet and Feather.
        groups: the second level of a header of several lines (the instrument a column belongs
            to), by column; empty where there is none.
        header: False where the file has no line of names.
        delimiter: between cells of a text file; empty for other files.
        notes: what was decided in reading the file.
    """

    source: str
    frame: pd.DataFrame
    names: tuple[str, ...]
    rows: IntArray
    groups: tuple[str, ...] = ()
    header: bool = True
    delimiter: str = ""
    notes: tuple[str, ...] = ()

    def locate(self, i: int) -> str:
        """What messages call row ``i``."""
        return f"row {int(self.rows[i])}"


def unlike(names: Sequence[str]) -> list[str]:
    """The names, the second of a kind as ``Time.1``, and so on, as pandas has it."""
    seen: dict[str, int] = {}
    taken = set(names)
    found = []
    for name in names:
        count = seen.get(name, 0)
        label = name if count == 0 else f"{name}.{count}"
        while count and label in taken:
            count += 1
            label = f"{name}.{count}"
        seen[name] = count + 1
        taken.add(label)
        found.append(label)
    return found
