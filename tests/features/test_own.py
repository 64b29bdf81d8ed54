"""Features of the user's own: named, looked at for leaks, the same in batch and bar by bar."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from offline_trader.envs import EnvConfig, make_market
from offline_trader.errors import ConfigError, DataError
from offline_trader.features import (
    Admission,
    admission_notes,
    admitted,
    compute_features,
    feature_set,
    feature_stream,
    name_features,
    own,
)
from offline_trader.features import admission as admissions
from offline_trader.markets import Bars, load_market

CODE = """
import numpy as np
import pandas as pd

def momentum(bars):
    r = np.log(bars["close"]).diff()
    return pd.DataFrame({"mom_10": r.rolling(10).sum(), "vol_20": r.ewm(span=20).std()})

def array(bars):
    return np.stack([bars["close"].to_numpy(), bars["volume"].to_numpy()], axis=1)

def series(bars):
    return bars["close"].pct_change()

def so_far(bars):
    return bars["close"] / bars["close"].expanding().max()

def following(bars):
    return bars["close"].shift(-1) / bars["close"]

def rarely(bars):
    r = bars["close"].pct_change()
    return r.where((bars["close"] * 1000).round().astype(int) % 97 != 9, r.shift(-1))

def gappy(bars):
    return bars["close"].pct_change().where(np.arange(len(bars)) % 7 != 3)

def with_signal(bars):
    return bars["mood"].ffill() * 2.0

def stated(bars):
    return bars["close"].rolling(300).mean() / bars["close"]
stated.window = 300

def too_short(bars):
    return bars["close"].rolling(300).mean() / bars["close"]
too_short.window = 100

def clash(bars):
    return {"return_1": bars["close"].diff()}

def short(bars):
    return np.zeros(5)

def words(bars):
    return {"close": bars["close"], "side": pd.Series(["buy"] * len(bars), index=bars.index)}

def infinite(bars):
    return np.where(np.arange(len(bars)) == 50, np.inf, 0.0)

def raises(bars):
    return bars["no_such_column"]

def coarse(bars):
    return bars["close"].resample("W").last()

def random(bars):
    return np.random.default_rng().normal(size=len(bars))
