"""The old name of :mod:`offline_trader.codec`."""

from __future__ import annotations

from offline_trader.codec import from_json, parse_json, read_object, require_moderate, require_types

import numpy as np

from offline_trader.errors import DataError

__all__ = [
    "LARGEST",
    "from_json",
    "json_text",
    "parse_json",
    "read_object",
    "require_moderate",
    "require_types",
]

_T = TypeVar("_T")

LARGEST = 1e50
_INTEGER_BITS = 64
_DIGITS_SHOWN = 24
_KINDS = {
    str: "text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    list: "a list",
    dict: "an object",
    type(None): "null",
}


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
) -> None:
    """Nothing if ``payload`` has every key of ``types`` with a value of one of its types.

    A whole number is a ``float`` too, and a truth value is no number.

    Raises:
        DataError: a key is missing or has a value of another type; names ``where`` and the key.
    """
    for key, wanted in types.items():
        allowed = wanted if isinstance(wanted, tuple) else (wanted,)
        expected = " or ".join(_KINDS[each] for each in allowed)
        if key not in payload:
            raise DataError(f"{where} lacks {key!r}", expected=expected, hint=hint)
        value = payload[key]
        fits = type(value) in allowed or (type(value) is int and float in allowed)
        if not fits:
            raise DataError(f"{where}: {key!r} is {_kind(value)}", expected=expected, hint=hint)


def from_json(cls: type[_T], payload: object, where: str) -> _T:
    """A dataclass from the JSON form of its fields, each read by its type alone.

    Null is NaN where a number must be (JSON has no NaN) and in arrays.

    Args:
        cls: a dataclass of scalars, tuples, mappings, float arrays and further dataclasses.
        payload: what :func:`parse_json` returned.
        where: what messages call it, such as the file.

    Raises:
        DataError: a field is missing, unknown, or of another type; names it.
    """
    if not isinstance(payload, dict):
        raise DataError(f"{where} is {_kind(payload)}", expected=f"the fields of {cls.__name__}")
    known: type = cls
    hints = _hints(known)
    unknown = sorted(set(payload) - set(hints))
    if unknown:
        raise DataError(
            f"{where} has unknown fields {_cut(', '.join(unknown))}",
            hint="it may be of another version",
        )
    values = {
        name: _converted(hints[name], item, f"{where}: {name}") for name, item in payload.items()
    }
    for field in dataclasses.fields(known):
        missing = dataclasses.MISSING
        optional = field.default is not missing or field.default_factory is not missing
        if field.name not in values and not optional:
            raise DataError(f"{where} lacks {field.name!r}")
    return cls(**values)


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
    if origin is dict:
        _require(dict, value, where)
        return {key: _converted(args[1], item, f"{where}.{key}") for key, item in value.items()}
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return from_json(hint, value, where)
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
    return text if len(text) <= _DIGITS_SHOWN else f"{text[:_DIGITS_SHOWN]}…"


def json_text(payload: object) -> str:
    """JSON text for a reader of any kind; numbers that JSON lacks (NaN, infinity) become null."""
    return json.dumps(_plain(payload), indent=2, ensure_ascii=False)


def _plain(value: object) -> object:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if hasattr(value, "tolist"):
        return _plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if value is None or isinstance(value, str | int | float | bool):
        return value
    return str(value)
