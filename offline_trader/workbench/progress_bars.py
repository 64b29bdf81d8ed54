"""A progress bar where there is somebody to see it: in a notebook, in a terminal."""

from __future__ import annotations

import importlib
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from html import escape
from typing import TYPE_CHECKING, Any

from offline_trader.errors import visible
from offline_trader.pipeline.progress import Advance, Progress, Silent
from offline_trader.workbench.wording import spoken

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["progress_for", "terminal_bar"]

_LEAST_WAIT_S = 0.2
"""Between two drawings in a notebook, each of which is a message to the browser."""


def progress_for(wanted: bool | Progress) -> Progress:
    """Nobody for False, the notebook or the terminal for True, or ``wanted`` itself."""
    if not isinstance(wanted, bool):
        return wanted
    if not wanted:
        return Silent()
    return _Notebook() if _in_notebook() else _Stderr()


def _in_notebook() -> bool:
    """Whether a browser shows what this process displays."""
    shell = sys.modules.get("IPython")
    kernel = None if shell is None else shell.get_ipython()
    return kernel is not None and "IPKernelApp" in kernel.config


@contextmanager
def terminal_bar(
    console: Console, label: str, total: float | None, *, silent: bool = False
) -> Iterator[Advance]:
    """A bar on ``console`` for the length of the block."""
    from rich import progress

    columns = (
        progress.TextColumn("{task.description}"),
        progress.BarColumn(),
        progress.TextColumn("{task.percentage:>3.0f} %"),
        progress.TimeElapsedColumn(),
        progress.TimeRemainingColumn(),
        progress.TextColumn("{task.fields[shown]}", style="dim"),
    )
    with progress.Progress(*columns, console=console, disable=silent) as bars:
        task = bars.add_task(visible(label), total=total, shown="")

        def advance(done: float, of: float | None = None, shown: str = "", /) -> None:
            bars.update(task, completed=done, total=of, shown=shown)  # None: the total stays

        try:
            yield advance
        except Exception:
            bars.live.transient = True  # a message stands alone, without a bar of nothing
            raise


class _Stderr:
    """Bars and sentences on stderr; result and output of a script stay apart from them."""

    def __init__(self) -> None:
        from rich.console import Console

        self._console = Console(stderr=True, highlight=False, markup=False, emoji=False)

    def note(self, text: str, /) -> None:
        """A line."""
        self._console.print(visible(spoken(text)))

    def task(self, label: str, total: float | None = None, /) -> AbstractContextManager[Advance]:
        """A bar."""
        return terminal_bar(self._console, label, total)


class _Notebook:
    """One line a task, drawn anew in its place; it needs no widgets."""

    def note(self, text: str, /) -> None:
        """A line below the cell."""
        print(visible(spoken(text)))

    @contextmanager
    def task(self, label: str, total: float | None = None, /) -> Iterator[Advance]:
        """A bar, of which a line with the time it took is left."""
        screen: Any = importlib.import_module("IPython.display")
        begun = drawn = time.monotonic()
        done, of, told = 0.0, total, ""
        place = screen.display(screen.HTML(_bar(label, done, of, 0.0)), display_id=True)

        def advance(now: float, known: float | None = None, shown: str = "", /) -> None:
            nonlocal done, of, told, drawn
            done, of, told = now, known or of, shown
            if time.monotonic() - drawn >= _LEAST_WAIT_S:
                drawn = time.monotonic()
                place.update(screen.HTML(_bar(label, done, of, drawn - begun, told)))

        try:
            yield advance
        finally:
            place.update(screen.HTML(_bar(label, done, of, time.monotonic() - begun, told)))


def _bar(label: str, done: float, total: float | None, seconds: float, shown: str = "") -> str:
    share = min(done / total, 1.0) if total else 0.0
    counted = f"{done:,.0f} of {total:,.0f}, " if total and total > 1 else ""
    return (
        f'<div style="font-family:monospace">{escape(label)} '
        f'<progress value="{share:.4f}" max="1" style="vertical-align:middle"></progress> '
        f"{counted}{seconds:.1f} s {escape(shown)}".rstrip()
        + "</div>"
    )
