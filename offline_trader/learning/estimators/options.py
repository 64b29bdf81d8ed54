"""Values of options and the slope of their terminations, as pure maths.

Sutton, Precup & Singh 1999, "Between MDPs and semi-MDPs", and Bacon, Harb & Precup 2017, "The
option-critic architecture". An option o that may begin in s runs until it ends, with probability
β(s', o) evaluated at the state that is come to; the next one is chosen among those that are
available there. With V(s') the value of choosing anew in s':

    SMDP Q-learning    Q(s, o) ← R + γᵏ · max over available o' of Q(s', o')
    upon arrival       U(s', o) = (1 − β(s', o))·Q(s', o) + β(s', o)·V(s')
    intra-option       Q(s, o) ← r + γ·U(s', o)
    terminations       ∂U(s₁, o₀)/∂ϑ = −Σ μ(s', o)·∂β(s', o)/∂ϑ · (Q(s', o) − V(s'))

R is the discounted reward of the k steps that the option took, ``Σ γⁱ r_i``. μ is how often, in
discounted terms, s' is come to under o (theorem 2 of Bacon et al.).

All functions take numpy's arrays and torch's tensors. B is a batch, K the options.
"""

from __future__ import annotations

from typing import Any, TypeVar

__all__ = ["arrival_value", "best_available", "option_target", "smdp_target", "termination_loss"]

Array = TypeVar("Array", bound=Any)
_NEVER = 1e30


def best_available(values: Array, available: Array) -> Array:
    """[B] the largest of ``values`` [B, K] where ``available`` [B, K] is 1 and not 0.

    One option has to be available in every row; an option that is always available sees to that.
    """
    found: Any = (values * available + (available - 1.0) * _NEVER).max(-1)
    best: Array = getattr(found, "values", found)  # torch says where, too
    return best


def smdp_target(
    returns: Array,
    bars: Array,
    next_values: Array,
    available: Array,
    terminals: Array,
    gamma: float,
) -> Array:
    """[B] ``R + γᵏ · [s' is not terminal] · max over available o' of Q(s', o')``.

    Args:
        returns: [B] R, discounted within the option.
        bars: [B] k, how long it ran.
        next_values: [B, K] Q(s', ·).
        available: [B, K] 1 where the option may begin in s'.
        terminals: [B] 1 where the episode was terminated (not where it was truncated).
        gamma: γ.
    """
    best = best_available(next_values, available)
    found: Array = returns + gamma**bars * (1.0 - terminals) * best
    return found


def arrival_value(own: Array, anew: Array, betas: Array) -> Array:
    """[B] U(s', o): ``own`` is Q(s', o), ``anew`` V(s'), ``betas`` β(s', o)."""
    found: Array = (1.0 - betas) * own + betas * anew
    return found


def option_target(rewards: Array, arrivals: Array, terminals: Array, gamma: float) -> Array:
    """[B] ``r + γ · [s' is not terminal] · U(s', o)``."""
    found: Array = rewards + gamma * (1.0 - terminals) * arrivals
    return found


def termination_loss(betas: Array, own: Array, anew: Array, margin: float = 0.0) -> Array:
    """[B] what falls as terminations get better: ``β(s', o)·(Q(s', o) − V(s') + ξ)``.

    Its slope in ϑ, with Q and V held fixed, is that of ``−U(s₁, o₀)`` for pairs (s', o) that are
    come to as often as μ says.

    Args:
        betas: [B] β(s', o), the only part with a slope.
        own: [B] Q(s', o).
        anew: [B] V(s').
        margin: ξ ≥ 0, what a change of option has to be better by (the deliberation cost of Harb,
            Bacon, Klissarov & Precup 2018): without it options shrink to single steps, since V
            is nowhere below Q.
    """
    found: Array = betas * (own - anew + margin)
    return found
