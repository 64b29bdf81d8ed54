"""Lanes of the curriculum with goals: redrawn markets, hindsight, adapting, resumption."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
import torch

from offline_trader.goals import GoalTask
from offline_trader.learning.agents import Learner, make_learner
from offline_trader.learning.data import Preprocessing, RingBuffer, RowLayout, Sampler, Transitions
from offline_trader.learning.settings import (
    CuriosityConfig,
    CurriculumConfig,
    DifficultyConfig,
    LearnerConfig,
    OnlineConfig,
    ShapingConfig,
)
from offline_trader.learning.stages import finetune
from offline_trader.learning.stages.course import Course, CourseLanes, Exam
from offline_trader.learning.stages.goal_course import GoalCourseLanes
from offline_trader.learning.stages.goal_rows import hindsight_of
from offline_trader.simulator import SimulatorConfig
from offline_trader.types import FloatArray, PortfolioField

SMALL: dict[str, Any] = {
    "enabled": True, "paths": 2, "bars": 60, "exam_interval": 240, "exam_episodes": 3,
    "exam_bars": 30,
}  # fmt: skip
RULES = SimulatorConfig(action_mode="target_long")
ADAPTIVE = DifficultyConfig(enabled=True, window=8, cooldown=8, factor=1.5)
HARDER = DifficultyConfig(True, 8, 8, 1.5, good_wins=0.01, bad_wins=0.0)
KINDS: tuple[Any, ...] = ("exposure", "return", "drawdown")


def passes(*given: Any) -> Exam:
    return Exam(3, 3, 0.9, {"goal_reward": 0.5})


def course_of(difficulty: DifficultyConfig = DifficultyConfig(), **changed: Any) -> Course:
    curriculum = CurriculumConfig(**{**SMALL, **changed})
    return Course(curriculum, difficulty, RULES, ("builtin",), 20, passes)


def drawn(rng: np.random.Generator) -> Any:
    return rng.uniform(-0.5, 1, (8, 1)).astype(np.float32)


@pytest.mark.parametrize("kind", KINDS)
def test_horizons_are_those_of_a_plain_loop_also_where_markets_are_drawn_anew(kind: Any) -> None:
    task = GoalTask(kind, horizon=8, tolerance=0.3)
    lanes = GoalCourseLanes(course_of(), task, 8, 5)
    plain = CourseLanes(course_of(), 8, 5)
    wide, seen = lanes.reset(), plain.reset()
    rng = np.random.default_rng(0)

    def equities(parts: Any, name: str = "equity") -> FloatArray:
        return np.concatenate([getattr(each, name) for each in parts])

    paths = [[float(each)] for each in equities(plain.simulators)]
    goals, paid, redrawn = wide[:, -1].copy(), 0.0, []
    for t in range(70):
        np.testing.assert_array_equal(wide[:, : -len(task.progress) - 1], seen)
        np.testing.assert_array_equal(wide[:, -1], goals)
        if t in (21, 22, 45):  # within horizons
            for each in (lanes, plain):
                each.examine(lambda observations: observations)
        action, before = drawn(rng), plain.simulators
        ours, theirs = lanes.step(action), plain.step(action)
        redrawn += [t] * (plain.simulators != before)
        after = equities(before, "equity_after_step")
        exposures = np.concatenate([each.outcome()["exposure"] for each in before])
        cut, now = theirs.terminated | theirs.truncated, equities(plain.simulators)
        for n in range(8):
            paths[n].append(float(after[n]))
            path = np.array(paths[n])
            over = len(path) == 9
            fallen = (1.0 - path / np.maximum.accumulate(path)).max()
            gained = path[-1] / path[0] - 1.0
            reached = {"exposure": exposures[n], "return": gained, "drawdown": fallen}[kind]
            expected = float(task.rewards(reached, goals[n], float(over)))
            assert ours.rewards[n] == pytest.approx(expected, abs=2e-6)
            assert ours.terminated[n] == over
            assert ours.truncated[n] == (bool(cut[n]) and not over)
            if over or cut[n]:
                final = lanes.final_observations[n]
                shown = [(9 - len(path)) / 8, gained, fallen][: len(task.progress)]
                np.testing.assert_allclose(final[-len(shown) - 1 : -1], shown, atol=1e-6)
                assert final[-1] == goals[n]
                assert final[lanes.achieved_column] == pytest.approx(reached, abs=1e-6)
                np.testing.assert_array_equal(
                    final[: -len(shown) - 1],
                    plain.final_observations[n] if cut[n] else theirs.observations[n],
                )
                paths[n], goals[n] = [float(now[n])], ours.observations[n, -1]
            paid += abs(expected)
        assert t not in redrawn or (ours.terminated | ours.truncated).all()
        wide, seen = ours.observations, theirs.observations
    assert redrawn == [21, 22, 45]
    assert lanes.stage == "expert"
    assert len({part.n_lanes for part in lanes.simulators}) > 1, "some rehearse"
    assert paid > 0
    low, high = task.range
    assert ((goals >= np.float32(low)) & (goals <= np.float32(high))).all()


def test_goals_differ_from_market_to_market_and_lane_to_lane() -> None:
    lanes = GoalCourseLanes(course_of(), GoalTask("exposure"), 8, 5)
    goals = [lanes.reset()[:, -1].copy()]
    for _ in range(2):
        lanes.examine(lambda observations: observations)
        goals.append(lanes.step(np.zeros((8, 1), np.float32)).observations[:, -1].copy())
    assert len(np.unique(goals)) == 24


def learner_of(lanes: GoalCourseLanes, seed: int = 0) -> Learner:
    config = LearnerConfig(algorithm="sac", hidden=(16, 16), batch_size=16, reward_scaling="none")
    width = lanes.goal_column + 1
    scales = Preprocessing(np.zeros(width), np.ones(width), None, 0.99)
    return make_learner(config, width, scales, seed)


def test_hindsight_never_looks_beyond_markets_that_are_drawn_anew() -> None:
    lanes = GoalCourseLanes(course_of(), GoalTask("exposure", horizon=8), 8, 5)
    before = lanes.reset()
    learner = learner_of(lanes)
    config = OnlineConfig(buffer_size=400, hindsight=1e6)
    hindsight = hindsight_of(learner, lanes, config, 0)
    layout = RowLayout(lanes.goal_column + 1, 1, ())
    buffer = RingBuffer(400, layout, learner.preprocessing, "cpu")
    rng, achieved, ended = np.random.default_rng(1), [], []
    for t in range(50):
        if t == 21:  # accounts and horizons began at the step before
            lanes.examine(lambda observations: observations)
        action = drawn(rng)
        result = lanes.step(action)
        over = result.terminated | result.truncated
        after = np.where(over[:, None], lanes.final_observations, result.observations)
        row = {
            "observations": before, "actions": action, "rewards": result.rewards,
            "next_observations": after, "terminals": result.terminated,
            "raw_rewards": result.rewards, "timeouts": result.truncated,
        }  # fmt: skip
        buffer.add(hindsight.stored(row, online=True))
        achieved.append(after[:, lanes.achieved_column])
        ended.append(over)
        before = np.array(result.observations)
    assert ended[21].all()
    assert not ended[20].any()
    reached, ends = np.array(achieved), np.array(ended)
    sampler = Sampler(buffer, batch_size=2_000, seed=0, shares=(1.0,))
    batch = hindsight.sampled(sampler.draw())
    rows = batch.drawn[0].indices.numpy()
    goals = batch.matrix[:, layout.slices()["observations"]][:, -1].numpy()
    later = 0
    for row, goal in zip(rows, goals, strict=True):
        t, n = divmod(int(row), 8)
        last = t + int(ends[t:, n].argmax()) if ends[t:, n].any() else 49
        met = np.abs(reached[t : last + 1, n] - goal) < 1e-6
        assert met.any(), "achieved in the row's own horizon, on the row's own market"
        later += int(met[1:].any())
    assert later > 500


class Recorded(GoalCourseLanes):
    """Keeps what it would adapt to, and stays as it is."""

    def _adapted(self, results: FloatArray) -> Any:
        self.noted = results
        return self.difficulty


@pytest.mark.parametrize("kind", KINDS)
def test_difficulty_looks_at_what_accounts_reached_from_their_first_bar_to_their_last(
    kind: Any,
) -> None:
    task = GoalTask(kind, horizon=8, tolerance=0.3)
    lanes = Recorded(course_of(ADAPTIVE, enabled=False), task, 8, 5)
    lanes.reset()
    rng, reached = np.random.default_rng(0), []
    for _ in range(20):
        done = lanes.step(drawn(rng))
        reached.append(done.rewards if task.is_outcome else 1.0 + done.rewards)
    expected = np.sum(reached, axis=0) / (2 if task.is_outcome else 20)
    np.testing.assert_allclose(lanes.noted, expected, atol=1e-12)
    assert 0.0 < expected.mean() < 1.0


@pytest.mark.parametrize(("away", "spreads"), [
    (0.0, [0.0015, 0.00225, 0.003]), (0.5, [0.001 / 1.5, 0.0005, 0.0005]),
])  # fmt: skip
def test_markets_adapt_to_goals_that_are_reached_or_missed(
    away: float, spreads: list[float]
) -> None:
    """Every account ends at its 20th bar, which is the window and the cooldown at once."""
    lanes = GoalCourseLanes(course_of(ADAPTIVE, enabled=False), GoalTask("exposure"), 8, 5)
    seen, found = lanes.reset(), []
    for _ in range(60):
        asked = seen[:, -1:]
        done = lanes.step(np.where(asked > 0.5, asked - away, asked + away))
        seen = done.observations.copy()
        if done.terminated.any():  # with their accounts, of a horizon each
            found.append(lanes.difficulty.spread)
    assert found == pytest.approx(spreads)
    half = lanes.simulators[0].config.half_spread_bps
    assert half == pytest.approx(5_000 * spreads[-1])


def logged(lanes: GoalCourseLanes, rows: int = 60) -> Transitions:
    """Transitions without goals, as a dataset has them."""
    rng, size = np.random.default_rng(3), lanes.market.layout.size
    seen = rng.normal(0, 0.1, (rows, size)).astype(np.float32)
    ends = np.arange(rows) % 20 == 19
    return Transitions(
        observations=seen,
        actions=rng.uniform(-1, 1, (rows, 1)).astype(np.float32),
        rewards=rng.normal(0, 0.01, rows).astype(np.float32),
        next_observations=np.roll(seen, -1, axis=0),
        terminals=np.zeros(rows, bool),
        timeouts=ends,
        episode_ids=np.arange(rows) // 20,
    )


@pytest.mark.parametrize(
    ("kind", "steps"), [("exposure", (40, 200, 720)), ("return", (480,)), ("drawdown", (1_120,))]
)
def test_everything_at_once_resumes_to_the_same_bytes(
    kind: Any, steps: tuple[int, ...], tmp_path: Any
) -> None:
    """Goals with hindsight, curriculum, adaptive difficulty, curiosity, shaping, offline data."""
    task = GoalTask(kind, horizon=6)

    def lanes_of() -> GoalCourseLanes:
        return GoalCourseLanes(course_of(HARDER), task, 8, 4)

    config = OnlineConfig(
        steps=1_200, update_ratio=0.1, warmup_steps=16, critic_updates=0, buffer_size=300,
        log_interval=80, checkpoint_interval=40, evaluate_interval=0, difficulty=HARDER,
        curriculum=CurriculumConfig(**SMALL), curiosity=CuriosityConfig(weight=0.1),
        shaping=ShapingConfig(potentials=("trend_alignment", "holding_time"), adaptive=True),
    )  # fmt: skip

    def run(seed: int, resume: Any = None) -> tuple[Learner, list[Any], dict[int, bytes]]:
        lanes, rows, saved = lanes_of(), list[Any](), dict[int, bytes]()
        learner = learner_of(lanes, seed)

        def keep(step: int, state: Any) -> None:
            file = io.BytesIO()
            torch.save(state, file)
            saved[step] = file.getvalue()

        finetune(
            learner, lanes, logged(lanes), config, lambda s, r: rows.append((s, dict(r))), None,
            keep, resume=resume,
        )  # fmt: skip
        return learner, rows, saved

    whole, rows, saved = run(0)
    assert sum("curriculum/passed" in row for _, row in rows) == 4, "all stages were gone through"
    assert any(row.get("curriculum/goal_reward") == 0.5 for _, row in rows)
    spreads = {row["online/spread"] for _, row in rows if "online/spread" in row}
    assert len(spreads) > 1, "and adapted"
    shares = [row["online/relabelled"] for _, row in rows if "online/relabelled" in row]
    assert all(0.6 < share < 1.0 for share in shares)
    whole.save(tmp_path / "whole.d3")
    for step in steps:  # within horizons, some of them right after exams
        state = torch.load(io.BytesIO(saved[step]), weights_only=True)
        resumed, tail, again = run(1, state)
        assert tail == rows[-len(tail) :]
        assert again == {at: state for at, state in saved.items() if at > step}
        resumed.save(tmp_path / "resumed.d3")
        assert (tmp_path / "whole.d3").read_bytes() == (tmp_path / "resumed.d3").read_bytes()


def test_the_exposure_is_where_the_market_says() -> None:
    lanes = GoalCourseLanes(course_of(), GoalTask("exposure"), 8, 5)
    assert lanes.achieved_column == lanes.market.layout.column(PortfolioField.EXPOSURE)
    lanes = GoalCourseLanes(course_of(), GoalTask("drawdown"), 8, 5)
    assert lanes.achieved_column == lanes.goal_column - 1
