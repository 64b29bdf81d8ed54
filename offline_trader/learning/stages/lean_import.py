"""stable-baselines3, which imitation is built on, without matplotlib and pandas.

Its logger imports both for figures and tables that a user may log or read: as long as ``import
torch`` itself. While it is imported, versions 2.2 name their classes in annotations, nothing else.
So both are imported when something of them is first used, and an annotation names its class as it
would with ``from __future__ import annotations``.
"""

from __future__ import annotations

import importlib
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from types import ModuleType
from typing import Any, ForwardRef

from offline_trader.networks import import_d3rlpy

__all__ = ["deferred", "import_stable_baselines3"]


def import_stable_baselines3() -> ModuleType:
    """The module; imitation can be imported then without the notice that ``gym`` prints, too."""
    import_d3rlpy()
    name = "stable_baselines3"
    if name in sys.modules:
        return sys.modules[name]
    with deferred("matplotlib", "matplotlib.figure", "pandas"):
        return importlib.import_module(name)


class _Later(ModuleType):
    """A module that is imported when something of it is asked for.

    Its importer, while it is at it, is told the names of classes instead.
    """

    def __init__(self, name: str, spec: ModuleSpec | None) -> None:
        super().__init__(name, "Imported when something of it is first used.")
        self.__spec__ = spec
        self._importer: int | None = threading.get_ident()

    def __getattr__(self, name: str) -> Any:
        if self._importer == threading.get_ident() and not name.startswith("__"):
            return ForwardRef(f"{self.__name__}.{name}")
        self._leave()
        return getattr(importlib.import_module(self.__name__), name)

    def _leave(self) -> None:
        """Let nobody else meet this module where they look for the real one."""
        if sys.modules.get(self.__name__) is self:
            del sys.modules[self.__name__]


@contextmanager
def deferred(*names: str) -> Iterator[None]:
    """Inside, ``import name`` gives a module that is imported when something of it is first used.

    After the block an import is one like any other; only who imported inside keeps such a module,
    which has everything that the real one has. Nothing happens to a package that is imported
    already or not installed, and other threads get the real one inside, too.

    Args:
        names: of modules; those of a package behind it. Inside, no code may need more of them than
            names for annotations.
    """
    later: dict[str, _Later] = {}
    for name in names:
        package, _, last = name.rpartition(".")
        if package in later:
            later[name] = _Later(name, None)
            setattr(later[package], last, later[name])
        elif not package and name not in sys.modules and (spec := find_spec(name)) is not None:
            later[name] = _Later(name, spec)
    sys.modules.update(later)
    try:
        yield
    finally:
        for module in later.values():
            module._importer = None
            module._leave()
