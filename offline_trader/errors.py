"""The errors that a user of the toolkit can meet.

::

    OfflineTraderError            exit code 1 would be our bug; every subclass has its own code
    ├── ConfigError        (2)    a setting, an option or a combination of them is wrong
    │   └── SchemaMismatch (2)    two artefacts were made with different features or layouts
    ├── DataError          (3)    a file, a dataset or a market is wrong, with the row or key
    ├── GateFailed         (4)    an evaluation gate was not passed
    └── RiskHalt           (5)    a risk limit stopped the run

A message says what was found, what was expected and what to do. The command line prints it in
one short block and exits with :attr:`OfflineTraderError.exit_code`.
"""

from __future__ import annotations

from collections.abc import Iterable

__all__ = [
    "ConfigError",
    "DataError",
    "GateFailed",
    "OfflineTraderError",
    "RiskHalt",
    "SchemaMismatch",
    "did_you_mean",
    "in_brief",
    "nearest",
    "visible",
]


class OfflineTraderError(Exception):
    """Base class of every error that is the user's to mend.

    Args:
        found: what was found, naming the file, row or key.
        expected: what was expected instead.
        hint: what to do about it.
    """

    exit_code = 2

    def __init__(self, found: str, *, expected: str = "", hint: str = "") -> None:
        self.found = visible(found)
        self.expected = visible(expected)
        self.hint = visible(hint)
        parts = [self.found]
        if expected:
            parts.append(f"expected: {self.expected}")
        if hint:
            parts.append(f"what to do: {self.hint}")
        super().__init__("\n".join(parts))


def visible(text: str) -> str:
    """The text with what a terminal would obey or cannot show (names and cells of somebody's file
    are quoted in messages) as escapes; lines stay lines."""
    if text.isprintable():
        return text
    return "".join(
        c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode() for c in text
    )


def in_brief(value: object, most: int) -> str:
    """``value`` for a message: a text as it is, anything else as Python writes it; cut after
    ``most`` characters."""
    try:
        text = value if isinstance(value, str) else repr(value)
    except ValueError:  # an integer of more digits than Python writes
        text = "a very long integer"
    return text if len(text) <= most else f"{text[:most]}…"


def nearest(name: str, known: Iterable[str], *, cutoff: float = 0.6) -> str | None:
    """The known name that is spelt most like ``name``; None where none comes near.

    Args:
        cutoff: share of letters that must agree, 0 to 1 (:func:`difflib.get_close_matches`).
    """
    from difflib import get_close_matches

    return next(iter(get_close_matches(name, list(known), 1, cutoff)), None)


def did_you_mean(
    name: str, known: Iterable[str], *, cutoff: float = 0.6, otherwise: str = ""
) -> str:
    """The hint about an unknown ``name``: the :func:`nearest` known one, or ``otherwise``."""
    near = nearest(name, known, cutoff=cutoff)
    return otherwise if near is None else f"did you mean {near!r}?"


class ConfigError(OfflineTraderError):
    """A setting or a combination of settings is wrong."""

    exit_code = 2


class SchemaMismatch(ConfigError):
    """Two artefacts were made with different observation layouts; the message names both hashes."""


class DataError(OfflineTraderError):
    """A file, a dataset or a market is wrong; the message names the file and the row or key."""

    exit_code = 3


class GateFailed(OfflineTraderError):
    """At least one evaluation gate failed."""

    exit_code = 4


class RiskHalt(OfflineTraderError):
    """A risk limit stopped the run."""

    exit_code = 5
