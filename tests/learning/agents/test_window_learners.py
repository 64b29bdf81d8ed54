"""Learners whose encoders read windows: files, engines, warm starts, resumption, the stages."""

from __future__ import annotations

import io
import json
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from offline_trader.envs import EnvConfig, make_market
from offline_trader.errors import ConfigError, DataError
from offline_trader.features import FeatureScaler
from offline_trader.learning.agents import (
    Learner,
    goal_learner,
    load_learner,
    make_learner,
    online_learner,
)
from offline_trader.learning.data import Transitions
from offline_trader.learning.engines import EngineFacts
from offline_trader.learning.settings import (
    CloneConfig,
    DirectConfig,
    LearnerConfig,
    LeashConfig,
    OfflineConfig,
)
from offline_trader.learning.stages import clone, train_offline
from offline_trader.learning.stages.direct import BarMarket
from offline_trader.learning.stages.direct.training import train_direct
from offline_trader.pipeline.settings import FinetuneConfig, PretrainConfig
from offline_trader.simulator import SimulatorConfig

KINDS = pytest.mark.parametrize("kind", ["convolution", "gru"])
WINDOWS = ((3, 2, 1, 0),)
"""Columns x, x@1, x@2, x@3 and one of a portfolio."""
SIZE = 5
SEEN = np.random.default_rng(1).normal(size=(400, SIZE)).astype(np.float32)


class Scale:
    mean, scale = np.full(SIZE, 0.1), np.full(SIZE, 1.5)


def learner_of(kind: Any, algorithm: Any = "cql", seed: int = 0, **changed: Any) -> Learner:
    settings = {"hidden": (8, 6), "batch_size": 32, "encoder": kind, **changed}
    used = LearnerConfig.used({"algorithm": algorithm, "n_action_samples": 2, **settings})
    return make_learner(LearnerConfig(**used), SIZE, Scale(), seed, windows=WINDOWS)


@pytest.fixture(scope="module")
def data() -> Transitions:
    """Actions and rewards that depend on the bar three before the present one."""
    actions = np.tanh(2.0 * SEEN[:, 3:4]).astype(np.float32)
    place = np.arange(len(SEEN))
    return Transitions(
        observations=SEEN,
        actions=actions,
        rewards=(actions[:, 0] * SEEN[:, 3]).astype(np.float32),
        next_observations=np.roll(SEEN, -1, axis=0),
        terminals=np.zeros(len(SEEN), np.bool_),
        timeouts=place % 20 == 19,
        episode_ids=place // 20,
    )


@KINDS
def test_a_saved_model_is_opened_again_and_by_d3rlpy(kind: str, tmp_path: Path) -> None:
    learner = learner_of(kind, layer_norm=True)
    assert (learner.engine.name, learner.engine.reason) == ("stock", f"encoder {kind}")
    fallback = EngineFacts.of(learner.engine).fallback
    assert fallback == f"stock, for the fast one does not cover encoder {kind}"
    path = tmp_path / "policy.d3"
    learner.save(path)
    again = load_learner(path)
    assert again.config == learner.config
    assert again.windows == WINDOWS
    np.testing.assert_array_equal(again.act(SEEN), learner.act(SEEN))
    np.save(tmp_path / "seen.npy", SEEN[:5])
    code = (
        "import sys, d3rlpy, numpy\n"
        "from offline_trader.networks import WindowEncoderFactory\n"
        "algo = d3rlpy.load_learnable(sys.argv[1])\n"
        "print(algo.predict(numpy.load(sys.argv[2])).tolist())"
    )
    words = [sys.executable, "-W", "ignore", "-c", code, str(path), str(tmp_path / "seen.npy")]
    said = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    np.testing.assert_allclose(json.loads(said.splitlines()[-1]), learner.act(SEEN[:5]), atol=1e-6)


@KINDS
@pytest.mark.parametrize(
    "change",
    [
        {"hidden_units": [1 << 20, 1 << 20]},
        {"hidden_units": []},
        {"windows": [[0, 99]]},
        {"windows": [[0, 1], [2]]},
        {"windows": 3},
        {"windows": [list(range(10**5))]},
        {"kind": "lstm"},
        {"kind": None},
    ],
)
def test_a_model_that_states_an_encoder_that_cannot_be_is_refused(
    kind: str, change: dict[str, Any], tmp_path: Path
) -> None:
    path = tmp_path / "policy.d3"
    learner_of(kind).save(path)
    parts = pickle.loads(path.read_bytes())  # this test wrote it
    config = json.loads(parts["config"])
    for name in ("actor_encoder_factory", "critic_encoder_factory"):
        config["config"]["params"][name]["params"].update(change)
    path.write_bytes(pickle.dumps({**parts, "config": json.dumps(config)}))
    with pytest.raises(DataError, match=r"policy\.d3"):
        load_learner(path)


@KINDS
def test_training_goes_on_to_the_same_bytes(kind: str, data: Transitions, tmp_path: Path) -> None:
    config = OfflineConfig(
        updates=6, critic_updates=2, checkpoint_interval=4, leash=LeashConfig(distance=0.0)
    )
    whole, states = learner_of(kind), dict[int, Any]()
    clone(whole, data, CloneConfig(updates=4, batch_size=16))
    begun = whole.state_dict()
    train_offline(whole, data, config, checkpoint=lambda n, s: states.update({n: _kept(s)}), seed=3)
    resumed = learner_of(kind, seed=9)
    resumed.load_state_dict(begun)
    train_offline(resumed, data, config, resume=states[min(states)], seed=3)
    for name, learner in (("whole", whole), ("resumed", resumed)):
        learner.save(tmp_path / f"{name}.d3")
    assert (tmp_path / "whole.d3").read_bytes() == (tmp_path / "resumed.d3").read_bytes()


