"""IMPALA: actors without torch act as the learner would, ages are corrected, nothing is lost."""

from __future__ import annotations

import importlib
import io
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from offline_trader.errors import ConfigError, OfflineTraderError
from offline_trader.features import FeatureScaler
from offline_trader.learning.agents import Learner, make_learner, online_learner
from offline_trader.learning.data import Preprocessing
from offline_trader.learning.estimators import vtrace
from offline_trader.learning.settings import ImpalaConfig, LearnerConfig
from offline_trader.learning.stages import STAGES, StageData
from offline_trader.learning.stages.impala import Actor, train_impala
from offline_trader.learning.stages.impala.learning import ImpalaLearner

# Imported by a bare name, because new processes inherit sys.path and not pytest's import mode.
sys.path.insert(0, str(Path(__file__).parent))
LANES: Any = importlib.import_module("impala_lanes")
sys.path.pop(0)

SMALL = ImpalaConfig(
    steps=2_000, lanes=8, rollout=25, evaluate_interval=0, log_interval=500, checkpoint_interval=600
)


@pytest.fixture(autouse=True)
def _importable_lanes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parent))


def learner(algorithm: str = "sac", seed: int = 0) -> Learner:
    config = LearnerConfig(algorithm=algorithm, gamma=0.97, reward_scaling="none", hidden=(16, 16))
    return make_learner(config, 2, FeatureScaler(np.array([0.1, 0.0]), np.array([2.0, 0.5])), seed)


def test_an_actor_acts_by_the_learners_distribution_without_torch() -> None:
    ours = learner()
    weights = ImpalaLearner(ours, SMALL, 0).weights()
    raw = np.random.default_rng(0).normal(size=(50, 2)).astype(np.float32)
    scaled = ours.preprocessing.observations(raw)
    with torch.no_grad():
        output = ours.actor(torch.from_numpy(scaled))
    mu, log_std = weights.heads(scaled)
    assert np.abs(mu - output.mu.numpy()).max() < 1e-6
    assert np.abs(log_std - output.logstd.numpy()).max() < 1e-6
    seen = Actor(LANES.m3, 8, 3, ours.preprocessing).roll(weights, 40)
    flat = torch.from_numpy(seen.observations.reshape(-1, 2))
    with torch.no_grad():
        output = ours.actor(flat)
        density: Any = torch.distributions.Normal(output.mu, output.logstd.exp())
        expected = density.log_prob(torch.from_numpy(seen.drawn.reshape(-1, 1)))[:, 0]
    assert np.abs(seen.log_probs.ravel() - expected.numpy()).max() < 1e-4


def test_targets_are_v_trace_s_with_the_value_of_what_an_episode_saw_last() -> None:
    parent = learner()  # whose discount is another
    ours = online_learner(parent, replace(parent.config, gamma=0.9), 0)
    training = ImpalaLearner(ours, SMALL, 0)
    seen = Actor(LANES.m3, 4, 3, ours.preprocessing).roll(training.weights(), 35)
    assert seen.truncated.sum() == len(seen.final_observations) == 4
    behaviour = replace(seen, log_probs=seen.log_probs - np.float32(np.log(0.5)))  # π/μ = ½
    with torch.no_grad():
        log_probs = torch.from_numpy(seen.log_probs.ravel())
        values = training.values(torch.from_numpy(seen.observations.reshape(-1, 2)))[:, 0]
        final = training.values(torch.from_numpy(seen.final_observations))[:, 0].numpy()
        last = training.values(torch.from_numpy(seen.last))[:, 0].numpy()
    found, _ = training._targets(behaviour, log_probs, values)
    now = values.numpy().reshape(35, 4).astype(np.float64)
    following = np.vstack([now[1:], last])
    following[29] = final
    expected = vtrace(
        seen.rewards.astype(np.float64), now, following, np.full((35, 4), 0.5), 0.9,
        truncated=seen.truncated, largest_c=0.95,
    )  # fmt: skip
    assert np.abs(found.values - expected.values).max() < 1e-4
    assert np.abs(found.advantages - expected.advantages).max() < 1e-4
    uncorrected = ImpalaLearner(ours, replace(SMALL, correction="none"), 0)
    _, ratios = uncorrected._targets(behaviour, log_probs, values)
    assert (ratios == 1.0).all()


def test_an_update_raises_what_did_better_and_fits_the_values() -> None:
    ours = learner()
    training = ImpalaLearner(ours, replace(SMALL, learning_rate=1e-2), 0)
    seen = Actor(LANES.m3, 32, 3, ours.preprocessing).roll(training.weights(), 30)
    first = training.update(seen, 0.0)
    for _ in range(30):
        found = training.update(seen, 0.0)
    assert found["value_loss"] < 0.9 * first["value_loss"]
    assert found["policy_loss"] < first["policy_loss"]
    assert found["ratio"] < first["ratio"] == pytest.approx(1.0, abs=1e-4)


