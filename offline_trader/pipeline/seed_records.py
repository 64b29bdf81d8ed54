"""What a folder of seeds holds: ``seeds.json``, and which of its runs stands for all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from offline_trader.codec import Facts, from_json, read_object, to_json
from offline_trader.errors import ConfigError, DataError
from offline_trader.evaluation.statistics import SeedSummary
from offline_trader.pipeline.progress import Progress, Silent
from offline_trader.runs import atomic_write

__all__ = ["SEEDS_FILE", "SeedRow", "SeedsRecord", "chosen_run", "read_seeds"]

SEEDS_FILE = "seeds.json"


@dataclass(frozen=True)
class SeedRow(Facts):
    """A seed's place among the others: one of the folder's own run directories.

    Attributes:
        seed: its number.
        run: the name of its directory.
        kept, kept_step, warm_score, kept_score, last_score: see
            :class:`offline_trader.learning.stages.TrainResult`; None until it is trained, and
            scores without validation.
    """

    seed: int
    run: str
    kept: str | None = None
    kept_step: int | None = None
    warm_score: float | None = None
    kept_score: float | None = None
    last_score: float | None = None

    def __post_init__(self) -> None:
        if self.run != f"seed-{self.seed}":
            raise ConfigError(f"run {self.run!r} of seed {self.seed}", expected=f"seed-{self.seed}")


@dataclass(frozen=True)
class SeedsRecord(Facts):
    """The seeds of one configuration.

    Attributes:
        status: ``running`` until all are trained.
        config_hash: of the settings, whose seed is the first.
        seeds: a row each.
        best: the row that validation chose; None without validation.
        config: the settings.
        validation: summary of the validation scores.
        format: version of the file.
    """

    status: Literal["running", "done"]
    config_hash: str
    seeds: tuple[SeedRow, ...]
    best: SeedRow | None
    config: Mapping[str, Any] = field(default_factory=dict)
    validation: SeedSummary | None = None
    format: int = 1

    def __post_init__(self) -> None:
        if self.best is not None and self.best.kept_score is None:
            raise ConfigError("best lacks the setting 'kept_score'")

    def write(self, folder: Path) -> None:
        """Store it in ``folder``, whole or not at all."""
        atomic_write(folder / SEEDS_FILE, (to_json(self, indent=2) + "\n").encode())


def read_seeds(folder: Path) -> SeedsRecord:
    """What ``seeds.json`` in ``folder`` holds.

    Raises:
        DataError: it is not there or broken, lacks a key, or names a run outside of ``folder``.
    """
    file = folder / SEEDS_FILE
    record = read_object(file, what="the record of a folder of seeds")
    return from_json(SeedsRecord, record, str(file))


def chosen_run(path: Path, progress: Progress = Silent()) -> Path:
    """``path``, or of a folder of seeds the run that is best by validation, with a note of it.

    Raises:
        DataError: seeds that are not finished, or that no validation has ranked.
    """
    if not (path / SEEDS_FILE).is_file():
        return path
    record = read_seeds(path)
    if record.status != "done":
        raise DataError(
            f"the seeds in {path} are not finished", hint="finish them with pretrain --resume"
        )
    best = record.best
    if best is None:
        raise DataError(
            f"no validation ranks the seeds in {path}",
            expected="one of its runs",
            hint=f"name one, as {path / record.seeds[0].run}; or train with --validate-until"
            if record.seeds
            else "",
        )
    progress.note(
        f"{path / best.run}: the best of {len(record.seeds)} seeds by validation "
        f"({best.kept_score:.4g})"
    )
    return path / best.run
