"""A controller of options as an ONNX file: the same decisions, and files that are refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch

from offline_trader.errors import ConfigError, DataError, OfflineTraderError
from offline_trader.export import (
    OnnxOptions,
    OnnxPolicy,
    OptionStates,
    export_options,
    open_model,
    option_parity,
)
from offline_trader.features import observation_layout
from offline_trader.learning.agents import DeterministicActor, make_learner
from offline_trader.learning.options import STATE_COLUMNS, Chooser, OptionsPolicy
from offline_trader.learning.settings import LearnerConfig, OptionsConfig
from offline_trader.simulator import SimulatorConfig
from offline_trader.types import LanePolicy

LAYOUT = observation_layout()
NAMES = OptionsConfig().names


class Scales:
    mean = np.full(LAYOUT.size, 0.1)
    scale = np.full(LAYOUT.size, 2.0)


def policy_of(*, ending: bool = True, mode: Any = "order", seed: int = 0) -> OptionsPolicy:
    torch.manual_seed(seed)
    rules = SimulatorConfig(action_mode=mode)
    chooser = Chooser(NAMES, LAYOUT, rules, (Scales.mean, Scales.scale), (16, 16), ending=ending)
    with torch.no_grad():
        for network in [*chooser.critics, *([chooser.endings] if chooser.endings else [])]:
            network[-1].weight.mul_(30.0)
            network[-1].bias.zero_()
        chooser.bonus[3] = 0.2
    return OptionsPolicy(chooser)


def exported(policy: OptionsPolicy, path: Path) -> Path:
    states = OptionStates(policy.names, STATE_COLUMNS, (-1.0, 0.0, 0.0))
    export_options(policy.chooser, states, Scales(), LAYOUT, path, {"features": ["builtin"]})
    return path


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return exported(policy_of(), tmp_path_factory.mktemp("model") / "policy.onnx")


def test_the_file_decides_as_the_policy_in_states_of_all_kinds(file: Path) -> None:
    policy = open_model(file)
    assert isinstance(policy, OnnxOptions)
    assert isinstance(policy, LanePolicy)
    assert policy.names == NAMES
    report = option_parity(policy, policy_of(), n=20_000)
    assert report.holds
    assert report.max_abs_difference <= 1e-6
    assert report.n_rounding < 20


def test_states_are_carried_from_bar_to_bar(tmp_path: Path) -> None:
    reference = policy_of(ending=False, mode="target_long_short")
    policy: Any = open_model(exported(reference, tmp_path / "policy.onnx"))
    rng = np.random.default_rng(1)
    lanes = np.ones(4, np.bool_)
    for each in (policy, reference):
        each.restart(lanes)
    options = set()
    for bar in range(60):
        seen = rng.normal(0.1, 0.5, (4, LAYOUT.size)).astype(np.float32)
        np.testing.assert_allclose(policy(seen), reference(seen), atol=1e-6)
        options |= set(policy._lanes[:, 0].tolist())
        if bar == 30:
            again = np.array([True, False, False, True])
            policy.restart(again)
            reference.restart(again)
    assert len(options) > 2


def test_the_policy_learned_before_is_in_the_graph(tmp_path: Path) -> None:
    learner = make_learner(LearnerConfig(algorithm="sac", hidden=(8, 8)), LAYOUT.size)
    chooser = Chooser(
        ("policy", "wait"), LAYOUT, SimulatorConfig(), (Scales.mean, Scales.scale), (8,),
        ending=False, actor=DeterministicActor(learner),
    )  # fmt: skip
    reference = OptionsPolicy(chooser)
    policy: Any = open_model(exported(reference, tmp_path / "policy.onnx"))
    report = option_parity(policy, reference, n=5_000)
    assert report.holds
    rows = np.random.default_rng(0).normal(0.1, 1.0, (50, LAYOUT.size)).astype(np.float32)
    running = np.tile(np.array([[0.0, 3.0, 0.0]], np.float32), (50, 1))
    scaled = torch.from_numpy(((rows - 0.1) / 2.0).astype(np.float32))
    wanted = DeterministicActor(learner)(scaled).detach().numpy()
    np.testing.assert_allclose(policy.decide(rows, running)[0], wanted, atol=1e-6)


def test_another_controller_is_told_apart(file: Path) -> None:
    policy: Any = open_model(file)
    assert not option_parity(policy, policy_of(seed=1), n=2_000).holds


def test_equal_controllers_give_equal_bytes(file: Path, tmp_path: Path) -> None:
    assert exported(policy_of(), tmp_path / "again.onnx").read_bytes() == file.read_bytes()


def test_states_that_cannot_be_are_refused(file: Path) -> None:
    policy: Any = open_model(file)
    seen = np.zeros((2, LAYOUT.size), np.float32)
    with pytest.raises(DataError, match="states of shape"):
        policy.decide(seen, np.zeros((2, 2), np.float32))
    with pytest.raises(DataError, match="a state with option 5"):
        policy.decide(seen, np.array([[5, 0, 0], [0, 0, 0]], np.float32))
    with pytest.raises(DataError, match="not finite"):
        policy.decide(seen, np.full((2, 3), np.nan, np.float32))


def test_who_carries_no_state_refuses_the_file_and_says_why(file: Path) -> None:
    with pytest.raises(ConfigError, match="keeps a state from bar to bar"):
        OnnxPolicy(file)


def test_a_file_whose_states_do_not_fit_its_graph_is_refused(file: Path, tmp_path: Path) -> None:
    """The entry is another one than the graph was made with, and the file states no hash."""
    for text in (
        '{"names":["a"],"columns":["option"],"initial":[-1.0]}',
        '{"names":[],"columns":[],"initial":[]}',
        '{"names":"a"}',
    ):
        proto = onnx.load(file)
        for entry in proto.metadata_props:
            if entry.key == "offline_trader.options":
                entry.value = text
        kept = [e for e in proto.metadata_props if e.key != "offline_trader.content_sha256"]
        del proto.metadata_props[:]
        proto.metadata_props.extend(kept)
        other = tmp_path / "other.onnx"
        onnx.save(proto, other)
        with pytest.raises(OfflineTraderError):
            open_model(other, unverified=True)


def test_options_that_are_none_are_refused() -> None:
    states = OptionStates(("a", "b"), ("option",), (-1.0,))
    with pytest.raises(ConfigError, match="a value a column"):
        replace(states, initial=())
