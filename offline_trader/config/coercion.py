"""Reading mappings into dataclasses: unknown keys, types and defaults.

The value of a field is read by the field's type alone, so the text ``1`` is a name where a
``str`` is wanted and a number where an ``int`` is.
"""

from __future__ import annotations

import dataclasses
import datetime
import math
import types
import typing
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import yaml

from offline_trader.config.variants import Variants
from offline_trader.errors import ConfigError, OfflineTraderError, did_you_mean, in_brief, nearest

__all__ = ["CommandText", "from_dict", "known_keys"]

T = TypeVar("T")
_SHOWN = 60
_INTEGERS_END = 2**64


@dataclasses.dataclass(frozen=True)
class CommandText:
    """A value from the command line, not yet read: its meaning depends on the field's type."""

    raw: str

    def parse(self) -> object:
        """The value as YAML reads it; the text itself where it is no YAML."""
        try:
            return yaml.safe_load(self.raw)
        # YAML's reader lets the 30th of February fall through, and a thousand open brackets.
        except (yaml.YAMLError, ValueError, RecursionError):
            return self.raw


def from_dict(cls: type[T], tree: Mapping[str, object]) -> T:
    """A ``cls`` from a (partial) mapping, as :func:`offline_trader.config.to_dict` writes it.

    Raises:
        ConfigError: unknown key, wrong type, missing or refused value.
    """
    return typing.cast(T, _build(cls, tree, None, ""))


def known_keys(cls: type) -> list[str]:
    """Dotted names of every setting of ``cls``, nested ones included, in order."""
    keys: list[str] = []
    for name, hint in _hints_of_all(cls).items():
        inner = _dataclass_in(hint)
        keys.extend([f"{name}.{key}" for key in known_keys(inner)] if inner else [name])
    return keys


@lru_cache(maxsize=256)
def _hints(cls: type) -> dict[str, Any]:
    """Resolved types of the fields that a caller may set, in order."""
    resolved = typing.get_type_hints(cls)
    return {f.name: resolved[f.name] for f in dataclasses.fields(cls) if f.init}


def _hints_of_all(cls: type) -> dict[str, Any]:
    """:func:`_hints`, of the head of a tagged union those of its variants, too."""
    hints = _hints(cls)
    if issubclass(cls, Variants):
        for tag in cls.VARIANTS:
            if issubclass(cls.VARIANTS[tag], cls):
                hints = {**hints, **_hints(cls.VARIANTS[tag])}
    return hints


def _dataclass_in(hint: object) -> type | None:
    """The dataclass that ``hint`` is, or that an optional ``hint`` may be."""
    for arm in typing.get_args(hint) if _is_union(hint) else (hint,):
        if isinstance(arm, type) and dataclasses.is_dataclass(arm):
            return arm
    return None


def _is_union(hint: object) -> bool:
    return typing.get_origin(hint) in (typing.Union, types.UnionType)


def _build(cls: type, tree: object, base: object, path: str) -> object:
    """An instance of dataclass ``cls``: ``tree``'s values over ``base``'s, or the defaults."""
    if isinstance(tree, CommandText):
        tree = tree.parse()
    if isinstance(tree, cls):
        return tree
    where = path or cls.__name__
    if not isinstance(tree, Mapping):
        raise ConfigError(f"{where} is {_shown(tree)}", expected=f"settings of {cls.__name__}")
    if issubclass(cls, Variants):
        cls, tree, base = _chosen(cls, tree, base, path)
    hints = _hints(cls)
    for key in tree:
        if key not in hints:
            raise _unknown(str(key), cls, path)
    values: dict[str, object] = {}
    for field in dataclasses.fields(cls):
        if not field.init:
            continue
        default = _default(field) if base is None else getattr(base, field.name)
        if field.name in tree:
            place = f"{path}.{field.name}" if path else field.name
            values[field.name] = _coerce(tree[field.name], hints[field.name], default, place)
        elif default is not dataclasses.MISSING:
            values[field.name] = default
        else:
            raise ConfigError(f"{where} lacks the setting {field.name!r}", hint="give it a value")
    try:
        return cls(**values)
    except OfflineTraderError as error:
        if type(error) is not ConfigError or path.rpartition(".")[2] in error.found:
            raise
        raise ConfigError(
            f"{path}: {error.found}", expected=error.expected, hint=error.hint
        ) from error
    except (ValueError, TypeError, OverflowError) as error:
        raise ConfigError(f"{where}: {error}") from error


