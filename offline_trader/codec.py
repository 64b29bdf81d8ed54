"""Between dataclasses and JSON, both ways: :func:`plain` and :func:`to_json`, :func:`from_json`.

What is read may be damaged or made by hand. Python's own reader takes what our writers never write:
NaN and infinities, numbers beyond the range of a float, integers of any length, objects nested
deeper than it can follow. Here each of these is refused like a missing bracket, so that no later
line has to expect them. Settings that a person writes are read by :mod:`offline_trader.config`,
which forgives more: ``1e-4`` as text, a date, and names the nearest key to a wrong one.
"""

from __future__ import annotations

import dataclasses
import json
import math
import types
import typing
from collections.abc import Collection, Mapping
from functools import lru_cache
from pathlib import Path, PurePath
from typing import Any, TypeVar

import numpy as np

from offline_trader.errors import DataError, OfflineTraderError, in_brief

__all__ = [
    "LARGEST",
    "Facts",
    "from_json",
    "parse_json",
    "plain",
    "read_object",
    "require_moderate",
    "require_types",
    "to_json",
]

_T = TypeVar("_T")

LARGEST = 1e50
_INTEGER_BITS = 64
_DIGITS_SHOWN = 24
_AGAIN = "it was changed, or written by another version: make it again"
_KINDS = {
    str: "text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    list: "a list",
    dict: "an object",
    type(None): "null",
}


def plain(value: object) -> Any:
    """A copy of dataclasses, arrays and containers of which JSON can be made.

    Tuples and arrays become lists, paths texts, keys texts, numbers that JSON lacks (NaN,
    infinities) null; what it does not know stays as it is.
    """
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float) and type(value) is float:
        return value if math.isfinite(value) else None
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, np.ndarray):
        if value.dtype.kind == "f" and not np.isfinite(value).all():
            named = value.astype(object)
            named[~np.isfinite(value)] = None
            return named.tolist()
        return value.tolist()
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return str(value) if isinstance(value, PurePath) else value


def to_json(value: object, **layout: Any) -> str:
    """JSON text of :func:`plain` ``value``; ``layout`` as :func:`json.dumps` takes it.

    Raises:
        TypeError: something in it has no JSON form.
    """
    return json.dumps(plain(value), allow_nan=False, **layout)


def parse_json(text: str | bytes) -> Any:
    """The value that ``text`` holds.

    Raises:
        ValueError: no JSON, not UTF-8, nested too deep, NaN or an infinity, a number outside the
            range of a float, an integer of more than 64 bits.
    """
    try:
        return json.loads(
            text, parse_int=_integer, parse_float=_finite, parse_constant=_no_constant
        )
    except RecursionError:
        raise ValueError("objects or lists are nested too deep") from None


def read_object(path: Path, *, what: str, hint: str = "") -> dict[str, Any]:
    """The JSON object in the file ``path``.

    Args:
        what: what the file should be, as in ``the record of a folder of seeds``.
        hint: what to do where it is not.

    Raises:
        DataError: no such file, or no JSON object in it; names the file.
    """
    try:
        payload = parse_json(path.read_bytes())
    except FileNotFoundError as error:
        raise DataError(f"{path} is not there", expected=what, hint=hint) from error
    except OSError as error:
        raise DataError(
            f"{path} is not readable: {error.strerror or error}", expected=what, hint=hint
        ) from error
    except ValueError as error:
        raise DataError(f"{path} is not readable: {error}", expected=what, hint=hint) from error
    if not isinstance(payload, dict):
        raise DataError(f"{path} holds {_kind(payload)}", expected=what, hint=hint)
    return payload


def require_types(
    payload: Mapping[str, Any],
    types: Mapping[str, type | tuple[type, ...]],
    where: object,
    *,
    hint: str = "",
    optional: Collection[str] = (),
) -> None:
    """Nothing if ``payload`` has every key of ``types`` with a value of one of its types.

    A whole number is a ``float`` too, and a truth value is no number. Those in ``optional`` may
    be missing.

    Raises:
        DataError: a key is missing or has a value of another type; names ``where`` and the key.
    """
    for key, wanted in types.items():
        allowed = wanted if isinstance(wanted, tuple) else (wanted,)
        expected = " or ".join(_KINDS[each] for each in allowed)
        if key not in payload and key in optional:
            continue
        if key not in payload:
            raise DataError(f"{where} lacks {key!r}", expected=expected, hint=hint)
        value = payload[key]
        fits = type(value) in allowed or (type(value) is int and float in allowed)
        if not fits:
            raise DataError(f"{where}: {key!r} is {_kind(value)}", expected=expected, hint=hint)


class Facts:
    """Base of dataclasses that a later version may add to: unknown keys are passed over."""


def from_json(cls: type[_T], payload: object, where: str) -> _T:
    """A dataclass from the JSON form of its fields, each read by its type alone.

    Null is NaN where a number must be (JSON has no NaN) and in arrays.

    Args:
        cls: a dataclass of scalars, tuples, mappings, float arrays and further dataclasses.
        payload: what :func:`parse_json` returned.
        where: what messages call it, such as the file.

    Raises:
        DataError: a field is missing, unknown (but in :class:`Facts`), of another type or refused
            by its class; names it.
    """
    try:
        return _made(cls, payload, where)
    except OfflineTraderError as error:
        hint = error.hint or _AGAIN
        raise DataError(error.found, expected=error.expected, hint=hint) from error


