"""Potential-based shaping, which leaves the optimal policy as it is, as pure maths.

Ng, Harada & Russell 1999, "Policy invariance under reward transformations", theorem 1: with

    F(s, a, s') = γ·Φ(s') − Φ(s)

added to the rewards the best action in every state is the same, and ``Q'(s, a) = Q(s, a) − Φ(s)``.
Φ is 0 in a terminal state; where an episode is cut off it goes on, and Φ with it. A transition of
k bars has γᵏ. Any weight of Φ is another potential; a weight or a potential that moves while the
agent learns leaves the optimal policy, too (Devlin & Kudenko 2012).
"""

from __future__ import annotations

from typing import Any, TypeVar

__all__ = ["shaping_reward"]

Array = TypeVar("Array", bound=Any)


def shaping_reward(
    before: Array, after: Array, terminals: Array, gamma: float, bars: Any = 1.0
) -> Array:
    """[B] ``γᵏ·Φ(s')·[s' is not terminal] − Φ(s)``, of numpy's or torch's arrays.

    Args:
        before, after: [B] Φ(s) and Φ(s').
        terminals: [B] 1 where the episode was terminated (not where it was truncated).
        gamma: γ, the agent's: with another one the optimal policy changes.
        bars: [B] k, or one k for all.
    """
    found: Array = gamma**bars * (1.0 - terminals) * after - before
    return found
