"""Relabelling in hindsight: which goals, from where, with which rewards; its state."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from offline_trader.errors import ConfigError
from offline_trader.learning.data import (
    Batch,
    GoalColumns,
    Hindsight,
    Preprocessing,
    RingBuffer,
    RowLayout,
    Sampler,
    TransformChain,
    Transitions,
    pack,
)
from offline_trader.learning.data.rows import FACTS

ROOT = Path(__file__).resolve().parents[3]
# an observation: what is achieved in it, the goal
LAYOUT = RowLayout(2, 1, FACTS)
MEAN, SCALE = np.array([3.0, 0.5]), np.array([2.0, 4.0])
SCALES = Preprocessing(MEAN, SCALE, None, 0.99)


def missed(achieved: torch.Tensor, goals: torch.Tensor, over: torch.Tensor) -> torch.Tensor:
    return -1.0 * (abs(achieved - goals) > 0.25)


def hindsight(capacity: int, **settings: Any) -> Hindsight:
    given: dict[str, Any] = {"rewards": missed, "draw": None}
    goals = GoalColumns(
        slice(1, 2), slice(0, 1), **{k: settings.pop(k, v) for k, v in given.items()}
    )
    return Hindsight(goals, capacity, lambda: SCALES, **settings)


class Lanes:
    """Lanes whose achieved value is a serial number, with episodes of uneven lengths."""

    def __init__(self, ours: Hindsight, capacity: int, lanes: int, seed: int = 0) -> None:
        self.ours, self.lanes = ours, lanes
        self.buffer = RingBuffer(capacity, LAYOUT, SCALES)
        self.rng = np.random.default_rng(seed)
        self.episode: dict[int, tuple[int, int, int]] = {}  # serial → lane, episode, step
        self._current = [0] * lanes
        self._serial, self._step = 0, 0
        self.ending = 0.25

    def step(self) -> None:
        serials = self._serial + 1.0 + np.arange(self.lanes)
        self._serial += self.lanes
        for lane in range(self.lanes):
            self.episode[int(serials[lane])] = (lane, self._current[lane], self._step)
        ended = self.rng.random(self.lanes) < self.ending
        cut = ended & (self.rng.random(self.lanes) < 0.5)
        goal = np.full(self.lanes, -7.0)
        self._current = [c + int(e) for c, e in zip(self._current, ended, strict=True)]
        self._step += 1
        step = {
            "observations": np.stack([serials - 0.5, goal], 1).astype(np.float32),
            "next_observations": np.stack([serials, goal], 1).astype(np.float32),
            "actions": np.zeros((self.lanes, 1), np.float32),
            "rewards": np.full(self.lanes, -1.0),
            "raw_rewards": np.full(self.lanes, -1.0),
            "terminals": ended & ~cut,
            "timeouts": cut,
        }
        self.buffer.add(self.ours.stored(step, online=True))


def raw(batch: Batch, name: str) -> np.ndarray[Any, Any]:
    return np.asarray(batch[name].numpy() * SCALE + MEAN)


@pytest.mark.parametrize(("capacity", "lanes"), [(60, 3), (50, 3), (41, 7), (8, 8), (200, 1)])
def test_goals_come_from_the_same_episode_from_the_own_transition_on(
    capacity: int, lanes: int
) -> None:
    ours = hindsight(capacity, seed=1)
    world = Lanes(ours, capacity, lanes)
    ahead: list[int] = []
    for step in range(120):
        world.step()
        if step % 20 < 19:
            continue
        stored = {round(float(v)) for v in world.buffer.values[:, 2].numpy() * SCALE[0] + MEAN[0]}
        batch = ours.sampled(Sampler(world.buffer, batch_size=400, seed=step).draw())
        goals, reached = (
            raw(batch, "next_observations")[:, 1],
            raw(batch, "next_observations")[:, 0],
        )
        np.testing.assert_array_equal(raw(batch, "observations")[:, 1], goals)
        relabelled = goals > 0.0
        assert 0.7 < relabelled.mean() < 0.9  # 4 of 5
        for own, goal in zip(reached[relabelled], goals[relabelled], strict=True):
            lane, episode, at = world.episode[round(own)]
            assert round(goal) in stored
            other_lane, other_episode, later = world.episode[round(goal)]
            assert (other_lane, other_episode) == (lane, episode)
            assert later >= at
            ahead.append(later - at)
        expected = np.where(np.abs(reached - goals) <= 0.25, 0.0, -1.0)
        np.testing.assert_array_equal(batch["rewards"].numpy()[:, 0], expected)
        assert (batch["rewards"].numpy()[~relabelled] == -1.0).all()
    assert 0 in ahead
    if capacity > lanes:
        assert max(ahead) > 0


def test_every_transition_ahead_is_drawn_alike() -> None:
    """One episode of 5 steps in one lane; of its first row's goals a fifth each."""
    ours = hindsight(5, k=1e9)
    world = Lanes(ours, 5, 1)
    world.ending = 0.0
    for _ in range(5):
        world.step()
    batch = ours.sampled(Sampler(world.buffer, batch_size=20_000, seed=0).draw())
    first = raw(batch, "next_observations")[:, 0].round() == 1.0
    goals = raw(batch, "next_observations")[first, 1].round()
    shares = np.array([(goals == value).mean() for value in range(1, 6)])
    np.testing.assert_allclose(shares, 0.2, atol=0.03)


