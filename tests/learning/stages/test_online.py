"""Online training: a known answer, what the buffer is given, the warm start, resumption."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from offline_trader.errors import ConfigError
from offline_trader.learning.agents import Learner, load_learner, make_learner
from offline_trader.learning.data import RingBuffer, Transitions
from offline_trader.learning.settings import CuriosityConfig, LearnerConfig, OnlineConfig
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
    config = OnlineConfig(
        steps=4_000, update_ratio=0.1, warmup_steps=200, critic_updates=50,
        exploring_starts=0.0,  # every episode has one step
    )  # fmt: skip
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
        evaluate_interval=50, log_interval=40, checkpoint_interval=80, exploring_starts=0.3,
        target_entropy=-0.5, final_target_entropy=-3.0, entropy_hold=0.2,
        entropy_decay=0.7, rate_decay=0.6,
        curiosity=CuriosityConfig(weight=0.3 if mixed else 0.0),
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


def paces(config: OnlineConfig, lanes: Any) -> list[tuple[float, float]]:
    """What the loop told an agent after each step, in order."""
    learner, told = learner_of(), list[tuple[float, float]]()
    set_pace = learner.set_pace

    def spy(target_entropy: float, rate: float) -> None:
        told.append((target_entropy, rate))
        set_pace(target_entropy, rate)

    learner.set_pace = spy  # type: ignore[method-assign]
    finetune(learner, lanes, None, config)
    groups = [
        (group["lr"], base)
        for name, base in (("actor_optim", 3e-3), ("critic_optim", 3e-3), ("temp_optim", 3e-4))
        for group in getattr(learner.algo.impl.modules, name).param_groups
    ]
    assert all(found == base for found, base in groups), "rates are put back in the end"
    return told


def test_entropy_and_rates_follow_their_lines(target_lanes: Any) -> None:
    config = OnlineConfig(
        steps=1_600, update_ratio=0.125, warmup_steps=400, critic_updates=0,
        target_entropy=-1.0, final_target_entropy=-5.0, entropy_hold=0.0, entropy_decay=0.5,
        rate_decay=0.25,
    )  # fmt: skip
    told = paces(config, target_lanes())
    *course, end = told
    assert end == (-1.0, 1.0)
    # updates begin at a quarter of the steps, where half of the way down is done
    assert course[0] == pytest.approx((-3.0, 1.0))
    assert course[-1] == pytest.approx((-5.0, 0.01))
    entropies, rates = np.array(course).T
    # told where something changes: the way down to a half, then the last quarter and its end
    done = np.concatenate([np.arange(25, 51), np.arange(76, 101)]) / 100
    np.testing.assert_allclose(entropies, np.maximum(-1.0 - 8.0 * done, -5.0))
    np.testing.assert_allclose(rates, np.clip((1.0 - done) / 0.25, 0.01, 1.0))


def test_entropy_is_annealed_while_validation_improves(target_lanes: Any) -> None:
    """Scores by validation, from the warm start's on, and the target that follows each."""
    scores = iter([0.0, 1.0, 2.0, 1.5, 3.0, 3.0, 4.0, 5.0])
    rows: list[tuple[int, dict[str, Any]]] = []
    config = OnlineConfig(
        steps=560, update_ratio=0.5, warmup_steps=0, critic_updates=0, evaluate_interval=80,
        log_interval=80, anneal="validation", entropy_step=0.75, target_entropy=-1.0,
        final_target_entropy=-3.0, entropy_decay=0.0,
    )  # fmt: skip
    finetune(
        learner_of(), target_lanes(), None, config, lambda s, r: rows.append((s, dict(r))),
        lambda _: {"score": next(scores)},
    )  # fmt: skip
    targets = {s: row["online/target_entropy"] for s, row in rows if "online/target_entropy" in row}
    # a row stands before the validation of its step; worse than the best, or equal: as it was
    assert targets == pytest.approx(
        {80: -1.0, 160: -1.75, 240: -2.5, 320: -2.5, 400: -3.0, 480: -3.0, 560: -3.0}
    )
    with pytest.raises(ConfigError, match="anneal=validation without a validation"):
        finetune(learner_of(), target_lanes(), None, config)


