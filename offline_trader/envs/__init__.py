"""Gymnasium shells over the simulator; importing this registers ``offline_trader/Trading-v0``.

Names load on first use, since Gymnasium imports this package whenever it is imported itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from offline_trader.envs.registration import ENV_ID, GOAL_ENV_ID, register_envs
from offline_trader.lazy import lazy_names

if TYPE_CHECKING:
    from offline_trader.envs.config import EnvConfig, make_market, make_simulator
    from offline_trader.envs.discrete import (
        LEGACY_ACTIONS,
        DiscreteActions,
        HybridActions,
        from_discrete,
        to_discrete,
    )
    from offline_trader.envs.goal import GoalTradingEnv
    from offline_trader.envs.goal_lanes import GoalLanes
    from offline_trader.envs.single import TradingEnv
    from offline_trader.envs.vector import VectorTradingEnv

__all__ = [
    "ENV_ID",
    "LEGACY_ACTIONS",
    "DiscreteActions",
    "EnvConfig",
    "GOAL_ENV_ID",
    "GoalLanes",
    "GoalTradingEnv",
    "HybridActions",
    "TradingEnv",
    "VectorTradingEnv",
    "from_discrete",
    "make_market",
    "make_simulator",
    "register_envs",
    "to_discrete",
]

__getattr__ = lazy_names(__name__)

register_envs()
