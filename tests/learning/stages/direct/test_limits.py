"""The drawdown limit: its measure, its price where the best policy under it is known, and what is
kept."""

from __future__ import annotations

import io
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from offline_trader.errors import ConfigError
from offline_trader.learning.agents import Learner, make_learner
from offline_trader.learning.settings import DirectConfig, LearnerConfig
from offline_trader.learning.stages.direct import Log, PositionMarket, train_direct
from offline_trader.learning.stages.direct.limits import (
    DrawdownLimit,
    exceeded_by,
    worst_drawdowns,
)
from offline_trader.learning.stages.selection import Validated
from offline_trader.pipeline.phases import _canonical

ONE_BAR = DirectConfig(
    updates=200, windows=64, bars=1, learning_rate=0.01, market_input="features",
    forecast_weight=0.0, tail=0.1, evaluate_interval=0,
)  # fmt: skip
BEST = -math.log(0.97) / 0.1


def learner_of() -> Learner:
    return make_learner(LearnerConfig(reward_scaling="none", hidden=(8, 8)), 2, seed=0)


def coins(seed: int = 0) -> PositionMarket:
    """A feature that tells nothing; a gain of +0.2 or −0.1 with equal chances, as often of each."""
    gains = np.random.default_rng(seed).permutation(np.tile([0.2, -0.1], 400))[:, None]
    log = Log(np.ones((800, 1), np.float32), gains, np.array([[0, 800]]))
    return PositionMarket(log)


def test_drawdowns_are_falls_from_the_running_maximum_or_the_start() -> None:
    rewards = torch.tensor([[0.1, -0.3, 0.1], [-0.2, 0.1, 0.2], [0.3, -0.4, 0.1], [-0.1, 0.0, 0.3]])
    found = worst_drawdowns(rewards.double())
    np.testing.assert_allclose(found.numpy(), [0.2, 0.6, 0.0], atol=1e-7)
    drawn = np.random.default_rng(0).standard_normal((50, 20))
    equity = np.concatenate([np.zeros((1, 20)), drawn.cumsum(axis=0)])
    expected = (np.maximum.accumulate(equity, axis=0) - equity).max(axis=0)
    np.testing.assert_allclose(worst_drawdowns(torch.from_numpy(drawn)).numpy(), expected)


def test_what_a_share_exceeds() -> None:
    values = torch.arange(100, dtype=torch.float64)[torch.randperm(100)]
    assert float(exceeded_by(values, 0.1)) == 89.5  # ranks 5 to 14 from the top
    assert float(exceeded_by(values, 0.001)) == 99.0
    assert float(exceeded_by(values, 1.0)) == 24.5
    drawn = torch.from_numpy(np.random.default_rng(0).standard_normal(100_000))
    assert float(exceeded_by(drawn, 0.05)) == pytest.approx(1.645, abs=0.05)


def test_the_price_rises_beyond_the_limit_and_never_falls_below_zero() -> None:
    limit = DrawdownLimit(0.1, 0.5, 0.5)
    falls = -torch.tensor([[0.05, 0.0, 0.3, 0.1]])
    expected = (0.1 + 0.05) / 2.0 / -math.log(0.9) - 1.0
    assert float(limit.excess(falls)) == pytest.approx(expected)
    limit.move(1.0)
    assert limit.price == pytest.approx(0.5)
    assert float(limit.penalty(torch.tensor(0.2))) == pytest.approx((1.5**2 - 0.5**2) / 10.0)
    assert float(limit.penalty(torch.tensor(-1.0))) == pytest.approx(-(0.5**2) / 10.0)
    limit.move(-3.0)
    assert limit.price == 0.0


def test_the_saddle_point_is_the_linear_programme_s_optimum() -> None:
    """max a·E[g] subject to .1·a ≤ −log(.97), the loss of half of the bars: a* = .305."""
    learner = learner_of()
    train_direct(learner, coins(), replace(ONE_BAR, drawdown_limit=0.03))
    action = float(learner.act(np.array([[1.0, 0.0]], np.float32))[0, 0])
    assert action == pytest.approx(BEST, abs=0.03)


def test_a_limit_that_is_never_reached_changes_nothing() -> None:
    free, limited = learner_of(), learner_of()
    train_direct(free, coins(), ONE_BAR)
    train_direct(limited, coins(), replace(ONE_BAR, drawdown_limit=0.9))
    for a, b in zip(free.actor.parameters(), limited.actor.parameters(), strict=True):
        assert torch.equal(a, b)


def test_policies_beyond_the_limit_are_not_kept() -> None:
    """A validation that likes the boldest one most: what is kept keeps to the limit."""
    bold = replace(ONE_BAR, updates=40, evaluate_interval=5, drawdown_limit=0.03)
    learner = learner_of()

    def evaluate(policy: Any) -> Validated:
        action = float(policy(np.array([[1.0, 0.0]], np.float32))[0, 0])
        return Validated({"score": action}, np.full(100, action))

    result = train_direct(learner, coins(), bold, evaluate=evaluate)
    action = float(learner.act(np.array([[1.0, 0.0]], np.float32))[0, 0])
    assert action <= 1.06 * BEST
    assert result.kept in ("best", "warm_start")


def test_the_price_is_in_the_checkpoint() -> None:
    config = replace(ONE_BAR, updates=6, windows=8, checkpoint_interval=3, drawdown_limit=0.001)
    states: dict[int, bytes] = {}

    def run(resume: Any = None) -> bytes:
        learner = learner_of()

        def keep(step: int, state: dict[str, Any]) -> None:
            buffer = io.BytesIO()
            torch.save(_canonical(state), buffer)
            states[step] = buffer.getvalue()

        train_direct(learner, coins(), config, seed=1, resume=resume, checkpoint=keep)
        return states[6]

    whole = run()
    half = torch.load(io.BytesIO(states[3]), weights_only=True)
    assert half["training"]["price"] > 0.0
    assert run(half) == whole


def test_a_limit_that_is_none_is_refused() -> None:
    for wrong in (1.0, -0.1, float("nan")):
        with pytest.raises(ConfigError, match="drawdown_limit="):
            DirectConfig(drawdown_limit=wrong)
