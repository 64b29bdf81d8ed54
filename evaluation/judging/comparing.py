"""Two or more evaluations side by side: their measures, and paired differences where bars agree."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from offline_trader.errors import ConfigError
from offline_trader.evaluation.judging.record import Curve, Evaluation
from offline_trader.evaluation.statistics import NoInterval, measured_difference

__all__ = ["PairedDifference", "SideBySide", "side_by_side"]


@dataclass(frozen=True)
class PairedDifference:
    """Annualised Sharpe ratio of ``name`` minus that of the first evaluation.

    Attributes:
        value, interval: with its 95 % paired bootstrap interval; None where not comparable.
        n: bars that both have.
        reason: why there is no value.
    """

    name: str
    value: float | None
    interval: tuple[float, float] | None
    n: int
    reason: str = ""


@dataclass(frozen=True)
class SideBySide:
    """The comparison.

    Attributes:
        names: K distinct names; equal ones are numbered.
        measures: measure → K values.
        statistics: PSR, DSR … → K values.
        verdicts: K lists of collapse verdicts.
        settings: rules and facts that are not the same for all → K texts.
        differences: K − 1, against the first.
        notes: what makes them hard to compare.
    """

    names: tuple[str, ...]
    measures: dict[str, tuple[float | None, ...]]
    statistics: dict[str, tuple[float | None, ...]]
    verdicts: tuple[tuple[str, ...], ...]
    settings: dict[str, tuple[str, ...]]
    differences: tuple[PairedDifference, ...]
    notes: tuple[str, ...]


def side_by_side(
    evaluations: Sequence[Evaluation], *, seed: int = 0, replicates: int = 1000
) -> SideBySide:
    """Compares K evaluations, each with the first.

    Raises:
        ConfigError: fewer than two.
    """
    if len(evaluations) < 2:
        raise ConfigError(f"{len(evaluations)} evaluation to compare", expected="two or more")
    first = evaluations[0]
    names = _distinct([each.name for each in evaluations])
    rng = np.random.default_rng(seed)
    differences = tuple(
        _paired(name, each, first, rng, replicates)
        for name, each in zip(names[1:], evaluations[1:], strict=True)
    )
    return SideBySide(
        names=names,
        measures=_table([each.measures for each in evaluations]),
        statistics=_table([each.statistics for each in evaluations]),
        verdicts=tuple(each.verdicts for each in evaluations),
        settings=_settings(evaluations),
        differences=differences,
        notes=_notes(evaluations),
    )


def _distinct(names: list[str]) -> tuple[str, ...]:
    repeated = {name for name in names if names.count(name) > 1}
    seen: dict[str, int] = {}
    found = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        found.append(f"{name} ({seen[name]})" if name in repeated else name)
    return tuple(found)


def _table(columns: list[dict[str, float | None]]) -> dict[str, tuple[float | None, ...]]:
    keys = dict.fromkeys(key for column in columns for key in column)
    return {key: tuple(column.get(key) for column in columns) for key in keys}


def _paired(
    name: str,
    evaluation: Evaluation,
    first: Evaluation,
    rng: np.random.Generator,
    replicates: int,
) -> PairedDifference:
    mine, theirs = evaluation.periods_per_year, first.periods_per_year
    if not 0.75 < mine / theirs < 4.0 / 3.0:
        reason = f"bars of different lengths, {mine:,.0f} and {theirs:,.0f} a year"
        return PairedDifference(name, None, None, 0, reason)
    rows, others = _shared_bars(evaluation.curve, first.curve)
    n = len(rows)
    if n < 30:
        return PairedDifference(name, None, None, n, "fewer than 30 bars in both")
    found = measured_difference(
        evaluation.curve.returns[rows],
        first.curve.returns[others],
        first.periods_per_year,
        rng=rng,
        replicates=replicates,
    )
    if isinstance(found, NoInterval):
        return PairedDifference(name, None, None, n, found.reason)
    return PairedDifference(name, found.value, found.ends, n)


def _shared_bars(one: Curve, other: Curve) -> tuple[list[int], list[int]]:
    """Rows of the returns over the same stretch of time: from the same mark to the same mark.

    Where one lacks a bar, its next return spans two of the other's and is left out. The first
    return's start may differ: of imported returns it is only an estimate.
    """
    mine = {stamp: i for i, stamp in enumerate(one.timestamps[1:])}
    pairs = []
    for j, stamp in enumerate(other.timestamps[1:]):
        i = mine.get(stamp)
        if i is not None and (0 in (i, j) or one.timestamps[i] == other.timestamps[j]):
            pairs.append((i, j))
    return [i for i, _ in pairs], [j for _, j in pairs]


def _settings(evaluations: Sequence[Evaluation]) -> dict[str, tuple[str, ...]]:
    rows: list[dict[str, str]] = []
    for each in evaluations:
        facts = {
            "kind": each.kind,
            "range": f"{each.start[:10]} to {each.end[:10]}",
            "bars": f"{each.n_bars:,}",
            "instruments": ", ".join(row.symbol for row in each.instruments) or "–",
            "data SHA-256": each.data_hash[:12],
            "model SHA-256": each.fingerprint[:12] or "–",
            "trials": f"{each.trials:,}",
        }
        rows.append(facts | {key.replace("_", " "): str(v) for key, v in each.simulator.items()})
    keys = dict.fromkeys(key for row in rows for key in row)
    table = {key: tuple(row.get(key, "–") for row in rows) for key in keys}
    return {key: values for key, values in table.items() if len(set(values)) > 1}


def _imported_alike(evaluations: Sequence[Evaluation]) -> bool:
    """Whether one is imported, whose hash is of the result itself, and all have the same marks."""
    alike = len({each.curve.timestamps for each in evaluations}) == 1
    return alike and any(each.kind == "imported" for each in evaluations)


def _notes(evaluations: Sequence[Evaluation]) -> tuple[str, ...]:
    notes = []
    if len({each.data_hash for each in evaluations}) > 1 and not _imported_alike(evaluations):
        notes.append(
            "The evaluations are not on the same data: only the bars that two of them share enter "
            "their paired difference, and the other numbers are of each one's own range."
        )
    if len({round(each.periods_per_year, 1) for each in evaluations}) > 1:
        listed = ", ".join(f"{each.periods_per_year:,.0f}" for each in evaluations)
        notes.append(f"The evaluations do not have equally many bars a year ({listed}).")
    rules = [
        {key: value for key, value in each.simulator.items() if key.endswith("_bps")}
        for each in evaluations
    ]
    if any(each != rules[0] for each in rules[1:]):
        notes.append("The evaluations do not pay the same costs.")
    return tuple(notes)
