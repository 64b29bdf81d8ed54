"""Reading the JSON that commands leave for each other, when it may be damaged or made by hand.

Python's own reader takes what our writers never write: NaN and infinities, numbers beyond the range
of a float, integers of any length, objects nested deeper than it can follow. Here each of these is
refused like a missing bracket, so that no later line has to expect them.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from offline_trader.errors import DataError

__all__ = ["parse_json", "read_object", "require_types"]

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
