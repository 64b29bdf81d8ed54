"""The direct stage on bars: the simulator's rules, a signal found through the whole line."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from offline_trader.errors import DataError
from offline_trader.evaluation.backtest import backtest
from offline_trader.learning.agents import make_learner
from offline_trader.learning.settings import DirectConfig, LearnerConfig
from offline_trader.learning.stages.direct import BarMarket, train_direct
from offline_trader.simulator import MarketTensor, SimulatorConfig, simulate_actions
from offline_trader.types import ObservationLayout


def signal_tensor(n: int = 800, seed: int = 0, strength: float = 0.8) -> MarketTensor:
    """Two instruments; the first feature foretells a share of the next bar's return."""
    rng = np.random.default_rng(seed)
    signal = rng.standard_normal((2, n))
    returns = 0.01 * (strength * np.roll(signal, 1, axis=1) + rng.standard_normal((2, n)))
    close = 100.0 * np.exp(np.cumsum(returns, axis=1))
    open_ = np.concatenate([close[:, :1], close[:, :-1]], axis=1)
    high, low = np.maximum(open_, close), np.minimum(open_, close)
    prices = np.stack([open_, high, low, close, np.full((2, n), 1e3)], axis=2).reshape(-1, 5)
    features = np.stack([signal, rng.standard_normal((2, n))], axis=2).reshape(-1, 2)
    return MarketTensor(
        prices=prices,
        features=features.astype(np.float32),
        start=np.array([0, n]),
        stop=np.array([n, 2 * n]),
        periods_per_year=np.full(2, 252.0),
        symbols=("A", "B"),
        timestamps=np.tile(
            np.datetime64("2000-01-03", "ns") + np.arange(n) * np.timedelta64(1, "D"), 2
        ),
        layout=ObservationLayout(("signal", "noise"), "test"),
    )


@pytest.mark.parametrize("fill", ["next_open", "close"])
def test_the_rows_are_the_simulators_bars(fill: Any) -> None:
    """Fixed actions over a window of the second instrument: the simulator's growth and rewards."""
    tensor = signal_tensor(60)
    rules = SimulatorConfig(action_mode="target_long_short", fill=fill)
    market = BarMarket(tensor, rules)
    assert market.log.series.tolist() == [[0, 59], [59, 118]]
    actions = np.random.default_rng(1).uniform(-1, 1, 20)
    expected = simulate_actions(tensor, rules, actions, instrument=1, first=5)
    state: Any = market.random_state(torch.tensor([64]), torch.Generator().manual_seed(0))
    flat = torch.zeros(1, dtype=torch.float64)
    cash = torch.full((1,), rules.initial_cash, dtype=torch.float64)
    state = state._replace(
        cash=cash, equity=cash, peak=cash, units=flat, exposure=flat, entry=flat, held=flat
    )
    growth = 0.0
    for t, action in enumerate(actions):
        step = market.step(state, torch.tensor([action]), torch.tensor([64 + t]))
        growth, state = growth + float(step.rewards), step.state
    assert growth == pytest.approx(expected.log_growth[0], rel=1e-9)
    assert float(state[3]) == pytest.approx(expected.final_equity[0], rel=1e-12)


def test_the_log_tells_a_user_s_own_features() -> None:
    tensor = signal_tensor(60)
    columns = ObservationLayout(("return_1@3", "mine"), "test")
    market = BarMarket(replace(tensor, layout=columns))
    assert market.log.own is not None
    assert market.log.own.tolist() == [False, True]
    assert market.with_features(tensor.features[:118, :1]).log.own is None
    built_in = ObservationLayout(("return_1", "gap"), "test")
    assert BarMarket(replace(tensor, layout=built_in)).log.own is None


@pytest.mark.parametrize("fill", ["next_open", "close"])
def test_gains_times_positions_are_the_costless_reward(fill: Any) -> None:
    """Without costs a bar's simple return is Σ carried · gain, up to the product of two moves."""
    rules = SimulatorConfig(
        action_mode="target_long_short",
        fill=fill,
        commission_bps=0.0,
        half_spread_bps=0.0,
        slippage_bps=0.0,
        borrow_bps_per_year=0.0,
        min_notional=0.0,
    )
    market = BarMarket(signal_tensor(60), rules)
    rows = torch.arange(0, 50)
    state = market.random_state(rows, torch.Generator().manual_seed(0))
    actions = torch.rand(50, generator=torch.Generator().manual_seed(1)) * 2 - 1
    step = market.step(state, actions, rows)
    gains = torch.from_numpy(market.log.gains.copy())[rows]
    told = (step.carried * gains).sum(dim=1).numpy()
    np.testing.assert_allclose(np.expm1(step.rewards.numpy()), told, atol=1e-9)


@pytest.mark.parametrize("mode", ["order", "target_long", "target_long_short"])
def test_random_portfolios_are_possible_ones(mode: Any) -> None:
    rules = SimulatorConfig(action_mode=mode, smoothing_alpha=0.5, max_position_pct=0.8)
    market = BarMarket(signal_tensor(200), rules)
    rows = torch.arange(0, 199)
    p: Any = market.random_state(rows, torch.Generator().manual_seed(3))
    close = torch.from_numpy(market.tensor.table[:199, 1].copy())
    np.testing.assert_allclose((p.cash + p.units * close).numpy(), p.equity.numpy(), rtol=1e-12)
    assert (p.cash.numpy() >= 0).all()
    assert (p.peak >= p.equity).all()
    low = -0.8 if mode == "target_long_short" else 0.0
    assert low <= float(p.exposure.min())
    assert float(p.exposure.max()) <= 0.8
    assert 0.1 < float((p.units == 0).double().mean()) < 0.4
    assert ((p.held > 0) == (p.units != 0)).all()


@pytest.mark.parametrize("mode", ["order", "target_long", "target_long_short"])
def test_a_planted_signal_is_traded_after_costs(mode: Any) -> None:
    """Net of 3 bp a side on bars that training has not seen, in every order mode."""
    rules = SimulatorConfig(action_mode=mode)
    train, test = signal_tensor(seed=0), signal_tensor(seed=1)
    config = LearnerConfig(hidden=(16, 16), reward_scaling="none")
    learner = make_learner(config, 7, seed=0)
    settings = DirectConfig(updates=60, windows=32, bars=16, learning_rate=0.02)
    train_direct(learner, BarMarket(train, rules), settings)
    equity = backtest(learner.act, test.instrument(0), rules).equity
    returns = np.diff(np.log(equity))
    assert returns.mean() / returns.std() * np.sqrt(252) > 3.0


def test_rules_that_need_volume_need_it() -> None:
    from dataclasses import replace

    tensor = signal_tensor(60)
    prices = tensor.prices.copy()
    prices[:, 4] = 0.0
    with pytest.raises(DataError, match="no volume"):
        BarMarket(replace(tensor, prices=prices), SimulatorConfig(volume_cap=0.1))