def test_a_training_ends_after_so_many_validations_in_vain(target_lanes: Any) -> None:
    """And one that was interrupted among them ends at the same step."""
    scores = {0: 0.0, 80: 1.0, 160: 0.5, 240: 2.0, 320: 1.5, 400: 2.0, 480: 9.0}
    config = OnlineConfig(
        steps=560, update_ratio=0.5, warmup_steps=0, critic_updates=0, evaluate_interval=80,
        log_interval=80, checkpoint_interval=360, patience=2,
    )  # fmt: skip

    def run(start: int = 0, **given: Any) -> tuple[Any, dict[int, Any], dict[int, Any]]:
        rows: dict[int, Any] = {}
        saved: dict[int, Any] = {}
        left = iter([score for step, score in scores.items() if step >= start])
        result = finetune(
            learner_of(), target_lanes(), None, config, lambda s, r: rows.update({s: dict(r)}),
            lambda _: {"score": next(left)}, saved.__setitem__, **given,
        )  # fmt: skip
        return result, rows, saved

    result, rows, saved = run()
    assert max(rows) == 400
    assert rows[400]["online/ended"] == "no better policy in 2 validations: it ends at step 400"
    assert (result.kept, result.kept_step, result.kept_score) == ("best", 240, 2.0)
    again, tail, _ = run(400, resume=saved[360])
    assert max(tail) == 400
    assert again == result
    with pytest.raises(ConfigError, match="patience=2 without a validation"):
        finetune(learner_of(), target_lanes(), None, config)
    with pytest.raises(ConfigError, match="patience=2 with evaluate_interval=0"):
        replace(config, evaluate_interval=0)


def test_the_policys_entropy_goes_where_the_target_says(target_lanes: Any) -> None:
    """Entropy of tanh(N(μ, σ)) at the end, −E[log π], against the last target."""
    found = []
    for target in (-0.5, -3.0):
        learner = learner_of(temp_lr=3e-2)
        config = OnlineConfig(
            steps=3_000, update_ratio=0.25, warmup_steps=200, critic_updates=0, entropy_hold=0.0,
            entropy_decay=0.3, target_entropy=0.0, final_target_entropy=target,
        )  # fmt: skip
        finetune(learner, target_lanes(), None, config)
        noise = torch.Generator().manual_seed(0)
        drawn = np.arctanh(np.stack([learner.sample(GRID, noise) for _ in range(200)]) * 0.999999)
        before = 0.5 * np.log(2 * np.pi * np.e * drawn.var(axis=0)).mean()
        found.append(float(before + np.log1p(-(np.tanh(drawn) ** 2)).mean()))
    assert found == pytest.approx([-0.5, -3.0], abs=0.5)


def test_some_episodes_begin_with_any_action(target_lanes: Any) -> None:
    """The policy says 0.9; every episode has one step; a share of them explores."""
    taken: list[NDArray[np.float32]] = []

    class Watched(target_lanes):  # type: ignore[misc]
        def step(self, actions: NDArray[np.float32]) -> Any:
            taken.append(actions.copy())
            return super().step(actions)

    for share in (0.0, 0.25, 1.0):
        taken.clear()
        learner = learner_of()
        learner.sample = lambda seen, _: np.full((len(seen), 1), 0.9, np.float32)  # type: ignore
        config = OnlineConfig(steps=4_000, update_ratio=0.0, exploring_starts=share)
        finetune(learner, Watched(), None, config)
        actions = np.concatenate(taken).ravel()
        explored = actions[actions != np.float32(0.9)]
        assert len(explored) / len(actions) == pytest.approx(share, abs=0.03)
        if share:
            assert np.histogram(explored, 4, (-1, 1))[0].min() > 0.2 * len(explored)


