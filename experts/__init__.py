"""Rule-based experts: one a file, each a pure vectorised decision over N lanes.

An expert reads the features of bar t and the portfolio at the close of t, and returns N actions.
It keeps no state: what a decision needs is in the observation, so a clone can learn it. Experts
speak orders or target weights; :mod:`offline_trader.experts.spaces` translates, so that every
expert works in every action mode.
"""

from __future__ import annotations

from offline_trader.experts.expert_lanes import ExpertLanes, require_askable
from offline_trader.experts.interface import Columns, Expert
from offline_trader.experts.mixtures import (
    Behaviour,
    Mixture,
    expert_text,
    mixture,
    parse_behaviour,
)
from offline_trader.experts.noise import Noise
from offline_trader.experts.policy import ExpertPolicy, MixtureActor
from offline_trader.experts.registry import get_expert, list_experts
from offline_trader.experts.spaces import to_actions

__all__ = [
    "Behaviour",
    "Columns",
    "Expert",
    "ExpertLanes",
    "ExpertPolicy",
    "Mixture",
    "MixtureActor",
    "Noise",
    "expert_text",
    "get_expert",
    "list_experts",
    "mixture",
    "parse_behaviour",
    "require_askable",
    "to_actions",
]
