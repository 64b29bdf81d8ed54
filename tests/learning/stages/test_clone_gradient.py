"""Cloning's gradient by hand against imitation's loss through autograd, number by number."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from imitation.algorithms.bc import BehaviorCloningLossCalculator

from offline_trader.learning.agents import Learner, make_learner
from offline_trader.learning.data import Transitions
from offline_trader.learning.engines import PlainAdam
from offline_trader.learning.settings import CloneConfig, LearnerConfig
from offline_trader.learning.stages import D3rlpyActorPolicy, clone, cloning
from offline_trader.learning.stages.clone_gradient import gradient_by_hand

FITS = ("likelihood", "mean")


def learner_of(algorithm: Any = "cql") -> Learner:
    config = LearnerConfig(algorithm=algorithm, hidden=(24, 16), engine="stock")
    return make_learner(config, 3, seed=1)


def keep(rows: list[Any], step: int, row: Mapping[str, float]) -> None:
    rows.append((step, dict(row)))


@pytest.mark.parametrize("spread", ["drawn", "at the floor", "above the bounds", "below the floor"])
@pytest.mark.parametrize("fit", FITS)
def test_the_gradient_is_autograds_to_the_bit(fit: Any, spread: str) -> None:
    learner, config = learner_of(), CloneConfig(fit=fit, entropy_weight=0.01)
    if spread == "at the floor":  # where the direct stage leaves it
        learner.set_spread(config.min_std)
    elif spread != "drawn":
        learner.set_spread(math.exp(4.0) if spread == "above the bounds" else 0.01)
    gradient = gradient_by_hand(learner, config)
    assert gradient is not None
    whole = BehaviorCloningLossCalculator(config.entropy_weight, config.l2_weight)
    policy = D3rlpyActorPolicy(learner, config)
    generator = torch.Generator().manual_seed(2)
    seen = torch.randn((37, 5), generator=generator)[:, 1:4]  # as columns of a gathered matrix
    actions = torch.rand((37, 1), generator=generator) * 2.4 - 1.2
    for parameter in gradient.parameters:
        assert any(parameter is each for each in learner.actor.parameters())
    loss = whole(policy, seen, actions.clamp(-1, 1)).loss
    ours = gradient(seen, actions.clamp(-1, 1))
    found = [torch.autograd.grad(each * 36 / 37, gradient.parameters) for each in (loss, ours)]
    assert any(each.abs().max() > 0.0 for each in found[0])
    for expected, got in zip(*found, strict=True):
        np.testing.assert_array_equal(got.numpy(), expected.numpy())


def test_another_actor_or_loss_is_left_to_autograd() -> None:
    config = CloneConfig()
    for algorithm in ("iql", "awac", "td3_plus_bc"):
        assert gradient_by_hand(learner_of(algorithm), config) is None
    assert gradient_by_hand(learner_of(), replace(config, l2_weight=0.1)) is None
    assert gradient_by_hand(learner_of(), config) is not None


@pytest.mark.parametrize("fit", FITS)
def test_a_clone_is_the_same_as_by_autograd_and_torchs_adam(
    fit: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = np.random.default_rng(0).normal(size=(400, 3)).astype(np.float32)
    ends, actions = np.arange(400) % 20 == 19, np.tanh(seen[:, :1])
    data = Transitions(seen, actions, seen[:, 0], seen, ends & False, ends, np.arange(400) // 20)
    config = CloneConfig(updates=40, batch_size=64, log_interval=25, fit=fit)
    found = []
    for by_hand in (True, False):
        if not by_hand:
            monkeypatch.setattr(cloning, "gradient_by_hand", lambda *_: None)
            monkeypatch.setattr(cloning, "RowAdam", PlainAdam)
        learner = learner_of()
        rows: list[tuple[int, dict[str, float]]] = []
        clone(learner, data, config, partial(keep, rows))
        found.append((rows, [each.detach().numpy() for each in learner.actor.parameters()]))
    (ours, weights), (stock, expected) = found
    assert ours == stock
    assert set(ours[-1][1]) > {"clone/loss", "clone/l2_norm", "clone/prob_true_act"}
    for got, want in zip(weights, expected, strict=True):
        np.testing.assert_array_equal(got, want)
