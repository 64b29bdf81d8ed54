"""Synthetic markets: their law, their seed, their source strings."""

from __future__ import annotations

import numpy as np
import pytest

from offline_trader.errors import ConfigError
from offline_trader.markets import load_market
from offline_trader.markets.synthetic import OuMarket, ou_market


def test_log_price_follows_the_law() -> None:
    bars = ou_market(OuMarket(bars=200_000, seed=3))
    y = np.log(bars.close / 100.0)
    keep = float(y[:-1] @ y[1:] / (y[:-1] @ y[:-1]))
    noise = y[1:] - 0.95 * y[:-1]
    # standard errors: sqrt((1 - 0.95²) / T) = 0.0007 and 0.01 / sqrt(2 T) = 1.6e-5
    assert keep == pytest.approx(0.95, abs=0.003)
    assert noise.std() == pytest.approx(0.01, abs=6e-5)
    assert y.std() == pytest.approx(0.01 / np.sqrt(1.0 - 0.95**2), rel=0.03)
    assert abs(np.corrcoef(noise[:-1], noise[1:])[0, 1]) < 0.01


def test_a_decision_fills_at_the_price_it_saw() -> None:
    bars = ou_market(OuMarket(bars=500, seed=1))
    np.testing.assert_array_equal(bars.open[1:], bars.close[:-1])
    assert (bars.high > np.maximum(bars.open, bars.close)).mean() > 0.5
    assert (bars.volume == 1_000.0).all()
    assert bars.periods_per_year == 8_760.0
    assert bars.gaps == 0


def test_the_range_of_a_bar_is_that_of_its_bridge() -> None:
    """Bridge of 16 Gaussian steps: compare mean range with a plain simulation of the walk."""
    bars = ou_market(OuMarket(bars=50_000, seed=2, k=0.0))
    span = np.log(bars.high / bars.low).mean() / 0.01
    steps = np.random.default_rng(5).standard_normal((50_000, 16)).cumsum(axis=1) / 4.0
    walk = np.maximum(steps.max(axis=1), 0.0) - np.minimum(steps.min(axis=1), 0.0)
    assert span == pytest.approx(walk.mean(), rel=0.01)


def test_the_seed_decides_every_byte() -> None:
    one, same, other = (load_market(f"synthetic:ou?bars=300&seed={s}") for s in (1, 1, 2))
    assert one.sha256 == same.sha256 != other.sha256
    walk = load_market("synthetic:walk?bars=300&seed=1&sigma=0.02")
    assert (walk.symbol, len(walk)) == ("walk", 300)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("synthetic:gbm", "unknown synthetic market 'gbm'"),
        ("synthetic:ou?bar=3", "did you mean 'bars'"),
        ("synthetic:ou?bars=many", "bars is 'many'"),
        ("synthetic:ou?bars=1", "bars = 1"),
        ("synthetic:ou?k=1", "k = 1.0"),
        ("synthetic:ou?sigma=-1", "sigma = -1.0"),
        ("synthetic:walk?k=0.5", "no parameter 'k'"),
    ],
)
def test_wrong_sources_are_refused(source: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_market(source)
