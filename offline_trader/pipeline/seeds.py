"""Pretraining of several seeds side by side, and the choice between them.

::

    runs/NAME/
        seeds.json     settings, seeds, scores, summary, the best
        seed-0/        a run directory like that of one pretraining with that seed
        seed-1/

Each seed is trained in a worker process by the same code, with the same number of threads, as a run
of that seed alone, so its files have the same bytes however many run at once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from offline_trader.config import to_dict
from offline_trader.errors import ConfigError
from offline_trader.learning.stages import STAGES
from offline_trader.locks import locked
from offline_trader.pipeline.pretraining import check_inputs, limit_note, pretrain, stage_config
from offline_trader.pipeline.progress import Advance, Progress, Silent
from offline_trader.pipeline.seed_records import SEEDS_FILE, SeedRow, SeedsRecord, read_seeds
from offline_trader.pipeline.settings import PretrainConfig
from offline_trader.pipeline.trained_runs import finished_run
from offline_trader.runs import LOCK
from offline_trader.types import digest
from offline_trader.workers import Report, Workers, run_jobs, usable_cores, usable_workers

__all__ = ["SeedJob", "pretrain_seeds"]


@dataclass(frozen=True)
class SeedJob:
    """One seed's pretraining, for a worker process.

    Attributes:
        config: settings, of this seed.
        path: its run directory.
        root: folder of the datasets.
    """

    config: PretrainConfig
    path: Path
    root: Path | None

    def __call__(self, report: Report) -> None:
        """Train; an unfinished run that is there goes on."""
        pretrain(self.config, self.path, _Reporting(report), root=self.root, resume=True)


def pretrain_seeds(
    config: PretrainConfig,
    folder: Path,
    count: int,
    progress: Progress = Silent(),
    *,
    root: Path | None = None,
    resume: bool = False,
    workers: Workers | None = None,
) -> SeedsRecord:
    """Train seeds ``config.seed``, ``config.seed + 1``, …; what ``seeds.json`` then holds.

    Args:
        config: settings; its seed is the first.
        folder: where the runs go.
        count: how many seeds.
        root: folder of the datasets.
        resume: finish what an interrupted command left; ``count`` may have grown.
        workers: trainings at once, or a Ray cluster; None: as many as the machine's cores allow.

    Raises:
        ConfigError: a folder that is in use, or that was made with other settings.
        DataError, OfflineTraderError: a seed's own error.
    """
    workers = _free_workers(config.threads) if workers is None else usable_workers(workers)
    check_inputs(config, root)  # refused before anything is written
    if note := limit_note(config):  # those of the seeds themselves are not shown
        progress.note(note)
    _refuse_foreign(folder)
    with locked(folder / LOCK, f"the folder of seeds {folder}"):
        return _pretrain_seeds(config, folder, count, progress, root, resume, workers)


def _pretrain_seeds(
    config: PretrainConfig,
    folder: Path,
    count: int,
    progress: Progress,
    root: Path | None,
    resume: bool,
    workers: Workers,
) -> SeedsRecord:
    seeds = [config.seed + k for k in range(count)]
    record = _prepared(config, folder, seeds, resume=resume)
    plans = [replace(config, seed=seed) for seed in seeds]
    jobs = [SeedJob(plan, folder / f"seed-{plan.seed}", root) for plan in plans]
    each = sum(STAGES[name](stage_config(config, name)).steps for name in config.stages)
    done = [0.0] * count
    with progress.task(f"pretraining {count} seeds", max(1, each * count)) as advance:

        def moved(index: int, steps: float) -> None:
            done[index] = steps
            advance(sum(done))

        run_jobs(jobs, workers, moved, folder=folder, cores=config.threads)
        advance(each * count)
    record = _ranked(record, folder)
    record.write(folder)
    return record


class _Reporting:
    """Progress whose tasks, one after another, go to the parent process as one."""

    def __init__(self, report: Report) -> None:
        self._report, self._before = report, 0.0

    def note(self, text: str, /) -> None:
        """Nothing: the notes of seeds side by side would be mixed up."""

    @contextmanager
    def task(self, label: str, total: float | None = None, /) -> Iterator[Advance]:
        """Reports the units of all blocks so far."""
        before = self._before

        def advance(done: float, _: float | None = None, shown: str = "", /) -> None:
            self._report(before + done)

        yield advance
        self._before += total or 0.0


def _free_workers(threads: int) -> int:
    return max(1, usable_cores() // threads)


def _refuse_foreign(folder: Path) -> None:
    if not folder.exists() or (folder / SEEDS_FILE).is_file():
        return
    if not folder.is_dir() or any(not each.name.startswith(LOCK) for each in folder.iterdir()):
        raise ConfigError(
            f"{folder} exists and holds no seeds",
            expected="a new or empty directory",
            hint="choose another --run",
        )


def _prepared(
    config: PretrainConfig, folder: Path, seeds: Sequence[int], *, resume: bool
) -> SeedsRecord:
    """The folder's record, of status ``running``."""
    settings = to_dict(config)
    if (folder / SEEDS_FILE).is_file():
        before = read_seeds(folder)
        if not resume:
            raise ConfigError(
                f"{folder} holds seeds with status {before.status!r}",
                hint="add --resume to go on with them, or choose another --run",
            )
        if before.config_hash != digest(settings):
            raise ConfigError(
                f"the seeds in {folder} were made with other settings",
                hint="resume with the same settings, or choose another --run",
            )
        if len(before.seeds) > len(seeds):
            raise ConfigError(
                f"{folder} has {len(before.seeds)} seeds",
                expected=f"--seeds {len(before.seeds)} or more, not {len(seeds)}",
            )
    record = SeedsRecord(
        status="running",
        config_hash=digest(settings),
        seeds=tuple(SeedRow(seed, f"seed-{seed}") for seed in seeds),
        best=None,
        config=settings,
    )
    record.write(folder)
    return record


def _ranked(record: SeedsRecord, folder: Path) -> SeedsRecord:
    """The record with every seed's validation scores, their interquartile mean, the best."""
    import numpy as np

    from offline_trader.evaluation.statistics import seed_summary

    rows = []
    for row in record.seeds:
        facts = finished_run(folder / row.run).facts
        stage = facts.chosen
        if stage is None:
            rows.append(row)
            continue
        row = replace(row, kept=stage.kept, kept_step=stage.kept_step)
        if facts.validation_env is not None:  # scores on the bars trained on rank nothing
            row = replace(
                row,
                warm_score=stage.warm_score,
                kept_score=stage.kept_score,
                last_score=stage.last_score,
            )
        rows.append(row)
    scores = {row: row.kept_score for row in rows if row.kept_score is not None}
    summary = None
    if scores:
        summary = seed_summary(list(scores.values()), rng=np.random.default_rng(0))
    best = max(scores, key=lambda row: scores[row], default=None)
    return replace(record, status="done", seeds=tuple(rows), best=best, validation=summary)
