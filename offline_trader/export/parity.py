"""Compares an exported policy with the one it was made from."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from offline_trader.export.runtime import OnnxPolicy
from offline_trader.types import FloatArray, Policy

__all__ = ["PARITY_TOLERANCE", "ParityReport", "parity", "probe_observations"]

PARITY_TOLERANCE = 1e-5
EXTREME_SCALES = (1.0, 3.0, 10.0, 30.0, 100.0)


@dataclass(frozen=True)
class ParityReport:
    """Largest difference between two policies over the same observations.

    Attributes:
        n: observations compared.
        max_abs_difference: largest |action - reference action|.
        mean_abs_difference: its mean.
        worst_row: the observation at which the largest difference was found.
        tolerance: what is allowed.
        holds: whether the largest difference is within the tolerance.
    """

    n: int
    max_abs_difference: float
    mean_abs_difference: float
    worst_row: int
    tolerance: float
    holds: bool

    def to_dict(self) -> dict[str, float | int | bool]:
        """JSON form."""
        return asdict(self)


def probe_observations(
    mean: FloatArray, scale: FloatArray, n: int, rng: np.random.Generator
) -> NDArray[np.float32]:
    """[n, O] float32 raw observations that cover the usual and the extreme.

    The first rows are the corners: all columns at ``mean ± k·scale`` and each column alone there,
    k up to 100, zeros, and the smallest subnormals. Of the rest, half are Gaussian around the
    training mean, a quarter Student-t with 2 degrees of freedom, clipped at 100 scales, and a
    quarter random corners (every column at plus or minus k scales).

    Args:
        mean, scale: [O] float64, the training scaler.
        n: rows wanted; the corners need ``2·5·(O + 1) + 3`` of them.
    """
    width = len(mean)
    eye = np.vstack([np.ones((1, width)), np.eye(width)])
    corners = [sign * k * eye for k in EXTREME_SCALES for sign in (1.0, -1.0)]
    z = np.vstack(corners)
    fixed = np.vstack([mean + scale * z, np.zeros(width), mean, np.full(width, 1e-40)])
    rest = max(n - len(fixed), 0)
    n_gauss, n_tails = rest // 2, rest // 4
    n_corner = rest - n_gauss - n_tails
    signs = rng.choice([-1.0, 1.0], size=(n_corner, width))
    parts = [
        rng.standard_normal((n_gauss, width)),
        np.clip(rng.standard_t(2, size=(n_tails, width)), -100.0, 100.0),
        signs * rng.choice(EXTREME_SCALES, size=(n_corner, 1)),
    ]
    drawn = mean + scale * np.vstack(parts)
    return np.vstack([fixed, drawn])[:n].astype(np.float32)


def parity(
    policy: OnnxPolicy,
    reference: Policy,
    *,
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
        observations: [M, O] float32 real observations that replace as many drawn ones.
    """
    mean = np.asarray(policy.scaler["mean"])
    scale = np.asarray(policy.scaler["scale"])
    rows = probe_observations(mean, scale, n, np.random.default_rng(seed))
    if observations is not None:
        taken = min(len(observations), n // 2)
        rows[n - taken :] = observations[:taken]
    total, worst, worst_row = 0.0, -1.0, 0
    for start in range(0, n, batch):
        chunk = rows[start : start + batch]
        gap = np.abs(policy(chunk).astype(np.float64) - reference(chunk)).max(axis=1)
        total += float(gap.sum())
        if gap.max() > worst:
            worst, worst_row = float(gap.max()), start + int(gap.argmax())
    return ParityReport(n, worst, total / n, worst_row, tolerance, worst <= tolerance)
