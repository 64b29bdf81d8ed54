"""Simulator: the compiled core, N lanes at once, from action to reward.

Names load on first use: the trading rules alone need no compiler.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from offline_trader.lazy import lazy_names

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

__getattr__ = lazy_names(__name__)
