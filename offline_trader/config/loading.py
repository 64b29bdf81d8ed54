"""Configuration: frozen dataclasses, filled from defaults, then a YAML file, then ``a.b=c``.

A configuration is a frozen dataclass whose fields are scalars, tuples, mappings or further
dataclasses. :func:`load_config` merges the three sources, refuses unknown keys with the nearest
known one, checks types and leaves value checks to each class's ``__post_init__``, which raises
:class:`~offline_trader.errors.ConfigError` and names the key.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePath
from typing import Any, TypeVar

import yaml

from offline_trader.codec import plain
from offline_trader.config.coercion import CommandText, from_dict, known_keys
from offline_trader.config.foreign_code import refuse_code
from offline_trader.config.settings_yaml import settings_of
from offline_trader.errors import ConfigError
from offline_trader.types import digest

__all__ = [
    "config_hash",
    "flat",
    "from_dict",
    "known_keys",
    "load_config",
    "portable",
    "read_yaml",
    "require_seed",
    "to_dict",
    "to_yaml",
    "with_settings",
]

T = TypeVar("T")


def load_config(
    cls: type[T],
    yaml_path: Path | None = None,
    overrides: Sequence[str] = (),
    base: Mapping[str, Any] | None = None,
    *,
    own_code: bool = False,
) -> T:
    """A ``cls`` from its defaults, updated by a YAML file, updated by ``key.sub=value`` texts.

    Args:
        cls: a frozen dataclass; nested dataclasses are filled field by field.
        yaml_path: file with a mapping at the top, or None.
        overrides: texts such as ``"simulator.commission_bps=2"``; later ones win.
        base: settings that replace the defaults before the file does, as a run's parent gives.
        own_code: the file is the caller's own and may name rules in files of code, which are
            imported; without it only ``overrides`` may.

    Raises:
        ConfigError: unreadable file, unknown key, wrong type, missing or refused value, or a file
            that names code.
    """
    stored = read_yaml(yaml_path) if yaml_path else {}
    if yaml_path is not None and not own_code:
        refuse_code(yaml_path, stored, {text.partition("=")[0].strip() for text in overrides})
    tree: dict[str, object] = _merged(base or {}, stored)
    for text in overrides:
        key, separator, value = text.partition("=")
        if not separator or not key.strip():
            raise ConfigError(f"setting {text!r} has no value", expected="key=value, as in seed=7")
        _assign(tree, key.strip().split("."), CommandText(value.strip()), text)
    try:
        return from_dict(cls, tree)
    except ConfigError as error:
        if yaml_path is None or not _is_of(error, cls, base or {}, stored):
            raise
        told = f"{yaml_path}: {error.found}"
        raise type(error)(told, expected=error.expected, hint=error.hint) from error


def _is_of(
    error: ConfigError, cls: type[Any], base: Mapping[str, Any], stored: Mapping[str, Any]
) -> bool:
    """Whether it is what the file says that is refused: the same by itself, and not without it."""
    return _refused(cls, base) != error.found == _refused(cls, _merged(base, stored))


def _refused(cls: type[Any], tree: Mapping[str, Any]) -> str | None:
    try:
        from_dict(cls, tree)
    except ConfigError as error:
        return error.found
    return None


def to_dict(config: object) -> dict[str, Any]:
    """JSON-able form of a config: tuples become lists, paths become strings."""
    if not dataclasses.is_dataclass(config) or isinstance(config, type):
        raise TypeError(f"to_dict needs a dataclass instance, not {config!r}")
    return dict(plain(config))


def to_yaml(config: object) -> str:
    """YAML text that :func:`load_config` reads back to an equal config."""
    tree = config if isinstance(config, Mapping) else to_dict(config)
    return yaml.safe_dump(plain(tree), sort_keys=False)


def flat(tree: Mapping[str, Any], path: str = "") -> dict[str, Any]:
    """The values of nested mappings by dotted key, as ``--set`` takes them."""
    found: dict[str, Any] = {}
    for key, value in tree.items():
        place = f"{path}.{key}" if path else str(key)
        found.update(flat(value, place) if isinstance(value, Mapping) else {place: value})
    return found


def config_hash(config: object) -> str:
    """SHA-256 of the resolved values; equal configs have equal hashes in every process."""
    return digest(to_dict(config))


def portable(tree: Mapping[str, Any]) -> dict[str, Any]:
    """``tree`` with the files under ``market`` and ``signal_files`` by name, without the folders
    that they lie in.

    A run is what its settings and its bars make it, wherever the bars were read from: their
    content is hashed by itself.
    """
    return {key: _portable(str(key), value) for key, value in tree.items()}


def _portable(key: str, value: Any) -> Any:
    if isinstance(value, Mapping):
        return portable(value)
    if key == "signal_files" and isinstance(value, str):
        return PurePath(value).name
    if key == "market" and isinstance(value, str):
        if value.startswith("synthetic:"):
            return value
        prefix = "closes:" if value.startswith("closes:") else ""
        path, mark, instrument = value.removeprefix(prefix).partition("#")
        return prefix + PurePath(path).name + mark + instrument
    if key in ("market", "signal_files") and isinstance(value, list | tuple):
        return [_portable(key, each) for each in value]
    return value


def read_yaml(path: Path) -> dict[str, object]:
    """The mapping of settings in the YAML file at ``path``, not yet read as any class.

    Raises:
        ConfigError: a file that cannot be read, is no YAML or holds something else.
    """
    try:
        tree = settings_of(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror or error}") from error
    except RecursionError:
        raise ConfigError(f"{path} is not YAML of settings: it is nested too deep") from None
    except (yaml.YAMLError, ValueError) as error:
        raise ConfigError(f"{path} is not YAML: {error}") from error
    if tree is None:
        return {}
    if not isinstance(tree, dict):
        raise ConfigError(
            f"{path} holds a {type(tree).__name__}", expected="a mapping of settings at the top"
        )
    return {str(key): value for key, value in tree.items()}


def _merged(low: Mapping[str, Any], high: Mapping[str, Any]) -> dict[str, object]:
    """``low`` with ``high``'s entries over it, mapping by mapping."""
    merged: dict[str, object] = dict(low)
    for key, value in high.items():
        before = merged.get(key)
        both = isinstance(before, Mapping) and isinstance(value, Mapping)
        merged[key] = _merged(before, value) if both else value  # type: ignore[arg-type]
    return merged