def test_the_best_policy_by_validation_is_put_back(target_lanes: Any, tmp_path: Path) -> None:
    """Scores rise and fall: what is kept, and saved, is the policy at the top."""
    learner, seen = learner_of(), list[NDArray[np.float32]]()
    scores = iter([0.0, 1.0, float("nan"), 3.0, 3.0, 2.0])

    def told(policy: Any) -> dict[str, float]:
        seen.append(policy(GRID))
        return {"score": next(scores)}

    config = OnlineConfig(
        steps=400, update_ratio=0.5, warmup_steps=0, critic_updates=0, evaluate_interval=80
    )
    result = finetune(learner, target_lanes(), None, config, evaluate=told)
    assert (result.kept, result.kept_step) == ("best", 240)
    assert (result.warm_score, result.kept_score, result.last_score) == (0.0, 3.0, 2.0)
    np.testing.assert_array_equal(learner.act(GRID), seen[3])
    assert np.abs(seen[3] - seen[5]).max() > 1e-3
    learner.save(tmp_path / "kept.d3")
    np.testing.assert_allclose(load_learner(tmp_path / "kept.d3").act(GRID), seen[3], atol=1e-6)


def planted(lanes: Any, on_collapse: Any) -> tuple[list[dict[str, Any]], Any, Learner]:
    """A good warm start meets costs that for a while make holding (a = 0) best; then they end."""
    learner = learner_of(initial_temperature=0.02, temp_lr=3e-3)
    warm = OnlineConfig(
        steps=2_000, update_ratio=0.2, warmup_steps=200, critic_updates=0, exploring_starts=0.0
    )
    finetune(learner, lanes(), None, warm)

    class Costly(lanes):  # type: ignore[misc]
        def step(self, actions: NDArray[np.float32]) -> Any:
            result = super().step(actions)
            if self._count * self.n_lanes > 1_600:
                return result
            return replace(result, rewards=-5.0 * actions[:, 0].astype(np.float64) ** 2)

    def watched(policy: Any) -> dict[str, float]:
        return score(policy) | {"collapsed": float(policy(GRID).std() < 0.15)}

    rows: list[dict[str, Any]] = []
    config = OnlineConfig(
        steps=6_400, update_ratio=0.2, warmup_steps=0, critic_updates=0, buffer_size=1_000,
        evaluate_interval=400, log_interval=400, target_entropy=-3.0, final_target_entropy=-3.0,
        exploring_starts=0.0, on_collapse=on_collapse,
    )  # fmt: skip
    result = finetune(
        learner, Costly(), None, config, lambda s, r: rows.append({"step": s, **r}), watched
    )
    return rows, result, learner


@pytest.mark.slow
@pytest.mark.parametrize("on_collapse", ["explore", "return", "continue"])
def test_a_planted_collapse_is_seen_said_and_left(on_collapse: str, target_lanes: Any) -> None:
    rows, result, learner = planted(target_lanes, on_collapse)
    texts = {row["step"]: row["online/collapse"] for row in rows if "online/collapse" in row}
    assert texts, "nothing collapsed, so nothing was tested"
    first = min(texts)
    assert f"the policy of step {first:,} collapsed on the validation range" in texts[first]
    flags = {row["step"]: row["validation/collapsed"] for row in rows
             if "validation/collapsed" in row}  # fmt: skip
    assert flags[0] == 0.0
    assert {step for step, flag in flags.items() if flag} == set(texts)
    targets = {row["step"]: row["online/target_entropy"] for row in rows
               if "online/target_entropy" in row}  # fmt: skip
    if on_collapse == "explore":
        assert "the target entropy is -2 nats" in texts[first]
        raised = 0.0
        for step in sorted(flags)[:-1]:
            raised = raised + 1.0 if flags[step] else 0.0
            # a row is logged before the validation of its step
            assert targets[step + 400] == min(-3.0 + raised, 0.0), step
        assert max(flags) not in texts, "with more exploration it has recovered"
        assert targets[max(targets)] == -3.0
    else:
        assert set(targets.values()) == {-3.0}
    if on_collapse == "return":
        assert "from the best policy, of step 0" in texts[first]
    # whatever came after: the kept one is not below the warm start
    kept, warm = result.kept_score, result.warm_score
    assert kept is not None
    assert warm is not None
    assert kept >= warm
    assert score(learner)["score"] == pytest.approx(kept)


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
