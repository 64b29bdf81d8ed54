"""The turbulent market: stylised facts, nothing to earn without a signal, a signal as asked for."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from offline_trader.errors import ConfigError, DataError
from offline_trader.markets import load_market
from offline_trader.markets.stylised import stylised_facts
from offline_trader.markets.synthetic import (
    REGIME_MIXTURES,
    TurbulentMarket,
    fit_turbulent,
    turbulent_market,
)

LONG = TurbulentMarket(bars=70_000, seed=5)


def test_it_has_the_facts_of_real_returns() -> None:
    """Bounds around what S&P 500 and NASDAQ have from 1999 to 2018."""
    facts = stylised_facts(LONG.make())
    assert facts.excess_kurtosis > 2.0
    assert 2.0 < facts.hill_index < 5.0
    assert facts.acf_moves_1 > 0.1
    assert facts.acf_moves_20 > 0.05
    assert abs(facts.acf_returns_1) < 0.05
    assert facts.leverage < -0.02
    assert 0.1 < facts.volume_moves < 0.9
    markets = [stylised_facts(replace(LONG, seed=seed).make()) for seed in range(8)]
    variance = np.mean([each.volatility**2 for each in markets])
    assert np.sqrt(variance) == pytest.approx(LONG.volatility, rel=0.08)


def test_nothing_is_earned_without_a_signal() -> None:
    """Holding and trend-following at six speeds, t-statistics of their simple returns."""
    close = LONG.make().close
    r = close[1:] / close[:-1] - 1.0
    rules = [np.ones(len(r))]
    for window in (1, 2, 5, 20, 60, 250):
        past = np.concatenate((np.zeros(window), close[window:-1] / close[: -window - 1] - 1.0))
        rules.append(np.sign(past[: len(r)]))
    earned = [rule * r for rule in rules]
    scores = [float(each.mean() / each.std() * np.sqrt(len(each))) for each in earned]
    assert np.abs(scores).max() < 3.0  # one of seven by chance: 1.9 %


@pytest.mark.parametrize("signal", [0.05, 0.2])
def test_the_signal_has_the_correlation_that_was_asked_for(signal: float) -> None:
    path = turbulent_market(replace(LONG, signal=signal, jumps=0.0))
    r = np.diff(np.log(path.bars.close)) / path.deviation[1:]
    found = np.corrcoef(path.signal[:-1], r)[0, 1]
    assert found == pytest.approx(signal, abs=3.5 / np.sqrt(len(r)))
    lag = np.corrcoef(path.signal[:-1], path.signal[1:])[0, 1]
    assert lag == pytest.approx(LONG.persistence, abs=0.01)


def test_regimes_last_and_drift_as_they_say() -> None:
    path = turbulent_market(replace(LONG, regime="bull", regime_bars=50.0, jumps=0.0))
    share = (path.regime == 0).mean()
    assert share == pytest.approx(0.8, abs=0.04)
    r = np.diff(np.log(path.bars.close)) / path.deviation[1:]
    for regime, drift in ((0, 1.0), (1, -1.0)):
        inside = r[path.regime[:-1] == regime]
        error = 3.5 * np.sqrt(252.0 / len(inside))
        assert inside.mean() * np.sqrt(252.0) == pytest.approx(drift, abs=error + 0.1)
    changes = (np.diff(path.regime) != 0).sum()
    assert len(r) / changes == pytest.approx(50.0 / (2 * 0.8 * 0.2), rel=0.15)


def test_both_directions_occur_or_neither() -> None:
    for name, shares in REGIME_MIXTURES.items():
        assert sum(shares) == pytest.approx(1.0), name
        assert (shares[0] > 0.0) == (shares[1] > 0.0), name


def test_the_seed_decides_every_byte_and_the_law_is_a_source() -> None:
    one, same, other = (
        load_market(f"synthetic:turbulent?bars=300&seed={s}&signal=0.1&regime=all")
        for s in (1, 1, 2)
    )
    assert one.sha256 == same.sha256 != other.sha256
    assert (one.open[1:] != one.close[:-1]).all()
    hourly = load_market("synthetic:turbulent?bars=300&bars_per_year=8766")
    assert np.diff(hourly.timestamps).astype("timedelta64[s]").astype(int).tolist() == [3600] * 299


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("synthetic:turbulent?regime=bul", "regime = bul"),
        ("synthetic:turbulent?signal=1", "signal = 1.0"),
        ("synthetic:turbulent?beta=0.95", "beta = 0.95"),
        ("synthetic:turbulent?tail=2", "tail = 2.0"),
        ("synthetic:turbulent?bars=80000", "bars = 80000"),
        ("synthetic:turbulent?bars=3.5", "bars is '3.5'"),
        ("synthetic:turbulent?volatility=nan", "volatility = nan"),
    ],
)
def test_what_is_out_of_range_is_refused(source: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_market(source)


def test_a_fitted_market_resembles_the_bars() -> None:
    """Fitted to a market whose law is known, the fit finds its parameters again."""
    truth = replace(LONG, bars=20_000, regime="steady", jumps=0.0, overnight=0.3, volatility=0.3)
    found = fit_turbulent(truth.make(), n_bars=500, seed=9)
    assert (found.bars, found.seed, found.signal, found.regime) == (500, 9, 0.0, "steady")
    assert found.volatility == pytest.approx(0.3, rel=0.1)
    assert found.gamma == pytest.approx(truth.gamma, abs=0.04)
    assert found.beta == pytest.approx(truth.beta, abs=0.03)
    assert found.tail == pytest.approx(truth.tail, rel=0.15)
    assert found.overnight == pytest.approx(0.3, abs=0.03)
    assert found.volume_persistence == pytest.approx(truth.volume_persistence, abs=0.02)
    assert found.volume_noise == pytest.approx(truth.volume_noise, rel=0.05)
    assert len(found.make()) == 500


def test_too_little_to_fit_is_refused() -> None:
    with pytest.raises(DataError, match="300 bars"):
        fit_turbulent(TurbulentMarket(bars=300).make())
    bars = TurbulentMarket(bars=600).make()
    still = np.full(len(bars), 100.0)
    with pytest.raises(DataError, match="do not move\nexpected: returns that vary"):
        fit_turbulent(replace(bars, open=still, high=still, low=still, close=still))