def with_settings(base: Mapping[str, Any], settings: Mapping[str, Any]) -> dict[str, Any]:
    """``base`` with ``settings`` over it, by name or dotted key (``env.simulator.commission_bps``),
    whose values may be mappings of further names; later ones win.

    Raises:
        ConfigError: a key that is no text, or ends with a dot.
    """
    tree: dict[str, Any] = dict(base)
    for key, value in settings.items():
        if not isinstance(key, str):
            raise ConfigError(f"setting {key!r}", expected="a name, as in 'offline.updates'")
        part: dict[str, object] = {}
        _assign(part, key.split("."), value, key)
        tree = _merged(tree, part)
    return tree


def _assign(tree: dict[str, object], keys: Sequence[str], value: object, text: str) -> None:
    """Put ``value`` at the dotted place in ``tree``, in place."""
    for key in keys[:-1]:
        inner = tree.get(key)
        inner = dict(inner) if isinstance(inner, Mapping) else {}
        tree[key] = inner
        tree = inner
    if not keys[-1]:
        raise ConfigError(f"setting {text!r} ends its key with a dot", expected="key.sub=value")
    tree[keys[-1]] = value


def require_seed(seed: int) -> None:
    """Refuse a seed that not every generator takes.

    Raises:
        ConfigError: outside 0 to 2^63 − 1.
    """
    if not 0 <= seed < 2**63:
        raise ConfigError(f"seed = {seed}", expected="0 to 2^63 - 1")
