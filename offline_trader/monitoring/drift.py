"""Drift: how far live features and actions are from those of training.

For each column a model's manifest keeps the 5 % quantiles on the training's bars and the share of
values between them. Live values are counted into the same bins.

Population stability index: PSI = Σ (q − p) ln(q / p) over the bins, q live, p training (Siddiqi,
*Credit Risk Scorecards*, 2006). Without drift (1/n + 1/N)⁻¹ PSI has about a χ² distribution of
bins − 1 degrees of freedom (Yurdakul and Naranjo, "Statistical properties of the population
stability index", 2020), so its mean there is taken off: of few values it would be large by chance.
Kolmogorov and Smirnov's statistic: the largest difference of the two distribution functions, at the
quantiles.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from offline_trader.codec import Facts, from_json
from offline_trader.errors import DataError
from offline_trader.export import verify_manifest
from offline_trader.types import FloatArray

if TYPE_CHECKING:
    from offline_trader.export import OnnxPolicy

__all__ = [
    "LEAST",
    "ColumnDrift",
    "ColumnSummary",
    "DriftReport",
    "TrainingSummary",
    "drift_from",
    "summarise",
    "summary_beside",
]

DRIFTED = 0.25
"""PSI from which a column counts as drifted: the usual "major shift"."""
LEAST = 100
"""Values below which no drift is told."""
_QUANTILES = np.arange(1, 20) / 20.0


@dataclass(frozen=True)
class ColumnSummary(Facts):
    """The distribution of one column in training.

    Attributes:
        edges: [K] ascending; a bin begins at its left edge.
        shares: [K + 1] share of the values in each bin.
    """

    edges: tuple[float, ...]
    shares: tuple[float, ...]

    def __post_init__(self) -> None:
        if len(self.shares) != len(self.edges) + 1 or not np.all(np.diff(self.edges) > 0.0):
            raise DataError(
                f"{len(self.edges)} edges with {len(self.shares)} shares",
                expected="ascending edges and one share more",
            )


@dataclass(frozen=True)
class TrainingSummary(Facts):
    """The distributions on the training's bars.

    Attributes:
        rows: decisions that they are of.
        columns: of the observation, by name.
        action: of the policy's own actions there.
    """

    rows: int
    columns: Mapping[str, ColumnSummary]
    action: ColumnSummary


@dataclass(frozen=True)
class ColumnDrift:
    """How far one column is from training: PSI without what chance gives, and KS."""

    psi: float
    ks: float


@dataclass(frozen=True)
class DriftReport:
    """How far live values are from training.

    Attributes:
        n: live rows.
        columns: by name.
        action: of the actions.
    """

    n: int
    columns: Mapping[str, ColumnDrift]
    action: ColumnDrift

    @property
    def drifted(self) -> float:
        """Share of the columns with a PSI above 0.25."""
        return sum(each.psi > DRIFTED for each in self.columns.values()) / len(self.columns)


def summarise(observations: ArrayLike, actions: ArrayLike, names: Sequence[str]) -> TrainingSummary:
    """The summary of a training's rows.

    Args:
        observations: [n, at least len(names)]; the first columns are those named.
        actions: [n] or [n, 1].
        names: of the columns.
    """
    rows = np.asarray(observations, dtype=np.float64)
    return TrainingSummary(
        len(rows),
        {name: _summary(rows[:, i]) for i, name in enumerate(names)},
        _summary(np.asarray(actions, dtype=np.float64).reshape(-1)),
    )


def drift_from(
    summary: TrainingSummary, observations: FloatArray, actions: FloatArray
) -> DriftReport | None:
    """How far live rows are from training; None: there are fewer than 100.

    Args:
        observations: [n, columns of the summary or more].
        actions: [n].
    """
    if len(actions) < LEAST:
        return None
    columns = {
        name: _drift(each, observations[:, i], summary.rows)
        for i, (name, each) in enumerate(summary.columns.items())
    }
    return DriftReport(len(actions), columns, _drift(summary.action, actions, summary.rows))


def summary_beside(policy: OnnxPolicy) -> TrainingSummary | None:
    """The summary in the manifest beside a model; None: no manifest, or one without it.

    Raises:
        DataError: the manifest is of another model, or its summary is none of this model's.
    """
    manifest = policy.path.parent / "manifest.json"
    if not manifest.is_file():
        return None
    found = verify_manifest(policy.path).get("training")
    if found is None:
        return None
    names = policy.layout.features
    summary = from_json(TrainingSummary, found, f"{manifest}: training")
    if set(summary.columns) != set(names) or not names:
        raise DataError(
            f"{manifest}: training is of other columns than the model's features",
            hint="export the model again",
        )
    return TrainingSummary(
        summary.rows, {name: summary.columns[name] for name in names}, summary.action
    )


def _summary(values: FloatArray) -> ColumnSummary:
    edges = np.unique(np.quantile(values, _QUANTILES, method="higher"))
    counts = np.bincount(np.searchsorted(edges, values, side="right"), minlength=len(edges) + 1)
    return ColumnSummary(tuple(edges.tolist()), tuple((counts / len(values)).tolist()))


def _drift(summary: ColumnSummary, values: FloatArray, rows: int) -> ColumnDrift:
    bins, n = len(summary.shares), len(values)
    found = np.searchsorted(np.array(summary.edges), values, side="right")
    counts = np.bincount(found, minlength=bins)
    expected = np.array(summary.shares)
    # An empty bin has no logarithm: half a row a bin is added, as training has them.
    added = 0.5 * bins
    trained = (expected * rows + 0.5) / (rows + added)
    live = (counts + added * trained) / (n + added)
    psi = float(np.sum((live - trained) * np.log(live / trained)))
    by_chance = (bins - 1) * (1.0 / n + 1.0 / rows) * (n / (n + added)) ** 2
    ks = float(np.abs(np.cumsum(counts / n) - np.cumsum(expected)).max())
    return ColumnDrift(max(0.0, psi - by_chance), ks)
