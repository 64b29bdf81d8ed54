"""What synthetic markets have compiled is, to the last bit, what numpy and scipy compute."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from scipy.signal import lfilter

from offline_trader.markets.synthetic import TurbulentMarket
from offline_trader.markets.synthetic.bridge import BRIDGE_STEPS, bridge_extremes
from offline_trader.markets.synthetic.kernels import (
    ar1,
    lasting,
    opens_and_closes,
    turbulent_returns,
)
from offline_trader.markets.synthetic.streams import spawned_streams


@pytest.mark.parametrize("seed", [0, 1, 2**32 - 1, 2**32, 2**64 + 3, 2**127 + 9, 2**200 + 11])
def test_streams_are_those_that_numpy_spawns(seed: int) -> None:
    spawned = np.random.SeedSequence(seed).spawn(7)
    for found, stream in zip(spawned_streams(seed, 7), spawned, strict=True):
        assert found.bit_generator.state == np.random.default_rng(stream).bit_generator.state


def test_a_seed_may_be_a_number_of_numpy() -> None:
    seeds: tuple[Any, Any] = (3, np.int64(3))
    one, same = (TurbulentMarket(bars=50, seed=seed).make() for seed in seeds)
    assert one.sha256 == same.sha256


@pytest.mark.parametrize("bars", [2, 501, 3_000, 10_000])  # all steps, some or one at once
@pytest.mark.parametrize("one", [False, True])
def test_the_bridge_is_the_one_that_is_written_step_by_step(bars: int, one: bool) -> None:
    draw = np.random.default_rng(bars)
    start, end = draw.standard_normal((2, bars))
    sigma = 0.3 if one else draw.random(bars)
    found = bridge_extremes(start, end, sigma, np.random.default_rng(3))
    noise, here = np.random.default_rng(3), start
    high, low = np.maximum(start, end), np.minimum(start, end)
    for step in range(1, BRIDGE_STEPS):
        left = BRIDGE_STEPS - step + 1
        spread = sigma * math.sqrt((left - 1) / left / BRIDGE_STEPS)
        here = here + (end - here) / left + spread * noise.standard_normal(bars)
        high, low = np.maximum(high, here), np.minimum(low, here)
    np.testing.assert_array_equal(found, (high, low))


def test_regimes_are_chosen_as_numpy_chooses_and_last() -> None:
    shares = np.array([0.5, 0.0, 0.3, 0.2])
    noise, same = np.random.default_rng(4), np.random.default_rng(4)
    bounds = shares.cumsum()
    found = lasting(noise.random(5_000), noise.random(5_000), bounds / bounds[-1], 0.02)
    drawn, begins = same.choice(4, size=5_000, p=shares), same.random(5_000) < 0.02
    begins[0] = True
    np.testing.assert_array_equal(found, drawn[np.flatnonzero(begins)][np.cumsum(begins) - 1])


def test_an_autoregression_is_scipys_filter() -> None:
    pushes = np.random.default_rng(5).standard_normal(4_000)
    np.testing.assert_array_equal(ar1(pushes, 0.97), lfilter([1.0], [1.0, -0.97], pushes))


@pytest.mark.parametrize("jumping", [False, True])
def test_returns_are_those_of_the_law(jumping: bool) -> None:
    draw, n = np.random.default_rng(6), 2_000
    z, d, regimes = draw.standard_normal(n), draw.standard_normal(n), draw.integers(0, 2, n)
    drifts, units, (c, own) = np.array([0.1, -0.2]), np.array([0.01, 0.02]), (0.3, math.sqrt(0.91))
    alpha, gamma, beta = 0.02, 0.14, 0.89
    jumps = draw.standard_normal(n) if jumping else np.empty(0)
    h = np.ones(n)
    for t in range(1, n):
        rise = alpha + gamma if z[t - 1] < 0.0 else alpha
        h[t] = 1.0 - alpha - 0.5 * gamma - beta + (rise * z[t - 1] ** 2 + beta) * h[t - 1]
    deviation = units[regimes] * np.sqrt(h)
    known = drifts[regimes] + c * np.concatenate(([0.0], d[:-1]))
    law = deviation * (known + own * z) + (jumps if jumping else 0.0) - 0.5 * deviation**2
    r, sigma = turbulent_returns(
        z, (alpha, gamma, beta), d, (c, own), regimes, drifts, units, jumps
    )
    np.testing.assert_array_equal((r, sigma), (law, deviation))
    gaps, night = draw.standard_normal(n), math.sqrt(0.2) * math.sqrt(0.8)
    opens, closes = opens_and_closes(r, sigma, gaps, 0.2)
    np.testing.assert_array_equal(closes, r.cumsum())
    before = np.concatenate(([0.0], closes[:-1]))
    np.testing.assert_array_equal(opens, before + (0.2 * r + night * sigma * gaps))


def test_days_are_business_days() -> None:
    bars = TurbulentMarket(bars=1_500).make()
    start = np.datetime64("1970-01-01", "D")
    days = np.busday_offset(start, np.arange(1_500), roll="forward")
    np.testing.assert_array_equal(bars.timestamps, days.astype("datetime64[ns]"))
