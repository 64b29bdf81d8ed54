"""What a command prints: data on stdout, progress and notes on stderr."""

from __future__ import annotations

import logging
import math
import os
import re
import shlex
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from offline_trader.codec import to_json
from offline_trader.errors import visible

if TYPE_CHECKING:
    from rich.console import Console

    from offline_trader.pipeline import Advance

__all__ = ["Figure", "Percent", "Terminal", "number"]

DASH = "–"
_NEVER_WRAPPED = 16
_EDGES, _PADDING = 1, 2  # of a table: at its left, and after each column
_FILE_WIDTH = 120
_DRIVING = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)
"""Control characters (C0 but for line break and tab, DEL, C1), marks of writing direction, halves
of surrogate pairs."""


class Terminal:
    """The two streams of a command.

    Args:
        as_json: print :meth:`result`'s payload as JSON and no tables.
        quiet: keep stderr empty except for errors.
    """

    def __init__(self, *, as_json: bool = False, quiet: bool = False) -> None:
        from rich.console import Console

        self.as_json = as_json
        self.quiet = quiet
        if quiet:
            logging.getLogger("offline_trader").setLevel(logging.ERROR)
        self._out: Console = Console(highlight=False, markup=False, emoji=False, soft_wrap=True)
        if not self._out.is_terminal and "COLUMNS" not in os.environ:
            self._out.width = _FILE_WIDTH
        self._err: Console = Console(
            stderr=True, highlight=False, markup=False, emoji=False, quiet=quiet
        )

    def note(self, text: str, /) -> None:
        """A line for a human about what happens, on stderr."""
        self._err.print(visible(text))

    def result(self, payload: Mapping[str, Any]) -> None:
        """The command's result: with ``--json`` one JSON object, otherwise nothing."""
        if self.as_json:
            text = to_json(payload, indent=2, ensure_ascii=False, default=str)
            self._out.print(_escaped_json(text))

    def line(self, text: str = "") -> None:
        """A line of the human-readable result, on stdout."""
        if not self.as_json:
            self._out.print(visible(text))

    def next_step(self, *words: object) -> None:
        """The command to go on with, on stderr."""
        if not self.as_json:
            text = f"next: offline-trader {shlex.join(map(str, words))}"
            self._err.print(visible(text), soft_wrap=True)  # in one piece, to be copied

    def table(
        self,
        title: str,
        columns: Sequence[str],
        rows: Sequence[Sequence[object]],
        *,
        dash: str = "not defined here, or not measured",
    ) -> None:
        """A table on stdout; columns of numbers are set to the right.

        Nothing is cut: headings and long texts are wrapped, and columns that do not fit beside
        the others follow below, after the first column once more. Where a cell is a dash, ``dash``
        says below the table what that means.
        """
        if self.as_json:
            return
        made = [_Column.of(name, [row[i] for row in rows]) for i, name in enumerate(columns)]
        room = self._out.width - _EDGES
        for count, block in enumerate(_blocks(made, room)):
            self._block("" if count else title, block, room)
        if any(DASH in column.cells for column in made):
            self.line(f" {DASH}: {dash}")

    def _block(self, title: str, columns: Sequence[_Column], room: int) -> None:
        """One table of columns that fit beside each other."""
        from rich import box
        from rich.table import Table

        table = Table(
            title=visible(title) or None,
            title_justify="left",
            box=box.SIMPLE_HEAD,
            padding=(0, 1, 0, 0),
        )
        for column, width in zip(columns, _given(columns, room), strict=True):
            justify: Literal["left", "right"] = "right" if column.numeric else "left"
            table.add_column(column.heading, justify=justify, overflow="fold", width=width)
        for row in zip(*(column.cells for column in columns), strict=True):
            table.add_row(*row)
        self._out.print(table, soft_wrap=False)

    def task(self, label: str, total: float | None = None, /) -> AbstractContextManager[Advance]:
        """A progress bar on stderr for the length of the block; silent with ``--quiet``."""
        from offline_trader.workbench.progress_bars import terminal_bar

        return terminal_bar(self._err, label, total, silent=self.quiet)


@dataclass(frozen=True)
class _Column:
    """A column of a table.

    Attributes:
        heading, cells: as they are shown.
        numeric: numbers are set to the right.
        least: width where no word of the heading and no short cell is broken.
        greatest: width where nothing is wrapped.
    """

    heading: str
    cells: tuple[str, ...]
    numeric: bool
    least: int
    greatest: int

    @classmethod
    def of(cls, name: str, values: Sequence[object]) -> _Column:
        """The column ``name`` with these values, one a row."""
        from rich.cells import cell_len  # some scripts take two places a character

        heading = visible(name.replace("_", " "))
        cells = tuple(visible(number(value)).replace("\n", "\\n") for value in values)
        words, widths = map(cell_len, heading.split()), [cell_len(cell) for cell in cells]
        least = max([1, *words, *(min(width, _NEVER_WRAPPED) for width in widths)])
        numeric = all(isinstance(value, int | float | Figure | Percent | None) for value in values)
        return cls(heading, cells, numeric, least, max([least, cell_len(heading), *widths]))


def _blocks(columns: Sequence[_Column], room: int) -> list[list[_Column]]:
    """Columns that stand side by side, in blocks; each begins with the first column."""
    blocks: list[list[_Column]] = [[]]
    free = room
    for column in columns:
        if column.least + _PADDING > free and len(blocks[-1]) > 1:
            blocks.append([columns[0]])
            free = room - columns[0].least - _PADDING
        blocks[-1].append(column)
        free -= column.least + _PADDING
    return blocks


def _given(columns: Sequence[_Column], room: int) -> list[int]:
    """A width for each column: what is left over goes to all alike."""
    given = [column.least for column in columns]
    wanted = [column.greatest - column.least for column in columns]
    free = room - sum(given) - _PADDING * len(given)
    for place, i in enumerate(sorted(range(len(wanted)), key=wanted.__getitem__)):
        more = max(0, min(wanted[i], free // (len(wanted) - place)))
        given[i] += more
        free -= more
    return given


@dataclass(frozen=True)
class Figure:
    """A number with its unit, written as the report writes it."""

    text: str


@dataclass(frozen=True)
class Percent:
    """A share (0.05) that a table shows in per cent (5.00 %)."""

    share: float | None


def _escaped_json(text: str) -> str:
    """JSON text, equal when read, without characters that drive a terminal."""
    return _DRIVING.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def number(value: object) -> str:
    """A table cell: numbers to four significant digits, None as a dash."""
    if isinstance(value, Figure):
        return value.text
    if isinstance(value, Percent):
        share = value.share
        return DASH if share is None or not math.isfinite(share) else f"{100 * share:.2f} %"
    if value is None:
        return DASH
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    if isinstance(value, int):
        return f"{value:,}"
    if not math.isfinite(value):
        return DASH
    if value == 0 or 1e-3 <= abs(value) < 1e5:
        return f"{value:,.{max(0, 3 - math.floor(math.log10(abs(value) or 1)))}f}"
    return f"{value:.3g}"
