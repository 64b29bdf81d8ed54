"""Runs the folds of a walk-forward: in order or in parallel processes, resumable, the same result.

A fold has three parts. ``prepare`` (data and what is short) and ``train`` (what is long) need no
other fold, so any worker may do them ahead; the rest, which judges the fold, waits for the folds
whose policies it needs. All that passes from part to part lies on disk. Workers are interpreters
of their own, with one thread each, and each fold in this process has one thread, too.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Literal, TypeAlias

from offline_trader.codec import from_json, read_object, require_types, to_json
from offline_trader.evaluation.walk_forward.results import FoldJob, FoldResult
from offline_trader.evaluation.walk_forward.windows import Fold
from offline_trader.runs import atomic_write
from offline_trader.types import digest
from offline_trader.workers import Pool, Report, Workers

__all__ = ["Schedule", "Task", "fold_directory", "run_folds", "stored_result"]

Task: TypeAlias = tuple[Literal["prepare", "train", "run"], Fold]
Keep: TypeAlias = Callable[[Fold, FoldResult], None]
Progress: TypeAlias = Callable[[float], None]
_PREPARED, _TRAINED = 0.25, 0.6
"""Of a fold's time with the default line."""


def fold_directory(root: Path, index: int) -> Path:
    """Where a fold keeps its result and all that it made."""
    return root / f"fold-{index:03d}"


def stored_result(fold: Fold, job: FoldJob, root: Path) -> FoldResult | None:
    """The finished result of ``fold`` on disk, if it was made with the same settings.

    Raises:
        DataError: its file is damaged; names it.
    """
    path = fold_directory(root, fold.index) / "result.json"
    if not path.exists():
        return None
    hint = f"remove {path}; the window is then judged again"
    payload = read_object(path, what="the result of a window", hint=hint)
    require_types(payload, {"key": str, "result": dict}, path, hint=hint)
    if payload["key"] != _key(fold, job):
        return None
    return from_json(FoldResult, payload["result"], str(path))


def run_folds(
    folds: Sequence[Fold],
    job: FoldJob,
    root: Path,
    *,
    workers: Workers,
    keep: Keep,
    progress: Progress | None = None,
    meanwhile: Callable[[], None] | None = None,
) -> None:
    """Runs every fold that has no stored result; ``keep`` is told each result, stored or new.

    ``progress`` is told how many folds are done, with what is done of others.
    ``meanwhile`` is called once, in a thread of this process, when several workers are at it: at
    once where one process imports for all of them, otherwise when every training has begun. What
    is slow to load then need not be waited for at the end.

    Raises:
        OfflineTraderError: a worker process was killed.
    """
    stored = {fold.index: stored_result(fold, job, root) for fold in folds}
    missing = [fold for fold in folds if stored[fold.index] is None]
    told = progress or (lambda _: None)
    if workers == 1 or len(missing) <= 1:
        with _one_thread(bool(missing)):
            for count, fold in enumerate(folds, 1):
                keep(fold, stored[fold.index] or _run(fold, job, root))
                told(count)
        return
    for fold in folds:
        if (result := stored[fold.index]) is not None:
            keep(fold, result)
    before = len(folds) - len(missing)
    told(before)
    with Pool[_Part](workers, job.modules, one_thread=True, folder=root) as pool:
        schedule = Schedule(missing, pool.workers)
        advanced = partial(_tell, told, before, schedule)
        _in_parallel(pool, schedule, job, root, keep, advanced, meanwhile)


