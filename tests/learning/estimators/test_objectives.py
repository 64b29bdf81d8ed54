"""Several objectives on tabular processes: linearity, the vector target, the price of a limit."""

from __future__ import annotations

import numpy as np
import torch
from scipy.optimize import linprog

from offline_trader.learning.estimators import lower_twin, priced, scalarised, vector_target
from offline_trader.types import FloatArray

STATES, ACTIONS, OBJECTIVES, GAMMA = 6, 3, 6, 0.9


def process(seed: int) -> tuple[FloatArray, FloatArray]:
    """Transitions [S, A, S] and vector rewards [S, A, K]."""
    rng = np.random.default_rng(seed)
    moves = rng.dirichlet(np.ones(STATES), (STATES, ACTIONS))
    return moves, rng.standard_normal((STATES, ACTIONS, OBJECTIVES))


def solved(moves: FloatArray, rewards: FloatArray, policy: FloatArray) -> FloatArray:
    """[S, A, ...] Q of rewards [S, A, ...] under ``policy`` [S, A], by linear equations."""
    size = STATES * ACTIONS
    chain = (moves[:, :, :, None] * policy).reshape(size, size)
    flat = rewards.reshape(size, -1)
    found = np.linalg.solve(np.eye(size) - GAMMA * chain, flat)
    return np.asarray(found, np.float64).reshape(rewards.shape)


def test_weighted_values_are_values_of_the_weighted_reward() -> None:
    """``Σ w·Q = Q_w`` to 1e-12: sweeps of the vector target, under the greedy policy of Q_w,
    against value iteration of the one number ``Σ w·r``."""
    for seed in range(20):
        moves, rewards = process(seed)
        weights = np.random.default_rng(seed + 100).dirichlet(np.ones(OBJECTIVES))
        w, r = torch.from_numpy(weights), torch.from_numpy(rewards)
        vector = torch.zeros(STATES, ACTIONS, OBJECTIVES, dtype=torch.float64)
        number = np.zeros((STATES, ACTIONS))
        for _ in range(400):
            best = scalarised(vector, w).argmax(dim=1)
            after = torch.from_numpy(moves) @ vector[torch.arange(STATES), best]
            flat = [each.reshape(STATES * ACTIONS, -1) for each in (r, after)]
            rows = w.expand(STATES * ACTIONS, -1)
            ends = torch.zeros(STATES * ACTIONS, dtype=torch.float64)
            target = vector_target(flat[0], flat[1][None], rows, ends, GAMMA)
            vector = target.reshape(vector.shape)
            number = rewards @ weights + GAMMA * moves @ number.max(axis=1)
        np.testing.assert_allclose(scalarised(vector, w).numpy(), number, atol=1e-12)
        greedy = np.eye(ACTIONS)[number.argmax(axis=1)]
        np.testing.assert_allclose(vector.numpy(), solved(moves, rewards, greedy), atol=1e-12)


def test_the_lower_twin_is_chosen_by_its_weighted_value() -> None:
    """Worked out by hand. The minimum of each objective on its own would be below both twins."""
    twins = torch.tensor([[[1.0, 4.0]], [[3.0, 0.0]]])
    even, first = torch.tensor([[0.5, 0.5]]), torch.tensor([[0.9, 0.1]])
    assert lower_twin(twins, even).tolist() == [[3.0, 0.0]]  # 1.5 against 2.5
    assert lower_twin(twins, first).tolist() == [[1.0, 4.0]]  # 1.3 against 2.7
    assert float(scalarised(twins.amin(dim=0), even)[0]) == 0.5
    rewards, ends = torch.tensor([[1.0, -1.0]]), torch.tensor([0.0])
    assert vector_target(rewards, twins, even, ends, 0.5).tolist() == [[2.5, -1.0]]
    assert vector_target(rewards, twins, even, 1.0 - ends, 0.5).tolist() == [[1.0, -1.0]]


def test_the_dual_reaches_the_optimum_of_the_linear_program() -> None:
    """A constrained process, whose optimum the program over occupancies tells (Altman 1999): the
    best return, the return of the mean policy under the prices, and the limit that it keeps."""
    checked = 0
    for seed in range(12):
        moves, rewards = process(seed)
        gain, cost = rewards[:, :, 0], np.square(rewards[:, :, 1])
        start = np.full(STATES, 1.0 / STATES)
        size = STATES * ACTIONS
        flow = np.repeat(np.eye(STATES), ACTIONS, axis=0).T - GAMMA * moves.reshape(size, STATES).T
        free = linprog(-gain.ravel(), A_eq=flow, b_eq=(1 - GAMMA) * start)
        least = linprog(cost.ravel(), A_eq=flow, b_eq=(1 - GAMMA) * start)
        most = float(cost.ravel() @ free.x)
        limit = 0.5 * (float(least.fun) + most)
        best = linprog(
            *(-gain.ravel(), cost.ravel()[None], [limit]),
            A_eq=flow, b_eq=(1 - GAMMA) * start,
        )  # fmt: skip
        if most - least.fun < 0.05:  # no conflict, no price
            continue
        checked += 1
        price, mean, total, updates = 0.0, np.zeros(size), 0.0, 4_000
        for update in range(updates):
            found = _occupancy(moves, gain - price * cost, start)
            rate = 1.0 / np.sqrt(update + 1.0)
            if update >= updates // 2:  # the mean of what the prices near the end answer
                mean, total = mean + rate * found, total + rate
            price = priced(price, float(cost.ravel() @ found) - limit, rate)
        mean /= total
        assert float(gain.ravel() @ mean) > -best.fun - 0.01
        assert float(cost.ravel() @ mean) < limit + 0.01
        # the program's own price
        assert abs(price + best.ineqlin.marginals[0]) < 0.1
    assert checked >= 8


def _occupancy(moves: FloatArray, reward: FloatArray, start: FloatArray) -> FloatArray:
    """[S·A] discounted visits of the best policy, by policy iteration."""
    policy = np.zeros(STATES, np.int64)
    everyone = np.arange(STATES)
    while True:
        chain = moves[everyone, policy]
        values = np.linalg.solve(np.eye(STATES) - GAMMA * chain, reward[everyone, policy])
        better = (reward + GAMMA * moves @ values).argmax(axis=1)
        if (better == policy).all():
            break
        policy = better
    visits = np.linalg.solve(np.eye(STATES) - GAMMA * moves[everyone, policy].T, start)
    found = np.zeros((STATES, ACTIONS))
    found[everyone, policy] = (1 - GAMMA) * visits
    return found.ravel()


def test_a_price_is_never_negative() -> None:
    """And moves by rate times excess."""
    assert priced(0.0, -1.0, 0.1) == 0.0
    assert priced(0.2, 0.5, 0.1) == 0.25