def gamble(p: float, rows: int, draw: tuple[float, float] | None) -> tuple[Hindsight, Batch]:
    """One-step episodes whose outcome is 1 with probability p and 0 otherwise; the goal is 1."""

    def at_least(reached: torch.Tensor, goals: torch.Tensor, over: torch.Tensor) -> torch.Tensor:
        return (reached >= goals) * over

    ours = hindsight(rows, rewards=at_least, draw=draw, seed=2)
    buffer = RingBuffer(rows, LAYOUT, SCALES)
    won = np.random.default_rng(0).random(rows) < p
    step = {
        "observations": np.stack([np.zeros(rows), np.ones(rows)], 1).astype(np.float32),
        "next_observations": np.stack([won, np.ones(rows)], 1).astype(np.float32),
        "actions": np.zeros((rows, 1), np.float32),
        "rewards": won.astype(float),
        "raw_rewards": won.astype(float),
        "terminals": np.ones(rows, bool),
        "timeouts": np.zeros(rows, bool),
    }
    buffer.add(ours.stored(step, online=True))
    return ours, Sampler(buffer, batch_size=rows, seed=1).draw()


def test_outcomes_keep_their_probability_under_goals_drawn_independently() -> None:
    """p = .2, k = 4: with ``future`` a gamble succeeds in p(1+k)/(1+kp) = .556 of the rows that
    aim at 1, and would beat a sure .5; with goals drawn independently in .2 of them."""
    p, k, n = 0.2, 4.0, 40_000
    for draw, expected in (((0.5, 1.5), p), (None, p * (1 + k) / (1 + k * p))):
        ours, batch = gamble(p, n, draw)
        found = ours.sampled(batch)
        goals = raw(found, "next_observations")[:, 1]
        aimed = np.abs(goals - 1.0) < (0.49 if draw else 1e-3)
        aimed &= goals <= 1.0 + 1e-6
        assert found["rewards"].numpy()[aimed, 0].mean() == pytest.approx(expected, abs=0.02)
    assert p * (1 + k) / (1 + k * p) == pytest.approx(0.556, abs=1e-3)


def test_plain_replay_changes_nothing() -> None:
    ours = hindsight(60, k=0)
    world = Lanes(ours, 60, 3)
    for _ in range(10):
        world.step()
    batch = Sampler(world.buffer, batch_size=32, seed=0).draw()
    before = batch.matrix.clone()
    assert torch.equal(ours.sampled(batch).matrix, before)


def test_offline_rows_are_relabelled_within_their_episodes() -> None:
    lengths = [1, 4, 3]
    ids = np.repeat(np.arange(3), lengths)
    serial = np.arange(1.0, 9.0)
    ends = np.append(np.diff(ids) > 0, True)
    observed = np.stack([serial - 0.5, np.full(8, -7.0)], 1).astype(np.float32)
    after = observed + np.array([0.5, 0.0], np.float32)
    nothing = np.zeros((8, 1), np.float32)
    data = Transitions(observed, nothing, nothing[:, 0], after, ends, ends & False, ids)
    ours = hindsight(10, k=1e9, widen=lambda columns: columns)
    chain = TransformChain([ours])
    changed, further = chain.dataset(data)
    rows = pack(changed, SCALES, further=further)
    batch = chain.sampled(Sampler(rows, batch_size=2_000, seed=0).draw())
    reached, goals = raw(batch, "next_observations").round().astype(int).T
    episode = dict(zip(serial.astype(int), ids, strict=True))
    assert all(episode[a] == episode[b] and b >= a for a, b in zip(reached, goals, strict=True))
    assert {(1, 1), (2, 5), (6, 8), (8, 8)} <= set(zip(reached, goals, strict=True))


def test_offline_rows_without_goals_are_refused() -> None:
    with pytest.raises(ConfigError, match="offline data"):
        hindsight(10).stored({}, online=False)


def test_a_state_goes_on_to_the_same_bytes_and_another_capacity_is_refused() -> None:
    def world_of(seed: int) -> Lanes:
        return Lanes(hindsight(50, seed=seed), 50, 3)

    whole = world_of(0)
    for _ in range(30):
        whole.step()
    whole.ours.sampled(Sampler(whole.buffer, batch_size=16, seed=0).draw())
    file = io.BytesIO()
    torch.save({"ours": whole.ours.state_dict(), "buffer": whole.buffer.state_dict()}, file)
    file.seek(0)
    saved = torch.load(file, weights_only=True)
    resumed = world_of(9)
    resumed.ours.load_state_dict(saved["ours"])
    resumed.buffer.load_state_dict(saved["buffer"])
    resumed.rng.bit_generator.state = whole.rng.bit_generator.state
    resumed._serial, resumed._step = whole._serial, whole._step
    for world in (whole, resumed):
        for _ in range(7):
            world.step()
    drawn = [
        w.ours.sampled(Sampler(w.buffer, batch_size=64, seed=4).draw()) for w in (whole, resumed)
    ]
    assert torch.equal(drawn[0].matrix, drawn[1].matrix)
    assert whole.ours.metrics() == resumed.ours.metrics()
    with pytest.raises(ConfigError, match="50 rows"):
        hindsight(60).load_state_dict(saved["ours"])


@pytest.mark.slow
def test_fifteen_bits_are_flipped_with_hindsight_and_not_without() -> None:
    """Andrychowicz et al. 2017, section 3.1: success of a small DQN after 28,600 steps."""

    def success(k: float) -> float:
        words = [sys.executable, "-m", "benchmarks.her", "--run", "bits", str(k), "0"]
        done = subprocess.run(words, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
        return float(json.loads(done.stdout)["success"])

    assert success(4.0) >= 0.95
    assert success(0.0) <= 0.05
