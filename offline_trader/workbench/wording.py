"""Refusals as a caller in Python reads them: keyword arguments instead of a command's options."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from offline_trader.errors import OfflineTraderError

__all__ = ["in_python", "spoken"]

P = ParamSpec("P")
T = TypeVar("T")

_FLAGS = {"resume", "force", "overwrite", "unverified", "trust_features", "features_only"}
_NAMES = {"set": "settings", "expert": "experts", "id": "dataset", "policy": "policy"}
_OPTION = re.compile(r"--([a-z][a-z-]*)")


def in_python(function: Callable[P, T]) -> Callable[P, T]:
    """``function``, whose refusals name keyword arguments (``resume=True``, not ``--resume``)."""

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return function(*args, **kwargs)
        except OfflineTraderError as error:
            _reword(error)
            raise

    return call


def spoken(text: str) -> str:
    """``text`` with a command's options as keyword arguments."""
    return _OPTION.sub(_keyword, text)


def _reword(error: OfflineTraderError) -> None:
    for name in ("found", "expected", "hint"):
        setattr(error, name, spoken(getattr(error, name)))
    parts = [error.found]
    parts += [f"expected: {error.expected}"] if error.expected else []
    parts += [f"what to do: {error.hint}"] if error.hint else []
    error.args = ("\n".join(parts),)


def _keyword(option: re.Match[str]) -> str:
    name = option[1].replace("-", "_")
    return f"{name}=True" if name in _FLAGS else _NAMES.get(name, name)