"""


@pytest.fixture(autouse=True)
def nothing_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for module, name in ((own, "_NAMED"), (own, "_LOADED"), (admissions, "_ADMITTED")):
        monkeypatch.setattr(module, name, {})
    monkeypatch.setattr(admissions, "_SECONDS", 0.1)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "mine.py"
    path.write_text(CODE, encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def bars() -> Bars:
    made = load_market("synthetic:walk?bars=1200&seed=2")
    rng = np.random.default_rng(1)
    mood = np.where(rng.random(1200) < 0.3, np.nan, rng.normal(size=1200))
    return replace(made, signals={"mood": mood})


def refusal(bars: Bars, path: str) -> str:
    with pytest.raises(ConfigError) as stop:
        compute_features(bars, (name_features(path), "signal:mood"))
    return str(stop.value)


def test_they_stand_beside_the_built_in_ones_under_names_of_their_own(
    bars: Bars, file: Path
) -> None:
    name = name_features(f"{file}:momentum")
    assert name == "mine.py:momentum"
    both = compute_features(bars, ("builtin", name))
    assert both.schema.names[-2:] == ("mom_10", "vol_20")
    assert both.warmup == 252
    np.testing.assert_array_equal(both.values[252:, :32], compute_features(bars).values[252:])
    alone = compute_features(bars, name)
    assert alone.warmup == 10  # where both have had their first value
    r = np.diff(np.log(bars.close))
    np.testing.assert_allclose(alone.values[500, 0], r[490:500].sum(), rtol=1e-9)
    assert name_features(f"{file}:array") == "mine.py:array"
    assert feature_set("mine.py:array").schema.names == ("array_0", "array_1")
    assert feature_set(name_features(f"{file}:series")).schema.names == ("series",)


def test_code_is_imported_only_where_the_user_names_it(bars: Bars, file: Path) -> None:
    marker = file.with_name("imported")
    file.write_text(f"open({str(marker)!r}, 'w').close()\n{CODE}", encoding="utf-8")
    env = EnvConfig(("sp500",), features=("builtin", f"{file}:momentum"))
    calls = (
        lambda: env.layout,
        lambda: make_market(env),
        lambda: compute_features(bars, env.features),
    )
    for call in calls:
        with pytest.raises(ConfigError, match="--features"):
            call()
    assert not marker.exists()


def test_a_changed_file_makes_another_layout(file: Path) -> None:
    before = feature_set(name_features(f"{file}:momentum")).schema
    file.write_text(CODE + "\n# a comment\n", encoding="utf-8")
    after = feature_set(name_features(f"{file}:momentum")).schema
    assert before.names == after.names
    assert before.hash != after.hash


def test_two_files_of_one_name_are_told_apart(file: Path, tmp_path: Path) -> None:
    other = tmp_path / "elsewhere" / "mine.py"
    other.parent.mkdir()
    other.write_text(CODE, encoding="utf-8")
    name_features(f"{file}:momentum")
    with pytest.raises(ConfigError, match=r"are both called mine\.py:momentum"):
        name_features(f"{other}:momentum")


@pytest.mark.parametrize("function", ["following", "rarely"])
def test_one_that_reads_the_future_is_refused_with_feature_bar_and_both_values(
    bars: Bars, file: Path, function: str
) -> None:
    said = refusal(bars, f"{file}:{function}")
    assert f"mine.py:{function} reads the future: {function} at bar " in said
    assert "--trust-features" in said


def test_a_trusted_one_is_used_and_recorded(bars: Bars, file: Path) -> None:
    name = name_features(f"{file}:following", trust=True)
    assert compute_features(bars, name).values.shape == (1200, 1)
    (found,) = admitted((name,))
    assert found.trusted
    assert found.leaks[0].feature == "following"
    assert "read the future" in admission_notes([found])[0]
    name_features(f"{file}:following")  # the trust ends with what it was said for
    with pytest.raises(ConfigError, match="reads the future"):
        compute_features(bars, name)


@pytest.mark.parametrize(
    ("function", "window"), [("momentum", 253), ("stated", 300), ("so_far", None), ("series", 16)]
)
def test_bar_by_bar_they_are_those_of_the_batch(
    bars: Bars, file: Path, function: str, window: int | None
) -> None:
    names = ("builtin", name_features(f"{file}:{function}"), "signal:mood")
    batch = compute_features(bars, names)
    (found,) = admitted(names)
    assert found.window == window
    stream = feature_stream(names)
    live = np.stack([stream.update(bar) for bar in bars])
    np.testing.assert_allclose(
        live[batch.warmup :], batch.values[batch.warmup :], rtol=1.2e-7, atol=1e-9
    )


def test_a_window_that_is_too_short_is_refused_with_what_it_needs(bars: Bars, file: Path) -> None:
    said = refusal(bars, f"{file}:too_short")
    assert "in batch and nan on the last 100 bars" in said
    assert "it needs 512 bars" in said


def test_a_missing_value_is_the_last_known_one_and_is_counted(bars: Bars, file: Path) -> None:
    name = name_features(f"{file}:gappy")
    found = compute_features(bars, name)
    assert found.warmup == 1
    assert found.notes == ("gappy has no value in 171 of 1,200 bars; the last known one stands in",)
    np.testing.assert_array_equal(found.values[3::7], found.values[2::7][: len(found.values[3::7])])
    stream = feature_stream(name)
    live = np.stack([stream.update(bar) for bar in bars])
    np.testing.assert_allclose(live[1:], found.values[1:], rtol=1e-9)


def test_they_read_the_market_s_signals(bars: Bars, file: Path) -> None:
    names = (name_features(f"{file}:with_signal"), "signal:mood")
    found = compute_features(bars, names)
    np.testing.assert_array_equal(found.values[10:, 0], 2.0 * found.values[10:, 1])
    with pytest.raises(ConfigError, match="no signal 'mood'"):
        compute_features(replace(bars, signals={}), "signal:mood")


@pytest.mark.parametrize(
    ("function", "said"),
    [
        ("clash", "two features are called 'return_1'"),
        ("short", "array of shape (5, 1) for 600 bars"),
        ("words", "returned no numbers"),
        ("infinite", "bar 50: infinite is inf"),
        ("raises", "mine.py line"),
        ("coarse", "other times|for 600 bars"),
        ("random", "two different answers|reads the future"),
    ],
)
def test_what_is_no_feature_is_refused(bars: Bars, file: Path, function: str, said: str) -> None:
    name = name_features(f"{file}:{function}")
    with pytest.raises(ConfigError) as stop:
        compute_features(bars, ("builtin", name))
    assert any(part in str(stop.value) for part in said.split("|"))


def test_a_wrong_name_is_told_at_once(file: Path) -> None:
    for wrong in ("mine", f"{file}:no_such", f"{file.with_name('other.py')}:momentum"):
        with pytest.raises(ConfigError):
            name_features(wrong)


def test_too_few_bars_to_look_at_are_told(bars: Bars, file: Path) -> None:
    name = name_features(f"{file}:series")
    with pytest.raises(DataError, match="at least 60"):
        compute_features(bars.slice(0, 50), name)


def test_a_function_of_a_notebook_is_one_too(bars: Bars) -> None:
    made: dict[str, object] = {"__name__": "__main__"}
    exec("def twice(bars):\n    return bars['close'].pct_change() * 2", made)
    function = made["twice"]
    assert callable(function)
    name = name_features(function)
    first = feature_set(name).schema
    assert first.names == ("twice",)
    exec("def twice(bars):\n    return bars['close'].pct_change() * 3", made)
    changed = made["twice"]
    assert callable(changed)
    assert feature_set(name_features(changed)).schema.hash != first.hash
    assert isinstance(admitted((name,)), tuple)
    assert compute_features(bars, name).warmup == 1
    assert isinstance(admitted((name,))[0], Admission)
