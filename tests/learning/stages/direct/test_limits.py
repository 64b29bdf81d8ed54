"""The drawdown limit: its measure, the price and the scale that hold it where the best policy
under it is known, and what is kept."""

from __future__ import annotations

import io
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from offline_trader.errors import ConfigError
from offline_trader.evaluation.known_optimum.ou_bars import OU_RULES, ou_tensor
from offline_trader.learning.agents import Learner, make_learner
from offline_trader.learning.settings import DirectConfig, LearnerConfig
from offline_trader.learning.stages.direct import (
    BarMarket,
    Log,
    PositionMarket,
    scaling,
    train_direct,
)
from offline_trader.learning.stages.direct.limits import (
    DrawdownLimit,
    allowed_share,
    exceeded_by,
    worst_drawdowns,
)
from offline_trader.learning.stages.direct.training import DirectTraining
from offline_trader.learning.stages.results import Validated
from offline_trader.markets.synthetic import OuMarket
from offline_trader.pipeline.phases import _canonical
from offline_trader.simulator import SimulatorConfig

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
    train_direct(learner, coins(), replace(ONE_BAR, drawdown_limit=0.03, limit_by="price"))
    action = float(learner.act(np.array([[1.0, 0.0]], np.float32))[0, 0])
    assert action == pytest.approx(BEST, abs=0.03)


def test_the_scale_is_the_largest_within_the_limit() -> None:
    """The same optimum: without the limit all is staked, and .305 of it is what may be."""
    learner = learner_of()
    result = train_direct(learner, coins(), replace(ONE_BAR, drawdown_limit=0.03))
    action = float(learner.act(np.array([[1.0, 0.0]], np.float32))[0, 0])
    assert BEST - 0.02 <= action <= BEST
    assert "positions scaled to 3" in result.told[0]


def test_few_windows_may_be_fewer_beyond_the_limit() -> None:
    assert allowed_share(0.05, 1_900) == pytest.approx(0.045)
    assert allowed_share(0.05, 10) == 0.0
    drawn = np.random.default_rng(0).binomial(800, allowed_share(0.05, 800), 20_000)
    assert np.mean(drawn <= 0.05 * 800) == pytest.approx(0.87, abs=0.02)


@pytest.mark.parametrize("mode", ["order", "target_long", "target_long_short"])
def test_smaller_actions_make_smaller_positions(mode: Any) -> None:
    """From a share of an exposure an action leads to that share of what it would have led to."""
    market = BarMarket(ou_tensor(OuMarket(bars=500)), SimulatorConfig(action_mode=mode))
    generator = torch.Generator().manual_seed(0)
    actions = 2.0 * torch.rand(200, generator=generator, dtype=torch.float64) - 1.0
    exposures = torch.rand(200, generator=generator, dtype=torch.float64)
    own = torch.zeros((200, 5), dtype=torch.float64)
    for share in (0.2, 0.9, 1.0):
        own[:, 0] = share * exposures
        smaller = market.smaller(actions, own, share)
        if mode == "order":
            larger = _after(actions, exposures)
            np.testing.assert_allclose(_after(smaller, own[:, 0]), share * larger, atol=1e-12)
        else:
            np.testing.assert_allclose(smaller, share * actions)
    own[:, 0] = 0.95  # beyond the share by the market's move: nothing more is bought
    assert (market.smaller(actions, own, 0.9).clamp(min=0.0) == 0.0).all() == (mode == "order")


def _after(actions: torch.Tensor, exposures: torch.Tensor) -> torch.Tensor:
    """Exposures after orders without costs."""
    bought = exposures + actions * (1.0 - exposures)
    return torch.where(actions > 0.0, bought, exposures * (1.0 + actions))


def test_a_scaled_policy_does_the_share_of_what_it_did() -> None:
    """Bars, and the forecast before the policy: the actor keeps its shape and scales its output."""
    market = BarMarket(ou_tensor(OuMarket(bars=4_000)), OU_RULES)
    free, limited = (
        make_learner(LearnerConfig(reward_scaling="none", hidden=(16, 16)), width, seed=0)
        for width in [market.tensor.layout.size] * 2
    )
    config = DirectConfig(updates=60, windows=32, bars=100, evaluate_interval=0, tail=0.2)
    rows: list[dict[str, float]] = []
    train_direct(free, market, config)
    log = lambda step, row: rows.append(dict(row))  # noqa: E731
    result = train_direct(limited, market, replace(config, drawdown_limit=0.04), log)
    share = rows[-1]["direct/share"]
    assert 0.2 < share < 0.95
    assert rows[-1]["direct/beyond"] <= allowed_share(0.2, 39)
    assert f"{share:.1%}" in result.told[0]
    seen = np.concatenate([market.log.features, np.zeros((len(market.log.gains), 5))], axis=1)
    before, after = (each.act(seen.astype(np.float32)) for each in (free, limited))
    assert np.sqrt(np.mean(np.square(after - share * before))) < 0.05


