"""Counterfactual replay: what a batch's rows say is what the simulator does."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from offline_trader.errors import ConfigError, DataError
from offline_trader.learning.data import (
    Batch,
    CounterfactualReplay,
    Preprocessing,
    RewardScale,
    Sampler,
    TransformChain,
    Transitions,
    pack,
)
from offline_trader.learning.settings import ReplayConfig
from offline_trader.learning.stages.direct import BarMarket
from offline_trader.simulator import MarketTensor, Simulator, SimulatorConfig
from offline_trader.simulator.differentiable import BarPrices, advance, observe, portfolio
from offline_trader.types import IntArray, ObservationLayout, PortfolioField

SCALES = Preprocessing(np.linspace(-0.1, 0.2, 7), np.linspace(0.5, 2.0, 7), None, 0.99)
RULES: tuple[dict[str, Any], ...] = (
    {},
    {"smoothing_alpha": 0.4, "fill": "close", "sizing": "post_fee", "max_position_pct": 0.8},
)


def signal_tensor(n: int = 120, seed: int = 0) -> MarketTensor:
    """Two instruments with gaps at the open; the first feature foretells a part of the return."""
    rng = np.random.default_rng(seed)
    signal = rng.standard_normal((2, n))
    returns = 0.01 * (0.8 * np.roll(signal, 1, axis=1) + rng.standard_normal((2, n)))
    close = 100.0 * np.exp(np.cumsum(returns, axis=1))
    open_ = close * np.exp(0.005 * rng.standard_normal((2, n)))
    high, low = np.maximum(open_, close), np.minimum(open_, close)
    prices = np.stack([open_, high, low, close, np.full((2, n), 1e3)], axis=2).reshape(-1, 5)
    features = np.stack([signal, rng.standard_normal((2, n))], axis=2).reshape(-1, 2)
    days = np.datetime64("2000-01-03", "ns") + np.arange(n) * np.timedelta64(1, "D")
    return MarketTensor(
        prices=prices,
        features=features.astype(np.float32),
        start=np.array([0, n]),
        stop=np.array([n, 2 * n]),
        periods_per_year=np.full(2, 252.0),
        symbols=("A", "B"),
        timestamps=np.tile(days, 2),
        layout=ObservationLayout(("signal", "noise"), "test"),
    )


def rolled(
    tensor: MarketTensor, rules: SimulatorConfig, n: int = 20, steps: int = 40
) -> tuple[Transitions, IntArray]:
    """Transitions of random trading in n lanes, an episode each; the rows of their bars."""
    lanes = Simulator(tensor, rules, n, episode_bars=steps, random_start=True, seed=5)
    rng = np.random.default_rng(0)
    walked: dict[str, list[Any]] = {name: [] for name in ("rows", *_FIELDS)}
    seen, alive = lanes.reset().copy(), np.ones(n, np.bool_)
    kept = []
    for _ in range(steps):
        actions, rows = rng.uniform(-1, 1, (n, 1)).astype(np.float32), lanes.bar_index
        result = lanes.step(actions)
        ended = result.terminated | result.truncated
        after = np.where(ended[:, None], lanes.final_observations, result.observations)
        found = (rows, seen, actions, result.rewards, after, result.terminated, result.truncated)
        for values, each in zip(walked.values(), found, strict=True):
            values.append(np.array(each))
        kept.append(alive)
        seen, alive = result.observations.copy(), alive & ~ended
    inside = np.stack(kept, axis=1).reshape(-1)
    columns = {
        name: (joined := np.stack(values, axis=1)).reshape(n * steps, *joined.shape[2:])[inside]
        for name, values in walked.items()
    }
    bars = columns.pop("rows")
    return Transitions(**columns, episode_ids=np.repeat(np.arange(n), steps)[inside]), bars


_FIELDS = ("observations", "actions", "rewards", "next_observations", "terminals", "timeouts")


def replay_of(market: BarMarket, data: Transitions, **changed: Any) -> CounterfactualReplay:
    config = ReplayConfig(**changed)
    return CounterfactualReplay(market.replayed(), data, config, SCALES, None, seed=1)


def batches(
    replay: CounterfactualReplay, data: Transitions, count: int, size: int = 256
) -> list[Batch]:
    chain = TransformChain([replay])
    stored, further = chain.dataset(data)
    rows = pack(stored, SCALES, further=further)
    sampler = Sampler(rows, batch_size=size, seed=2)
    return [chain.sampled(sampler.draw()) for _ in range(count)]


def unscaled(batch: Batch, name: str) -> np.ndarray:
    return batch[name].numpy().astype(np.float64) * SCALES.scale + SCALES.mean


@pytest.mark.parametrize("changed", RULES)
@pytest.mark.parametrize("mode", ["order", "target_long", "target_long_short"])
def test_replays_are_what_the_rules_say(mode: Any, changed: dict[str, Any]) -> None:
    """Against the differentiable twin of the simulator, which is written apart from it."""
    rules = SimulatorConfig(action_mode=mode, min_notional=0.0, dust_notional=0.0, **changed)
    tensor = signal_tensor()
    market = BarMarket(tensor, rules)
    data, bars = rolled(tensor, rules)
    replay = replay_of(market, data)
    np.testing.assert_array_equal(market._bars[replay.rows], bars)
    bar = market.replayed()
    rng = np.random.default_rng(4)
    rows = rng.integers(0, len(market.log.gains), 400)
    low, high = bar.positions
    positions = rng.uniform(low, high, 400)
    seen = np.zeros((400, 5))
    seen[:, PortfolioField.DRAWDOWN] = -rng.uniform(0, 0.3, 400)
    seen = bar.moved(rows, seen, positions, rng.random((400, 3)))
    actions = rng.uniform(-1, 1, 400)
    found = bar.replay(rows, seen, np.full(400, 3_000.0), actions)

    price, close, volume, borrow, now = market._columns[:, torch.from_numpy(rows)]
    as_tensors = dict(zip(PortfolioField, torch.from_numpy(seen).T, strict=True))
    before = portfolio(
        rules,
        as_tensors[PortfolioField.EXPOSURE],
        now,
        unrealised=as_tensors[PortfolioField.UNREALISED_RETURN],
        drawdown=as_tensors[PortfolioField.DRAWDOWN],
        smoothed=as_tensors[PortfolioField.SMOOTHED_ACTION],
        held=torch.round(253.0 ** as_tensors[PortfolioField.HOLD_TIME] - 1.0),
    )
    step = advance(
        rules, before, torch.from_numpy(actions), BarPrices(price, close, volume, borrow)
    )
    np.testing.assert_allclose(found.rewards, step.log_growth.numpy(), rtol=1e-9, atol=1e-12)
    expected = observe(step.portfolio).numpy()
    np.testing.assert_array_equal(found.seen.astype(np.float32), found.seen)
    np.testing.assert_allclose(found.seen, expected, atol=2e-6)  # an observation is float32
    np.testing.assert_allclose(found.carried[:, -1], step.carried.numpy(), rtol=1e-9, atol=1e-12)


def test_a_batch_holds_its_logged_rows_and_their_replays() -> None:
    rules = SimulatorConfig(action_mode="target_long_short")
    tensor = signal_tensor()
    market = BarMarket(tensor, rules)
    data, _ = rolled(tensor, rules)
    (plain,), (batch,) = (
        batches(replay_of(market, data, per_logged=3, **shares), data, 1)
        for shares in ({}, {"near": 0.5, "uniform": 0.3})
    )
    drawn = batch.drawn[0].indices.numpy()
    logged, replayed = slice(0, 64), slice(64, 256)
    assert np.array_equal(batch["rewards"][logged, 0], data.rewards[drawn[logged]])
    assert np.array_equal(batch["actions"][logged], data.actions[drawn[logged]])
    seen, after = unscaled(batch, "observations"), unscaled(batch, "next_observations")
    np.testing.assert_allclose(seen[:, :2], data.observations[drawn, :2], atol=1e-6)
    np.testing.assert_allclose(after[:, :2], data.next_observations[drawn, :2], atol=1e-6)
    rows, equity = batch["replay_row"][:, 0].long().numpy(), batch["replay_equity"][:, 0].numpy()
    actions = batch["actions"][:, 0].numpy().astype(np.float64)
    again = market.replayed().replay(rows, seen[:, 2:], equity.astype(np.float64), actions)
    np.testing.assert_allclose(batch["rewards"][replayed, 0], again.rewards[replayed], atol=1e-7)
    np.testing.assert_allclose(after[replayed, 2:], again.seen[replayed], atol=1e-5)
    # near, anywhere, corners: positions and actions of all three
    moved = np.abs(seen[replayed, 2] - data.observations[drawn[replayed], 2])
    assert (moved < 0.05).mean() > 0.1
    assert (moved > 0.5).mean() > 0.1
    assert np.isin([-1.0, 0.0, 1.0], np.round(actions[replayed], 6)).all()
    assert not np.array_equal(plain["actions"], batch["actions"])


def test_an_end_stays_an_end_and_ruin_is_the_replays_own() -> None:
    """A logged time limit does not depend on the portfolio; a logged ruin does."""
    rules = SimulatorConfig(action_mode="target_long", ruin_fraction=0.97, min_notional=0.0)
    tensor = signal_tensor()
    data, _ = rolled(tensor, rules, n=40, steps=12)
    assert data.terminals.any()
    assert data.timeouts.any()
    logged_ends, ruins = 0, 0
    for batch in batches(replay_of(BarMarket(tensor, rules), data), data, 8):
        drawn = batch.drawn[0].indices.numpy()
        terminal, timeout = (batch[name][:, 0].numpy() > 0 for name in ("terminals", "timeouts"))
        assert not (terminal & timeout).any()
        np.testing.assert_array_equal(timeout[32:], data.timeouts[drawn][32:] & ~terminal[32:])
        grown = batch["replay_equity"][32:, 0] * torch.exp(batch["raw_rewards"][32:, 0])
        np.testing.assert_array_equal(terminal[32:], grown.numpy() <= 9_700.0)
        logged_ends += int((data.terminals[drawn] & ~terminal)[32:].sum())
        ruins += int((terminal & ~data.terminals[drawn])[32:].sum())
    assert logged_ends > 0
    assert ruins > 0


def test_a_seed_is_one_sequence_and_goes_on_where_it_stood() -> None:
    rules = SimulatorConfig(action_mode="target_long_short")
    tensor = signal_tensor()
    market = BarMarket(tensor, rules)
    data, _ = rolled(tensor, rules)
    first, second = (batches(replay_of(market, data), data, 3) for _ in range(2))
    for one, other in zip(first, second, strict=True):
        assert torch.equal(one.matrix, other.matrix)
    replay = replay_of(market, data)
    chain = TransformChain([replay])
    stored, further = chain.dataset(data)
    sampler = Sampler(pack(stored, SCALES, further=further), batch_size=256, seed=2)
    chain.sampled(sampler.draw())
    state = chain.state_dict()
    resumed = TransformChain([replay_of(market, data)])
    resumed.load_state_dict(state)
    again = resumed.sampled(sampler.draw())
    assert torch.equal(again.matrix, first[1].matrix)
    assert resumed.metrics() == {"replayed": pytest.approx(448 / 512)}


def test_rewards_are_scaled_and_their_surprise_is_taken_off() -> None:
    rules = SimulatorConfig(action_mode="target_long_short")
    tensor = signal_tensor()
    market = BarMarket(tensor, rules)
    data, _ = rolled(tensor, rules)
    surprises = market.log.gains - market.log.gains.mean(axis=0)
    replay = CounterfactualReplay(
        market.replayed(), data, ReplayConfig(), SCALES, surprises, seed=1
    )
    assert replay.rewards.std() < 0.3 * data.rewards.std()
    replay.scale_rewards(replace(SCALES, reward=RewardScale(0.001, 0.02)))
    (batch,) = batches(replay, data, 1)
    raw = batch["raw_rewards"][32:, 0].numpy()
    rows = batch["replay_row"][32:, 0].long().numpy()
    seen = unscaled(batch, "observations")[32:, 2:]
    again = market.replayed().replay(
        rows,
        seen,
        batch["replay_equity"][32:, 0].numpy().astype(np.float64),
        batch["actions"][32:, 0].numpy().astype(np.float64),
    )
    expected = raw - (again.carried * surprises[rows]).sum(axis=1)
    found = batch["rewards"][32:, 0].numpy() * 0.02 + 0.001
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_other_bars_or_other_rules_than_the_datas_are_refused() -> None:
    rules = SimulatorConfig(action_mode="target_long_short")
    tensor = signal_tensor()
    data, _ = rolled(tensor, rules)
    with pytest.raises(DataError, match="800 of 800 transitions match no bar"):
        replay_of(BarMarket(signal_tensor(seed=1), rules), data)
    costly = replace(rules, commission_bps=500.0)
    with pytest.raises(DataError, match="gives another reward than was logged"):
        replay_of(BarMarket(tensor, costly), data)


def test_where_orders_move_the_price_there_is_nothing_to_replay() -> None:
    market = BarMarket(signal_tensor(), SimulatorConfig(impact_bps=5.0))
    with pytest.raises(ConfigError, match=r"simulator.impact_bps = 5: an order moves the price"):
        market.replayed()


def test_rows_that_cannot_be_told_apart_stay_as_they_were_logged() -> None:
    rules = SimulatorConfig(action_mode="target_long_short")
    tensor = signal_tensor()
    features = tensor.features.copy()
    features[40:60] = features[40]
    tensor = replace(tensor, features=features)
    data, bars = rolled(tensor, rules)
    replay = replay_of(BarMarket(tensor, rules), data)
    np.testing.assert_array_equal(replay.rows < 0, (bars >= 40) & (bars < 60))
    (batch,) = batches(replay, data, 1)
    drawn = batch.drawn[0].indices.numpy()
    unknown = replay.rows[drawn] < 0
    assert unknown[32:].any()
    same = (batch["actions"].numpy() == data.actions[drawn])[:, 0]
    assert same[unknown].all()
    assert not same[32:][~unknown[32:]].any()
