"""Who is asked by DAgger in the line: the dataset's experts, named ones, and who cannot be."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from offline_trader.datasets import CollectConfig, collect
from offline_trader.envs import EnvConfig, make_simulator
from offline_trader.errors import ConfigError
from offline_trader.experts import ExpertLanes, ExpertPolicy, get_expert, mixture
from offline_trader.learning.settings import CloneConfig, DaggerConfig, LearnerConfig
from offline_trader.pipeline.asked_experts import asked_mixture
from offline_trader.pipeline.pretraining import check_inputs, pretrain
from offline_trader.pipeline.settings import PretrainConfig
from offline_trader.pipeline.trained_runs import finished_run
from offline_trader.types import Observations

ENV = EnvConfig(market=("synthetic:walk?bars=700&seed=1",), episode_bars=40)
FIT = CloneConfig(updates=10, checkpoint_interval=5, holdout=0.0)
ROUNDS = DaggerConfig(rounds=2, steps=80, lanes=8, clone=FIT)


def tree(*experts: str) -> list[dict[str, object]]:
    return mixture(experts).to_dict()


def test_those_of_the_dataset_are_asked_without_their_noise_and_without_the_drawn() -> None:
    asked = asked_mixture(
        tree("technical?weight=3&epsilon=0.1&large=0.8", "random?weight=2", "ma_cross"),
        DaggerConfig(),
    )
    assert [one.expert.name for one in asked.behaviours] == ["technical", "ma_cross"]
    assert asked.weights == (0.75, 0.25)
    assert asked.behaviours[0].expert.params.large == 0.8  # type: ignore[attr-defined]
    assert not any(one.noise for one in asked.behaviours)


def test_a_log_a_rule_in_a_file_and_drawn_actions_cannot_be_asked(tmp_path: Path) -> None:
    log = {"expert": {"name": "log:gone.csv", "params": {"path": "gone.csv"}}, "weight": 1.0}
    with pytest.raises(ConfigError, match=r"log:gone\.csv cannot be asked .* its own positions"):
        asked_mixture([log], DaggerConfig())
    rule = tmp_path / "rule.py"
    rule.write_text("raise RuntimeError('imported')\n")
    own = {"expert": {"name": f"{rule}:decide", "params": {}}, "weight": 1.0}
    with pytest.raises(ConfigError, match="not run on a dataset's word"):
        asked_mixture([own], DaggerConfig())
    with pytest.raises(ConfigError, match="no expert that could be asked"):
        asked_mixture(tree("random"), DaggerConfig())
    with pytest.raises(ConfigError, match="its actions are drawn"):
        asked_mixture([], DaggerConfig(experts=("random",)))


def test_lanes_answer_as_the_expert_whose_episode_it_is_and_are_resumed() -> None:
    names = ("technical", "ma_cross", "oracle")
    lanes = ExpertLanes(make_simulator(ENV, 32, 3), mixture(names), seed=3)
    market = make_simulator(ENV, 32, 3).market
    experts = [
        ExpertPolicy(get_expert(name), market.layout, ENV.simulator, market=market)
        for name in names
    ]
    rng = np.random.default_rng(0)
    lanes.reset()
    kept: dict[str, object] = {}
    told: list[Observations] = []
    for step in range(100):  # three episodes
        if step == 60:
            kept = lanes.state_dict()
        simulator = lanes.simulator
        answers = lanes.expert_actions()
        rows = simulator.bar_index
        each = np.stack([one.decide(simulator.observations, rows) for one in experts])
        near = np.abs(each - answers[:, 0]) < 1e-6
        assert near.any(axis=0).all()
        told.append(answers)
        lanes.step(rng.uniform(-1, 1, (32, 1)).astype(np.float32))
    again = ExpertLanes(make_simulator(ENV, 32, 3), mixture(names), seed=3)
    again.load_state_dict(kept)
    rng = np.random.default_rng(0)
    rng.uniform(size=60 * 32)
    for step in range(60, 100):
        np.testing.assert_array_equal(again.expert_actions(), told[step])
        again.step(rng.uniform(-1, 1, (32, 1)).astype(np.float32))


def test_the_line_asks_resumes_and_states_whom_it_asked(tmp_path: Path) -> None:
    config = CollectConfig("own/two-v0", ENV, ("technical", "random"), 400, score_episodes=2)
    collect(config, root=tmp_path)
    plan = PretrainConfig(
        dataset="own/two-v0",
        stages=("bc", "dagger"),
        learner=LearnerConfig(hidden=(8, 8)),
        clone=FIT,
        dagger=ROUNDS,
    )
    check_inputs(plan, tmp_path)
    run = finished_run(pretrain(plan, tmp_path / "whole", root=tmp_path).path)
    assert [row.stage for row in run.facts.history] == ["clone", "dagger"]
    assert run.facts.history[1].told[0].startswith("160 answers of experts; on the learner's own")
    assert run.facts.further["dagger"]["answers"] == 160
    assert not run.facts.privileged

    taught = PretrainConfig(
        dataset="own/two-v0",
        stages=("dagger",),
        learner=LearnerConfig(hidden=(8, 8)),
        dagger=DaggerConfig(rounds=2, steps=80, lanes=8, experts=("oracle",), clone=FIT),
    )
    facts = finished_run(pretrain(taught, tmp_path / "oracle", root=tmp_path).path).facts
    assert facts.privileged
    assert [each["expert"]["name"] for each in facts.experts] == ["technical", "random", "oracle"]

    again = tmp_path / "again"
    pretrain(plan, again, root=tmp_path)
    checkpoints = sorted((again / "checkpoints").iterdir())
    assert len(checkpoints) >= 2
    assert (again / "policy.d3").read_bytes() == (run.path / "policy.d3").read_bytes()
