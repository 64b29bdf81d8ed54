"""The user's own functions: found in a file or module, and told as theirs when they fail."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import sys
import sysconfig
import traceback
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from offline_trader.errors import ConfigError, OfflineTraderError, did_you_mean
from offline_trader.hashing import file_sha256

__all__ = ["code_sha256", "find_function", "guarded"]


def find_function(path: str) -> Callable[..., Any]:
    """The function that ``module:function`` or ``file.py:function`` names.

    Raises:
        ConfigError: no such module, file or function.
    """
    place, colon, name = path.rpartition(":")
    if not colon or not place or not name:
        raise ConfigError(f"{path!r} names no function", expected="module:function")
    try:
        if place.endswith(".py"):
            module = _loaded(Path(place))
        else:
            if "" not in sys.path:
                sys.path.insert(0, "")
            module = importlib.import_module(place)
    except ConfigError:
        raise
    except Exception as error:
        raise ConfigError(f"{place} cannot be imported: {type(error).__name__}: {error}") from error
    function = getattr(module, name, None)
    if not callable(function):
        own = _functions_of(module)
        raise ConfigError(
            f"{place} has no function {name!r}",
            expected=", ".join(own) or "a function that is defined there",
            hint=did_you_mean(name, own),
        )
    return function  # type: ignore[no-any-return]


def _functions_of(module: ModuleType) -> list[str]:
    """Names of the functions that are defined in ``module``; what it imports is not its own."""
    return [
        name
        for name, value in vars(module).items()
        if inspect.isfunction(value)
        and not name.startswith("_")
        and value.__module__ == module.__name__
    ]


def _loaded(file: Path) -> ModuleType:
    """The module of a file, which may import what lies beside it."""
    # a name of its own: random.py of the user's must not become everybody's random
    spec = importlib.util.spec_from_file_location(f"_offline_trader_user_{file.stem}", file)
    if spec is None or spec.loader is None or not file.is_file():
        raise ConfigError(f"{file}: no such file", expected="a Python file")
    if str(file.parent.resolve()) not in sys.path:
        sys.path.append(str(file.parent.resolve()))
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up there
    spec.loader.exec_module(module)
    return module


def guarded(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """The user's ``function``, whose failure is told as theirs, with its file and line.

    The function that is returned raises ConfigError where ``function`` fails; the toolkit's own
    errors pass as they are.
    """

    def call(*arguments: Any, **settings: Any) -> Any:
        try:
            return function(*arguments, **settings)
        except OfflineTraderError:
            raise
        except Exception as error:
            frames = traceback.extract_tb(error.__traceback__)
            own = [each for each in frames if not _is_installed(each.filename)]
            place = (own or frames)[-1]
            raise ConfigError(
                f"{name} failed at {Path(place.filename).name} line {place.lineno}: "
                f"{type(error).__name__}: {error}"
            ) from error

    return call


def _is_installed(file: str) -> bool:
    """Whether a file belongs to Python or to a package, and not to the user."""
    paths = sysconfig.get_paths()
    return file.startswith((paths["purelib"], paths["platlib"], paths["stdlib"]))


def code_sha256(function: Callable[..., Any]) -> str:
    """SHA-256 of the file that holds the function; empty where there is none."""
    try:
        file = inspect.getsourcefile(function)
    except TypeError:
        file = None
    if file is None or not Path(file).is_file():
        return ""
    return file_sha256(Path(file))