@pytest.mark.parametrize("by", ["scale", "price"])
def test_a_limit_that_is_never_reached_changes_nothing(by: Any) -> None:
    free, limited = learner_of(), learner_of()
    train_direct(free, coins(), ONE_BAR)
    train_direct(limited, coins(), replace(ONE_BAR, drawdown_limit=0.9, limit_by=by))
    for a, b in zip(free.actor.parameters(), limited.actor.parameters(), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("by", ["scale", "price"])
def test_policies_beyond_the_limit_are_not_kept(by: Any) -> None:
    """A validation that likes the boldest one most: what is kept keeps to the limit."""
    bold = replace(ONE_BAR, updates=40, evaluate_interval=5, drawdown_limit=0.03, limit_by=by)
    learner = learner_of()

    def evaluate(policy: Any) -> Validated:
        action = float(policy(np.array([[1.0, 0.0]], np.float32))[0, 0])
        return Validated({"score": action}, np.full(100, action))

    result = train_direct(learner, coins(), bold, evaluate=evaluate)
    action = float(learner.act(np.array([[1.0, 0.0]], np.float32))[0, 0])
    assert action <= 1.06 * BEST
    assert result.kept in ("best", "warm_start")


@pytest.mark.parametrize(("by", "validated"), [("scale", True), ("scale", False), ("price", True)])
def test_the_warm_start_is_kept_where_nothing_keeps_to_the_limit(
    by: Any, validated: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever is held, the first bar's costs are beyond the limit, the warm start's as well."""
    monkeypatch.setattr(scaling, "_ROUNDS", 1)
    dear = replace(coins(), proportional_cost=1.0)
    learner = learner_of()
    begun = [each.clone() for each in learner.actor.parameters()]
    scores = iter(range(10))

    def evaluate(policy: Any) -> Validated:
        better = float(next(scores))
        return Validated({"score": better}, np.full(100, better))

    config = replace(ONE_BAR, updates=5, drawdown_limit=0.03, limit_by=by)
    result = train_direct(learner, dear, config, evaluate=evaluate if validated else None)
    assert (result.kept, result.kept_step, result.updates) == ("warm_start", 0, 5)
    assert "beyond a limit" in result.reason
    for before, after in zip(begun, learner.actor.parameters(), strict=True):
        assert torch.equal(before, after)
    if by == "scale":
        assert "no share of the positions that was tried keeps" in result.told[0]
        assert "the policy that the stage began with, which stays" in result.told[0]


def test_a_scaled_policy_that_is_not_kept_is_told_as_such(monkeypatch: pytest.MonkeyPatch) -> None:
    """It keeps to the limit, and does worse than the warm start by validation."""
    monkeypatch.setattr(scaling, "_ROUNDS", 2)
    learner = learner_of()
    growths = iter([0.1, 0.1, 0.2, 0.0])  # each twice: free, and limited

    def evaluate(policy: Any) -> Validated:
        growth = next(growths)
        return Validated({"score": growth}, np.full(100, growth))

    bold = replace(ONE_BAR, drawdown_limit=0.03)
    result = train_direct(learner, coins(), bold, evaluate=evaluate)
    assert result.kept == "warm_start"
    assert "the policy with its positions scaled to" in result.told[0]
    assert "was not kept" in result.told[0]


class Dropping(PositionMarket):
    """Positions below .35 are not taken."""

    def step(self, state: Any, actions: torch.Tensor, rows: torch.Tensor) -> Any:
        taken = torch.where(actions.abs() < 0.35, torch.zeros_like(actions), actions)
        return super().step(state, actions + (taken - actions).detach(), rows)


def test_a_share_without_any_drawdown_is_not_divided_by(monkeypatch: pytest.MonkeyPatch) -> None:
    """A third of the positions would just be within the limit, but orders so small are dropped."""
    monkeypatch.setattr(scaling, "_ROUNDS", 2)
    rows: list[Any] = []
    config = replace(ONE_BAR, drawdown_limit=0.03, engine="torch")
    log = lambda step, row: rows.append(dict(row))  # noqa: E731
    train_direct(learner_of(), Dropping(coins().log), config, log)
    assert rows[-1]["direct/share"] == pytest.approx(BEST, abs=0.03)
    assert rows[-1]["direct/beyond"] == 0.0


def test_realised_rewards_are_unrolled_once_an_update() -> None:
    """By the limit and the risk of the objective together."""
    config = replace(
        ONE_BAR, drawdown_limit=0.03, limit_by="price", objective="mean_variance",
        forecast_weight=1.0,
    )  # fmt: skip
    training: Any = DirectTraining(learner_of(), coins(), config, seed=0)
    unroll, batches = training._realised, []

    def counted(batch: Any) -> Any:
        batches.append(batch)
        return unroll(batch)

    training._realised = counted
    training.update(1.0)
    assert len(batches) == 1


@pytest.mark.parametrize("by", ["scale", "price"])
def test_a_training_under_a_limit_goes_on(by: Any) -> None:
    config = replace(
        ONE_BAR, updates=6, windows=8, checkpoint_interval=3, evaluate_interval=2, limit_by=by,
        drawdown_limit=0.001 if by == "price" else 0.05,
    )  # fmt: skip
    states: dict[int, bytes] = {}

    def run(resume: Any = None) -> bytes:
        learner = learner_of()

        def keep(step: int, state: dict[str, Any]) -> None:
            buffer = io.BytesIO()
            torch.save(_canonical(state), buffer)
            states[step] = buffer.getvalue()

        train_direct(learner, coins(), config, seed=1, resume=resume, checkpoint=keep)
        weights = b"".join(each.detach().numpy().tobytes() for each in learner.actor.parameters())
        return states[6] + weights

    whole = run()
    half = torch.load(io.BytesIO(states[3]), weights_only=True)
    assert by == "scale" or half["training"]["price"] > 0.0
    assert run(half) == whole


def test_a_limit_that_is_none_is_refused() -> None:
    for wrong in (1.0, -0.1, float("nan")):
        with pytest.raises(ConfigError, match="drawdown_limit="):
            DirectConfig(drawdown_limit=wrong)
