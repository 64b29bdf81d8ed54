"""Evolution strategies: the ranks of a population and the gradient they make, as pure maths.

Salimans et al. 2017, "Evolution strategies as a scalable alternative to reinforcement learning",
algorithm 2 with antithetic pairs, centred ranks and weight decay in the gradient (section 2.1):

    g = 1/(2nσ) · Σ_i (u_i⁺ − u_i⁻) ε_i − λθ

over n pairs θ ± σε_i, u the ranks of the 2n scores scaled to [−½, ½]. It is the slope of the mean
score of N(θ, σ²I), of scores that are ranks.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from offline_trader.types import FloatArray

__all__ = ["antithetic_slope", "centred_ranks", "pair_noise"]


def centred_ranks(scores: FloatArray) -> FloatArray:
    """[M] ranks of ``scores`` [M], from −½ (the lowest) to ½; equal scores have equal ranks.

    A score that is no number has the lowest rank. Ranks that ties would otherwise get in the order
    of the members make a plateau look like a slope.
    """
    known = np.where(np.isfinite(scores), scores, -np.inf)
    if len(known) < 2:
        return np.zeros(len(known))
    _, places, counts = np.unique(known, return_inverse=True, return_counts=True)
    below = np.cumsum(counts) - counts
    means = below + (counts - 1) / 2.0
    return np.asarray(means[places] / (len(known) - 1.0) - 0.5)


def antithetic_slope(
    ranks: FloatArray,
    noise: NDArray[np.floating],
    parameters: FloatArray,
    sigma: float,
    weight_decay: float = 0.0,
) -> FloatArray:
    """[D] the direction that raises the scores, less the pull to 0 (see the module).

    Args:
        ranks: [2n], the members' in the order θ + σε_1 … θ + σε_n, θ − σε_1 … θ − σε_n.
        noise: [n, D] ε.
        parameters: [D] θ.
        sigma: σ.
        weight_decay: λ.
    """
    n = len(noise)
    weights = ranks[:n] - ranks[n:]
    return np.asarray(weights @ noise / (2.0 * n * sigma) - weight_decay * parameters)


def pair_noise(
    seed: int, generation: int, pairs: int | Sequence[int], size: int
) -> NDArray[np.float32]:
    """[pairs, size] standard normal; the row of pair i depends on (seed, generation, i) and
    ``size`` alone.

    So whoever tries a member needs its number and no vector, and how members are shared out
    changes nothing.

    Args:
        seed, generation: of the draw.
        pairs: how many, from the first on; or which.
        size: numbers in a row.
    """
    chosen = range(pairs) if isinstance(pairs, int) else pairs
    rows = np.empty((len(chosen), size), np.float32)
    for row, pair in zip(rows, chosen, strict=True):
        generator = np.random.default_rng((seed, generation, pair))
        generator.standard_normal(size, np.float32, row)
    return rows
