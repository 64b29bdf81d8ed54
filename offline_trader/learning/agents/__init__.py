"""What learns: d3rlpy's algorithms with their engine, random stream and deterministic actor."""

from typing import TYPE_CHECKING

from offline_trader.lazy import lazy_names

if TYPE_CHECKING:
    from offline_trader.learning.agents.actor import DeterministicActor
    from offline_trader.learning.agents.agent import AGENTS, Agent, MakeAgent, make_agent
    from offline_trader.learning.agents.learner import (
        Learner,
        goal_learner,
        load_learner,
        make_learner,
        online_learner,
    )

__all__ = [
    "AGENTS",
    "Agent",
    "DeterministicActor",
    "Learner",
    "MakeAgent",
    "goal_learner",
    "load_learner",
    "make_agent",
    "make_learner",
    "online_learner",
]

__getattr__ = lazy_names(__name__)
