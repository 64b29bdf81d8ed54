"""Transitions: invariants, errors, returns-to-go against a plain loop."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from offline_trader.errors import DataError
from offline_trader.learning.data import Transitions, concatenate


def build(lengths: list[int], seed: int = 0, **changed: Any) -> Transitions:
    rng = np.random.default_rng(seed)
    count = sum(lengths)
    ends = np.zeros(count, bool)
    ends[np.cumsum(lengths) - 1] = True
    arrays: dict[str, Any] = {
        "observations": rng.normal(size=(count, 3)),
        "actions": rng.uniform(-1, 1, (count, 1)),
        "rewards": rng.normal(size=count),
        "next_observations": rng.normal(size=(count, 3)),
        "terminals": np.zeros(count, bool),
        "timeouts": ends,
        "episode_ids": np.repeat(np.arange(len(lengths)), lengths),
    }
    return Transitions(**{**arrays, **changed})


@given(
    lengths=st.lists(st.integers(1, 9), min_size=1, max_size=6), gamma=st.sampled_from([0, 0.9, 1])
)
def test_returns_to_go_equal_a_backward_loop(lengths: list[int], gamma: float) -> None:
    data = build(lengths, seed=sum(lengths))
    expected = np.zeros(len(data))
    for row in range(len(data) - 1, -1, -1):
        follows = row + 1 < len(data) and data.episode_ids[row + 1] == data.episode_ids[row]
        expected[row] = data.rewards[row] + (gamma * expected[row + 1] if follows else 0.0)
    np.testing.assert_allclose(data.returns_to_go(gamma), expected, rtol=1e-5, atol=1e-6)


def test_arrays_are_read_only_contiguous_and_of_their_dtype() -> None:
    data = build([4, 2])
    assert data.observations.dtype == np.float32
    assert data.observations.flags.c_contiguous
    with pytest.raises(ValueError, match="read-only"):
        data.rewards[0] = 1.0
    assert (len(data), data.observation_size, data.action_size, data.episode_count) == (6, 3, 1, 2)
    assert data.ends.tolist() == [False, False, False, True, False, True]


def test_the_caller_keeps_a_writable_array() -> None:
    rewards = np.zeros(6, np.float32)
    build([4, 2], rewards=rewards)
    rewards[0] = 1.0
    assert rewards[0] == 1.0


def test_joining_numbers_episodes_anew_and_taking_selects_them() -> None:
    joined = concatenate([build([3]), build([2, 2], seed=1)])
    assert joined.episode_ids.tolist() == [0, 0, 0, 1, 1, 2, 2]
    assert joined.take_episodes([1]).rewards.tolist() == joined.rewards[3:5].tolist()


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"rewards": np.full(6, np.nan)}, "rewards, transition 0"),
        ({"actions": np.full((6, 1), 1.5)}, "actions from 1.5"),
        ({"observations": np.zeros((5, 3))}, "observations of shape"),
        ({"next_observations": np.zeros((6, 2))}, "next_observations of shape"),
        ({"terminals": np.array([0, 0, 0, 1, 0, 0], bool)}, "transition 3 is both"),
        ({"timeouts": np.array([0, 1, 0, 0, 0, 0], bool)}, "transition 1 ends an episode"),
        ({"episode_ids": np.array([1, 1, 1, 1, 0, 0])}, "episode_ids fall"),
    ],
)
def test_what_is_wrong_is_named(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        build([4, 2], **changed)
