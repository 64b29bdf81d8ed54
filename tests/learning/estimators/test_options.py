"""Options on tabular decision processes: targets by hand, the termination theorem, four rooms."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from offline_trader.learning.estimators import (
    arrival_value,
    best_available,
    option_target,
    smdp_target,
    termination_loss,
)

Array = NDArray[np.float64]


def test_targets_are_those_computed_by_hand() -> None:
    """R = 1 + .9·2 + .81·4 = 6.04 in k = 3 bars; .9³ = .729. Of Q(s') = [5, 7, 6] the best is not
    available in the first row; the second ends, the third runs one bar."""
    found = smdp_target(
        returns=np.array([6.04, 6.04, 1.0]),
        bars=np.array([3.0, 3.0, 1.0]),
        next_values=np.array([[5.0, 7.0, 6.0]] * 3),
        available=np.array([[1.0, 0.0, 1.0], [1.0, 0.0, 1.0], [1.0, 1.0, 1.0]]),
        terminals=np.array([0.0, 1.0, 0.0]),
        gamma=0.9,
    )
    np.testing.assert_allclose(found, [6.04 + 0.729 * 6.0, 6.04, 1.0 + 0.9 * 7.0], rtol=1e-15)


def test_values_upon_arrival_are_those_computed_by_hand() -> None:
    """U = .75·2 + .25·6 = 3; r + γU = .5 + .9·3 = 3.2, and .5 where the episode was terminated."""
    arrivals = arrival_value(np.array([2.0, 2.0]), np.array([6.0, 6.0]), np.array([0.25, 0.25]))
    np.testing.assert_allclose(arrivals, [3.0, 3.0], rtol=1e-15)
    found = option_target(np.array([0.5, 0.5]), arrivals, np.array([0.0, 1.0]), 0.9)
    np.testing.assert_allclose(found, [3.2, 0.5], rtol=1e-15)


def test_an_option_of_one_bar_that_always_ends_is_q_learning() -> None:
    q = np.random.default_rng(0).standard_normal((5, 3))
    every, none = np.ones((5, 3)), np.zeros(5)
    rewards = np.arange(5.0)
    inside = option_target(rewards, arrival_value(q[:, 0], q.max(axis=1), np.ones(5)), none, 0.9)
    np.testing.assert_allclose(smdp_target(rewards, np.ones(5), q, every, none, 0.9), inside)
    np.testing.assert_allclose(inside, rewards + 0.9 * q.max(axis=1), rtol=1e-15)


@pytest.mark.parametrize("largest", [-1e6, 3.0, 1e6])
def test_what_may_not_begin_is_never_the_best(largest: float) -> None:
    values = torch.tensor([[largest, 9e6, -2e6]], dtype=torch.float64)
    mask = torch.tensor([[1.0, 0.0, 1.0]], dtype=torch.float64)
    assert best_available(values, mask).tolist() == [largest]
    assert best_available(values.numpy(), mask.numpy()).tolist() == [largest]


@dataclass
class Process:
    """Random options of a random decision process; β = 1/(1 + exp(−ϑ)), ϑ [S, K]."""

    moves: Array  # [S, K, S] under each option's own policy
    rewards: Array  # [S, K]
    choice: Array  # [S, K] of the policy over options
    gamma: float = 0.9

    def solve(self, betas: Array) -> tuple[Array, Array, Array]:
        """Q [S, K], V [S] and U [S, K], solved for exactly."""
        s, k, _ = self.moves.shape
        arrive = np.zeros((s, k, s, k))  # U(s, o) = Σ arrive · Q
        for o in range(k):
            arrive[:, o, :, :] = betas[:, o, None, None] * np.eye(s)[:, :, None] * self.choice[None]
            arrive[np.arange(s), o, np.arange(s), o] += 1.0 - betas[:, o]
        after = np.einsum("skt,tkuj->skuj", self.moves, arrive).reshape(s * k, s * k)
        q = np.linalg.solve(np.eye(s * k) - self.gamma * after, self.rewards.reshape(-1))
        u = (arrive.reshape(s * k, s * k) @ q).reshape(s, k)
        return q.reshape(s, k), (self.choice * q.reshape(s, k)).sum(axis=1), u

    def visits(self, betas: Array, state: int, option: int) -> Array:
        """μ [S, K]: discounted count of arrivals in s' under o, from an arrival in ``state``."""
        s, k, _ = self.moves.shape
        onward = np.zeros((s, k, s, k))
        for o in range(k):
            goes_on = betas[:, o, None] * self.choice
            goes_on[:, o] += 1.0 - betas[:, o]
            onward[:, o] = np.einsum("sj,sjt->stj", goes_on, self.moves)
        chain = np.eye(s * k) - self.gamma * onward.reshape(s * k, s * k)
        return np.linalg.solve(chain.T, np.eye(s * k)[state * k + option]).reshape(s, k)


def process(seed: int) -> Process:
    rng = np.random.default_rng(seed)
    s, k = int(rng.integers(3, 8)), int(rng.integers(2, 5))
    return Process(
        rng.dirichlet(np.full(s, 0.5), (s, k)),
        rng.standard_normal((s, k)),
        rng.dirichlet(np.ones(k), s),
    )


@pytest.mark.parametrize("seed", range(10))
def test_the_slope_of_terminations_is_that_of_finite_differences(seed: int) -> None:
    made = process(seed)
    s, k = made.rewards.shape
    theta = np.random.default_rng(100 + seed).standard_normal((s, k))
    state, option = seed % s, seed % k

    def arrival(values: Array) -> float:
        return float(made.solve(1.0 / (1.0 + np.exp(-values)))[2][state, option])

    step, wanted = 1e-5, np.zeros((s, k))
    for place in np.ndindex(s, k):
        nudge = np.zeros((s, k))
        nudge[place] = step
        wanted[place] = (arrival(theta + nudge) - arrival(theta - nudge)) / (2.0 * step)

    betas = 1.0 / (1.0 + np.exp(-theta))
    q, v, _ = made.solve(betas)
    visits = torch.from_numpy(made.visits(betas, state, option))
    parameters = torch.tensor(theta, requires_grad=True)
    loss = termination_loss(
        torch.sigmoid(parameters), torch.from_numpy(q), torch.from_numpy(v[:, None])
    )
    (visits * loss).sum().backward()  # type: ignore[no-untyped-call]
    assert parameters.grad is not None
    np.testing.assert_allclose(-parameters.grad.numpy(), wanted, rtol=0, atol=1e-8)
    assert np.abs(wanted).max() > 1e-3


MOVES = ((-1, 0), (1, 0), (0, -1), (0, 1))


WALLS = (
    "#############",
    "#     #     #",
    "#     #     #",
    "#           #",
    "#     #     #",
    "#     #     #",
    "## ####     #",
    "#     ### ###",
    "#     #     #",
    "#     #     #",
    "#           #",
    "#     #     #",
    "#############",
)


class FourRooms:
    """The gridworld of Sutton, Precup & Singh 1999, section 3: a move fails with probability 1/3,
    to another side. The eight options lead from a room to one of its two hallways."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.cells = [(r, c) for r in range(13) for c in range(13) if WALLS[r][c] == " "]
        self.index = {cell: i for i, cell in enumerate(self.cells)}
        self.halls = [(3, 6), (6, 2), (7, 9), (10, 6)]
        self.goal, self.start = self.index[(7, 9)], self.index[(1, 1)]
        self.rng = rng
        self.options = [self._way(room, hall) for room in self._rooms() for hall in self.halls
                        if self._beside(room, hall)]  # fmt: skip

    def _rooms(self) -> list[set[tuple[int, int]]]:
        left = set(self.cells) - set(self.halls)
        rooms = []
        while left:
            room, queue = set(), deque([left.pop()])
            while queue:
                cell = queue.popleft()
                room.add(cell)
                near = [(cell[0] + r, cell[1] + c) for r, c in MOVES]
                queue.extend(each for each in near if each in left)
                left -= set(near)
            rooms.append(room)
        return rooms

    def _beside(self, room: set[tuple[int, int]], hall: tuple[int, int]) -> bool:
        return any((hall[0] + r, hall[1] + c) in room for r, c in MOVES)

    def _way(self, room: set[tuple[int, int]], hall: tuple[int, int]) -> dict[int, int]:
        """state → move on a shortest way to the hall, from the room and its other hall."""
        other = {each for each in self.halls if each != hall and self._beside(room, each)}
        way: dict[int, int] = {}
        seen, queue = {hall}, deque([hall])
        while queue:
            cell = queue.popleft()
            for move, (r, c) in enumerate(MOVES):
                before = (cell[0] - r, cell[1] - c)
                if before in (room | other) and before not in seen:
                    seen.add(before)
                    way[self.index[before]] = move
                    if before in room:
                        queue.append(before)
        return way

    def step(self, state: int, move: int) -> int:
        if self.rng.random() < 1.0 / 3.0:
            move = int(self.rng.choice([each for each in range(4) if each != move]))
        cell = (self.cells[state][0] + MOVES[move][0], self.cells[state][1] + MOVES[move][1])
        return self.index.get(cell, state)


def steps_to_the_goal(with_options: bool, seed: int, episodes: int) -> int:
    """Steps of the first episodes of SMDP Q-learning, with moves alone or with options beside
    them. A move is an option of one step that may begin everywhere."""
    rng = np.random.default_rng(seed)
    rooms = FourRooms(rng)
    ways = rooms.options if with_options else []
    count = 4 + len(ways)
    available = np.ones((len(rooms.cells), count))
    for o, way in enumerate(ways):
        available[:, 4 + o] = [state in way for state in range(len(rooms.cells))]
    q, total, gamma, rate = np.zeros((len(rooms.cells), count)), 0, 0.9, 0.25
    for _ in range(episodes):
        state = rooms.start
        while state != rooms.goal:
            open_ = np.flatnonzero(available[state])
            best = open_[q[state, open_] == q[state, open_].max()]
            option = int(rng.choice(open_ if rng.random() < 0.1 else best))
            before, reward, k = state, 0.0, 0
            while True:
                state = rooms.step(state, option if option < 4 else ways[option - 4][state])
                reward += gamma**k * (state == rooms.goal)
                k += 1
                inside = option >= 4 and state in ways[option - 4] and state != rooms.goal
                if not inside:
                    break
            total += k
            target = smdp_target(
                np.array([reward]), np.array([k]), q[[state]], available[[state]],
                np.array([float(state == rooms.goal)]), gamma,
            )  # fmt: skip
            q[before, option] += rate * (target[0] - q[before, option])
    return total


def test_four_rooms_are_crossed_faster_with_options() -> None:
    seeds, episodes = range(3), 20
    flat = sum(steps_to_the_goal(False, seed, episodes) for seed in seeds)
    with_options = sum(steps_to_the_goal(True, seed, episodes) for seed in seeds)
    assert flat >= 1.5 * with_options