class Schedule:
    """Which task a free worker takes next.

    Training is by far the longest part, so the last round of trainings decides how long a walk
    takes: with n trainings left to begin on W workers, n mod W of the workers do one more than the
    others. A worker therefore begins a training at once where n mod W is not 0; where it is, there
    is time to prepare folds and to judge those that are trained. No worker waits while a task is
    ready.

    Args:
        folds: those to run, in time order.
        workers: W.
    """

    def __init__(self, folds: Sequence[Fold], workers: int) -> None:
        self.workers = workers
        self._to_prepare = [fold for fold in folds if fold.trained_by == fold.index]
        self._to_train = [fold for fold in self._to_prepare if fold.warm_from is None]
        self._to_run = list(folds)
        self._unprepared = {fold.index for fold in self._to_prepare}
        self._untrained = {fold.index for fold in self._to_train}
        self._undone = {fold.index for fold in folds}
        self._folds = tuple(folds)

    @property
    def folds_done(self) -> float:
        """How many folds are done, with the parts of others."""
        return sum(map(self._share_done, self._folds))

    @property
    def all_in_training(self) -> bool:
        """Whether every training has begun."""
        return not (self._to_prepare or self._to_train)

    def next(self) -> Task | None:
        """A task that can start now, or None; it counts as started."""
        train = next((f for f in self._to_train if f.index not in self._unprepared), None)
        run = next((f for f in self._to_run if self._can_run(f)), None)
        urgent = len(self._to_train) % self.workers != 0
        if train is not None and (urgent or (run is None and not self._to_prepare)):
            self._to_train.remove(train)
            return "train", train
        if self._to_prepare:
            return "prepare", self._to_prepare.pop(0)
        if run is not None:
            self._to_run.remove(run)
            return "run", run
        return None

    def finished(self, task: Task) -> None:
        """Tell that a task is done."""
        kind, fold = task
        undone = {"prepare": self._unprepared, "train": self._untrained, "run": self._undone}
        undone[kind].discard(fold.index)

    def _share_done(self, fold: Fold) -> float:
        if fold.index not in self._undone:
            return 1.0
        if fold.trained_by != fold.index:
            return 0.0
        trained = fold.warm_from is None and fold.index not in self._untrained
        return _PREPARED * (fold.index not in self._unprepared) + _TRAINED * trained

    def _can_run(self, fold: Fold) -> bool:
        own = self._unprepared | self._untrained
        return fold.index not in own and _before(fold) not in self._undone


def _before(fold: Fold) -> int | None:
    """Index of the fold that must be done before ``fold``."""
    return fold.warm_from if fold.trained_by == fold.index else fold.trained_by


@dataclass(frozen=True)
class _Part:
    """A task as a job of the pool."""

    task: Task
    job: FoldJob
    root: Path

    def __call__(self, _: Report, /) -> FoldResult | None:
        return _carry_out(self.task, self.job, self.root)


def _tell(told: Progress, before: int, schedule: Schedule) -> None:
    told(before + schedule.folds_done)


def _in_parallel(
    pool: Pool[_Part],
    schedule: Schedule,
    job: FoldJob,
    root: Path,
    keep: Keep,
    advanced: Callable[[], None],
    meanwhile: Callable[[], None] | None,
) -> None:
    # In a thread of its own: a worker that comes free has its next task at once.
    aside = None if meanwhile is None else threading.Thread(target=_ended_quietly(meanwhile))

    def take() -> _Part | None:
        task = schedule.next()
        if aside is not None and aside.ident is None and schedule.all_in_training:
            aside.start()
        return None if task is None else _Part(task, job, root)

    def done(part: _Part, result: FoldResult | None) -> None:
        schedule.finished(part.task)
        if result is not None:
            keep(part.task[1], result)
        advanced()

    if pool.forked:
        if aside is not None:  # while one core imports for all, the others have nothing to do
            aside.start()
        pool.wait_for_imports()
    pool.run(take, on_done=done)
    if aside is not None and aside.ident is not None:
        aside.join()


def _carry_out(task: Task, job: FoldJob, root: Path) -> FoldResult | None:
    kind, fold = task
    if kind == "run":
        return _run(fold, job, root)
    (job.prepare if kind == "prepare" else job.train)(fold, _made(fold, root))
    return None


def _run(fold: Fold, job: FoldJob, root: Path) -> FoldResult:
    """The result of ``fold``, which is on disk when this returns."""
    directory = _made(fold, root)
    result = job(fold, directory, root)
    payload = {"key": _key(fold, job), "result": result}
    atomic_write(directory / "result.json", to_json(payload).encode())
    return result


def _made(fold: Fold, root: Path) -> Path:
    directory = fold_directory(root, fold.index)
    directory.mkdir(parents=True, exist_ok=True)
    return directory


def _key(fold: Fold, job: FoldJob) -> str:
    return digest({"fold": asdict(fold), "job": job.to_dict()})


@contextmanager
def _one_thread(wanted: bool) -> Iterator[None]:
    """Inside, torch computes in one thread, as it does in a worker."""
    if not wanted:
        yield
        return
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _ended_quietly(meanwhile: Callable[[], None]) -> Callable[[], None]:
    def run() -> None:
        with suppress(RuntimeError):  # of an import when this process ends, interrupted
            meanwhile()

    return run
