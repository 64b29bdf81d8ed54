"""Dataclasses to JSON and back: what is written is read, what is damaged is named."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest

from offline_trader.codec import (
    Facts,
    from_json,
    parse_json,
    plain,
    read_object,
    require_moderate,
    require_types,
    to_json,
)
from offline_trader.errors import DataError
from offline_trader.simulator import SimulatorConfig
from offline_trader.types import FloatArray


@dataclass(frozen=True)
class Leg:
    price: float
    units: int = 1


@dataclass(frozen=True)
class Trip:
    name: str
    legs: tuple[Leg, ...]
    span: tuple[int, int] = (0, 1)
    score: float | None = None
    closes: FloatArray | None = None
    facts: dict[str, Any] = field(default_factory=dict)


def test_what_is_written_is_read_to_the_last_bit() -> None:
    trip = Trip("a", (Leg(0.1 + 0.2), Leg(1e-300, -(2**63))), (3, 4), -0.0, None, {"x": [1, None]})
    assert from_json(Trip, parse_json(to_json(trip)), "it") == trip


def test_numbers_that_json_lacks_become_null_and_nan_again() -> None:
    trip = Trip("a", (Leg(math.nan),), closes=np.array([[1.0, np.inf], [np.nan, 2.0]]))
    text = to_json(trip)
    assert json.loads(text)["closes"] == [[1.0, None], [None, 2.0]]
    again = from_json(Trip, parse_json(text), "it")
    assert math.isnan(again.legs[0].price)
    np.testing.assert_array_equal(again.closes, [[1.0, np.nan], [np.nan, 2.0]])


def test_what_people_put_into_facts_becomes_plain() -> None:
    given = {1: Path("a/b"), "n": np.int64(3), "x": np.float32(0.5), "b": np.bool_(True), "t": ()}
    assert plain(given) == {"1": "a/b", "n": 3, "x": 0.5, "b": True, "t": []}
    with pytest.raises(TypeError):
        to_json({"set": {1}})


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "Expecting"),
        ('{"a": NaN}', "NaN is no JSON number"),
        ("-Infinity", "no JSON number"),
        ("1e999", "outside the range"),
        ("1" * 400, "more than 64 bits"),
        (str(2**64), "more than 64 bits"),
        ("[" * 100_000, "nested too deep"),
        (b"\xff", "decode"),
    ],
)
def test_what_no_writer_of_ours_makes_is_refused(text: str | bytes, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        parse_json(text)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"name": 1}, "it: name is a whole number"),
        ({"legs": [{"price": True}]}, r"it: legs\[0\]: price is true or false"),
        ({"legs": [{"price": 1, "units": 1.0}]}, r"it: legs\[0\]: units is a number"),
        ({"legs": [{}]}, r"it: legs\[0\] lacks 'price'"),
        ({"legs": [{"price": 1, "more": 1}]}, r"it: legs\[0\] has unknown fields more"),
        ({"legs": 1}, "it: legs is a whole number"),
        ({"span": [1]}, "it: span has 1 values"),
        ({"closes": [["a"]]}, "it: closes holds text"),
        ({"closes": [[1], [1, 2]]}, "rows of different lengths"),
        ({"facts": []}, "it: facts is a list"),
        ({"other": 1}, "it has unknown fields other"),
    ],
)
def test_a_field_of_another_type_is_named(change: dict[str, Any], reason: str) -> None:
    payload = {"name": "a", "legs": [], **change}
    with pytest.raises(DataError, match=reason):
        from_json(Trip, payload, "it")


@dataclass(frozen=True)
class Stated(Facts):
    kind: Literal["buy", "sell"]
    order: Mapping[str, Any] = field(default_factory=dict)
    leg: Leg | None = None


def test_keys_of_a_later_version_are_passed_over_in_facts_alone() -> None:
    assert from_json(Stated, {"kind": "buy", "later": 1}, "it") == Stated("buy")
    with pytest.raises(DataError, match="it: leg has unknown fields later"):
        from_json(Stated, {"kind": "buy", "leg": {"price": 2, "later": 1}}, "it")


def test_one_of_several_words_and_what_a_class_refuses_are_named() -> None:
    with pytest.raises(DataError, match="it: kind is 'hold'") as refused:
        from_json(Stated, {"kind": "hold"}, "it")
    assert refused.value.expected == "one of buy, sell"
    with pytest.raises(DataError, match=r"it: simulator\.min_notional is -1\.0") as refused:
        from_json(SimulatorConfig, {"min_notional": -1}, "it")
    assert refused.value.hint == "it was changed, or written by another version: make it again"


def test_a_file_that_is_no_object_is_named(tmp_path: Path) -> None:
    file = tmp_path / "x.json"
    with pytest.raises(DataError, match=r"x\.json is not there"):
        read_object(file, what="an x")
    with pytest.raises(DataError, match="is not readable"):
        read_object(tmp_path, what="an x")
    for content, reason in ((b"[1]", "holds a list"), (b"{", "is not readable")):
        file.write_bytes(content)
        with pytest.raises(DataError, match=rf"x\.json {reason}") as caught:
            read_object(file, what="an x", hint="make it")
        assert (caught.value.expected, caught.value.hint) == ("an x", "make it")


def test_types_of_keys_are_asked_for_exactly() -> None:
    kinds: dict[str, type | tuple[type, ...]] = {"n": int, "x": (float, type(None))}
    require_types({"n": 1, "x": 1}, kinds, "it")
    require_types({"x": None}, kinds, "it", optional=("n",))
    for wrong, reason in (({"n": True, "x": 1.0}, "'n' is true or false"), ({"n": 1}, "lacks 'x'")):
        with pytest.raises(DataError, match=f"it.*{reason}"):
            require_types(wrong, kinds, "it")


def test_numbers_whose_squares_leave_the_floats_are_refused() -> None:
    require_moderate({"a": [1e50]}, "it")
    with pytest.raises(DataError, match=r"it: a is 1\.01e\+50"):
        require_moderate({"a": [1.01e50]}, "it")