def _chosen(
    cls: type[Variants], tree: Mapping[str, object], base: object, path: str
) -> tuple[type, Mapping[str, object], object]:
    """The variant that ``tree`` names, its settings, and the defaults as that variant has them.

    What is stored names every setting that its version knew: those of other variants are left out
    where they are at their defaults. On a command line naming one is a mistake.
    """
    tag = tree.get(cls.TAG, cls.default_tag() if base is None else getattr(base, cls.TAG))
    name = tag.raw if isinstance(tag, CommandText) else tag
    place = f"{path}.{cls.TAG}" if path else cls.TAG
    try:
        chosen = cls.variant(name if isinstance(name, str) else _text(name))
    except ConfigError as error:
        raise ConfigError(
            f"{place} is {_shown(name)}", expected=error.expected, hint=error.hint
        ) from None
    kept = {
        key: value
        for key, value in tree.items()
        if isinstance(value, CommandText) or not chosen.idle_default(key, value)
    }
    chosen.refuse_foreign(kept, path)
    if isinstance(base, Variants) and type(base) is not chosen:
        base = base.with_tag(str(name))
    return chosen, kept, base


def _default(field: dataclasses.Field[Any]) -> object:
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return field.default


def _unknown(key: str, cls: type, path: str) -> ConfigError:
    dotted = f"{path}.{key}" if path else key
    keys = [f"{path}.{name}" if path else name for name in known_keys(cls)]
    leaves = {name.rsplit(".", 1)[-1]: name for name in reversed(keys)}
    here = {name: f"{path}.{name}" if path else name for name in _hints(cls)}
    near = leaves.get(key)
    for known in (here, {name: name for name in keys}, leaves):
        near = near or known.get(nearest(key, known) or "")
    return ConfigError(
        f"unknown setting {dotted!r}",
        expected="" if near else f"one of {', '.join(keys)}",
        hint=f"did you mean {near!r}?" if near else "",
    )


def _shown(value: object) -> str:
    text = repr(_text(value)) if isinstance(value, str) else _text(value)
    return f"{text} ({type(value).__name__})"


def _text(value: object) -> str:
    return in_brief(value, _SHOWN)


def _coerce(value: object, hint: Any, base: object, path: str) -> object:
    """``value`` as the type ``hint`` says.

    Raises:
        ConfigError: it cannot be that type.
    """
    if isinstance(value, np.datetime64):  # in its unit: 2012 is a year, and NaT no date
        value = str(value)
    elif isinstance(value, np.generic | np.ndarray):  # of a caller in Python: 3 is a whole number
        value = value.tolist()
    if hint is Any or hint is object:
        return value.parse() if isinstance(value, CommandText) else value
    if _is_union(hint):
        return _coerce_union(value, typing.get_args(hint), base, path)
    if isinstance(hint, type) and dataclasses.is_dataclass(hint):
        keep = base if isinstance(base, hint) else None
        return _build(hint, value, keep, path)
    origin = typing.get_origin(hint)
    if origin is typing.Literal:
        return _coerce_literal(value, typing.get_args(hint), path)
    if origin in (tuple, list) or (isinstance(origin, type) and issubclass(origin, Sequence)):
        return _coerce_sequence(value, hint, path)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return _coerce_mapping(value, hint, path)
    return _coerce_scalar(value, hint, path)


