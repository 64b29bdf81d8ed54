"""Every configuration of the tree takes or refuses a value; nothing else comes out of it."""

from __future__ import annotations

import dataclasses
import importlib
import pkgutil
import typing
from functools import cache

import pytest

import offline_trader
from offline_trader.config import CommandText, from_dict
from offline_trader.errors import ConfigError, OfflineTraderError

HUGE = 10**400
WRONG: tuple[object, ...] = (
    *(HUGE, -HUGE, 10**30, -1, 0, True, float("nan"), float("inf"), -float("inf"), 1e308),
    *("x", None, [], {}, CommandText("9" * 400), CommandText("0x" + "f" * 9000)),
)


@cache
def configurations() -> tuple[type, ...]:
    """Every frozen dataclass of the tree that has a default for each field.

    One whose types are known to type checkers alone is never read from settings.
    """
    walk = pkgutil.walk_packages(offline_trader.__path__, "offline_trader.")
    found: set[type] = set()
    for info in walk:
        if info.name.endswith("__main__"):
            continue
        for each in vars(importlib.import_module(info.name)).values():
            if isinstance(each, type) and dataclasses.is_dataclass(each):
                found.add(each)
    own = [each for each in found if each.__module__.startswith("offline_trader")]
    complete = [
        each
        for each in own
        if not any(map(_is_required, dataclasses.fields(each))) and _can_be_read(each)
    ]
    return tuple(sorted(complete, key=lambda each: (each.__module__, each.__qualname__)))


def _can_be_read(cls: type) -> bool:
    try:
        typing.get_type_hints(cls)
    except NameError:
        return False
    return True


def _is_required(field: dataclasses.Field[object]) -> bool:
    missing = dataclasses.MISSING
    return field.init and field.default is missing and field.default_factory is missing


def test_the_configurations_of_every_command_are_found() -> None:
    names = {each.__name__ for each in configurations()}
    assert {"PretrainConfig", "CollectConfig", "EvaluateConfig", "SimulatorConfig"} <= names
    assert {"LearnerConfig", "OnlineConfig", "DemoConfig", "WalkForwardConfig"} <= names


def test_a_setting_is_taken_or_refused_as_one() -> None:
    for cls in configurations():
        for field in dataclasses.fields(cls):
            for value in WRONG:
                try:
                    from_dict(cls, {field.name: value})
                except OfflineTraderError:
                    continue
                except Exception as error:
                    pytest.fail(f"{cls.__name__}.{field.name} = {str(value)[:9]!r}: {error!r}")


def test_a_number_given_in_python_is_refused_as_a_setting_is() -> None:
    numbers = [value for value in WRONG if type(value) in (int, float)]
    for cls in configurations():
        base = cls()
        for field in dataclasses.fields(cls):
            if type(getattr(base, field.name)) not in (int, float) or not field.init:
                continue
            for value in numbers:
                try:
                    dataclasses.replace(base, **{field.name: value})
                except ConfigError:
                    continue
                except Exception as error:
                    pytest.fail(f"{cls.__name__}.{field.name} = {str(value)[:9]}: {error!r}")


@pytest.mark.parametrize("text", ["[" * 5000, "9" * 5000, ".nan", "-.inf"])
def test_text_that_yaml_cannot_read_is_refused_as_a_number(text: str) -> None:
    from offline_trader.learning.settings import LearnerConfig

    with pytest.raises(ConfigError, match="gamma") as refused:
        from_dict(LearnerConfig, {"gamma": CommandText(text)})
    assert len(str(refused.value)) < 200


@pytest.mark.parametrize("value", [HUGE, 2**64, float("nan"), float("inf"), "1e999"])
def test_a_number_out_of_range_is_no_number(value: object) -> None:
    from offline_trader.learning.settings import LearnerConfig

    for name in ("gamma", "batch_size"):
        with pytest.raises(ConfigError, match=name):
            from_dict(LearnerConfig, {name: value})
