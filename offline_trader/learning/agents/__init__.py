"""What learns: d3rlpy's algorithms with their engine, random stream and deterministic actor."""

from typing import TYPE_CHECKING

from offline_trader.lazy import lazy_names

if TYPE_CHECKING:
    from offline_trader.learning.agents.actor import DeterministicActor
    from offline_trader.learning.agents.agent import AGENTS, Agent, MakeAgent, make_agent
    from offline_trader.learning.agents.around import AroundLearner
    from offline_trader.learning.agents.learner import (
        Learner,
        goal_learner,
        load_learner,
        make_learner,
        online_learner,
    )
    from offline_trader.learning.agents.limited import Limit
    from offline_trader.learning.agents.multi_objective import MultiObjectiveAgent

__all__ = [
    "AGENTS",
    "Agent",
    "AroundLearner",
    "DeterministicActor",
    "Learner",
    "Limit",
    "MakeAgent",
    "MultiObjectiveAgent",
    "goal_learner",
    "load_learner",
    "make_agent",
    "make_learner",
    "online_learner",
]

__getattr__ = lazy_names(__name__)
