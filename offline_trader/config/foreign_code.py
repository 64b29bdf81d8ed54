"""Settings that name code: rules in files, which are imported when their experts are made."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Set
from pathlib import Path

from offline_trader.errors import ConfigError

__all__ = ["names_code", "refuse_code"]


def names_code(text: str) -> bool:
    """Whether an expert's name or text (``name?key=value``) names a rule of one's own.

    Such a rule is imported when its expert is made. A name out of a file (a model's metadata, a
    run's manifest, a settings file) is therefore asked here first, and no expert is made of it:
    code is imported only where the user names it.
    """
    name = text.partition("?")[0]
    return ":" in name and not name.startswith("log:")


def refuse_code(file: Path, tree: Mapping[str, object], given: Set[str]) -> None:
    """Refuse the settings in ``file`` if they name a rule in a file of code.

    The file may be somebody else's. What the command line or the calling code says instead
    (``given``, dotted keys) is the user's own word.

    Raises:
        ConfigError: the file's expert that names code.
    """
    for key, text in _experts_in(tree):
        if names_code(text) and not any(key == own or key.startswith(f"{own}.") for own in given):
            raise ConfigError(
                f"{file}: {key} names code, {text}",
                expected="code that is named on the command line",
                hint=f"look at it, then say so: --set '{key}=[...]' (or --expert for each)",
            )


def _experts_in(tree: Mapping[str, object], path: str = "") -> Iterator[tuple[str, str]]:
    """Dotted key and text of every expert in a tree of settings."""
    for name, value in tree.items():
        if isinstance(value, Mapping):
            yield from _experts_in(value, f"{path}{name}.")
        elif name == "experts":
            listed = value if isinstance(value, list) else [value]
            yield from ((f"{path}{name}", str(each)) for each in listed)