def _coerce_union(value: object, arms: tuple[Any, ...], base: object, path: str) -> object:
    parsed = value.parse() if isinstance(value, CommandText) else value
    if type(None) in arms and parsed is None:
        return None
    arms = tuple(arm for arm in arms if arm is not type(None))
    for arm in arms:
        if isinstance(arm, type) and type(parsed) is arm and arm is not str:
            return parsed
    # Text fits everything, so it is tried last.
    failure: ConfigError | None = None
    for arm in sorted(arms, key=lambda arm: arm is str):
        try:
            return _coerce(value, arm, base, path)
        except ConfigError as error:
            failure = error if failure is None or _dataclass_in(arm) else failure
    assert failure is not None
    raise failure


def _coerce_literal(value: object, choices: tuple[object, ...], path: str) -> object:
    parsed = value.parse() if isinstance(value, CommandText) else value
    raw = value.raw if isinstance(value, CommandText) else value
    for choice in choices:
        if choice in (parsed, raw) and not (isinstance(parsed, bool) ^ isinstance(choice, bool)):
            return choice
    raise ConfigError(
        f"{path} is {_shown(raw)}",
        expected=f"one of {', '.join(map(repr, choices))}",
        hint=did_you_mean(_text(raw), map(str, choices)),
    )


def _coerce_sequence(value: object, hint: Any, path: str) -> object:
    parsed = value.parse() if isinstance(value, CommandText) else value
    if isinstance(value, CommandText) and not isinstance(parsed, list):
        parsed = [CommandText(part.strip()) for part in value.raw.split(",")] if value.raw else []
    if not isinstance(parsed, list | tuple):
        example = f"[{parsed}]" if isinstance(parsed, str) else "[64, 64]"
        raise ConfigError(f"{path} is {_shown(parsed)}", expected=f"a list, as in {example}")
    arms = typing.get_args(hint)
    if typing.get_origin(hint) is tuple and not (len(arms) == 2 and arms[1] is Ellipsis):
        if len(arms) != len(parsed):
            raise ConfigError(f"{path} has {len(parsed)} values", expected=f"{len(arms)} values")
    else:
        arms = (arms[0],) * len(parsed)
    items = [
        _coerce(item, arm, None, f"{path}[{i}]")
        for i, (item, arm) in enumerate(zip(parsed, arms, strict=True))
    ]
    return items if typing.get_origin(hint) is list else tuple(items)


def _coerce_mapping(value: object, hint: Any, path: str) -> object:
    parsed = value.parse() if isinstance(value, CommandText) else value
    if not isinstance(parsed, Mapping):
        raise ConfigError(f"{path} is {_shown(parsed)}", expected="a mapping of names to values")
    arm = typing.get_args(hint)[1]
    return {str(k): _coerce(item, arm, None, f"{path}.{k}") for k, item in parsed.items()}


def _coerce_scalar(value: object, hint: Any, path: str) -> object:
    parsed = value.parse() if isinstance(value, CommandText) else value
    if hint is str:
        if isinstance(value, CommandText):
            return value.raw
        if isinstance(parsed, datetime.date):  # YAML reads 2012-01-01 as a date
            return parsed.isoformat()
        if isinstance(parsed, str):
            return parsed
    elif hint is bool:
        if isinstance(parsed, bool):
            return parsed
    elif hint is int:
        number = _as_number(parsed)
        if isinstance(parsed, int) and number is not None and abs(parsed) < _INTEGERS_END:
            return parsed
        if number is not None and number.is_integer() and abs(number) < _INTEGERS_END:
            return int(number)
    elif hint is float:
        number = _as_number(parsed)
        if number is not None:
            return number
    elif hint is Path:
        text = value.raw if isinstance(value, CommandText) else parsed
        if isinstance(text, str | Path):
            return Path(text)
    elif hint is type(None):
        if parsed is None:
            return None
    elif isinstance(hint, type) and isinstance(parsed, hint):
        return parsed
    expected = {
        "int": "a whole number of at most 64 bits",
        "float": "a finite number",
        "bool": "true or false",
    }
    name = getattr(hint, "__name__", str(hint))
    raise ConfigError(f"{path} is {_shown(parsed)}", expected=expected.get(name, f"a {name}"))


def _as_number(value: object) -> float | None:
    """``value`` as a float, None where it is none or outside their range; YAML 1.1 leaves ``1e-4``
    as text, so text is read too."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None