def _made(cls: type[_T], payload: object, where: str) -> _T:
    if not isinstance(payload, dict):
        raise DataError(f"{where} is {_kind(payload)}", expected=f"the fields of {cls.__name__}")
    known: type = cls
    hints = _hints(known)
    unknown = sorted(set(payload) - set(hints))
    if unknown and not issubclass(cls, Facts):
        raise DataError(f"{where} has unknown fields {_cut(', '.join(unknown))}")
    values = {
        name: _converted(hints[name], item, f"{where}: {name}")
        for name, item in payload.items()
        if name in hints
    }
    for field in dataclasses.fields(known):
        missing = dataclasses.MISSING
        optional = field.default is not missing or field.default_factory is not missing
        if field.name not in values and not optional:
            raise DataError(f"{where} lacks {field.name!r}")
    try:
        return cls(**values)
    except OfflineTraderError as error:
        raise DataError(
            f"{where}: {error.found}", expected=error.expected, hint=error.hint
        ) from error


@lru_cache(maxsize=64)
def _hints(cls: type) -> dict[str, Any]:
    resolved = typing.get_type_hints(cls)
    return {field.name: resolved[field.name] for field in dataclasses.fields(cls) if field.init}


def _converted(hint: Any, value: Any, where: str) -> Any:
    """``value`` as the type ``hint`` says."""
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        if value is None and type(None) in args:
            return None
        return _converted(next(arg for arg in args if arg is not type(None)), value, where)
    if hint is Any or hint is object:
        return value
    if origin is np.ndarray:
        return _array(value, where)
    if origin is tuple:
        return _tuple(args, value, where)
    if origin is list:
        return list(_tuple((args[0], ...), value, where))
    if origin is typing.Literal:
        if value not in args:
            expected = f"one of {', '.join(map(str, args))}"
            raise DataError(f"{where} is {_cut(repr(value))}", expected=expected)
        return value
    if origin in (dict, Mapping):
        _require(dict, value, where)
        return {key: _converted(args[1], item, f"{where}.{key}") for key, item in value.items()}
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return _made(hint, value, where)
    if hint is float and value is None:
        return math.nan
    _require(hint, value, where)
    return float(value) if hint is float else value


def _require(kind: Any, value: object, where: str) -> None:
    if type(value) is not kind and not (kind is float and type(value) is int):
        raise DataError(f"{where} is {_kind(value)}", expected=_KINDS.get(kind, str(kind)))


def _tuple(args: tuple[Any, ...], value: Any, where: str) -> tuple[Any, ...]:
    _require(list, value, where)
    if len(args) == 2 and args[1] is Ellipsis:
        if all(type(item) is args[0] for item in value):  # long rows of plain numbers
            return tuple(value)
        args = (args[0],) * len(value)
    if len(args) != len(value):
        raise DataError(f"{where} has {len(value)} values", expected=f"{len(args)}")
    pairs = enumerate(zip(args, value, strict=True))
    return tuple(_converted(arg, item, f"{where}[{i}]") for i, (arg, item) in pairs)


def _array(value: Any, where: str) -> np.ndarray[Any, np.dtype[np.float64]]:
    _require(list, value, where)
    flat = [item for row in value for item in (row if isinstance(row, list) else [row])]
    wrong = next((each for each in flat if type(each) not in (int, float, type(None))), None)
    if wrong is not None:
        raise DataError(f"{where} holds {_kind(wrong)}", expected="numbers")
    try:
        return np.array(value, dtype=np.float64)  # None becomes NaN
    except ValueError as error:
        raise DataError(f"{where} has rows of different lengths") from error


def require_moderate(tree: object, where: str) -> None:
    """Nothing if no number in ``tree`` is beyond 1e50, where squares and ratios leave the floats.

    Raises:
        DataError: one is; names ``where`` and the key.
    """
    if isinstance(tree, Mapping):
        for key, item in tree.items():
            require_moderate(item, f"{where}: {key}")
    elif isinstance(tree, list):
        for item in tree:
            require_moderate(item, where)
    elif isinstance(tree, int | float) and abs(tree) > LARGEST:
        raise DataError(f"{where} is {tree:.3g}", expected="numbers up to 1e50")


def _kind(value: object) -> str:
    return _KINDS.get(type(value), type(value).__name__)


def _integer(digits: str) -> int:
    if len(digits) > _INTEGER_BITS or abs(int(digits)) >= 2**_INTEGER_BITS:
        raise ValueError(f"the integer {_cut(digits)} has more than {_INTEGER_BITS} bits")
    return int(digits)


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"the number {_cut(text)} is outside the range of numbers")
    return value


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON number")


def _cut(text: str) -> str:
    return in_brief(text, _DIGITS_SHOWN)
