"""The planted features of the benchmark: leaks are refused and causal ones admitted."""

from __future__ import annotations

import importlib.util
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from offline_trader.features import examine_features
from offline_trader.markets import Bars, load_market

FILE = Path(__file__).parents[2] / "benchmarks" / "planted_features.py"
HARD = (
    "leak_rare_dates", "leak_one_bar_in_a_thousand", "leak_tiny", "leak_looked_up_elsewhere",
    "leak_kept_from_the_first_call", "leak_signal_filled_backwards", "leak_last_of_the_day_by_day",
)  # fmt: skip
LIVELY = (
    "causal_day_sum_by_day",
    "causal_month_sum",
    "causal_regime_counter",
    "causal_convolution",
)


def planted() -> ModuleType:
    spec = importlib.util.spec_from_file_location("planted_features", FILE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def markets() -> dict[str, Bars]:
    rng = np.random.default_rng(0)
    mood = np.where(rng.random(5000) < 0.3, np.nan, rng.normal(size=5000))
    daily = load_market("sp500").slice(0, 5000)
    hourly = load_market("synthetic:walk?bars=5000&seed=1")
    return {k: replace(b, signals={"sentiment": mood}) for k, b in (("d", daily), ("h", hourly))}


def leaks(name: str, markets: dict[str, Bars]) -> list[str]:
    bars = markets["h" if name.endswith("_by_day") else "d"]
    return [leak.feature for leak in examine_features(f"{FILE}:{name}", bars).leaks]


@pytest.mark.parametrize("name", HARD)
def test_a_hidden_leak_is_found(name: str, markets: dict[str, Bars]) -> None:
    assert leaks(name, markets)


@pytest.mark.parametrize("name", LIVELY)
def test_a_causal_feature_with_a_long_memory_passes(name: str, markets: dict[str, Bars]) -> None:
    assert not leaks(name, markets)


@pytest.mark.slow
def test_every_leak_is_found_and_every_causal_feature_passes(markets: dict[str, Bars]) -> None:
    module = planted()
    assert len(module.LEAKS) >= 20
    assert len(module.CAUSAL) >= 20
    assert [name for name in module.LEAKS if not leaks(name, markets)] == []
    assert [name for name in module.CAUSAL if leaks(name, markets)] == []
