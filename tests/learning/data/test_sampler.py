"""Packing and sampling against the definition row by row; state; memory maps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from offline_trader.errors import ConfigError
from offline_trader.learning.data import (
    PackedRows,
    Preprocessing,
    RewardScale,
    RingBuffer,
    RowLayout,
    Sampler,
    Transitions,
    fit_reward_scale,
    pack,
)

GAMMA = 0.9
SCALES = Preprocessing(
    np.array([1.0, -2.0, 0.5]), np.array([2.0, 0.5, 3.0]), RewardScale(0.3, 2.0), GAMMA
)


def episodes(lengths: tuple[int, ...] = (5, 1, 3), terminal: tuple[int, ...] = (4,)) -> Transitions:
    rng = np.random.default_rng(0)
    count = sum(lengths)
    terminals = np.zeros(count, bool)
    terminals[list(terminal)] = True
    ends = np.zeros(count, bool)
    ends[np.cumsum(lengths) - 1] = True
    return Transitions(
        rng.normal(size=(count, 3)).astype(np.float32),
        rng.uniform(-1, 1, (count, 1)).astype(np.float32),
        rng.normal(size=count).astype(np.float32),
        rng.normal(size=(count, 3)).astype(np.float32),
        terminals,
        ends & ~terminals,
        np.repeat(np.arange(len(lengths)), lengths),
    )


@pytest.mark.parametrize("n_steps", [1, 3])
def test_a_packed_row_holds_what_the_definition_says(n_steps: int) -> None:
    data = episodes()
    packed = pack(data, SCALES, n_steps=n_steps, block=4)
    where = packed.layout.slices()
    rows = packed.values.numpy()
    scaled = (data.rewards - 0.3) / 2.0
    for row in range(len(data)):
        end = row
        while not data.ends[end]:
            end += 1
        last = min(row + n_steps - 1, end)
        expected = {
            "observations": (data.observations[row] - SCALES.mean) / SCALES.scale,
            "next_observations": (data.next_observations[last] - SCALES.mean) / SCALES.scale,
            "actions": data.actions[row],
            "next_actions": data.actions[last + 1] if last < end else [0.0],
            "rewards": [sum(GAMMA**k * scaled[row + k] for k in range(last - row + 1))],
            "returns_to_go": [sum(GAMMA ** (k - row) * scaled[k] for k in range(row, end + 1))],
            "terminals": [float(data.terminals[last])],
            "intervals": [last - row + 1.0],
        }
        for name, value in expected.items():
            np.testing.assert_allclose(
                rows[row, where[name]], value, rtol=1e-5, atol=1e-6, err_msg=f"{name} of row {row}"
            )


def test_rows_behind_a_memory_map_are_the_same_and_lie_in_the_folder(tmp_path: Path) -> None:
    data = episodes()
    held, mapped = pack(data, SCALES), pack(data, SCALES, memory_share=0.0, directory=tmp_path)
    assert torch.equal(held.values, mapped.values)
    assert [p.stat().st_size for p in tmp_path.iterdir()] == [held.values.numel() * 4]
    assert held.file is None


def test_rows_on_another_device_leave_no_file_behind(tmp_path: Path) -> None:
    moved = pack(episodes(), SCALES, memory_share=0.0, directory=tmp_path, device="meta")
    assert (moved.values.device.type, moved.file) == ("meta", None)
    assert list(tmp_path.iterdir()) == []


def marked(values: list[float]) -> PackedRows:
    """Rows whose reward is their mark."""
    layout = RowLayout(1, 1)
    rows = torch.zeros((len(values), layout.width))
    rows[:, layout.slices()["rewards"]] = torch.tensor(values)[:, None]
    return PackedRows(rows, layout, len(values))


def test_a_mixed_batch_has_the_share_of_each_source() -> None:
    sampler = Sampler(
        marked([1.0, 2.0]), marked([3.0]), marked([4.0]),
        batch_size=10, seed=0, shares=(0.3, 0.5, 0.2),
    )  # fmt: skip
    rewards = sampler.sample().rewards
    assert rewards.shape == (10, 1)
    assert set(rewards[:3, 0].tolist()) <= {1.0, 2.0}
    assert rewards[3:, 0].tolist() == [3.0] * 5 + [4.0] * 2


def test_every_row_is_drawn_about_equally_often() -> None:
    sampler = Sampler(marked([0.0, 1.0, 2.0, 3.0]), batch_size=1000, seed=0)
    drawn = torch.cat([sampler.sample().rewards for _ in range(40)]).flatten()
    shares = torch.bincount(drawn.long()) / 40_000
    assert (shares - 0.25).abs().max() < 4 * (0.25 * 0.75 / 40_000) ** 0.5


def test_the_generator_goes_on_where_it_was_saved_and_is_its_own() -> None:
    sampler = Sampler(marked(list(range(50))), batch_size=8, seed=1)
    sampler.sample()
    state = sampler.state_dict()
    torch.manual_seed(123)
    first = sampler.sample().rewards
    other = Sampler(marked(list(range(50))), batch_size=8, seed=99)
    other.load_state_dict(state)
    assert torch.equal(first, other.sample().rewards)
    assert not torch.equal(first, other.sample().rewards)


def test_sources_of_other_widths_are_refused() -> None:
    wide = PackedRows(torch.zeros((1, 12)), RowLayout(2, 2), 1)
    with pytest.raises(ConfigError, match="one width"):
        Sampler(marked([0.0]), wide, batch_size=2, seed=0)


def step_of(
    marks: NDArray[Any], actions: NDArray[Any], after: NDArray[Any], terminated: list[bool]
) -> dict[str, NDArray[Any]]:
    """A step of two lanes whose reward is the mark."""
    return {
        "observations": marks,
        "actions": actions,
        "rewards": marks[:, 0],
        "next_observations": after,
        "terminals": np.array(terminated),
    }


def test_the_ring_overwrites_the_oldest_and_keeps_truncations_apart() -> None:
    scales = Preprocessing(np.zeros(1), np.ones(1), None, GAMMA)
    ring = RingBuffer(5, RowLayout(1, 1), scales)
    where = ring.layout.slices()
    for step in range(3):
        marks = np.array([[2.0 * step], [2.0 * step + 1]], np.float32)
        ring.add(step_of(marks, marks * 0, marks + 100, [step == 2, False]))
    assert ring.count == 5
    # six rows into five places: the last overwrote the first
    assert ring.values[:, where["rewards"]].flatten().tolist() == [5.0, 1.0, 2.0, 3.0, 4.0]
    assert ring.values[:, where["terminals"]].flatten().tolist() == [0.0, 0.0, 0.0, 0.0, 1.0]
    assert ring.values[0, where["next_observations"]].item() == 105.0
    copy = RingBuffer(5, RowLayout(1, 1), scales)
    copy.load_state_dict(ring.state_dict())
    for buffer in (ring, copy):
        buffer.add(step_of(marks, marks, marks, [False, False]))
    assert torch.equal(ring.values, copy.values)


def test_stored_rewards_are_scaled_once_the_scale_is_known() -> None:
    ring = RingBuffer(4, RowLayout(1, 1), Preprocessing(np.zeros(1), np.ones(1), None, GAMMA))
    marks = np.array([[1.0], [3.0]], np.float32)
    ring.add(step_of(marks, marks * 0, marks, [False, False]))
    scale = fit_reward_scale(ring.rewards(), "standard")
    ring.rescale(Preprocessing(np.zeros(1), np.ones(1), scale, GAMMA))
    ring.add(step_of(marks, marks * 0, marks, [False, False]))
    assert ring.rewards().tolist() == [-1.0, 1.0, -1.0, 1.0]
