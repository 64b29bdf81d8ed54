"""Gymnasium shells over the simulator; importing this registers ``offline_trader/Trading-v0``.

Names load on first use, since Gymnasium imports this package whenever it is imported itself.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from offline_trader.envs.registration import ENV_ID, register_envs

if TYPE_CHECKING:
    from offline_trader.envs.config import EnvConfig, make_market, make_simulator
    from offline_trader.envs.discrete import (
        LEGACY_ACTIONS,
        DiscreteActions,
        HybridActions,
        from_discrete,
        to_discrete,
    )
    from offline_trader.envs.single import TradingEnv
    from offline_trader.envs.vector import VectorTradingEnv

__all__ = [
    "ENV_ID",
    "LEGACY_ACTIONS",
    "DiscreteActions",
    "EnvConfig",
    "HybridActions",
    "TradingEnv",
    "VectorTradingEnv",
    "from_discrete",
    "make_market",
    "make_simulator",
    "register_envs",
    "to_discrete",
]

_HOMES = {
    "LEGACY_ACTIONS": "discrete",
    "DiscreteActions": "discrete",
    "EnvConfig": "config",
    "HybridActions": "discrete",
    "TradingEnv": "single",
    "VectorTradingEnv": "vector",
    "from_discrete": "discrete",
    "make_market": "config",
    "make_simulator": "config",
    "to_discrete": "discrete",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


register_envs()
