"""What a dataset holds by expert, which episodes are worth keeping, and whether it is sound."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from offline_trader.datasets import (
    EpisodeTable,
    dataset_metadata,
    dataset_path,
    episode_table,
    filter_dataset,
    load_transitions,
)
from offline_trader.datasets.catalog import dataset_facts
from offline_trader.datasets.episodes import Episode
from offline_trader.errors import ConfigError, did_you_mean
from offline_trader.evaluation.measures import collapse_measures
from offline_trader.evaluation.report.charts import BarChart, Chart, HeatMap, IntervalChart, Role
from offline_trader.evaluation.report.png import write_pngs
from offline_trader.types import BoolArray, FloatArray, PortfolioField

__all__ = ["Conditions", "ExpertRow", "check_dataset", "expert_rows", "filtered", "plot_dataset"]

_VERDICTS = ("inactive", "rare", "SATURATED")
_CELLS = 10
_BINS = 21


@dataclass(frozen=True)
class Conditions:
    """Which episodes stay; all that are set must hold.

    Attributes:
        experts: labels as ``datasets show`` lists them; empty: all.
        min_return: least sum of rewards (log growth of equity) of an episode.
        top: share of the episodes with the highest returns, among those that the other
            conditions leave; ties at the edge stay.
        without: verdicts that an episode may not have: ``inactive`` (no order was filled),
            ``rare`` (nearly always holds, or nearly always the same action), ``SATURATED``.
    """

    experts: tuple[str, ...] = ()
    min_return: float | None = None
    top: float | None = None
    without: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for verdict in self.without:
            if verdict not in _VERDICTS:
                raise ConfigError(
                    f"unknown verdict {verdict!r}",
                    expected=", ".join(_VERDICTS),
                    hint=did_you_mean(verdict, _VERDICTS),
                )
        if self.min_return is not None and not np.isfinite(self.min_return):
            raise ConfigError(f"min_return = {self.min_return}", expected="a number")
        if self.top is not None and not 0.0 < self.top <= 1.0:
            raise ConfigError(f"top = {self.top}", expected="a share in (0, 1]")

    def kept(self, table: EpisodeTable) -> BoolArray:
        """[E] the episodes that stay.

        Raises:
            ConfigError: an expert that is not in the dataset.
        """
        for label in self.experts:
            if label not in table.labels:
                raise ConfigError(
                    f"no expert {label!r} in the dataset",
                    expected=", ".join(table.labels),
                    hint=did_you_mean(label, table.labels),
                )
        keep = np.ones(len(table.returns), dtype=np.bool_)
        if self.experts:
            keep &= np.isin(table.behaviours, [table.labels.index(one) for one in self.experts])
        if self.min_return is not None:
            keep &= table.returns >= self.min_return
        keep &= [not set(found) & set(self.without) for found in table.verdicts]
        if self.top is not None and keep.any():
            keep &= table.returns >= np.quantile(
                table.returns[keep], 1.0 - self.top, method="higher"
            )
        return keep


@dataclass(frozen=True)
class ExpertRow:
    """One expert's episodes.

    Attributes:
        label: the expert.
        episodes, steps: how many.
        mean_return, min_return, max_return: of the sums of rewards.
        trades_per_1000_steps: filled orders.
        verdicts: how many episodes have each verdict.
    """

    label: str
    episodes: int
    steps: int
    mean_return: float
    min_return: float
    max_return: float
    trades_per_1000_steps: float
    verdicts: dict[str, int]


def filtered(
    source: str,
    target: str,
    conditions: Conditions,
    *,
    root: Path | None = None,
    overwrite: bool = False,
) -> tuple[int, int]:
    """Make ``target`` of the episodes of ``source`` that meet the conditions: (kept, all).

    Raises:
        ConfigError, DataError: as :func:`~offline_trader.datasets.filter_dataset`.
    """
    if conditions == Conditions():
        raise ConfigError(
            "no condition is given", expected="--expert, --min-return, --top or --without"
        )
    table = episode_table(source, root, judge=_verdicts if conditions.without else None)
    keep = conditions.kept(table)
    rule = {key: value for key, value in asdict(conditions).items() if value not in (None, ())}
    filter_dataset(source, target, keep, rule, root=root, overwrite=overwrite)
    return int(keep.sum()), len(keep)


def expert_rows(dataset_id: str, root: Path | None = None) -> list[ExpertRow]:
    """A row for each expert that acted in the dataset."""
    table = episode_table(dataset_id, root, judge=_verdicts)
    rows = []
    for index, label in enumerate(table.labels):
        mine = np.flatnonzero(table.behaviours == index)
        if not mine.size:
            continue
        steps, returns = int(table.steps[mine].sum()), table.returns[mine]
        found = [verdict for episode in mine for verdict in table.verdicts[episode]]
        rows.append(
            ExpertRow(
                label=label,
                episodes=int(mine.size),
                steps=steps,
                mean_return=float(returns.mean()),
                min_return=float(returns.min()),
                max_return=float(returns.max()),
                trades_per_1000_steps=1000.0 * float(table.trades[mine].sum()) / steps,
                verdicts={one: found.count(one) for one in sorted(set(found))},
            )
        )
    return rows


def check_dataset(dataset_id: str, root: Path | None = None) -> dict[str, Any]:
    """What a whole reading of the dataset found; it is sound if nothing is raised.

    Every byte is compared with the checksums, every episode's arrays fit together, every number is
    finite, and the counts are those of the metadata.

    Raises:
        DataError: what is wrong, and where.
    """
    facts, metadata = dataset_facts(dataset_id, root), dataset_metadata(dataset_id, root)
    data = load_transitions(dataset_id, root, layout=facts.layout)
    episodes = len(np.unique(data.episode_ids))
    return {
        "dataset": dataset_id,
        "path": str(dataset_path(dataset_id, root)),
        "episodes": episodes,
        "steps": len(data),
        "columns": facts.layout.size,
        "size_mb": metadata.get("dataset_size"),
        "terminations": int(data.terminals.sum()),
        "truncations": int(data.timeouts.sum()),
    }


def plot_dataset(dataset_id: str, folder: Path, root: Path | None = None) -> list[Path]:
    """Draw actions, returns by expert, and where in (exposure, action) the dataset has been."""
    facts = dataset_facts(dataset_id, root)
    data = load_transitions(dataset_id, root, layout=facts.layout)
    actions = data.actions[:, 0].astype(np.float64)
    column = facts.layout.column(PortfolioField.EXPOSURE)
    exposure = data.observations[:, column].astype(np.float64)
    charts = [_actions(actions), _returns(episode_table(dataset_id, root))]
    return write_pngs([*charts, _coverage(actions, exposure)], folder, dataset_id)


def _actions(actions: FloatArray) -> Chart:
    edges = np.linspace(-1.0, 1.0, _BINS + 1)
    counts, _ = np.histogram(np.clip(actions, -1.0, 1.0), edges)
    role: Role = "policy"
    names = tuple(f"{x:.2f}".replace("-", "−") for x in (edges[:-1] + edges[1:]) / 2.0)
    return BarChart(
        "actions",
        "Share of each executed action",
        names,
        counts / counts.sum(),
        (role,) * _BINS,
        x_label="action, in 21 equal bins",
        y_label="share of the steps",
    )


def _returns(table: EpisodeTable) -> Chart:
    used = [i for i in range(len(table.labels)) if (table.behaviours == i).any()]
    own = [np.sort(table.returns[table.behaviours == i]) for i in used]
    role: Role = "expert"
    low, middle, high = (
        np.array([float(np.quantile(each, share)) for each in own]) for share in (0.05, 0.5, 0.95)
    )
    return IntervalChart(
        "returns",
        "Return of an episode by expert",
        tuple(f"{table.labels[i]}, n = {len(each)}" for i, each in zip(used, own, strict=True)),
        middle,
        low,
        high,
        (role,) * len(used),
        rule=0.0,
        x_label="sum of rewards (log growth of equity): median, and 5 % to 95 % of the episodes",
    )


def _coverage(actions: FloatArray, exposure: FloatArray) -> Chart:
    span = float(max(1.0, np.abs(exposure).max()))
    low = -span if (exposure < 0.0).any() else 0.0
    states, edges = np.linspace(low, span, _CELLS + 1), np.linspace(-1.0, 1.0, _CELLS + 1)
    counts, _, _ = np.histogram2d(exposure, np.clip(actions, -1.0, 1.0), (states, edges))
    share = counts / counts.sum()
    return HeatMap(
        "coverage",
        "Share of the steps by exposure (rows) and action (columns), %; empty: never",
        tuple(f"{100 * a:.0f} to {100 * b:.0f} %" for a, b in itertools.pairwise(states)),
        tuple(f"{a:.1f}".replace("-", "−") for a in (edges[:-1] + edges[1:]) / 2.0),
        np.where(counts > 0.0, share, np.nan),
        float(np.quantile(share[share > 0.0], 0.9)),
        "percent_cell",
    )


def _verdicts(episode: Episode) -> Sequence[str]:
    measures = collapse_measures(
        episode["actions"],
        rng=np.random.default_rng(0),
        traded=episode["infos/fill_units"][1:] != 0.0,
        directions=np.sign(episode["infos/fill_units"][1:]),
        learned=False,
    )
    return measures.verdicts
