"""Shaping on tabular decision processes: what it changes of values, and what it must not."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from offline_trader.learning.estimators import shaping_reward

Array = NDArray[np.float64]


def random_process(seed: int) -> tuple[Array, Array, Array, Array]:
    """Moves [S, A, S], rewards [S, A, S], which states are terminal [S], a potential [S]."""
    rng = np.random.default_rng(seed)
    states, actions = int(rng.integers(3, 9)), int(rng.integers(2, 5))
    moves = rng.dirichlet(np.full(states, 0.5), (states, actions))
    rewards = rng.standard_normal((states, actions, states))
    terminal = np.zeros(states)
    terminal[-1] = seed % 2  # half of them end
    return moves, rewards, terminal, 3.0 * rng.standard_normal(states)


def optimum(moves: Array, rewards: Array, terminal: Array, gamma: float) -> Array:
    """[S, A] Q by policy iteration; the values of each policy are solved for, not iterated to."""
    states = len(moves)
    policy = np.zeros(states, int)
    while True:
        chosen, paid = (x[np.arange(states), policy] for x in (moves, rewards))
        going = gamma * chosen * (1.0 - terminal)
        value = np.linalg.solve(np.eye(states) - going, (chosen * paid).sum(axis=1))
        q = (moves * (rewards + gamma * (1.0 - terminal) * value)).sum(axis=2)
        better = q.argmax(axis=1)
        if (q[np.arange(states), better] <= q[np.arange(states), policy] + 1e-12).all():
            return np.asarray(q)
        policy = better


@pytest.mark.parametrize("gamma", [0.6, 0.95])
def test_the_values_move_by_the_potential_and_the_best_actions_stay(gamma: float) -> None:
    """Q' = Q − Φ on fifty processes (Ng, Harada & Russell 1999, corollary 2)."""
    for seed in range(50):
        moves, rewards, terminal, potential = random_process(seed)
        added = shaping_reward(potential[:, None], potential[None], terminal[None], gamma)
        plain = optimum(moves, rewards, terminal, gamma)
        shaped = optimum(moves, rewards + added[:, None], terminal, gamma)
        going = terminal == 0
        np.testing.assert_allclose(
            shaped[going], (plain - potential[:, None])[going], rtol=0, atol=1e-10
        )
        assert (shaped.argmax(axis=1) == plain.argmax(axis=1))[going].all()


def backup(moves: Array, rewards: Array, potential: Array, gamma: float, q: Array) -> Array:
    """[S, A] Q after one sweep with shaped rewards, where nothing is terminal."""
    added = shaping_reward(potential[:, None], potential[None], np.zeros(len(q))[None], gamma)
    found: Array = (moves * (rewards + added[:, None] + gamma * q.max(axis=1))).sum(axis=2)
    return found


def test_a_potential_that_moves_with_visits_leaves_the_best_actions() -> None:
    """Values learned while Φ = 1/√(1 + n) falls are Q − Φ of the last snapshot, once that stays
    (Devlin & Kudenko 2012); until then they are near."""
    gamma, rng = 0.9, np.random.default_rng(0)
    for seed in range(0, 50, 2):  # those that go on for ever, so that all is visited
        moves, rewards, terminal, _ = random_process(seed)
        best = optimum(moves, rewards, terminal, gamma)
        assert not terminal.any()
        counts, at, q = np.zeros(len(moves)), 0, np.zeros_like(best)
        for _ in range(300):
            for _ in range(10):
                action = int(q[at].argmax()) if rng.random() < 0.7 else rng.integers(best.shape[1])
                at = rng.choice(len(moves), p=moves[at, action])
                counts[at] += 1
            potential = (1.0 + counts) ** -0.5
            q = backup(moves, rewards, potential, gamma, q)
        np.testing.assert_allclose(q, best - potential[:, None], atol=0.02)
        for _ in range(300):
            q = backup(moves, rewards, potential, gamma, q)
        np.testing.assert_allclose(q, best - potential[:, None], rtol=0, atol=1e-10)
        assert (q.argmax(axis=1) == best.argmax(axis=1)).all()


def test_a_potential_of_the_end_or_another_discount_changes_the_best_action() -> None:
    """Why Φ is 0 in a terminal state: state 0 goes on for 1 or ends for nothing; Φ(end) = 5."""
    moves = np.zeros((2, 2, 2))
    moves[0, 0, 0] = moves[0, 1, 1] = moves[1, :, 1] = 1.0
    rewards = np.zeros((2, 2, 2))
    rewards[0, 0, 0] = 0.1
    terminal, potential = np.array([0.0, 1.0]), np.array([0.0, 5.0])
    right = shaping_reward(potential[:, None], potential[None], terminal[None], 0.9)
    wrong = shaping_reward(potential[:, None], potential[None], np.zeros(2)[None], 0.9)
    assert optimum(moves, rewards, terminal, 0.9)[0].argmax() == 0
    assert optimum(moves, rewards + right[:, None], terminal, 0.9)[0].argmax() == 0
    assert optimum(moves, rewards + wrong[:, None], terminal, 0.9)[0].argmax() == 1


@pytest.mark.parametrize("ends", [0.0, 1.0])
def test_the_sum_over_an_episode_telescopes(ends: float) -> None:
    """Σ γᵗ F = γᵀ Φ(s_T) − Φ(s_0), the first term only where the episode was cut off."""
    potential = np.random.default_rng(1).standard_normal(8)
    terminals = np.append(np.zeros(6), ends)
    added = shaping_reward(potential[:-1], potential[1:], terminals, 0.9)
    total = (0.9 ** np.arange(7) * added).sum()
    kept = 0.9**7 * potential[-1] * (1.0 - ends)
    assert total == pytest.approx(kept - potential[0], abs=1e-12)


def test_several_bars_in_one_row_are_the_sum_of_single_ones() -> None:
    potential = torch.tensor([0.5, -1.0, 2.0, 0.25], dtype=torch.float64)
    zero = torch.zeros(3, dtype=torch.float64)
    single = shaping_reward(potential[:-1], potential[1:], zero, 0.8)
    whole = shaping_reward(potential[:1], potential[3:], zero[:1], 0.8, torch.tensor([3.0]))
    expected = sum(0.8**k * float(single[k]) for k in range(3))
    assert float(whole) == pytest.approx(expected, abs=1e-7)
