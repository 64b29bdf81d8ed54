"""Tagged unions of settings: a class a variant, told apart by the value of one field."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar, Self

from offline_trader.errors import ConfigError
from offline_trader.registry import Registry

__all__ = ["Variants"]


class Variants:
    """Base of the head of a tagged union; head and variants are frozen dataclasses.

    Calling the head makes the variant that the tag names. A setting that the variant does not have
    and another one has is refused with the names of those that have it.

    Attributes:
        TAG: the field that tells the variants apart.
        VARIANTS: the variants by the tag's value; a class that is in it is no head.
    """

    TAG: ClassVar[str]
    VARIANTS: ClassVar[Registry[Any]]

    def __new__(cls, *args: Any, **settings: Any) -> Self:
        chosen = cls.variant(settings.get(cls.TAG, args[0] if args else cls.default_tag()))
        chosen.refuse_foreign(settings)
        return object.__new__(chosen)

    @classmethod
    def default_tag(cls) -> str:
        """Value of the tag where none is given."""
        return str(getattr(cls, cls.TAG))

    @classmethod
    def variant(cls, tag: str) -> type[Self]:
        """The class of ``tag``, which is ``cls`` or below it.

        Raises:
            ConfigError: no such variant, or one that is none of ``cls``.
        """
        found = cls.VARIANTS[tag]
        if not issubclass(found, cls):
            tags = [name for name in cls.VARIANTS if issubclass(cls.VARIANTS[name], cls)]
            raise ConfigError(
                f"{cls.TAG}={tag!r} in {cls.__name__}",
                expected=f"one of {', '.join(tags)}",
                hint=f"with_tag({tag!r}) takes over what both have",
            )
        return found  # type: ignore[no-any-return]

    @classmethod
    def refuse_foreign(cls, settings: Mapping[str, Any], path: str = "") -> None:
        """Refuse settings that only other variants have.

        Raises:
            ConfigError: which setting, and whose it is.
        """
        own = _names(cls)
        for name in settings:
            users = cls.users(name) if name not in own else []
            if users:
                place = f"{path}.{name}" if path else name
                raise ConfigError(
                    f"{place}: {cls.default_tag()} does not use it",
                    expected=f"a setting of {cls.default_tag()}",
                    hint=f"{name} is used by {', '.join(users)}",
                )

    @classmethod
    def users(cls, name: str) -> list[str]:
        """Tags of the variants that have the setting."""
        return [tag for tag in cls.VARIANTS if name in _names(cls.VARIANTS[tag])]

    @classmethod
    def used(cls, settings: Mapping[str, Any]) -> dict[str, Any]:
        """``settings`` without those that only other variants than the tag's have: of a run whose
        settings were written for all of them, those that it was made with."""
        own = _names(cls.variant(str(settings.get(cls.TAG, cls.default_tag()))))
        return {k: value for k, value in settings.items() if k in own or not cls.users(k)}

    @classmethod
    def idle_default(cls, name: str, value: object) -> bool:
        """Whether ``name`` is another variant's setting, at that one's default: it says nothing."""
        fields = [
            field
            for tag in cls.users(name)
            for field in dataclasses.fields(cls.VARIANTS[tag])
            if field.name == name
        ]
        return name not in _names(cls) and any(value == field.default for field in fields)

    def with_tag(self, tag: str, **changes: Any) -> Any:
        """The settings of another variant: what both have as here, the rest by default."""
        chosen = self.VARIANTS[tag]
        both = _names(type(self)) & _names(chosen) - {self.TAG}
        return chosen(**{**{name: getattr(self, name) for name in both}, **changes})


def _names(cls: type) -> set[str]:
    return {field.name for field in dataclasses.fields(cls) if field.init}
