"""Faces of packages whose names are loaded when they are first used.

A package's ``__init__`` names what it offers in an ``if TYPE_CHECKING:`` block, which editors and
type checkers read; :func:`lazy_names` reads the same block, so nothing is listed twice.
"""

from __future__ import annotations

import ast
import importlib
import sys
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

__all__ = ["lazy_names"]


def lazy_names(package: str) -> Callable[[str], Any]:
    """A module's ``__getattr__`` that imports the names of its ``if TYPE_CHECKING:`` block.

    Args:
        package: ``__name__`` of the package.
    """
    homes: dict[str, tuple[str, str]] = {}

    def load(name: str) -> Any:
        if not homes and not name.startswith("__"):
            homes.update(_homes(package))
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        module, original = homes[name]
        value = getattr(importlib.import_module(module), original)
        setattr(sys.modules[package], name, value)
        return value

    return load


def _homes(package: str) -> dict[str, tuple[str, str]]:
    spec = find_spec(package)
    assert spec is not None
    source = getattr(spec.loader, "get_source")(package)  # noqa: B009
    found: dict[str, tuple[str, str]] = {}
    for block in ast.parse(source).body:
        if isinstance(block, ast.If) and getattr(block.test, "id", None) == "TYPE_CHECKING":
            for line in block.body:
                if isinstance(line, ast.ImportFrom) and line.module is not None:
                    found |= {
                        name.asname or name.name: (line.module, name.name) for name in line.names
                    }
    return found
