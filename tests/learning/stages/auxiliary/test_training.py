"""The heads' loss by hand, masks, what is learned, the encoder by values, resumption."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from offline_trader.errors import ConfigError, DataError
from offline_trader.learning.agents import Learner, make_learner
from offline_trader.learning.settings import (
    ALGORITHMS,
    AuxiliaryConfig,
    HeadWeights,
    LearnerConfig,
)
from offline_trader.learning.stages import STAGES, StageData
from offline_trader.learning.stages.auxiliary import AuxiliaryData, train_encoder
from offline_trader.learning.stages.auxiliary.heads import HEADS, Heads, Said, Scales, Targets
from offline_trader.learning.stages.auxiliary.training import encoder_bytes

SHORT = AuxiliaryConfig(updates=60, batch_size=64, evaluate_interval=20, checkpoint_interval=30)


class Scale:
    mean, scale = np.array([0.1, 0.0, 0.2]), np.array([2.0, 1.0, 0.5])


def learner_of(algorithm: Any = "cql", seed: int = 0, **settings: Any) -> Learner:
    config = LearnerConfig(algorithm=algorithm, hidden=(32, 16), **settings)
    return make_learner(config, 3, Scale(), seed)


def test_the_default_weights_are_those_that_are_documented() -> None:
    weights = HeadWeights()
    assert [getattr(weights, name) for name in HEADS] == [0.2, 0.15, 0.1, 0.3, 0.25]
    with pytest.raises(ConfigError, match="weights of 0"):
        HeadWeights(0, 0, 0, 0, 0)


def test_a_loss_is_the_mean_over_the_rows_that_have_the_target() -> None:
    nan = float("nan")
    targets = Targets(
        torch.tensor([0.02, nan, -0.01]),
        torch.tensor([nan, 0.03, 0.01]),
        torch.tensor([0, -1, 2]),
        torch.tensor([nan, nan, nan]),
        torch.tensor([-1, 3, -1]),
    )
    logits = torch.tensor([[1.0, 0.0, -1.0], [5.0, 5.0, 5.0], [0.0, 2.0, 1.0]])
    regimes = torch.tensor([[9.0, 0.0, 0.0, 0.0], [0.0, 1.0, 2.0, 3.0], [0.0, 0.0, 0.0, 0.0]])
    said = Said(
        torch.tensor([0.0, 7.0, 0.01]),
        torch.tensor([9.0, 0.01, 0.02]),
        logits,
        torch.tensor([0.3, 0.2, 0.1]),
        regimes,
    )
    heads = Heads(torch.nn.Identity(), 3, Scales((0.001, 0.02), (0.02, 0.01)))
    found = heads.losses(said, targets)
    assert found["next_return"].item() == pytest.approx((1.0**2 + 1.0**2) / 2)
    assert found["volatility"].item() == pytest.approx((2.0**2 + 1.0**2) / 2)
    shares = np.exp(logits.numpy()) / np.exp(logits.numpy()).sum(axis=1, keepdims=True)
    assert found["volume"].item() == pytest.approx(-np.log([shares[0, 0], shares[2, 2]]).mean())
    assert found["action"].item() == 0.0
    powers = np.exp([0.0, 1.0, 2.0, 3.0])
    assert found["regime"].item() == pytest.approx(-np.log(powers[3] / powers.sum()))


def test_a_row_without_a_target_moves_nothing(planted: AuxiliaryData) -> None:
    heads = Heads(torch.nn.Linear(3, 8), 8, Scales.of(planted.training))
    targets = Targets.of(planted.training)
    blind = targets._replace(action=torch.full_like(targets.action, float("nan")))
    said = heads(torch.from_numpy(planted.training.observations))
    heads.losses(said, blind)["action"].backward()  # type: ignore[no-untyped-call]
    assert not any(p.grad is not None and p.grad.abs().sum() > 0 for p in heads.parameters())
    some = torch.arange(len(targets.volume))[targets.volume == -1][:50]
    losses = heads.losses(Said(*(each[some] for each in said)), targets.take(some))
    assert losses["volume"].item() == 0.0


def test_targets_are_scaled_by_the_training_bars_each_once(planted: AuxiliaryData) -> None:
    scales = Scales.of(planted.training)
    returns = planted.training.labels.next_return
    assert scales.next_return == pytest.approx((np.nanmean(returns), np.nanstd(returns)))
    said = Heads(torch.nn.Linear(3, 8), 8, scales)(torch.randn(5_000, 3) * 50.0)
    assert said.volatility.min() >= 0.0
    assert said.action.abs().max() <= 1.0


def test_what_is_planted_is_found_and_told_beside_the_naive(planted: AuxiliaryData) -> None:
    config = AuxiliaryConfig(updates=600, batch_size=128, learning_rate=3e-3, patience=50)
    rows: dict[int, dict[str, float]] = {}
    result, _ = train_encoder(
        learner_of(), planted, config, lambda s, row: rows.setdefault(s, {}).update(row)
    )
    assert [each.head for each in result.heads] == [
        "next_return",
        "volatility",
        "action",
        "volume",
        "regime",
    ]
    for each in result.heads:
        assert each.beats, each
    by_name = {each.head: each for each in result.heads}
    labels = planted.validation.labels
    best = by_name["next_return"].naive["mean"]
    mean = np.nanmean(planted.training.labels.next_return)
    assert best == pytest.approx(np.nanmean((labels.next_return - mean) ** 2))
    assert by_name["next_return"].score < 0.25 * best
    known = labels.volume[labels.volume != -1]
    assert by_name["volume"].naive["last value"] == pytest.approx(np.mean(known == 1))
    assert set(by_name["volatility"].naive) == {"mean", "last value"}  # no GARCH is known
    assert result.direction is not None
    assert result.direction.accuracy > 0.8
    assert result.direction.interval[0] < result.direction.accuracy
    assert "a leak" in result.told[-1]
    last = rows[result.updates]
    assert last["auxiliary/volume/last_value"] == by_name["volume"].naive["last value"]
    assert last["auxiliary/direction/accuracy"] == result.direction.accuracy
    assert result.first_loss is not None
    assert result.validation_loss == min(
        row["auxiliary/validation_loss"]
        for row in rows.values()
        if "auxiliary/validation_loss" in row
    )
    assert rows[0]["auxiliary/engine"].startswith("torch, for the fast one")  # type: ignore[attr-defined]


def test_it_stops_early_and_keeps_the_best_encoder(planted: AuxiliaryData) -> None:
    rng = np.random.default_rng(0)
    labels = planted.training.labels
    noise = replace(labels, next_return=rng.standard_normal(len(labels.next_return)))
    few = np.arange(len(planted.training.bars)) < 40
    data = AuxiliaryData(
        replace(planted.training, labels=noise).take(few),
        replace(planted.validation, labels=replace(planted.validation.labels)),
    )
    config = AuxiliaryConfig(
        updates=2_000,
        learning_rate=1e-2,
        evaluate_interval=10,
        patience=3,
        weights=HeadWeights(1.0, 0, 0, 0, 0),
    )
    result, heads = train_encoder(learner_of(), data, config)
    assert result.updates < 500
    assert result.kept_step == result.updates - 30
    assert result.validation_loss is not None
    targets = Targets.of(data.validation)
    scaled = learner_of().preprocessing.observations(data.validation.observations)
    again = heads.losses(heads(torch.from_numpy(scaled)), targets)["next_return"]
    assert again.item() == pytest.approx(result.validation_loss, rel=1e-5)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_the_encoder_is_in_actor_critics_and_targets(
    algorithm: str, planted: AuxiliaryData
) -> None:
    learner = learner_of(algorithm, layer_norm=True)
    impl = learner.algo.impl
    before = [q._encoder._layers[0].weight[:, 3:].clone() for q in impl.q_function]
    kept: dict[str, bytes] = {}
    data = StageData(labelled=planted, keep=kept.__setitem__)
    STAGES["auxiliary"](SHORT).fit(learner, data)
    saved = np.load(io.BytesIO(kept["encoder.npz"]), allow_pickle=False)
    first, second = saved["encoder._layers.0.weight"], saved["encoder._layers.2.weight"]
    assert first.shape == (32, 3)
    actor = impl.policy._encoder._layers
    np.testing.assert_array_equal(actor[0].weight.detach(), first)
    np.testing.assert_array_equal(actor[2].weight.detach(), second)
    critics = [*impl.q_function]
    critics += [impl.modules.value_func] if algorithm == "iql" else []
    for critic in critics:
        linear = [m for m in critic._encoder.modules() if isinstance(m, torch.nn.Linear)]
        np.testing.assert_array_equal(linear[0].weight[:, :3].detach(), first)
        np.testing.assert_array_equal(linear[1].weight.detach(), second)
        np.testing.assert_array_equal(linear[1].bias.detach(), saved["encoder._layers.2.bias"])
    for critic, columns in zip(impl.q_function, before, strict=True):
        torch.testing.assert_close(critic._encoder._layers[0].weight[:, 3:], columns)
    pairs = zip(impl.q_function.parameters(), impl.modules.targ_q_funcs.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)


def test_the_fast_engine_goes_on_from_the_encoder(planted: AuxiliaryData) -> None:
    from offline_trader.learning.data import Transitions
    from offline_trader.learning.settings import OfflineConfig
    from offline_trader.learning.stages import train_offline

    seen = planted.training.observations
    count = len(seen)
    ends = np.arange(count) % 20 == 19
    data = Transitions(
        seen,
        np.zeros((count, 1), np.float32),
        np.ones(count, np.float32),
        seen,
        ends & False,
        ends,
        np.arange(count) // 20,
    )
    acted = {}
    for engine in ("fast", "stock"):
        learner = learner_of("sac", engine=engine, batch_size=64)
        train_encoder(learner, planted, SHORT)
        train_offline(learner, data, OfflineConfig(critic_updates=2, updates=3))
        acted[engine] = learner.act(seen)
    np.testing.assert_allclose(acted["fast"], acted["stock"], atol=1e-5)


def test_an_interrupted_training_resumes_to_the_same_bytes(
    planted: AuxiliaryData, tmp_path: Path
) -> None:
    def keep(step: int, state: dict[str, Any]) -> None:
        torch.save(state, tmp_path / f"{step}.pt")

    whole, resumed, rows, tail = learner_of(), learner_of(seed=9), [], []
    result, _ = train_encoder(
        whole, planted, SHORT, lambda s, r: rows.append((s, dict(r))), checkpoint=keep, seed=2
    )
    state = torch.load(tmp_path / "30.pt", weights_only=True)
    again, _ = train_encoder(
        resumed, planted, SHORT, lambda s, r: tail.append((s, dict(r))), resume=state, seed=2
    )
    assert again == result
    assert tail == [row for row in rows if row[0] > 30]
    np.testing.assert_array_equal(
        whole.act(planted.training.observations), resumed.act(planted.training.observations)
    )


@pytest.mark.parametrize("kind", ["convolution", "gru"])
def test_an_encoder_that_reads_windows_is_trained_by_its_heads(
    kind: Any, planted: AuxiliaryData
) -> None:
    config = LearnerConfig(hidden=(16, 8), encoder=kind)
    learner = make_learner(config, 3, Scale(), 0, windows=((2, 0),))
    result, heads = train_encoder(learner, planted, replace(SHORT, learning_rate=3e-3), seed=2)
    assert result.validation_loss is not None
    assert result.first_loss is not None
    assert result.validation_loss < result.first_loss
    kept = heads.encoder.state_dict()
    modules = learner.algo.impl.modules
    for encoder in (modules.policy._encoder, modules.q_funcs[0]._encoder):
        for name, value in encoder.state_dict().items():
            assert torch.equal(value[tuple(map(slice, kept[name].shape))], kept[name])
    assert any("_front" in name for name in np.load(io.BytesIO(encoder_bytes(heads))))


def test_what_cannot_be_is_refused(planted: AuxiliaryData) -> None:
    with pytest.raises(ConfigError, match="the auxiliary stage without labelled"):
        STAGES["auxiliary"](SHORT).fit(learner_of(), StageData())
    with pytest.raises(DataError, match="expected: one bar and one action"):
        replace(planted.training, bars=planted.training.bars[1:])
    other = make_learner(LearnerConfig(hidden=(8, 8)), 3)
    with pytest.raises(ConfigError, match="the same hidden layers"):
        other.load_encoder(learner_of().encoder_copy()[0])
