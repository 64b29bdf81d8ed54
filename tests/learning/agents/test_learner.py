"""Learners: stock d3rlpy opens what they save; warm starts keep actions; targets follow; state."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from offline_trader.errors import ConfigError, DataError
from offline_trader.learning.agents import Learner, load_learner, make_learner, online_learner
from offline_trader.learning.data import Sampler, Transitions, pack
from offline_trader.learning.settings import ALGORITHMS, LearnerConfig

SIZE = 2
MEAN, SPREAD = np.array([0.5, -1.0]), np.array([2.0, 0.25])
RAW = np.random.default_rng(3).normal(size=(500, SIZE)).astype(np.float32) * 3


class Scale:
    mean, scale = MEAN, SPREAD


def learner_of(algorithm: Any, seed: int = 0, **changed: Any) -> Learner:
    config = LearnerConfig(algorithm=algorithm, hidden=(16, 16), batch_size=32, **changed)
    return make_learner(config, SIZE, Scale(), seed)


def sampler_for(learner: Learner, data: Transitions, seed: int = 0) -> Sampler:
    learner.fit_reward_scale(data.rewards)
    rows = pack(data, learner.preprocessing)
    return Sampler(rows, batch_size=learner.config.batch_size, seed=seed)


def weights(learner: Learner) -> dict[str, torch.Tensor]:
    modules = learner.algo.impl.modules
    named = {"actor": modules.policy, "critic": modules.q_funcs, "target": modules.targ_q_funcs}
    return {
        f"{part}.{name}": tensor.clone()
        for part, module in named.items()
        for name, tensor in module.state_dict().items()
    }


@pytest.mark.parametrize("engine", ["stock", "fast"])
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_stock_d3rlpy_opens_the_saved_model_and_acts_the_same_on_raw_observations(
    algorithm: str, engine: str, uniform_data: Transitions, tmp_path: Path
) -> None:
    import d3rlpy

    learner = learner_of(algorithm, engine=engine)
    sampler = sampler_for(learner, uniform_data)
    for _ in range(3):
        learner.update([sampler.draw()])
    learner.save(tmp_path / "policy.d3")
    stock = d3rlpy.load_learnable(str(tmp_path / "policy.d3"))
    assert type(stock).__module__.startswith("d3rlpy.")
    assert type(stock.impl).__module__.startswith("d3rlpy.")
    np.testing.assert_allclose(stock.predict(RAW), learner.act(RAW), atol=1e-6)
    np.testing.assert_array_equal(learner.algo.predict(RAW[:7]), learner.act(RAW[:7]))
    by_hand = ((RAW - MEAN) / SPREAD).astype(np.float32)
    with torch.no_grad():
        mu = learner.algo.impl.policy(torch.from_numpy(by_hand)).mu
    np.testing.assert_allclose(np.tanh(mu.numpy()), learner.act(RAW), atol=1e-6)
    moments = stock.impl.policy_optim.state_dict()["state"]
    ours = learner.algo.impl.policy_optim.state_dict()["state"]
    assert all(torch.equal(moments[i]["exp_avg"], ours[i]["exp_avg"]) for i in ours)
    assert len(moments) == len(ours) > 0


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_loaded_learner_has_the_settings_and_goes_on(
    algorithm: str, uniform_data: Transitions, tmp_path: Path
) -> None:
    learner = learner_of(algorithm, gamma=0.9, layer_norm=True, engine="stock")
    sampler = sampler_for(learner, uniform_data)
    learner.update([sampler.draw()])
    learner.save(tmp_path / "x.d3")
    again = load_learner(tmp_path / "x.d3", replace(learner.config, gamma=0.5))
    assert again.config == learner.config
    assert again.preprocessing.reward == learner.preprocessing.reward
    assert all(torch.equal(t, weights(again)[n]) for n, t in weights(learner).items())


@pytest.mark.parametrize("source", ALGORITHMS)
@pytest.mark.parametrize("target", ALGORITHMS)
def test_a_warm_start_keeps_the_deterministic_actions(source: str, target: str) -> None:
    ours, theirs = learner_of(source, seed=1), learner_of(target, seed=2)
    theirs.copy_policy_from(ours)
    np.testing.assert_allclose(theirs.act(RAW), ours.act(RAW), atol=1e-6)
    modules = theirs.algo.impl.modules
    if hasattr(modules, "targ_policy"):
        pairs = zip(modules.policy.parameters(), modules.targ_policy.parameters(), strict=True)
        assert all(torch.equal(a, b) for a, b in pairs)


def test_copied_critics_bring_their_targets_with_them(uniform_data: Transitions) -> None:
    cql = learner_of("cql", seed=1)
    sampler = sampler_for(cql, uniform_data)
    for _ in range(3):
        cql.update([sampler.draw()])
    sac = online_learner(cql, cql.config.with_tag("sac"), seed=5)
    ours, theirs = weights(cql), weights(sac)
    critics = [name for name in ours if name.startswith("critic")]
    assert critics
    for name in critics:
        assert torch.equal(ours[name], theirs[name])
        assert torch.equal(theirs[name], theirs[name.replace("critic", "target", 1)])
    assert sac.preprocessing.reward == cql.preprocessing.reward
    np.testing.assert_allclose(sac.act(RAW), cql.act(RAW), atol=1e-6)


def test_other_layers_cannot_be_copied() -> None:
    wide = make_learner(LearnerConfig(hidden=(8,)), SIZE, None, 0)
    with pytest.raises(ConfigError, match="actor encoder"):
        learner_of("sac").copy_policy_from(wide)


@pytest.mark.parametrize("algorithm", ["cql", "iql", "td3_plus_bc"])
def test_critics_alone_leave_the_actor_and_move_the_targets(
    algorithm: str, uniform_data: Transitions
) -> None:
    learner = learner_of(algorithm)
    sampler = sampler_for(learner, uniform_data)
    before = weights(learner)
    for _ in range(3):
        learner.update([sampler.draw()], train_actor=False)
    learner.engine.flush()
    after = weights(learner)
    moved = {name: not torch.equal(before[name], after[name]) for name in before}
    assert not any(moved[name] for name in moved if name.startswith("actor"))
    assert all(any(moved[n] for n in moved if n.startswith(p)) for p in ("critic", "target"))


@pytest.mark.parametrize("engine", ["stock", "fast"])
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_restored_learner_continues_to_the_same_bytes(
    algorithm: str, engine: str, uniform_data: Transitions, tmp_path: Path
) -> None:
    config: dict[str, Any] = {"engine": engine}
    if algorithm in ("cql", "cal_ql"):
        config["alpha_lr"] = 1e-3
    first = learner_of(algorithm, **config)
    sampler = sampler_for(first, uniform_data)
    for _ in range(3):
        first.update([sampler.draw()])
    torch.save(first.state_dict(), tmp_path / "state.pt")
    batches = [sampler.draw() for _ in range(3)]
    second = learner_of(algorithm, seed=77, **config)
    second.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    torch.manual_seed(0)
    for learner in (first, second):
        for batch in batches:
            learner.update([batch])
        learner.engine.flush()
    assert all(torch.equal(t, weights(second)[n]) for n, t in weights(first).items())


@pytest.mark.parametrize("engine", ["stock", "fast"])
def test_the_seed_decides_everything_and_the_global_generator_is_left_alone(
    engine: str, uniform_data: Transitions
) -> None:
    runs = []
    for noise in (1, 2):
        torch.manual_seed(noise)
        expected = torch.get_rng_state()
        learner = learner_of("cql", seed=4, engine=engine)
        sampler = sampler_for(learner, uniform_data)
        for _ in range(3):
            learner.update([sampler.draw()])
        assert torch.equal(torch.get_rng_state(), expected)
        learner.engine.flush()
        runs.append(weights(learner))
    assert all(torch.equal(t, runs[1][n]) for n, t in runs[0].items())


def test_drawn_actions_have_the_policys_mean_and_spread() -> None:
    learner = learner_of("sac")
    seen = MEAN[None].astype(np.float32)
    one = np.repeat(seen, 20_000, axis=0)
    drawn = np.arctanh(learner.sample(one, torch.Generator().manual_seed(0)).astype(np.float64))
    with torch.no_grad():
        output = learner.algo.impl.policy(
            torch.from_numpy(learner.preprocessing.observations(seen))
        )
    mu, std = output.mu.item(), output.logstd.exp().item()
    assert abs(drawn.mean() - mu) < 4 * std / 20_000**0.5
    assert abs(drawn.std() / std - 1) < 0.03


def test_what_is_no_model_is_a_data_error(tmp_path: Path) -> None:
    (tmp_path / "x.d3").write_bytes(b"nothing")
    with pytest.raises(DataError, match=r"x\.d3 is not a readable d3rlpy model"):
        load_learner(tmp_path / "x.d3")
    with pytest.raises(DataError, match="not a readable"):
        load_learner(tmp_path / "absent.d3")


def test_a_checkpoint_of_another_algorithm_is_refused() -> None:
    with pytest.raises(ConfigError, match="checkpoint of sac"):
        learner_of("cql").load_state_dict(learner_of("sac").state_dict())
