"""Simulator: the compiled core, N lanes at once, from action to reward.

Names load on first use: the trading rules alone need no compiler.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from offline_trader.simulator.config import SimulatorConfig
    from offline_trader.simulator.lanes import Simulator, StepResult
    from offline_trader.simulator.market_tensor import MarketTensor
    from offline_trader.simulator.trajectory import Trajectory, simulate_actions

__all__ = [
    "MarketTensor",
    "Simulator",
    "SimulatorConfig",
    "StepResult",
    "Trajectory",
    "simulate_actions",
]

_HOMES = {
    "MarketTensor": "market_tensor",
    "Simulator": "lanes",
    "SimulatorConfig": "config",
    "StepResult": "lanes",
    "Trajectory": "trajectory",
    "simulate_actions": "trajectory",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
