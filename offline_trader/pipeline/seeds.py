"""Pretraining of several seeds side by side, and the choice between them.

::

    runs/NAME/
        seeds.json     settings, seeds, scores, summary, the best
        seed-0/        a run directory like that of one pretraining with that seed
        seed-1/

Each seed is trained in a process of its own by the same code, with the same number of threads, as
a run of that seed alone, so its files have the same bytes however many run at once.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from offline_trader.errors import ConfigError, DataError
from offline_trader.locks import locked
from offline_trader.pipeline.progress import Advance, Progress, Silent
from offline_trader.pipeline.run_facts import read_facts
from offline_trader.pipeline.trained_runs import finished_run
from offline_trader.runs import LOCK, atomic_write
from offline_trader.workers import Report, run_jobs, usable_cores

if TYPE_CHECKING:
    from offline_trader.pipeline.settings import PretrainConfig

__all__ = ["SEEDS_FILE", "chosen_run", "pretrain_seeds", "read_seeds"]

SEEDS_FILE = "seeds.json"


@dataclass(frozen=True)
class _SeedRow:
    """A seed's place in ``seeds.json``: one of the folder's own run directories."""

    seed: int
    run: str

    def __post_init__(self) -> None:
        if self.run != f"seed-{self.seed}":
            raise ConfigError(f"run {self.run!r} of seed {self.seed}", expected=f"seed-{self.seed}")


@dataclass(frozen=True)
class _BestRow(_SeedRow):
    """The seed that validation chose, with its score."""

    kept_score: float


@dataclass(frozen=True)
class _SeedsFile:
    """What ``seeds.json`` holds, as far as others read it."""

    status: str
    config_hash: str
    seeds: tuple[dict[str, Any], ...]
    best: dict[str, Any] | None


@dataclass(frozen=True)
class SeedJob:
    """One seed's pretraining, for a process of its own.

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
        from offline_trader.pipeline.pretraining import pretrain

        pretrain(self.config, self.path, _Reporting(report), root=self.root, resume=True)


def pretrain_seeds(
    config: PretrainConfig,
    folder: Path,
    count: int,
    progress: Progress = Silent(),
    *,
    root: Path | None = None,
    resume: bool = False,
    workers: int | None = None,
) -> dict[str, Any]:
    """Train seeds ``config.seed``, ``config.seed + 1``, …; what ``seeds.json`` then holds.

    Args:
        config: settings; its seed is the first.
        folder: where the runs go.
        count: how many seeds.
        root: folder of the datasets.
        resume: finish what an interrupted command left; ``count`` may have grown.
        workers: trainings at once; None: as many as the machine's cores allow.

    Raises:
        ConfigError: a folder that is in use, or that was made with other settings.
        DataError, OfflineTraderError: a seed's own error.
    """
    from offline_trader.pipeline.pretraining import check_inputs

    check_inputs(config, root)  # refused before anything is written
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
    workers: int | None,
) -> dict[str, Any]:
    seeds = [config.seed + k for k in range(count)]
    record = _prepare(config, folder, seeds, resume=resume)
    plans = [replace(config, seed=seed) for seed in seeds]
    jobs = [SeedJob(plan, folder / f"seed-{plan.seed}", root) for plan in plans]
    each = config.clone.updates + config.offline.critic_updates + config.offline.updates
    done = [0.0] * count
    with progress.task(f"pretraining {count} seeds", max(1, each * count)) as advance:

        def moved(index: int, steps: float) -> None:
            done[index] = steps
            advance(sum(done))

        run_jobs(jobs, workers or _free_workers(config.threads), moved)
        advance(each * count)
    record |= _summary(folder, seeds)
    _write(folder, record)
    return record


