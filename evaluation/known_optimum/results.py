"""Scores on known-optimum markets kept in files, so that a report can show them.

``known-optimum --run FOLDER`` writes ``FOLDER/known_optimum/NAME-SUBJECT.json``; the same market
and method again replaces it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from offline_trader.codec import from_json, plain, read_object, require_moderate, to_json
from offline_trader.errors import DataError
from offline_trader.evaluation.judging import ScoreRow
from offline_trader.evaluation.known_optimum.scoring import Score
from offline_trader.evaluation.statistics import SeedSummary, seed_summary
from offline_trader.runs import atomic_write

__all__ = ["RESULTS_FOLDER", "KnownResult", "find_results", "load_results"]

RESULTS_FOLDER = "known_optimum"
FORMAT = "offline-trader known-optimum 1"


@dataclass(frozen=True)
class KnownResult:
    """One policy or method on one market or offline dataset.

    Attributes:
        name: market (``M1``) or dataset (``M1-narrow``).
        subject: the algorithm that was trained, or the policy.
        trained: an algorithm was trained, once a seed.
        base: what scores 0.
        seeds, scores: one each a training, or one.
        config: settings of the trainings and the scoring.
    """

    name: str
    subject: str
    trained: bool
    base: str
    seeds: tuple[int, ...]
    scores: tuple[Score, ...]
    config: dict[str, Any] = field(default_factory=dict)

    @property
    def summary(self) -> SeedSummary | None:
        """Across seeds; None for a single one."""
        if len(self.scores) < 2:
            return None
        return seed_summary([s.value for s in self.scores], rng=np.random.default_rng(0))

    def row(self) -> ScoreRow:
        """What the report shows: the interquartile mean, or the only score with its interval."""
        unit, summary = self.scores[0].unit, self.summary
        value: float
        interval: tuple[float, float] | None
        if summary is None:
            value, interval = self.scores[0].value, self.scores[0].interval
            note = f"one {'seed' if self.trained else 'policy'}; n = {self.scores[0].n:,}"
        else:
            value, interval = summary.iqm, summary.interval
            note = f"interquartile mean of {summary.n} seeds"
        return ScoreRow(
            name=f"{self.subject} on {self.name}",
            value=value,
            interval=interval,
            note=note + (f"; 0 is: {self.base}" if unit == "score" else ""),
            unit="" if unit == "score" else unit,
            measures={
                f"seed {k}": score.value for k, score in zip(self.seeds, self.scores, strict=True)
            },
        )

    def to_dict(self) -> dict[str, Any]:
        """JSON form."""
        return {"format": FORMAT, **plain(self), "summary": plain(self.summary)}

    def save(self, folder: Path) -> Path:
        """Writes it below ``folder`` and returns the file's path."""
        subject = re.sub(r"[^A-Za-z0-9_]+", "-", self.subject).strip("-")
        path = folder / RESULTS_FOLDER / f"{self.name}-{subject}.json"
        text = to_json(self.to_dict(), indent=1)
        atomic_write(path, (text + "\n").encode())
        return path


def load_results(path: Path) -> tuple[KnownResult, ...]:
    """The results in a file, in a folder of such files, or below a run directory.

    Raises:
        DataError: nothing there, or a file that ``known-optimum --run`` did not write.
    """
    if path.is_dir():
        inner = path / RESULTS_FOLDER
        files = sorted((inner if inner.is_dir() else path).glob("*.json"))
        if not files:
            raise DataError(
                f"{path} holds no result of a known-optimum market",
                hint=f"offline-trader known-optimum M1-narrow --train cql --run {path}",
            )
        return tuple(_read(file) for file in files)
    return (_read(path),)


def find_results(folders: Iterable[Path]) -> tuple[KnownResult, ...]:
    """The results below those of ``folders`` that have any, each file once."""
    inner = dict.fromkeys((folder / RESULTS_FOLDER).resolve() for folder in folders)
    files = [file for folder in inner if folder.is_dir() for file in sorted(folder.glob("*.json"))]
    return tuple(_read(file) for file in files)


def _read(path: Path) -> KnownResult:
    again = "offline-trader known-optimum … --run FOLDER writes one"
    payload = read_object(path, what="what known-optimum --run wrote", hint=again)
    if payload.get("format") != FORMAT:
        raise DataError(
            f"{path} is no result of a known-optimum market",
            expected=f"a file of format {FORMAT!r}",
            hint=again,
        )
    own = {key: item for key, item in payload.items() if key not in ("format", "summary")}
    require_moderate(own.get("scores"), f"{path}: scores")
    found = from_json(KnownResult, own, str(path))
    if not found.scores or len(found.seeds) != len(found.scores):
        raise DataError(
            f"{path} has {len(found.scores)} scores of {len(found.seeds)} seeds",
            expected="one score a seed",
        )
    return found
