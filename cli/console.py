"""What a command prints: data on stdout, progress and notes on stderr."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["Advance", "Percent", "Terminal", "number", "plain_json"]

_NEVER_WRAPPED = 16
_EDGES, _PADDING = 1, 2  # of a table: at its left, and after each column
_FILE_WIDTH = 120


class Advance:
    """Moves one progress bar: call it with the units done so far and the total."""

    def __init__(self, progress: Any, task: Any) -> None:
        self._progress, self._task = progress, task

    def __call__(self, done: float, total: float | None = None) -> None:
        """Set the bar to ``done`` of ``total``."""
        if total is None:
            self._progress.update(self._task, completed=done)
        else:
            self._progress.update(self._task, completed=done, total=total)


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
        self._out: Console = Console(highlight=False, markup=False, soft_wrap=True)
        if not self._out.is_terminal and "COLUMNS" not in os.environ:
            self._out.width = _FILE_WIDTH
        self._err: Console = Console(stderr=True, highlight=False, markup=False, quiet=quiet)

    def note(self, text: str) -> None:
        """A line for a human about what happens, on stderr."""
        self._err.print(text)

    def result(self, payload: Mapping[str, Any]) -> None:
        """The command's result: with ``--json`` one JSON object, otherwise nothing."""
        if self.as_json:
            self._out.print(plain_json(payload))

    def line(self, text: str = "") -> None:
        """A line of the human-readable result, on stdout."""
        if not self.as_json:
            self._out.print(text)

    def table(self, title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
        """A table on stdout; columns of numbers are set to the right.

        Nothing is cut: headings and long texts are wrapped, and columns that do not fit beside
        the others follow below, after the first column once more.
        """
        if self.as_json:
            return
        headings = [name.replace("_", " ") for name in columns]
        cells = [[number(cell) for cell in column] for column in zip(*rows, strict=True)]
        cells = cells or [[] for _ in columns]
        widths = [_widths(*each) for each in zip(headings, cells, strict=True)]
        room = self._out.width - _EDGES
        for count, block in enumerate(_blocks([least for least, _ in widths], room)):
            given = _given([widths[i] for i in block], room)
            kept = [
                (headings[i], _numeric(rows, i), width)
                for i, width in zip(block, given, strict=True)
            ]
            self._block("" if count else title, kept, [[row[i] for i in block] for row in rows])

    def _block(
        self,
        title: str,
        columns: Sequence[tuple[str, bool, int]],
        rows: Sequence[Sequence[object]],
    ) -> None:
        """One table of columns (heading, numbers or not, width) that fit beside each other."""
        from rich import box
        from rich.table import Table

        table = Table(
            title=title or None,
            title_justify="left",
            box=box.SIMPLE_HEAD,
            padding=(0, 1, 0, 0),
        )
        for heading, numeric, width in columns:
            justify: Literal["left", "right"] = "right" if numeric else "left"
            table.add_column(heading, justify=justify, overflow="fold", width=width)
        for row in rows:
            table.add_row(*(number(cell) for cell in row))
        self._out.print(table, soft_wrap=False)

    @contextmanager
    def progress(self, label: str, total: float | None = None) -> Iterator[Advance]:
        """A progress bar on stderr for the length of the block; silent with ``--quiet``."""
        from rich.progress import (
            BarColumn,
            Progress,
            TextColumn,
            TimeElapsedColumn,
            TimeRemainingColumn,
        )

        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f} %"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=self._err, disable=self.quiet) as bars:
            yield Advance(bars, bars.add_task(label, total=total))


def _numeric(rows: Sequence[Sequence[object]], column: int) -> bool:
    return all(isinstance(row[column], int | float | Percent | None) for row in rows)


def _widths(heading: str, cells: Sequence[str]) -> tuple[int, int]:
    """(least, greatest) width of a column: where no word of its heading and no short cell is
    broken, and where nothing is wrapped."""
    from rich.cells import cell_len  # some scripts take two places a character

    words = [cell_len(word) for word in heading.split()]
    each = [cell_len(cell) for cell in cells]
    least = max([1, *words, *(min(width, _NEVER_WRAPPED) for width in each)])
    return least, max([least, cell_len(heading), *each])


def _blocks(widths: Sequence[int], room: int) -> list[list[int]]:
    """Columns that stand side by side, in blocks; each begins with the first column."""
    blocks: list[list[int]] = [[]]
    free = room
    for i, width in enumerate(widths):
        if width + _PADDING > free and len(blocks[-1]) > 1:
            blocks.append([0])
            free = room - widths[0] - _PADDING
        blocks[-1].append(i)
        free -= width + _PADDING
    return blocks


def _given(widths: Sequence[tuple[int, int]], room: int) -> list[int]:
    """A width for each column (least, greatest): what is left over goes to all alike."""
    given = [least for least, _ in widths]
    free = room - sum(given) - _PADDING * len(given)
    short = sorted(range(len(widths)), key=lambda i: widths[i][1] - widths[i][0])
    for place, i in enumerate(short):
        more = max(0, min(widths[i][1] - widths[i][0], free // (len(short) - place)))
        given[i] += more
        free -= more
    return given


@dataclass(frozen=True)
class Percent:
    """A share (0.05) that a table shows in per cent (5.00 %)."""

    share: float | None


def number(value: object) -> str:
    """A table cell: numbers to four significant digits, None as a dash."""
    if isinstance(value, Percent):
        share = value.share
        return "–" if share is None or not math.isfinite(share) else f"{100 * share:.2f} %"
    if value is None:
        return "–"
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    if isinstance(value, int):
        return f"{value:,}"
    if not math.isfinite(value):
        return "–"
    if value == 0 or 1e-3 <= abs(value) < 1e5:
        return f"{value:,.{max(0, 3 - math.floor(math.log10(abs(value) or 1)))}f}"
    return f"{value:.3g}"


def plain_json(payload: object) -> str:
    """JSON text; numbers that JSON lacks (NaN, infinity) become null."""
    return json.dumps(_finite(payload), indent=2, ensure_ascii=False)


def _finite(value: object) -> object:
    if isinstance(value, Mapping):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    if hasattr(value, "tolist"):
        return _finite(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if value is None or isinstance(value, str | int | float | bool):
        return value
    return str(value)
