"""Lanes of the curriculum: exams, the way to the next stage, adapting markets, resumption."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from offline_trader.errors import ConfigError
from offline_trader.learning.agents import Learner, make_learner
from offline_trader.learning.settings import (
    CuriosityConfig,
    CurriculumConfig,
    DifficultyConfig,
    DirectAgentConfig,
    LearnerConfig,
    OnlineConfig,
    ShapingConfig,
)
from offline_trader.learning.stages import finetune
from offline_trader.learning.stages.course import Course, CourseLanes, Exam
from offline_trader.learning.stages.levels import LEVELS, Level
from offline_trader.simulator import MarketTensor, SimulatorConfig
from offline_trader.types import Policy

SMALL: dict[str, Any] = {
    "enabled": True, "paths": 2, "bars": 60, "exam_interval": 80, "exam_episodes": 3,
    "exam_bars": 30,
}  # fmt: skip
EASY = DifficultyConfig(
    enabled=True, window=4, cooldown=4, factor=1.5, bad_return=-1.0, bad_wins=0.0,
    good_return=-0.9, good_wins=0.0,
)  # fmt: skip


class Examiner:
    """Lets pass by a list of lower bounds, and remembers what it was given."""

    def __init__(self, lows: list[float]) -> None:
        self.lows, self.given = lows, list[tuple[MarketTensor, SimulatorConfig, Level]]()

    def __call__(
        self, policy: Policy, market: MarketTensor, rules: SimulatorConfig, level: Level
    ) -> Exam:
        self.given.append((market, rules, level))
        return Exam(3, 3, self.lows[len(self.given) - 1], {"sharpe": 1.0})


def lanes_of(
    examine: Any, difficulty: DifficultyConfig = DifficultyConfig(), seed: int = 0, **changed: Any
) -> CourseLanes:
    course = Course(
        CurriculumConfig(**{**SMALL, **changed}), difficulty, SimulatorConfig(), ("builtin",), 20,
        examine,
    )  # fmt: skip
    return CourseLanes(course, 8, seed)


def act(lanes: CourseLanes, steps: int, seed: int = 0) -> list[Any]:
    rng = np.random.default_rng(seed)
    return [lanes.step(rng.uniform(-1, 1, (8, 1)).astype(np.float32)) for _ in range(steps)]


def nothing(observations: Any) -> Any:
    return np.zeros((len(observations), 1), np.float32)


def test_a_passed_exam_leads_on_and_a_failed_one_does_not() -> None:
    examiner = Examiner([0.69, 0.7, 0.9, 0.9, 0.9, 0.9])
    lanes = lanes_of(examiner)
    lanes.reset()
    row = lanes.examine(nothing)
    assert row["curriculum/success_low"] == 0.69
    assert "curriculum/passed" not in row
    assert lanes.level == 0
    row = lanes.examine(nothing)
    assert "stage beginner: training goes on to intermediate" in row["curriculum/passed"]
    assert lanes.measures() == {"stage": 2.0}
    for _ in range(4):
        row = lanes.examine(nothing)
    assert lanes.level == 4, "there is none after the last"
    assert "curriculum/passed" not in row
    assert [level.name for _, _, level in examiner.given] == [
        "beginner", "beginner", "intermediate", "advanced", "expert", "master",
    ]  # fmt: skip
    market, rules, level = examiner.given[3]
    assert rules.commission_bps == pytest.approx(1e4 * level.cost)
    assert rules.slippage_bps == pytest.approx(1e4 * level.slippage)
    assert np.diff(market.stop, prepend=0).tolist() == [31] * 3
    # no exam is on markets that another had, or that were trained on
    closes = [given.prices[0, 3] for given, _, _ in examiner.given]
    closes += [part.market.prices[0, 3] for part in lanes.simulators]
    assert len(set(closes)) == len(closes)


def test_new_markets_cut_every_episode_and_show_what_followed() -> None:
    lanes, twin = lanes_of(Examiner([0.9])), lanes_of(Examiner([0.9]))
    lanes.reset()
    twin.reset()
    act(lanes, 3)
    act(twin, 3)
    old = lanes.simulators
    lanes.examine(nothing)
    assert lanes.simulators == old, "until the next step has been taken in the old markets"
    (step,), (uncut,) = act(lanes, 1, 9), act(twin, 1, 9)
    assert step.truncated.all()
    assert not uncut.truncated.any()
    np.testing.assert_array_equal(step.rewards, uncut.rewards)
    np.testing.assert_array_equal(lanes.final_observations, uncut.observations)
    assert lanes.simulators != old
    # two of eight lanes rehearse; the others are in the second stage
    assert [part.n_lanes for part in lanes.simulators] == [6, 2]
    costs = [part.config.commission_bps for part in lanes.simulators]
    assert costs == pytest.approx([1e4 * LEVELS[1].cost, 1e4 * LEVELS[0].cost])
    np.testing.assert_array_equal(
        step.observations, np.concatenate([part.observations for part in lanes.simulators])
    )


def test_earlier_stages_share_the_lanes_that_rehearse() -> None:
    lanes = lanes_of(Examiner([]), first="expert", rehearsal=0.5)
    named = [part.market.symbols[0].partition("-")[0] for part in lanes.simulators]
    assert named == ["expert", "advanced", "intermediate", "beginner"]
    assert [part.n_lanes for part in lanes.simulators] == [4, 2, 1, 1]
    alone = lanes_of(Examiner([]), first="expert", rehearsal=0.0)
    assert [part.n_lanes for part in alone.simulators] == [8]


def test_markets_adapt_after_their_window_and_rest_for_the_cooldown() -> None:
    lanes = lanes_of(Examiner([]), EASY, enabled=False)
    lanes.reset()
    seen = []
    for _ in range(100):
        (step,) = act(lanes, 1)
        if step.truncated.all():
            seen.append(lanes.difficulty.spread)
    # all eight lanes end at their 20th step, which is window and cooldown at once; the markets
    # that this leads to begin with the step that says so
    assert seen == pytest.approx([0.0015, 0.00225, 0.003, 0.003, 0.003])
    assert lanes.measures()["spread"] == pytest.approx(0.003)
    assert lanes.simulators[0].config.half_spread_bps == pytest.approx(15.0)
    assert lanes.simulators[0].config.commission_bps == pytest.approx(1.0)


def learner_of(size: int, seed: int = 0) -> Learner:
    config = LearnerConfig(algorithm="sac", hidden=(16, 16), batch_size=16, actor_lr=1e-3)
    return make_learner(config, size, None, seed)


@pytest.mark.parametrize("agent", ["sac", "direct"])
def test_an_interrupted_course_goes_on_to_the_same_bytes(agent: str, tmp_path: Path) -> None:
    from offline_trader.learning.stages.direct import DirectAgent

    direct = DirectAgentConfig(windows=8, bars=10, folds=2)

    def lanes() -> CourseLanes:
        return lanes_of(Examiner([0.9] * 9), EASY, seed=4)

    config = OnlineConfig(
        steps=1_200, update_ratio=0.1, warmup_steps=16, critic_updates=0, buffer_size=300,
        log_interval=80, checkpoint_interval=80, evaluate_interval=0, difficulty=EASY,
        curriculum=CurriculumConfig(**{**SMALL, "exam_interval": 240}),
    )  # fmt: skip
    if agent == "sac":  # with all that it can have at once
        shaping = ShapingConfig(potentials=("trend_alignment", "holding_time"), adaptive=True)
        curious = CuriosityConfig(weight=0.1)
        config = replace(config, forecast_weight=1.0, curiosity=curious, shaping=shaping)

    def run(seed: int, resume: Any = None) -> tuple[Learner, list[Any], dict[int, Any]]:
        moving, rows, saved = lanes(), list[Any](), dict[int, Any]()
        learner = learner_of(moving.reset().shape[1], seed)
        trained = (
            DirectAgent(learner, lambda: moving.simulators, direct, 3)
            if agent == "direct"
            else learner
        )

        def keep(step: int, state: Any) -> None:
            torch.save(state, tmp_path / f"{seed}-{step}.pt")
            saved[step] = torch.load(tmp_path / f"{seed}-{step}.pt", weights_only=True)

        moving = lanes()
        finetune(
            trained, moving, None, config, lambda s, r: rows.append((s, dict(r))), None, keep,
            resume=resume,
        )  # fmt: skip
        return learner, rows, saved

    whole, rows, saved = run(0)
    texts = [row["curriculum/passed"] for _, row in rows if "curriculum/passed" in row]
    assert len(texts) == 4, "all stages were gone through"
    stages = [row["online/stage"] for _, row in rows if "online/stage" in row]
    assert stages == [float(stage) for stage in (1, 2, 3, 4, 5) for _ in range(3)]
    assert len({row["online/spread"] for _, row in rows if "online/spread" in row}) > 1
    for step in (160, 480, 1_040):
        resumed, tail, _ = run(1, saved[step])
        assert tail == rows[-len(tail) :]
        assert len(tail) >= 2
        whole.save(tmp_path / "a.d3")
        resumed.save(tmp_path / "b.d3")
        assert (tmp_path / "a.d3").read_bytes() == (tmp_path / "b.d3").read_bytes()


def test_lanes_without_stages_are_refused(target_lanes: Any) -> None:
    for config in (
        OnlineConfig(curriculum=CurriculumConfig(enabled=True)),
        OnlineConfig(difficulty=DifficultyConfig(enabled=True)),
    ):
        with pytest.raises(ConfigError, match=r"curriculum or online.difficulty on TargetLanes"):
            finetune(learner_of(2), target_lanes(), None, config)
