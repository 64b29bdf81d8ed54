"""Ranks and slopes of an evolution strategy beside hand-computed and independent ones."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from offline_trader.learning.estimators import antithetic_slope, centred_ranks, pair_noise


def test_ranks_go_from_minus_a_half_to_a_half() -> None:
    np.testing.assert_allclose(
        centred_ranks(np.array([3.0, -1.0, 100.0, 0.5, 0.0])), [0.25, -0.5, 0.5, 0.0, -0.25]
    )
    assert centred_ranks(np.array([7.0])).tolist() == [0.0]


def test_ties_share_a_rank_and_what_is_no_number_comes_last() -> None:
    np.testing.assert_allclose(centred_ranks(np.full(6, 2.0)), np.zeros(6))
    np.testing.assert_allclose(
        centred_ranks(np.array([1.0, np.nan, 1.0, 2.0, -np.inf])),
        [0.125, -0.375, 0.125, 0.5, -0.375],
    )
    scores = np.random.default_rng(0).integers(0, 9, 40).astype(float)
    expected = (stats.rankdata(scores) - 1) / 39 - 0.5
    np.testing.assert_allclose(centred_ranks(scores), expected)


def test_the_slope_of_two_pairs_by_hand() -> None:
    """ε₁ = (1, 0), ε₂ = (0, 2); u⁺ = (½, −1/6), u⁻ = (−½, 1/6); σ = ½, λ = .1, θ = (1, −1):
    ((½ + ½)·ε₁ + (−1/6 − 1/6)·ε₂) / (2·2·½) − .1·θ = (.5 − .1, −1/3 + .1)."""
    noise = np.array([[1.0, 0.0], [0.0, 2.0]])
    ranks = np.array([0.5, -1 / 6, -0.5, 1 / 6])
    found = antithetic_slope(ranks, noise, np.array([1.0, -1.0]), sigma=0.5, weight_decay=0.1)
    np.testing.assert_allclose(found, [0.4, -1 / 3 + 0.1])


def test_of_a_linear_score_the_slope_has_its_direction() -> None:
    """With scores in place of ranks it is the slope itself: E[(f⁺ − f⁻) ε]/2σ = ∇f."""
    gradient = np.array([2.0, -1.0, 0.5])
    noise = pair_noise(3, 0, 40_000, 3).astype(float)
    scores = np.concatenate([noise @ gradient, -(noise @ gradient)]) * 0.1
    slope = antithetic_slope(scores, noise, np.zeros(3), sigma=0.1)
    np.testing.assert_allclose(slope, gradient, atol=0.03)


def test_a_pair_s_noise_needs_no_other_pair() -> None:
    whole = pair_noise(5, 7, 16, 33)
    np.testing.assert_array_equal(pair_noise(5, 7, 4, 33), whole[:4])
    assert not np.array_equal(pair_noise(5, 8, 16, 33), whole)
    assert not np.array_equal(pair_noise(6, 7, 16, 33), whole)
    assert len(np.unique(whole)) == whole.size
    assert whole.mean() == pytest.approx(0.0, abs=0.15)
    assert whole.std() == pytest.approx(1.0, abs=0.1)
