"""Checks that the classes of settings share; each raises ConfigError with key and value."""

from __future__ import annotations

from offline_trader.errors import ConfigError

__all__ = ["not_negative", "one_of", "positive", "share"]


def one_of(config: object, name: str, allowed: tuple[str, ...]) -> None:
    """Refuse a value that is not among ``allowed``."""
    value = getattr(config, name)
    if value not in allowed:
        raise ConfigError(f"{name}={value!r}", expected=f"one of {', '.join(allowed)}")


def positive(config: object, *names: str) -> None:
    """Refuse what is not above 0."""
    for name in names:
        if not getattr(config, name) > 0:
            raise ConfigError(f"{name}={getattr(config, name)}", expected="above 0")


def not_negative(config: object, *names: str) -> None:
    """Refuse what is below 0."""
    for name in names:
        if not getattr(config, name) >= 0:
            raise ConfigError(f"{name}={getattr(config, name)}", expected="0 or more")


def share(config: object, *names: str) -> None:
    """Refuse what is not in (0, 1]."""
    for name in names:
        if not 0.0 < getattr(config, name) <= 1.0:
            raise ConfigError(f"{name}={getattr(config, name)}", expected="in (0, 1]")