def _kept(state: Any) -> Any:
    """As a checkpoint's file would give it back."""
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


@KINDS
def test_a_clone_repeats_what_depends_on_an_earlier_bar(kind: str, data: Transitions) -> None:
    learner = learner_of(kind, hidden=(32, 16))
    result = clone(learner, data, CloneConfig(updates=300, batch_size=64, learning_rate=5e-3))
    assert result.holdout_mse is not None
    assert result.holdout_mean_mse is not None
    assert result.holdout_mse < 0.1 * result.holdout_mean_mse


@KINDS
def test_an_encoder_is_loaded_into_actor_and_critics_by_values(kind: str) -> None:
    learner, other = learner_of(kind, seed=1), learner_of(kind, seed=2)
    encoder, units = other.encoder_copy()
    assert units == 6
    modules = learner.algo.impl.modules
    action = [q._encoder._hidden[0].weight[:, -1].detach().clone() for q in modules.q_funcs]
    learner.load_encoder(encoder)
    ours = encoder.state_dict()
    for network in (modules.policy, *modules.q_funcs, *modules.targ_q_funcs):
        for name, value in network._encoder.state_dict().items():
            assert torch.equal(value[tuple(map(slice, ours[name].shape))], ours[name]), name
    for kept, critic in zip(action, modules.q_funcs, strict=True):
        assert torch.equal(critic._encoder._hidden[0].weight[:, -1], kept)
    seen, trained = torch.from_numpy(SEEN), modules.policy._encoder
    np.testing.assert_allclose(trained(seen).detach(), encoder(seen).detach(), atol=1e-6)
    flat = learner_of("mlp").encoder_copy()[0]
    with pytest.raises(ConfigError, match="actor encoder"):
        learner.load_encoder(flat)


@KINDS
def test_warm_starts_keep_the_actions_and_goals_come_behind(kind: str) -> None:
    source = learner_of(kind)
    sac = online_learner(source, source.config.with_tag("sac"), 5)
    np.testing.assert_array_equal(sac.act(SEEN), source.act(SEEN))
    ours, theirs = (each.algo.impl.q_function.state_dict() for each in (source, sac))
    assert all(torch.equal(value, theirs[name]) for name, value in ours.items())
    goal = goal_learner(source, sac.config, np.array([2.0, 3.0]), 6)
    wide = np.concatenate([SEEN, np.random.default_rng(2).normal(size=(400, 2))], axis=1)
    np.testing.assert_allclose(goal.act(wide.astype(np.float32)), source.act(SEEN), atol=1e-6)
    flat = learner_of("mlp", "sac")
    with pytest.raises(ConfigError, match="actor encoder"):
        flat.copy_policy_from(source)


@KINDS
def test_the_direct_stage_trains_it_through_the_portfolio(kind: str) -> None:
    env = EnvConfig(("synthetic:ou?bars=400&seed=2",), features=("window:4:return_1",))
    market = make_market(env)
    scaler = FeatureScaler.fit(market.features.astype(np.float64), market.layout)
    windows = tuple(market.layout.windows.values())
    config = LearnerConfig(hidden=(8,), encoder=kind)  # type: ignore[arg-type]
    learner = make_learner(config, market.layout.size, scaler, windows=windows)
    before = learner.actor.state_dict()["_encoder._hidden.0.weight"].clone()
    settings = {"updates": 2, "windows": 4, "bars": 6, "evaluate_interval": 0}
    bars = BarMarket(market, SimulatorConfig())
    result = train_direct(learner, bars, DirectConfig(market_input="features", **settings))  # type: ignore[arg-type]
    assert result.engine == EngineFacts(
        "torch", "an actor of other layers than linear ones with ReLU"
    )
    assert not torch.equal(before, learner.actor.state_dict()["_encoder._hidden.0.weight"])
    with pytest.raises(ConfigError, match=r"direct\.market_input = features"):
        train_direct(learner, bars, DirectConfig(**settings))  # type: ignore[arg-type]


def test_what_writes_linear_layers_is_refused_before_anything_is_trained() -> None:
    gru = LearnerConfig(encoder="gru")
    with pytest.raises(ConfigError, match=r"direct.market_input=features, or learner.encoder=mlp"):
        PretrainConfig(learner=gru)
    with pytest.raises(ConfigError, match="the evolution stage"):
        PretrainConfig(learner=gru, stages=("bc", "evolution"))
    with pytest.raises(ConfigError, match="agent=evolution"):
        FinetuneConfig(learner=LearnerConfig(algorithm="sac", encoder="gru"), agent="evolution")
    PretrainConfig(learner=gru, direct=DirectConfig(market_input="features"))
    PretrainConfig(learner=gru, stages=("bc", "cql"))
    with pytest.raises(ConfigError, match="encoder='lstm'"):
        LearnerConfig(encoder="lstm")  # type: ignore[arg-type]
