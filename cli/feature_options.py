"""The options by which a user gives features and signals of his own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

import typer

from offline_trader.cli.options import listed
from offline_trader.pipeline import own_features as pipeline

if TYPE_CHECKING:
    from offline_trader.cli.console import Terminal

__all__ = [
    "BarEnd",
    "Features",
    "FeaturesOnly",
    "NamedFeatures",
    "SignalFiles",
    "Signals",
    "TrustFeatures",
    "chosen_features",
    "name_all",
    "naming",
    "tell_features",
]

Features: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--features",
        metavar="FILE.py:FUNCTION",
        help="Features of your own beside the built-in 32: a causal function of the bars, audited "
        "for leaks before anything is made with it; window:BARS:SET observes features at their "
        "last bars, too; repeatable.",
    ),
]
NamedFeatures: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--features",
        metavar="FILE.py:FUNCTION",
        help="Name the features of your own that were used: their code is imported only if you do; "
        "repeatable.",
    ),
]
Signals: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--signal",
        metavar="COLUMN",
        help="Observe this numeric column of the price file, or of a --signal-file; repeatable.",
    ),
]
SignalFiles: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--signal-file",
        metavar="FILE",
        help="A file of times and signals, of which each bar gets what is known at its end; "
        "repeatable.",
    ),
]
BarEnd: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--bar-end",
        metavar="LENGTH",
        help="How long after its stamp a bar ends, as 1min or 16h: until then rows of a "
        "--signal-file are known at it. By default at its stamp.",
    ),
]
FeaturesOnly: TypeAlias = Annotated[
    bool,
    typer.Option("--features-only", help="Observe your own features and signals alone."),
]
TrustFeatures: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--trust-features",
        help="Use features that read the future all the same; it is recorded in all that is made.",
    ),
]


def chosen_features(
    features: Sequence[str] | None,
    signals: Sequence[str] | None,
    files: Sequence[str] | None,
    bar_end: str | None,
    *,
    only: bool,
    trust: bool,
) -> dict[str, Any]:
    """What :func:`offline_trader.cli.options.resolve` takes of these options.

    The code that ``features`` name is imported.

    Raises:
        ConfigError: ``only`` without any, or no such file or function.
    """
    chosen = pipeline.chosen_features(features or (), signals or (), only=only, trust=trust)
    return {
        "env__features": listed(chosen),
        "env__signal_files": listed(files),
        "env__bar_end": bar_end,
    }


def name_all(features: Sequence[str] | None, *, trust: bool) -> list[str]:
    """Say that the code of own features may be imported; their names for ``env.features``.

    Raises:
        ConfigError: no such file or function.
    """
    return pipeline.name_all(features or (), trust=trust)


def naming(features: Sequence[str] | None, *, trust: bool) -> list[str]:
    """The words by which the next command is told of the same features."""
    words = [word for each in features or () for word in ("--features", each)]
    return [*words, *(["--trust-features"] if trust else [])]


def tell_features(terminal: Terminal, features: Sequence[str]) -> None:
    """Say what was found of own features among names of feature sets."""
    for note in pipeline.feature_notes(features):
        terminal.note(note)
