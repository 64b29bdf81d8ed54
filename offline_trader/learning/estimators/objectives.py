"""Several objectives: scalarised values, the vector target, and the price of a limit.

Values of K objectives under one policy are linear in the rewards, so with ``r_w = Σ w_k r_k`` the
value of the weighted reward is the weighted value, ``Q_w = Σ w_k Q_k``, for every fixed policy
(Roijers et al. 2013, "A survey of multi-objective sequential decision-making", section 3). A
minimum over twins is not linear: it is taken after the weights, of one number, and the target of
every objective is that of the twin which had it. Were it taken objective by objective, the sum
would be below both twins.
"""

from __future__ import annotations

from torch import Tensor

__all__ = ["lower_twin", "priced", "scalarised", "vector_target"]


def scalarised(values: Tensor, weights: Tensor) -> Tensor:
    """[...] ``Σ w_k Q_k`` of values [..., K] under weights [..., K]."""
    return (values * weights).sum(dim=-1)


def lower_twin(values: Tensor, weights: Tensor) -> Tensor:
    """[B, K] of each row the values of the twin whose scalarised value is lowest.

    Args:
        values: [C, B, K] of C critics.
        weights: [B, K].
    """
    lowest = scalarised(values, weights).argmin(dim=0)
    return values.gather(0, lowest[None, :, None].expand(1, -1, values.shape[-1]))[0]


def vector_target(
    rewards: Tensor, after: Tensor, weights: Tensor, terminals: Tensor, gamma: float
) -> Tensor:
    """[B, K] ``y_k = r_k + γ (1 − d) Q_k^{i*}(s', a')``, ``i* = argmin_i Σ w_k Q_k^i(s', a')``.

    Args:
        rewards: [B, K].
        after: [C, B, K] of the C target critics at the next state and action.
        weights: [B, K].
        terminals: [B] 1 where the episode was terminated.
        gamma: γ.
    """
    return rewards + gamma * (1.0 - terminals)[:, None] * lower_twin(after, weights)


def priced(price: float, excess: float, rate: float) -> float:
    """``λ ← max(0, λ + η g)``: a step of projected ascent of the dual of ``max J s.t. g ≤ 0``.

    At the saddle point λ is the shadow price of the limit (Altman 1999, "Constrained Markov
    decision processes", section 3.3; Tessler et al. 2019, equation 7).
    """
    return max(0.0, price + rate * excess)
