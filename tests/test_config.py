"""Merging defaults, YAML and command-line settings into frozen dataclasses."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from offline_trader.config import config_hash, load_config, portable, to_dict, to_yaml
from offline_trader.config.loading import from_dict, known_keys
from offline_trader.errors import ConfigError


@dataclass(frozen=True)
class Costs:
    commission_bps: float = 1.0
    lots: int = 0
    mode: Literal["order", "target_long"] = "order"

    def __post_init__(self) -> None:
        if self.commission_bps < 0:
            raise ConfigError(f"commission_bps is {self.commission_bps}", expected="0 or more")


@dataclass(frozen=True)
class Job:
    market: str = "sp500"
    hidden: tuple[int, ...] = (64, 64)
    band: tuple[float, str] = (0.5, "x")
    start: str | None = None
    output: Path = Path("out")
    rates: dict[str, float] = field(default_factory=dict)
    quick: bool = False
    limit: int | float | None = None
    costs: Costs = field(default_factory=lambda: Costs(commission_bps=3.0))
    extra: Costs | None = None


def test_precedence_is_defaults_then_yaml_then_settings(tmp_path: Path) -> None:
    file = tmp_path / "job.yaml"
    file.write_text("market: nasdaq\ncosts:\n  lots: 5\n  mode: target_long\n")
    job = load_config(Job, file, ["costs.lots=7", "market=aapl.csv", "costs.lots=8"])
    assert job == Job(market="aapl.csv", costs=Costs(3.0, 8, "target_long"))


def test_a_base_lies_between_defaults_and_file(tmp_path: Path) -> None:
    file = tmp_path / "job.yaml"
    file.write_text("costs:\n  lots: 5\n")
    base = {"market": "nasdaq", "costs": {"lots": 4, "mode": "target_long"}}
    job = load_config(Job, file, ["costs.commission_bps=9"], base)
    assert job == Job(market="nasdaq", costs=Costs(9.0, 5, "target_long"))
    assert base == {"market": "nasdaq", "costs": {"lots": 4, "mode": "target_long"}}


def test_a_partial_nested_mapping_keeps_the_fields_own_default() -> None:
    assert from_dict(Job, {"costs": {"lots": 2}}).costs.commission_bps == 3.0


@pytest.mark.parametrize(
    ("text", "name", "value"),
    [
        ("market=1", "market", "1"),
        ("start=2012-01-03", "start", "2012-01-03"),
        ("start=null", "start", None),
        ("hidden=32,16", "hidden", (32, 16)),
        ("hidden=[32]", "hidden", (32,)),
        ("hidden=8", "hidden", (8,)),
        ("band=[1, y]", "band", (1.0, "y")),
        ("quick=true", "quick", True),
        ("costs.commission_bps=1e-4", "costs", Costs(1e-4)),
        ("costs.commission_bps=2", "costs", Costs(2.0)),
        ("output=a/b", "output", Path("a/b")),
        ("rates={a: 1}", "rates", {"a": 1.0}),
        ("rates.b=2", "rates", {"b": 2.0}),
        ("limit=3", "limit", 3),
        ("limit=2.5", "limit", 2.5),
        ("extra.lots=4", "extra", Costs(1.0, 4)),
        ("market=a=b", "market", "a=b"),
    ],
)
def test_a_setting_is_read_by_its_fields_type(text: str, name: str, value: object) -> None:
    found = getattr(load_config(Job, None, [text]), name)
    assert found == value
    assert type(found) is type(value)


def test_yaml_dates_reach_text_fields_as_iso_dates(tmp_path: Path) -> None:
    file = tmp_path / "job.yaml"
    file.write_text("start: 2012-01-03\n")
    assert load_config(Job, file).start == "2012-01-03"


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("markt=x", "did you mean 'market'"),
        ("costs.comission_bps=1", "did you mean 'costs.commission_bps'"),
        ("commission_bps=1", "did you mean 'costs.commission_bps'"),
        ("zzzzzz=1", "expected: one of market"),
        ("costs.lots=many", "costs.lots is 'many' .*\nexpected: a whole number"),
        ("costs.lots=1.5", "expected: a whole number"),
        ("costs.lots=true", "expected: a whole number"),
        ("quick=1", "expected: true or false"),
        ("costs.commission_bps=-1", "costs: commission_bps is -1.0"),
        ("costs.mode=ordr", "did you mean 'order'"),
        ("costs=5", "expected: settings of Costs"),
        ("hidden=[a]", r"hidden\[0\] is 'a'"),
        ("band=[1]", "1 values.*\nexpected: 2 values"),
        ("rates=3", "expected: a mapping"),
        ("market", "expected: key=value"),
        ("costs.=1", "ends its key with a dot"),
    ],
)
def test_a_wrong_setting_is_refused_with_the_key(setting: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_config(Job, None, [setting])


REPEATED = "".join(
    f"  r{i}: &r{i} [{', '.join([f'*r{i - 1}' if i else '1'] * 10)}]\n" for i in range(12)
)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a: [", "is not YAML"),
        ("- 1", "expected: a mapping"),
        ("costs:\n  lotz: 1\n", "did you mean 'costs.lots'"),
        (
            "costs: {lots: 1}\nquick: true\ncosts: {mode: order}\n",
            "'costs' is there twice.*\n.*line 3",
        ),
        ("rates: &a {b: *a}\n", "contains itself"),
        ("rates:\n" + REPEATED, "too many repetitions"),
    ],
)
def test_a_wrong_file_is_refused(tmp_path: Path, content: str, message: str) -> None:
    file = tmp_path / "job.yaml"
    file.write_text(content)
    with pytest.raises(ConfigError, match=message):
        load_config(Job, file)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("costs: {lots: many}", "{}: costs.lots is 'many' (str)"),
        ("costs: {commission_bps: -1}", "{}: costs: commission_bps is -1.0"),
        ("markt: x", "{}: unknown setting 'markt'"),
    ],
)
def test_what_a_file_says_is_refused_with_its_name(tmp_path: Path, content: str, told: str) -> None:
    file = tmp_path / "job.yaml"
    file.write_text(content)
    with pytest.raises(ConfigError) as refused:
        load_config(Job, file, ["quick=true"])
    assert refused.value.found == told.format(file)
    file.write_text("costs: {lots: 2}")
    with pytest.raises(ConfigError) as refused:
        load_config(Job, file, ["costs.lots=many"])
    assert str(file) not in str(refused.value)


def test_a_text_where_a_list_belongs_is_shown_as_one(tmp_path: Path) -> None:
    file = tmp_path / "job.yaml"
    file.write_text("hidden: 64x")
    with pytest.raises(ConfigError, match=r"a list, as in \[64x\]"):
        load_config(Job, file)


def test_what_is_repeated_by_name_is_taken_over(tmp_path: Path) -> None:
    file = tmp_path / "job.yaml"
    file.write_text("rates: &a {x: 1.0, y: 2.0}\ncosts: {<<: &c {lots: 3}, commission_bps: 2}\n")
    assert load_config(Job, file).costs.lots == 3


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot read .*job\.yaml"):
        load_config(Job, tmp_path / "job.yaml")


def test_a_field_without_default_is_asked_for() -> None:
    @dataclass(frozen=True)
    class Needs:
        seed: int

    with pytest.raises(ConfigError, match="lacks the setting 'seed'"):
        from_dict(Needs, {})


def test_known_keys_are_dotted() -> None:
    assert known_keys(Job)[-6:] == [
        "costs.commission_bps",
        "costs.lots",
        "costs.mode",
        "extra.commission_bps",
        "extra.lots",
        "extra.mode",
    ]


@given(
    market=st.text(),
    hidden=st.lists(st.integers(1, 512), max_size=4).map(tuple),
    fee=st.floats(0, 1e6),
    start=st.none() | st.dates().map(str),
    rates=st.dictionaries(st.text(min_size=1), st.floats(allow_nan=False, allow_infinity=False)),
    extra=st.none() | st.builds(Costs, lots=st.integers(-(2**63), 2**63 - 1)),
)
def test_writing_then_reading_is_the_identity(
    tmp_path_factory: pytest.TempPathFactory,
    market: str,
    hidden: tuple[int, ...],
    fee: float,
    start: str | None,
    rates: dict[str, float],
    extra: Costs | None,
) -> None:
    job = Job(market, hidden, start=start, rates=rates, costs=Costs(fee), extra=extra)
    file = tmp_path_factory.mktemp("config") / "job.yaml"
    file.write_text(to_yaml(job), encoding="utf-8")
    again = load_config(Job, file)
    assert again == job
    assert config_hash(again) == config_hash(job)
    assert from_dict(Job, to_dict(job)) == job


def test_the_hash_is_a_known_value_and_moves_with_any_setting() -> None:
    canonical = b'{"commission_bps":1.0,"lots":0,"mode":"order"}'
    assert config_hash(Costs()) == hashlib.sha256(canonical).hexdigest()
    assert len({config_hash(c) for c in (Costs(), Costs(2.0), Costs(lots=1))}) == 3


def test_a_file_with_a_day_that_is_none_is_refused_with_its_name(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text("market: 2012-02-30\n")
    with pytest.raises(ConfigError, match=r"a\.yaml is not YAML: day is out of range"):
        load_config(Job, file)


def test_a_market_is_portable_without_its_folders() -> None:
    sources = ["sp500", "/a/b/prices.csv", "b/all.csv#BTC/USD", "closes:/c/d.csv#X"]
    sources.append("synthetic:ou?bars=100&name=a/b")
    names = ["sp500", "prices.csv", "all.csv#BTC/USD", "closes:d.csv#X", sources[-1]]
    tree = {"env": {"market": sources, "tz": None}, "seed": 1}
    assert portable(tree) == {"env": {"market": names, "tz": None}, "seed": 1}
    assert portable({"market": "/a/prices.csv"}) == {"market": "prices.csv"}


def test_a_file_names_no_code_unless_it_is_the_callers_own(tmp_path: Path) -> None:
    from offline_trader.datasets import CollectConfig

    mark, rule = tmp_path / "imported", tmp_path / "rules.py"
    rule.write_text(
        f"open({str(mark)!r}, 'w').close()\n\ndef dips(features, portfolio):\n"
        "    return 0 * features['rsi_14']\n"
    )
    file = tmp_path / "collect.yaml"
    file.write_text(f"experts: [technical, '{rule}:dips']\n")
    with pytest.raises(ConfigError, match="experts names code") as told:
        load_config(CollectConfig, file)
    assert str(file) in told.value.found
    assert not mark.exists()
    assert load_config(CollectConfig, file, ["experts=[technical]"]).experts == ("technical",)
    assert not mark.exists()
    found = load_config(CollectConfig, file, own_code=True)
    assert found.experts == ("technical", f"{rule}:dips")
    assert mark.exists()


def test_numpys_numbers_are_numbers() -> None:
    values = {
        "hidden": np.array([8, 16]),
        "band": (np.float32(0.5), np.str_("y")),
        "start": np.datetime64("2012-12-31"),
        "quick": np.True_,
        "limit": np.int64(3),
        "rates": {"a": np.float64(0.25)},
        "costs": {"lots": np.uint8(7)},
    }
    job = from_dict(Job, values)
    assert (job.hidden, job.band, job.start) == ((8, 16), (0.5, "y"), "2012-12-31")
    assert (job.quick, job.limit, job.rates, job.costs.lots) == (True, 3, {"a": 0.25}, 7)
    kinds = {type(each) for each in (*job.hidden, job.limit, job.costs.lots)}
    assert kinds == {int}
    assert config_hash(job) == config_hash(from_dict(Job, to_dict(job)))
    for text in ("2012", "2012-06", "2012-06-30T15:30", "2012-06-30T15:30:00.500000000", "NaT"):
        assert from_dict(Job, {"start": np.datetime64(text)}).start == text
    for setting in ({"quick": np.int64(1)}, {"costs": {"lots": np.float64(0.5)}}):
        with pytest.raises(ConfigError, match="expected"):
            from_dict(Job, setting)