def test_with_one_actor_an_interrupted_training_goes_on_to_the_same_bytes() -> None:
    kept: list[tuple[int, bytes]] = []

    def keep(step: int, state: dict[str, Any]) -> None:
        buffer = io.BytesIO()
        torch.save(state, buffer)
        kept.append((step, buffer.getvalue()))

    config = replace(SMALL, delay=2)
    whole = learner()
    facts = train_impala(whole, LANES.m3, config, checkpoint=keep, seed=5)
    assert facts.steps == 2_000
    assert facts.updates == 10
    assert facts.largest_lag == 2
    assert facts.told == ()
    step, state = kept[0]
    assert step == 600
    resumed = learner()
    read = torch.load(io.BytesIO(state), weights_only=True)
    train_impala(resumed, LANES.m3, config, seed=5, resume=read)
    for ours, theirs in zip(whole.actor.parameters(), resumed.actor.parameters(), strict=True):
        assert torch.equal(ours, theirs)
    moved = learner().actor.parameters()
    assert any(not torch.equal(a, b) for a, b in zip(whole.actor.parameters(), moved, strict=True))


def test_a_killed_actor_is_replaced_and_every_trajectory_is_learned_from(tmp_path: Path) -> None:
    rows: list[dict[str, float]] = []
    facts = train_impala(
        learner(),
        LANES.Mortal(tmp_path / "once"),
        SMALL,
        log=lambda _, row: rows.append(dict(row)),
        workers=2,
    )
    assert facts.replaced == 1
    assert facts.actors == 2
    assert facts.steps == 2_000
    assert facts.updates == 10
    assert 0.0 <= facts.waiting <= 1.0
    assert facts.largest_lag <= SMALL.waiting + 2 + 1
    assert "another policy" in facts.told[0]
    assert facts.told[1] == "actors that were lost and replaced: 1"
    assert {"impala/policy_lag", "impala/learner_waiting"} <= rows[-1].keys()


def test_an_actor_s_own_error_comes_home(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(OfflineTraderError, match="no bars"):
        train_impala(learner(), LANES.none, SMALL, workers=2)
    assert "_interrupt_once" not in capfd.readouterr().err  # nobody was cut off while telling it


def test_the_spread_follows_its_schedule_in_every_state() -> None:
    states = np.random.default_rng(0).normal(size=(50, 2)).astype(np.float32)
    ours = learner()
    training = ImpalaLearner(ours, replace(SMALL, spread=0.4, final_spread=0.1), 0)
    seen = Actor(LANES.m3, 8, 3, ours.preprocessing).roll(training.weights(), 25)
    for progress, expected in ((None, 0.4), (0.5, 0.2), (1.0, 0.1)):
        if progress is not None:
            training.update(seen, progress)
        _, log_std = training.weights().heads(states)
        assert np.abs(np.exp(log_std) - expected).max() < 1e-6


def test_an_old_policy_s_data_cannot_carry_the_present_one_far() -> None:
    moved = {}
    for correction in ("vtrace", "none"):
        ours = learner()
        training = ImpalaLearner(ours, replace(SMALL, correction=correction), 0)
        seen = Actor(LANES.m3, 32, 3, ours.preprocessing).roll(training.weights(), 30)
        for _ in range(150):
            training.update(seen, 0.0)
        noise = (seen.drawn - _means(training, seen)) / 0.3
        density = -0.5 * noise**2 - np.log(0.3) - 0.5 * np.log(2.0 * np.pi)
        moved[correction] = float(np.abs(density - seen.log_probs).mean())
    assert moved["vtrace"] < 1.0 < moved["none"]


def _means(training: ImpalaLearner, seen: Any) -> Any:
    return training.weights().heads(seen.observations)[0][..., 0]


@pytest.mark.slow
def test_it_makes_much_more_of_a_policy_that_was_copied() -> None:
    from offline_trader.evaluation.known_optimum import (
        KnownOptimumLanes,
        get_market,
        score_policy,
    )

    market, ours = get_market("M3"), learner()
    raw = np.random.default_rng(0).normal(size=(2_000, 2)).astype(np.float32)
    states = torch.from_numpy(ours.preprocessing.observations(raw))
    copied = torch.from_numpy(np.clip(-0.5 * raw[:, :1], -0.9, 0.9))  # trades at every step
    optimizer = torch.optim.Adam(ours.actor.parameters(), lr=1e-2)
    for _ in range(300):
        loss = (ours.actor(states).mu.tanh() - copied).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    ours.engine.reload()
    before = score_policy(market, ours.act, seed=1).value
    stage = STAGES["impala"](ImpalaConfig(steps=1_000_000, evaluate_interval=0))
    stage.fit(ours, StageData(make_lanes=lambda n, s: KnownOptimumLanes(market, n, seed=s)))
    after = score_policy(market, ours.act, seed=1).value
    assert after > max(before + 20.0, 70.0)


def test_what_makes_no_sense_is_refused() -> None:
    with pytest.raises(ConfigError, match="squashed Gaussian"):
        train_impala(learner("iql"), LANES.m3, SMALL)
    with pytest.raises(ConfigError, match="make_lanes"):
        STAGES["impala"](SMALL).fit(learner(), StageData())
    for settings in ({"largest_c": 2.0}, {"rollout": 0}, {"correction": "off"}, {"delay": -1}):
        with pytest.raises(ConfigError):
            ImpalaConfig(**settings)
    assert isinstance(learner().preprocessing, Preprocessing)