def chosen_run(path: Path, progress: Progress = Silent()) -> Path:
    """``path``, or of a folder of seeds the run that is best by validation, with a note of it.

    Raises:
        DataError: seeds that are not finished, or that no validation has ranked.
    """
    if not (path / SEEDS_FILE).is_file():
        return path
    record = read_seeds(path)
    if record["status"] != "done":
        raise DataError(
            f"the seeds in {path} are not finished", hint="finish them with pretrain --resume"
        )
    best = record["best"]
    if best is None:
        raise DataError(
            f"no validation ranks the seeds in {path}",
            expected="one of its runs",
            hint=f"name one, as {path / record['seeds'][0]['run']}; or train with --validate-until",
        )
    chosen: Path = path / best["run"]
    progress.note(
        f"{chosen}: the best of {len(record['seeds'])} seeds by validation "
        f"({best['kept_score']:.4g})"
    )
    return chosen


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

        def advance(done: float, _: float | None = None, /) -> None:
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


def _prepare(
    config: PretrainConfig, folder: Path, seeds: Sequence[int], *, resume: bool
) -> dict[str, Any]:
    """The folder with a ``seeds.json`` of status ``running``."""
    from offline_trader.config import to_dict
    from offline_trader.types import digest

    settings = to_dict(config)
    if (folder / SEEDS_FILE).is_file():
        before = read_seeds(folder)
        if not resume:
            raise ConfigError(
                f"{folder} holds seeds with status {before['status']!r}",
                hint="add --resume to go on with them, or choose another --run",
            )
        if before["config_hash"] != digest(settings):
            raise ConfigError(
                f"the seeds in {folder} were made with other settings",
                hint="resume with the same settings, or choose another --run",
            )
        if len(before["seeds"]) > len(seeds):
            raise ConfigError(
                f"{folder} has {len(before['seeds'])} seeds",
                expected=f"--seeds {len(before['seeds'])} or more, not {len(seeds)}",
            )
    record = {
        "format": 1,
        "status": "running",
        "config": settings,
        "config_hash": digest(settings),
        "seeds": [{"seed": seed, "run": f"seed-{seed}"} for seed in seeds],
        "best": None,
    }
    _write(folder, record)
    return record


def _summary(folder: Path, seeds: Sequence[int]) -> dict[str, Any]:
    """Every seed's validation scores, their interquartile mean with its interval, the best."""
    import numpy as np

    from offline_trader.config import to_dict
    from offline_trader.evaluation.statistics import seed_summary

    rows = []
    for seed in seeds:
        stage = vars(finished_run(folder / f"seed-{seed}").facts.chosen)
        kept = ("kept", "kept_step", "warm_score", "kept_score", "last_score")
        rows.append({"seed": seed, "run": f"seed-{seed}", **{name: stage[name] for name in kept}})
    ranked = [row for row in rows if row["kept_score"] is not None]
    summary = None
    if ranked:
        scores = [float(row["kept_score"]) for row in ranked]
        summary = to_dict(seed_summary(scores, rng=np.random.default_rng(0)))
    return {
        "status": "done",
        "seeds": rows,
        "validation": summary,
        "best": max(ranked, key=lambda row: float(row["kept_score"]), default=None),
    }


def read_seeds(folder: Path) -> dict[str, Any]:
    """What ``seeds.json`` in ``folder`` holds.

    Raises:
        DataError: it is not there or broken, lacks a key, or names a run outside of ``folder``.
    """
    file = folder / SEEDS_FILE
    try:
        record = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{file} is not readable: {error}") from error
    if not isinstance(record, dict):
        raise DataError(f"{file} holds a {type(record).__name__}", expected="a JSON object")
    read_facts(str(file), _SeedsFile, record)
    for row in record["seeds"]:
        read_facts(f"{file}: seeds", _SeedRow, row)
    if record["best"] is not None:
        read_facts(f"{file}: best", _BestRow, record["best"])
    return record


def _write(folder: Path, record: Mapping[str, Any]) -> None:
    text = json.dumps(record, indent=2, allow_nan=False) + "\n"
    atomic_write(folder / SEEDS_FILE, text.encode())
