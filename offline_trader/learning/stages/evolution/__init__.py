"""Evolution: the policy is moved by how well policies around it do; no gradient is taken."""

from typing import TYPE_CHECKING

from offline_trader.lazy import lazy_names

if TYPE_CHECKING:
    from offline_trader.learning.stages.evolution.agent import HybridAgent
    from offline_trader.learning.stages.evolution.population import Population
    from offline_trader.learning.stages.evolution.strategy import Strategy
    from offline_trader.learning.stages.evolution.training import evolve
    from offline_trader.learning.stages.evolution.trials import Trials, require_cpu, shared_trials

__all__ = [
    "HybridAgent",
    "Population",
    "Strategy",
    "Trials",
    "evolve",
    "require_cpu",
    "shared_trials",
]

__getattr__ = lazy_names(__name__)
