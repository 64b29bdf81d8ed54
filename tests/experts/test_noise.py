"""Noise and mixtures: right distributions, own seeds, lanes that do not know of each other."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from offline_trader.errors import ConfigError
from offline_trader.experts import Behaviour, Noise, get_expert, mixture, parse_behaviour
from offline_trader.experts.draws import normal_draws, stream_seed, uniform_draws

LANES = np.tile(np.arange(200), 500)
STEPS = np.repeat(np.arange(500), 200)
NEVER = np.full(len(LANES), np.nan)
ZERO = np.zeros(len(LANES))


def test_draws_are_uniform_and_normal() -> None:
    uniform = uniform_draws(7, LANES, STEPS)
    assert stats.kstest(uniform, "uniform").pvalue > 0.001
    assert stats.kstest(normal_draws(7, LANES, STEPS), "norm").pvalue > 0.001
    table = uniform.reshape(500, 200)
    for lagged in (table[1:] * table[:-1], table[:, 1:] * table[:, :-1]):
        assert lagged.mean() == pytest.approx(0.25, abs=0.005)
    assert len(np.unique(uniform)) == len(uniform)


def splitmix(x: int) -> int:
    """SplitMix64's finaliser on Python's integers."""
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) % 2**64
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) % 2**64
    return x ^ (x >> 31)


def test_draws_are_the_hash_of_their_counters() -> None:
    for seed, lane, step in [(0, 0, 0), (7, 3, 11), (2**63 - 1, 4095, 10**9)]:
        hashed = splitmix((lane * 0xD1B54A32D192ED03 + seed) % 2**64)
        hashed = splitmix((hashed + (step + 1) * 0x9E3779B97F4A7C15) % 2**64)
        drawn = uniform_draws(seed, np.array([lane]), np.array([step]))
        assert drawn[0] == (hashed >> 11) / 2**53


def test_a_draw_depends_on_its_counter_alone() -> None:
    every = uniform_draws(7, LANES, STEPS)
    some = np.array([5, 77_777, 3])
    np.testing.assert_array_equal(uniform_draws(7, LANES[some], STEPS[some]), every[some])
    assert not np.any(uniform_draws(8, LANES, STEPS) == every)
    assert stream_seed(1, 2) != stream_seed(2, 1)


def test_gaussian() -> None:
    noisy = Noise("gaussian", 0.1).apply(ZERO, NEVER, LANES, STEPS)
    assert noisy.std() == pytest.approx(0.1, rel=0.02)
    assert abs(noisy.mean()) < 0.002
    wide = Noise("gaussian", 3.0).apply(ZERO, NEVER, LANES, STEPS)
    assert wide.min() == -1.0
    assert wide.max() == 1.0


def test_epsilon() -> None:
    noisy = Noise("epsilon", 0.3).apply(ZERO, NEVER, LANES, STEPS)
    moved = noisy != 0.0
    assert moved.mean() == pytest.approx(0.3, abs=0.01)
    assert stats.kstest(noisy[moved], "uniform", args=(-1.0, 2.0)).pvalue > 0.001


def test_sticky_repeats_and_forgets_at_an_episode_start() -> None:
    previous = np.where(LANES % 2 == 0, 0.7, np.nan)
    noisy = Noise("sticky", 0.25).apply(ZERO, previous, LANES, STEPS)
    assert (noisy[LANES % 2 == 0] == 0.7).mean() == pytest.approx(0.25, abs=0.01)
    assert not noisy[LANES % 2 == 1].any()


def test_seeds_are_its_own() -> None:
    first = Noise("gaussian", 0.1, seed=1).apply(ZERO, NEVER, LANES, STEPS)
    again = Noise("gaussian", 0.1, seed=1).apply(ZERO, NEVER, LANES, STEPS)
    other = Noise("gaussian", 0.1, seed=2).apply(ZERO, NEVER, LANES, STEPS)
    np.testing.assert_array_equal(first, again)
    assert abs(np.corrcoef(first, other)[0, 1]) < 0.02
    collection = Noise("gaussian", 0.1, seed=1).apply(ZERO, NEVER, LANES, STEPS, seed=5)
    assert abs(np.corrcoef(first, collection)[0, 1]) < 0.02


@pytest.mark.parametrize(
    ("kind", "scale"), [("epsilon", 1.5), ("sticky", -0.1), ("gaussian", -1.0), ("pink", 0.1),
     ("gaussian", np.inf), ("gaussian", np.nan)],
)  # fmt: skip
def test_impossible_noise_is_refused(kind: str, scale: float) -> None:
    with pytest.raises(ConfigError, match="expected"):
        Noise(kind, scale)  # type: ignore[arg-type]


def test_behaviour_from_text() -> None:
    behaviour, weight = parse_behaviour(
        "technical?weight=2&epsilon=0.05&gaussian=0.1&noise_seed=4&large=0.8"
    )
    assert weight == 2.0
    assert behaviour.expert == get_expert("technical", large=0.8)
    assert behaviour.noise == (Noise("gaussian", 0.1, 4), Noise("epsilon", 0.05, 4))
    momentum, _ = parse_behaviour("momentum?short=false&band=0")
    assert momentum.expert == get_expert("momentum", short=False, band=0.0)
    assert parse_behaviour("oracle?levels=5")[0].expert == get_expert("oracle", levels=5)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("tecnical", "'technical'"),
        ("technical?larg=1", "'large'"),
        ("technical?large=half", "a number"),
        ("momentum?short=maybe", "true or false"),
        ("oracle?levels=2.5", "whole number"),
        ("technical?weight=x", "a number"),
    ],
)
def test_wrong_texts_are_refused(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse_behaviour(text)


def test_mixture_draws_by_weight_per_lane_and_episode() -> None:
    blend = mixture(["technical?weight=3", "random", Behaviour(get_expert("donchian"))])
    assert blend.weights == (0.6, 0.2, 0.2)
    drawn = blend.draw(1, LANES, STEPS)
    shares = np.bincount(drawn) / len(drawn)
    np.testing.assert_allclose(shares, blend.weights, atol=0.01)
    np.testing.assert_array_equal(blend.draw(1, LANES[:50], STEPS[:50]), drawn[:50])
    lane = drawn.reshape(500, 200)[:, 7]
    np.testing.assert_allclose(np.bincount(lane) / 500, blend.weights, atol=0.07)
    for seed in range(20):
        few = np.bincount(blend.draw(seed, np.arange(20), np.zeros(20, dtype=int)), minlength=3)
        np.testing.assert_allclose(few, [12, 4, 4], atol=2)
    assert not blend.privileged
    assert mixture(["technical", "oracle"]).privileged


def test_mixture_refusals_and_labels() -> None:
    with pytest.raises(ConfigError, match="positive"):
        mixture(["technical"], [0.0])
    with pytest.raises(ConfigError, match="weight for each"):
        mixture([])
    with pytest.raises(ConfigError, match="weight for each"):
        mixture(["technical", "random"], [1.0])
    labels = [one.label for one in mixture(["technical", "technical"]).behaviours]
    assert labels == ["technical#0", "technical#1"]
