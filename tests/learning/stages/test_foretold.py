"""Rewards as state and action foretell them, against the expected ones of a known law."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from offline_trader.evaluation.known_optimum import make_dataset
from offline_trader.learning.stages.foretold import _design, foretold_rewards
from offline_trader.types import FloatArray, Observations


def _beyond_the_state(observations: Observations, values: FloatArray) -> FloatArray:
    """What a regression on the state alone leaves: how actions in one state differ."""
    s = np.asarray(observations, dtype=np.float64)
    x = np.column_stack([np.ones(len(s)), s, s**2, s[:, :1] * s[:, 1:], np.abs(s)])
    return np.asarray(values - x @ np.linalg.lstsq(x, values, rcond=None)[0])


@pytest.mark.parametrize("name", ["M1-narrow", "M3-narrow"])
def test_the_worth_of_an_action_is_found_in_rewards_that_are_nearly_all_noise(name: str) -> None:
    """98 % of a realised reward's variance is noise, which grows with the position; of what is
    left the actions' part is a fifth or less. Random rectified features find 40 to 60 % of it."""
    realised, expected = (make_dataset(name, seed=7, realised=each) for each in (True, False))
    true = expected.rewards.astype(np.float64) * expected.reward_sd + expected.reward_mean
    true = (true - realised.reward_mean) / realised.reward_sd
    assert true.var() < 0.05 * realised.rewards.var()
    found = foretold_rewards(realised.transitions()).astype(np.float64)
    assert np.var(found - true) < 0.02 * np.var(true)
    of_actions = _beyond_the_state(realised.observations, true)
    error = _beyond_the_state(realised.observations, found - true)
    assert np.var(error) < 0.1 * np.var(of_actions)


def test_an_action_that_decides_nothing_of_the_next_state_is_foretold_from() -> None:
    """No position to be found: the products of action and state remain."""
    data = make_dataset("M1-wide", seed=3, n_lanes=40, n_steps=100).transitions()
    rng = np.random.default_rng(0)
    elsewhere = replace(
        data, next_observations=rng.standard_normal(data.observations.shape).astype(np.float32)
    )
    gain = data.actions[:, 0] * data.observations[:, 0]
    noisy = gain + gain.std() * rng.standard_normal(len(gain))
    found = foretold_rewards(replace(elsewhere, rewards=noisy.astype(np.float32)))
    assert np.square(found - gain).mean() < 0.05 * gain.var()


def test_noise_alone_leaves_one_number_for_all_rows_whatever_the_weights() -> None:
    """A level that varied with the weights would be something to earn."""
    data = make_dataset("M3-wide", seed=3, n_lanes=40, n_steps=100).transitions()
    for seed in range(5):
        drawn = np.random.default_rng(seed).standard_normal(len(data))
        noise = drawn * (0.02 + np.abs(data.observations[:, 1]))
        found = foretold_rewards(replace(data, rewards=(3.0 + noise).astype(np.float32)))
        assert found.std() < 0.1 * noise.std()
        assert abs(found.mean() - 3.0) < 0.1 * noise.std()


def test_many_numbers_that_an_action_decides_make_no_more_products_than_three() -> None:
    """Copies of a position with a little noise; what is found stays the same."""
    realised, expected = (
        make_dataset("M1-wide", seed=5, n_lanes=100, realised=each) for each in (True, False)
    )
    data = realised.transitions()
    rng = np.random.default_rng(0)

    def widened(rows: Observations) -> Observations:
        copies = rows[:, 1:] + 0.01 * rng.standard_normal((len(rows), 8))
        return np.concatenate([rows, copies], axis=1).astype(np.float32)

    wide = replace(
        data,
        observations=widened(data.observations),
        next_observations=widened(data.next_observations),
    )
    width = wide.observation_size
    assert _design(wide)[0].shape[1] == 2 * (width + 1) + width + 3 * (width + 2)
    true = expected.rewards * expected.reward_sd + expected.reward_mean - realised.reward_mean
    true /= realised.reward_sd
    assert np.var(foretold_rewards(wide) - true) < 0.02 * np.var(true)
