"""Compares an exported policy with the one it was made from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from offline_trader.export.runtime import OnnxPolicy
from offline_trader.types import FloatArray, Policy

__all__ = ["PARITY_TOLERANCE", "ParityReport", "parity", "probe_observations"]

PARITY_TOLERANCE = 1e-5
CORNER_SCALES = (1.0, 3.0, 10.0)
SINGLE_SCALES = (1.0, 3.0, 10.0, 30.0, 100.0)


@dataclass(frozen=True)
class ParityReport:
    """Largest difference between two policies over the same observations.

    Attributes:
        n: observations compared.
        max_abs_difference: largest |action - reference action|.
        mean_abs_difference: its mean.
        worst_row: the observation at which the largest difference was found.
        n_rounding: observations beyond the tolerance where the reference itself is off by
            float32 rounding: the file is no further from the float64 action there than twice
            the reference's own largest distance from it.
        tolerance: what is allowed.
        holds: whether every other difference is within the tolerance.
    """

    n: int
    max_abs_difference: float
    mean_abs_difference: float
    worst_row: int
    n_rounding: int
    tolerance: float
    holds: bool


def probe_observations(
    mean: FloatArray, scale: FloatArray, n: int, rng: np.random.Generator
) -> NDArray[np.float32]:
    """[n, O] float32 raw observations that cover the usual and the extreme.

    The first rows are the extremes: all columns at ``mean ± k·scale`` for k up to 10, each column
    alone there for k up to 100, zeros, and subnormal numbers. Of the rest, half are Gaussian
    around the training mean, a quarter Student-t with 2 degrees of freedom, clipped at 10 scales,
    and a quarter random corners (every column at plus or minus k scales, k up to 10).

    Args:
        mean, scale: [O] float64, the training scaler.
        n: rows wanted; the extremes need ``2·(3 + 5·O) + 3`` of them.
    """
    width = len(mean)
    corners = [k * np.ones((1, width)) for k in CORNER_SCALES]
    singles = [k * np.eye(width) for k in SINGLE_SCALES]
    one_side = np.vstack(corners + singles)
    z = np.vstack([one_side, -one_side])
    fixed = np.vstack([mean + scale * z, np.zeros(width), mean, np.full(width, 1e-40)])
    rest = max(n - len(fixed), 0)
    n_gauss, n_tails = rest // 2, rest // 4
    n_corner = rest - n_gauss - n_tails
    signs = rng.choice([-1.0, 1.0], size=(n_corner, width))
    parts = [
        rng.standard_normal((n_gauss, width)),
        np.clip(rng.standard_t(2, size=(n_tails, width)), -10.0, 10.0),
        signs * rng.choice(CORNER_SCALES, size=(n_corner, 1)),
    ]
    drawn = mean + scale * np.vstack(parts)
    return np.vstack([fixed, drawn])[:n].astype(np.float32)


def parity(
    policy: OnnxPolicy,
    reference: Policy,
    *,
    exact: Policy | None = None,
    n: int = 100_000,
    seed: int = 0,
    observations: NDArray[np.float32] | None = None,
    tolerance: float = PARITY_TOLERANCE,
    batch: int = 4_096,
) -> ParityReport:
    """Largest difference between ``policy`` and ``reference`` over n observations.

    Args:
        policy: the exported file.
        reference: what it was made from, e.g. ``learner.act`` or
            :func:`~offline_trader.export.onnx_model.torch_policy`.
        exact: the reference in float64 (``torch_policy(..., exact=True)``); it tells rounding from
            a wrong graph where a steep actor meets an extreme observation.
        observations: [M, O] float32 real observations that replace as many drawn ones; with
            progress and goal, where it takes one.
    """
    mean = np.asarray(policy.scaler["mean"])
    scale = np.asarray(policy.scaler["scale"])
    rows = probe_observations(mean, scale, n, np.random.default_rng(seed))
    if observations is not None:
        taken = min(len(observations), n // 2)
        rows[n - taken :] = observations[:taken]
    total, worst, worst_row, n_beyond = 0.0, -1.0, 0, 0
    ours: list[FloatArray] = []
    theirs: list[FloatArray] = []
    for start in range(0, n, batch):
        chunk = rows[start : start + batch]
        found, wanted = policy.wide(chunk).astype(np.float64), reference(chunk).astype(np.float64)
        gap = np.abs(found - wanted).max(axis=1)
        beyond = np.flatnonzero(gap > tolerance)
        n_beyond += len(beyond)
        if len(beyond) and exact is not None:
            true = exact(chunk[beyond])
            ours.append(np.abs(found[beyond] - true).max(axis=1))
            theirs.append(np.abs(wanted[beyond] - true).max(axis=1))
        total += float(gap.sum())
        if gap.max() > worst:
            worst, worst_row = float(gap.max()), start + int(gap.argmax())
    n_rounding = 0
    if ours:
        allowed = 2.0 * float(np.concatenate(theirs).max())
        n_rounding = int(np.count_nonzero(np.concatenate(ours) <= allowed))
    holds = n_beyond == n_rounding
    return ParityReport(n, worst, total / n, worst_row, n_rounding, tolerance, holds)
