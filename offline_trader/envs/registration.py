"""Gymnasium's registry; the package's entry point calls this, so ``gymnasium.make`` just works."""

from __future__ import annotations

__all__ = ["ENV_ID", "GOAL_ENV_ID", "register_envs"]

ENV_ID = "offline_trader/Trading-v0"
GOAL_ENV_ID = "offline_trader/GoalTrading-v0"


def register_envs() -> None:
    """Register :data:`ENV_ID` and :data:`GOAL_ENV_ID`, once."""
    from gymnasium.envs.registration import register, registry

    if ENV_ID not in registry:
        register(
            id=ENV_ID,
            entry_point="offline_trader.envs.single:TradingEnv",
            vector_entry_point="offline_trader.envs.vector:VectorTradingEnv",
            disable_env_checker=True,
        )
    if GOAL_ENV_ID not in registry:
        register(
            id=GOAL_ENV_ID,
            entry_point="offline_trader.envs.goal:GoalTradingEnv",
            disable_env_checker=True,
        )
