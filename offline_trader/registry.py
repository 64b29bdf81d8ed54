"""Registries of what plugs in: names, and what stands behind each, loaded on first use."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from typing import Generic, TypeVar, cast

from offline_trader.errors import ConfigError, did_you_mean

__all__ = ["Registry"]

T = TypeVar("T")


class Registry(Generic[T]):
    """One kind of plug-in by name.

    Args:
        kind: what one is called in messages.
        homes: ``name: "module:attribute"`` of those that come with the toolkit; a module is
            imported when its plug-in is first asked for. Names come from code, never from a file.
    """

    def __init__(self, kind: str, homes: Mapping[str, str] | None = None) -> None:
        self.kind = kind
        self._homes = dict(homes or {})
        self._loaded: dict[str, T] = {}

    def register(self, name: str, plugin: T) -> T:
        """Make ``plugin`` known as ``name``.

        Raises:
            ConfigError: the name is taken by another one.
        """
        if name in self._homes or self._loaded.get(name, plugin) is not plugin:
            raise ConfigError(f"there is a {self.kind} {name!r} already", expected="another name")
        self._loaded[name] = plugin
        return plugin

    def named(self, name: str) -> Callable[[T], T]:
        """:meth:`register` as a decorator."""
        return lambda plugin: self.register(name, plugin)

    def remove(self, name: str) -> None:
        """Forget what :meth:`register` made known."""
        del self._loaded[name]

    def __getitem__(self, name: str) -> T:
        """The plug-in of that name.

        Raises:
            ConfigError: an unknown name, with the nearest known one.
        """
        if name not in self._loaded:
            if name not in self._homes:
                raise ConfigError(
                    f"unknown {self.kind} {name!r}",
                    expected=f"one of {', '.join(self)}",
                    hint=did_you_mean(str(name), self),
                )
            module, attribute = self._homes[name].split(":")
            self._loaded[name] = cast(T, getattr(import_module(module), attribute))
        return self._loaded[name]

    def __iter__(self) -> Iterator[str]:
        """Names in the order of registration."""
        return iter({**self._homes, **self._loaded})

    def __contains__(self, name: object) -> bool:
        return name in self._homes or name in self._loaded

    def __len__(self) -> int:
        return len(list(iter(self)))
