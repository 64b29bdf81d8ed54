"""What a long piece of work tells while it runs: to a terminal, a notebook, a parent process."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

__all__ = ["Advance", "Progress", "Silent"]


class Advance(Protocol):
    """Moves one task on."""

    def __call__(self, done: float, total: float | None = None, shown: str = "", /) -> None:
        """Tell that ``done`` units are done, of ``total`` if that became known.

        Args:
            shown: what the work shows of itself, such as its speed and losses.
        """
        ...


class Progress(Protocol):
    """Whom the line tells what it does.

    The CLI's terminal is one; :class:`Silent` is the usual one in a program. None of its methods
    may change what is computed.
    """

    def note(self, text: str, /) -> None:
        """A sentence for a human about what happens."""
        ...

    def task(self, label: str, total: float | None = None, /) -> AbstractContextManager[Advance]:
        """A piece of work of ``total`` units (None: not known), for the length of the block."""
        ...


class Silent:
    """Tells nobody."""

    def note(self, text: str, /) -> None:
        """Nothing."""

    def task(self, label: str, total: float | None = None, /) -> AbstractContextManager[Advance]:
        """Nothing, for the length of the block."""
        return nullcontext(_nobody)


def _nobody(done: float, total: float | None = None, shown: str = "", /) -> None:
    pass
