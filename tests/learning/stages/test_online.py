"""Online training: a known answer, what the buffer is given, the warm start, resumption."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from offline_trader.errors import ConfigError
from offline_trader.learning.agents import Learner, make_learner
from offline_trader.learning.data import RingBuffer, Transitions
from offline_trader.learning.settings import LearnerConfig, OnlineConfig
from offline_trader.learning.stages import finetune

GRID = np.stack([np.linspace(-1, 1, 201), np.zeros(201)], axis=1).astype(np.float32)


def regret(policy: Any) -> float:
    """Mean square distance from the best action, 0.8 x."""
    return float(np.mean((policy(GRID)[:, 0] - 0.8 * GRID[:, 0]) ** 2))


def score(policy: Any) -> dict[str, float]:
    return {"score": -regret(policy)}


def learner_of(seed: int = 0, **changed: Any) -> Learner:
    settings: dict[str, Any] = {
        "algorithm": "sac", "hidden": (32, 32), "batch_size": 64, "actor_lr": 3e-3,
        "critic_lr": 3e-3, "initial_temperature": 0.05, "layer_norm": True,
    }  # fmt: skip
    used = LearnerConfig.used({**settings, **changed})
    return make_learner(LearnerConfig(**used), 2, None, seed)


@pytest.mark.parametrize("mixed", [False, True])
def test_a_bandits_best_action_is_found(
    mixed: bool, uniform_data: Transitions, target_lanes: Any
) -> None:
    learner = learner_of()
    config = OnlineConfig(steps=4_000, update_ratio=0.1, warmup_steps=200, critic_updates=50)
    rows: list[dict[str, float]] = []
    result = finetune(
        learner,
        target_lanes(),
        uniform_data if mixed else None,
        config,
        lambda _, row: rows.append(dict(row)),
        score,
    )
    assert result.kept == "best"
    assert regret(learner) < 0.01
    # updates are counted from the end of the warm-up on
    assert result.updates == pytest.approx(0.1 * 3_800, abs=2)
    entropies = [row["online/action_entropy"] for row in rows if "online/action_entropy" in row]
    assert len(entropies) == 4
    assert min(entropies) > 0.5


def test_the_buffer_gets_final_observations_and_terminations_only(
    monkeypatch: pytest.MonkeyPatch, target_lanes: Any
) -> None:
    calls: list[dict[str, NDArray[Any]]] = []
    add = RingBuffer.add

    def spy(self: RingBuffer, step: Mapping[str, NDArray[Any]]) -> None:
        calls.append({name: np.array(column) for name, column in step.items()})
        add(self, step)

    monkeypatch.setattr(RingBuffer, "add", spy)
    finetune(learner_of(), target_lanes(), None, OnlineConfig(steps=48, update_ratio=0.0))
    assert len(calls) == 6
    for number, step in enumerate(calls):
        before, actions = step["observations"], step["actions"]
        # every step ends the lane: final observations are 10 further than what was seen
        np.testing.assert_allclose(step["next_observations"], before + 10.0, rtol=1e-6)
        expected = -((actions[:, 0] - 0.8 * before[:, 0]) ** 2)
        np.testing.assert_allclose(step["rewards"], expected, rtol=1e-5)
        np.testing.assert_array_equal(step["raw_rewards"], step["rewards"])
        # the first step of these lanes is truncated, the second terminates, and so on
        assert step["terminals"].tolist() == [number % 2 == 1] * 8
        assert step["timeouts"].tolist() == [number % 2 == 0] * 8


def test_the_warm_start_is_kept_when_nothing_beats_it(target_lanes: Any) -> None:
    learner = learner_of()
    actions = learner.act(GRID)

    def worse_with_distance(policy: Any) -> dict[str, float]:
        return {"score": -float(np.abs(policy(GRID) - actions).max())}

    config = OnlineConfig(steps=200, update_ratio=0.5, warmup_steps=0, critic_updates=0)
    result = finetune(learner, target_lanes(), None, config, evaluate=worse_with_distance)
    assert (result.kept, result.kept_step) == ("warm_start", 0)
    assert result.updates > 50
    np.testing.assert_array_equal(learner.act(GRID), actions)


@pytest.mark.parametrize("engine", ["stock", "fast"])
@pytest.mark.parametrize("mixed", [False, True])
def test_an_interrupted_training_resumes_to_the_same_bytes(
    engine: str, mixed: bool, uniform_data: Transitions, target_lanes: Any, tmp_path: Path
) -> None:
    config = OnlineConfig(
        steps=240, update_ratio=0.3, buffer_size=100, warmup_steps=60, critic_updates=10,
        evaluate_interval=50, log_interval=40, checkpoint_interval=80,
    )  # fmt: skip
    offline = uniform_data if mixed else None
    saved: dict[int, Path] = {}

    def keep(step: int, state: dict[str, Any]) -> None:
        saved[step] = tmp_path / f"{step}.pt"
        torch.save(state, saved[step])

    rows: list[tuple[int, dict[str, float]]] = []
    whole = learner_of(engine=engine)
    result = finetune(
        whole, target_lanes(), offline, config, lambda s, r: rows.append((s, dict(r))), score, keep
    )
    assert sorted(saved) == [80, 160, 240]
    tail: list[tuple[int, dict[str, float]]] = []
    resumed = learner_of(engine=engine, seed=6)
    again = finetune(
        resumed,
        target_lanes(seed=99),
        offline,
        config,
        lambda s, r: tail.append((s, dict(r))),
        score,
        resume=torch.load(saved[80], weights_only=True),
    )
    assert again == result
    assert tail == rows[-len(tail) :]
    assert len(tail) > 3
    whole.save(tmp_path / "a.d3")
    resumed.save(tmp_path / "b.d3")
    assert (tmp_path / "a.d3").read_bytes() == (tmp_path / "b.d3").read_bytes()


class Unsaveable:
    """Lanes without a state to save."""

    final_observations = np.zeros((1, 2), np.float32)

    def reset(self) -> NDArray[np.float32]:
        return self.final_observations

    def step(self, actions: NDArray[np.float32]) -> Any:
        raise NotImplementedError


def test_what_cannot_work_is_said_first(target_lanes: Any) -> None:
    def keep(step: int, state: Mapping[str, Any]) -> None:
        raise AssertionError

    with pytest.raises(ConfigError, match="online training of cql"):
        finetune(learner_of(algorithm="cql"), target_lanes(), None, OnlineConfig(steps=8))
    with pytest.raises(ConfigError, match="Unsaveable has no state_dict"):
        finetune(learner_of(), Unsaveable(), None, OnlineConfig(steps=8), checkpoint=keep)
