"""The seven legacy actions: there and back, in a wrapper, and in either form."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.envs.registration import EnvSpec

from offline_trader.envs import (
    ENV_ID,
    LEGACY_ACTIONS,
    DiscreteActions,
    HybridActions,
    TradingEnv,
    from_discrete,
    to_discrete,
)
from offline_trader.errors import ConfigError

ADD = LEGACY_ACTIONS.index("ADD_TO_WINNER")


@pytest.mark.parametrize("profit", [-0.02, 0.0, 0.03])
def test_six_of_seven_survive_the_round_trip(profit: float) -> None:
    back = to_discrete(from_discrete(np.arange(7), np.full(7, profit)))
    assert back[:ADD].tolist() == list(range(6))
    wanted = "BUY_MEDIUM" if profit > 0 else "HOLD"
    assert LEGACY_ACTIONS[back[ADD]] == wanted


def test_the_continuous_range_falls_into_the_nearest_action_of_its_side() -> None:
    values = np.array([-1.0, -0.76, -0.74, -0.1, -0.0999, 0.0, 0.0999, 0.1, 0.37, 0.38, 0.74, 0.76])
    names = [LEGACY_ACTIONS[i] for i in to_discrete(values)]
    assert names == [
        "SELL_ALL", "SELL_ALL", "SELL_PARTIAL", "SELL_PARTIAL", "HOLD", "HOLD", "HOLD",
        "BUY_SMALL", "BUY_SMALL", "BUY_MEDIUM", "BUY_MEDIUM", "BUY_LARGE",
    ]  # fmt: skip


@pytest.mark.parametrize("profit", [-0.02, 0.0, 0.03])
def test_with_the_profit_all_orders_survive_the_round_trip(profit: float) -> None:
    profits = np.full(7, profit)
    orders = from_discrete(np.arange(7), profits)
    back = to_discrete(orders, unrealised_return=profits)
    assert (back[ADD] == ADD) == (profit > 0)
    assert from_discrete(back, profits).tolist() == orders.tolist()


def test_numbers_that_are_no_action_are_refused() -> None:
    with pytest.raises(ConfigError, match="7"):
        from_discrete(np.array([7]), np.zeros(1))
    with pytest.raises(ConfigError, match="-1"):
        from_discrete(np.array([-1]), np.zeros(1))


def trade(env: gymnasium.Env[Any, Any], *names: str) -> list[dict[str, Any]]:
    """Infos of named actions in turn."""
    return [env.step(LEGACY_ACTIONS.index(name))[4] for name in names]


def test_the_wrapper_trades_what_the_names_say() -> None:
    env = DiscreteActions(TradingEnv("sp500", random_start=False))
    assert env.action_space == gymnasium.spaces.Discrete(7)
    env.reset(seed=0)
    large, partial, hold, everything = trade(env, "BUY_LARGE", "SELL_PARTIAL", "HOLD", "SELL_ALL")
    bought = large["fill_units"]
    assert bought > 0.0
    assert partial["fill_units"] == pytest.approx(-bought / 2)
    assert hold["fill_units"] == 0.0
    assert everything["fill_units"] == pytest.approx(-bought / 2)
    assert everything["exposure"] == 0.0


def test_add_to_winner_buys_only_in_profit() -> None:
    env = DiscreteActions(TradingEnv("nasdaq"))
    bought = {True: 0, False: 0}
    for seed in range(12):
        env.reset(seed=seed)
        (info,) = trade(env, "BUY_SMALL")
        winning = info["unrealised_profit"] > 0.0
        (added,) = trade(env, "ADD_TO_WINNER")
        assert (added["fill_units"] > 0.0) == winning
        bought[winning] += 1
    assert min(bought.values()) > 0


def test_the_hybrid_environment_accepts_either_form() -> None:
    continuous, hybrid = TradingEnv("sp500"), HybridActions(TradingEnv("sp500"))
    continuous.reset(seed=4)
    hybrid.reset(seed=4)
    assert hybrid.action_space == continuous.action_space
    mixed: list[Any] = [3, np.array([-0.3], np.float32), np.int64(1), np.array([0.2], np.float32)]
    for action, value in zip(mixed, (1.0, -0.3, 0.25, 0.2), strict=True):
        ours = hybrid.step(action)
        theirs = continuous.step(np.array([value], np.float32))
        assert (ours[0] == theirs[0]).all()
        assert ours[1:] == theirs[1:]


def test_target_modes_have_no_legacy_actions() -> None:
    with pytest.raises(ConfigError, match="target_long"):
        DiscreteActions(TradingEnv("sp500", simulator={"action_mode": "target_long"}))


def test_a_wrapped_environments_spec_rebuilds_the_wrapper() -> None:
    env = DiscreteActions(gymnasium.make(ENV_ID, market="sp500", episode_bars=9))
    assert env.spec is not None
    again = gymnasium.make(EnvSpec.from_json(env.spec.to_json()))
    assert isinstance(again, DiscreteActions)
    assert again.action_space == env.action_space
