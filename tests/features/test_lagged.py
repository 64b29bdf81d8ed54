"""A feature set at its last bars: columns, stream, signals, own features, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from offline_trader.envs import EnvConfig, make_market
from offline_trader.errors import ConfigError
from offline_trader.evaluation.audit import AuditConfig, audit_function, audited, bars_frame
from offline_trader.features import (
    FEATURE_NAMES,
    WARMUP_BARS,
    compute_features,
    feature_set,
    feature_stream,
    name_features,
    observation_layout,
)
from offline_trader.markets import Bars, load_market, signal_names
from offline_trader.types import FloatArray

MARKET = "synthetic:ou?bars=300&seed=5"


@pytest.fixture(scope="module")
def bars() -> Bars:
    found = load_market(MARKET)
    mood = np.arange(300.0) % 7
    mood[:4] = np.nan
    mood[260:264] = np.nan
    return replace(found, signals={"mood": mood})


def streamed(bars: Bars, features: str | tuple[str, ...]) -> FloatArray:
    stream = feature_stream(features)
    return np.stack([stream.update(bar) for bar in bars])


def test_columns_are_those_of_earlier_bars_under_names_that_say_so(bars: Bars) -> None:
    now, window = compute_features(bars), compute_features(bars, "window:3:builtin")
    assert window.warmup == WARMUP_BARS + 2
    assert window.schema.names[:32] == FEATURE_NAMES
    assert window.schema.names[32:34] == ("return_1@1", "return_5@1")
    t = slice(window.warmup, None)
    for lag in range(3):
        earlier = now.values[window.warmup - lag : len(bars) - lag]
        np.testing.assert_array_equal(window.values[t, 32 * lag : 32 * (lag + 1)], earlier)
    assert np.isnan(window.values[: window.warmup]).all()
    layout = window.schema.layout
    assert layout.hash != now.schema.layout.hash
    assert layout.windows["gap"] == tuple(64 - 32 * i + layout.names.index("gap") for i in range(3))
    assert len(layout.windows) == 32
    assert not now.schema.layout.windows


def test_the_present_bar_stands_there_once(bars: Bars) -> None:
    names = ("builtin", "window:4:return_1", "window:4:gap")
    found = compute_features(bars, names)
    lags = [f"{name}@{lag}" for name in ("return_1", "gap") for lag in (1, 2, 3)]
    assert found.schema.names == (*FEATURE_NAMES, *lags)
    returns = compute_features(bars).column("return_1")
    np.testing.assert_array_equal(found.column("return_1@3")[255:], returns[252:-3])
    rows = streamed(bars, names)
    np.testing.assert_allclose(rows[255:], found.values[255:], atol=1e-9)
    assert list(observation_layout(names).windows) == ["return_1", "gap"]


def test_the_stream_equals_the_batch_bit_for_bit(bars: Bars) -> None:
    inner = streamed(bars, "builtin")
    rows = streamed(bars, "window:3:builtin")
    for lag in range(3):
        np.testing.assert_array_equal(
            rows[254:, 32 * lag : 32 * (lag + 1)], inner[254 - lag : 300 - lag]
        )
    np.testing.assert_allclose(rows[254:], compute_features(bars, "window:3:builtin").values[254:],
                               atol=1e-9)  # fmt: skip
    one = ("window:5:signal:mood",)
    np.testing.assert_array_equal(streamed(bars, one)[8:], compute_features(bars, one).values[8:])


def test_missing_values_begin_later_and_are_carried_in_every_column(bars: Bars) -> None:
    found = compute_features(bars, ("signal:mood", "window:3:signal:mood"))
    assert found.warmup == 6  # the first value is at bar 4
    mood = compute_features(bars, "signal:mood").column("mood")
    assert found.schema.names == ("mood", "mood@1", "mood@2")
    np.testing.assert_array_equal(found.column("mood@2")[6:], mood[4:-2])
    assert found.column("mood@1")[264] == mood[259]
    assert len(found.notes) == 1
    assert found.notes[0].startswith("mood has no value in 4 of 300")
    assert signal_names(("signal:mood", "window:3:signal:mood")) == ("mood",)
    assert EnvConfig((MARKET,), features=("window:3:signal:mood",)).signals.names == ("mood",)


def test_features_of_ones_own_go_through_a_window_once_they_were_named(
    bars: Bars, tmp_path: Path
) -> None:
    code = tmp_path / "windowed_own.py"
    code.write_text("def move(bars):\n    return bars['close'].pct_change()\n")
    with pytest.raises(ConfigError, match=r"features windowed_own.py:move are code"):
        feature_set("window:4:windowed_own.py:move")
    name = name_features(f"window:4:{code}:move")
    assert name == "window:4:windowed_own.py:move"
    assert name_features("window:4:signal:mood") == "window:4:signal:mood"
    found = compute_features(bars, name)
    assert found.warmup == 4
    assert found.schema.names == ("move", "move@1", "move@2", "move@3")
    np.testing.assert_array_equal(streamed(bars, name)[4:], found.values[4:])
    assert make_market(EnvConfig((MARKET,), features=(name,))).layout == found.schema.layout


def test_the_audit_finds_no_leak_in_a_window_and_one_in_what_it_is_of(
    bars: Bars, tmp_path: Path
) -> None:
    frame, few = bars_frame(bars), AuditConfig(cuts=3, seed=1)
    result = audit_function(audited("window:3:return_1"), frame, few)
    assert result.clean
    assert result.outputs == ("return_1", "return_1@1", "return_1@2")
    code = tmp_path / "windowed_leak.py"
    code.write_text("def ahead(bars):\n    return bars['close'].shift(-1) / bars['close'] - 1.0\n")
    with pytest.raises(ConfigError, match="reads the future"):
        compute_features(bars, name_features(f"window:2:{code}:ahead"))


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("window:1:builtin", "a window of '1' bars"),
        ("window:257:builtin", "2 to 256 bars"),
        ("window:99999999999999999999:builtin", "2 to 256 bars"),
        ("window:-3:builtin", "2 to 256 bars"),
        ("window:builtin", "unknown feature set ''"),
        ("window:8", "unknown feature set ''"),
        ("window:8:", "unknown feature set ''"),
        ("window:8:bultin", "unknown feature set 'bultin'"),
        ("window:2:window:2:builtin", "of earlier bars already"),
    ],
)
def test_a_window_that_is_none_is_refused(name: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        feature_set(name)
