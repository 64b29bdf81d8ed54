"""Collecting: experts trade in the simulator, the result is a Minari dataset."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TypeAlias

from offline_trader.codec import from_json, read_object, to_json
from offline_trader.datasets.catalog import dataset_facts, datasets_root
from offline_trader.datasets.disk import NO_ROOM, naming
from offline_trader.datasets.metadata import describe
from offline_trader.datasets.minari_files import DatasetWriter
from offline_trader.datasets.parts import PartStore
from offline_trader.datasets.plan import CollectConfig, PartPlan
from offline_trader.datasets.prepared import Collection
from offline_trader.datasets.replacing import dataset_lock, put_back
from offline_trader.datasets.rollout import Part
from offline_trader.datasets.summary import CollectSummary, Tally, plot_summary
from offline_trader.errors import ConfigError, DataError
from offline_trader.runs import atomic_write
from offline_trader.workers import Report, Workers, run_jobs, usable_workers

__all__ = ["CollectConfig", "Progress", "collect"]

Progress: TypeAlias = Callable[[int, int], None]
"""Called with the transitions done and all that are planned."""

_SUMMARY, _PLOT = "summary.json", "collection.png"
_BYTES_A_STEP = 270
"""Of a dataset's file, with 32 features."""


def collect(
    config: CollectConfig,
    progress: Progress | None = None,
    *,
    root: Path | None = None,
    resume: bool = False,
    overwrite: bool = False,
    workers: Workers = 1,
) -> CollectSummary:
    """Let experts trade and store what happened as a Minari dataset.

    Finished parts are kept beside the datasets until the end, and every part has its own seeds:
    a killed collection loses the part it was at, and a resumed one has the arrays of one that was
    never stopped. The dataset appears by one rename.

    Args:
        config: what to collect.
        progress: told the transitions done and planned.
        root: folder of all datasets; by default where Minari looks.
        resume: continue an unfinished collection of the same settings; a finished one is left
            as it is and its summary returned.
        overwrite: replace a dataset of this id, and forget an unfinished collection of it.
        workers: parts at once: so many processes, or a Ray cluster; the arrays are the same.

    Raises:
        ConfigError: the id exists, an unfinished collection is there, or its settings differ, or
            another process collects it.
        DataError: a market that cannot be used, or no room on the disk, where nothing is kept.
    """
    begun = time.perf_counter()
    base = datasets_root(root)
    collection = Collection.build(config)
    workers = usable_workers(workers)
    with dataset_lock(base, config.dataset_id):
        put_back(base, config.dataset_id)
        store = PartStore(base, config.dataset_id)
        if (base / config.dataset_id / "data").exists() and not overwrite:
            return _existing(base, collection, store, resume=resume)
        try:
            return _collect(
                collection,
                store,
                base,
                begun,
                progress,
                resume=resume,
                overwrite=overwrite,
                workers=workers,
            )
        except OSError as error:
            if error.errno not in NO_ROOM:
                raise
            store.remove()
            raise _no_room(error, base, collection) from error


def _collect(
    collection: Collection,
    store: PartStore,
    base: Path,
    begun: float,
    progress: Progress | None,
    *,
    resume: bool,
    overwrite: bool,
    workers: Workers,
) -> CollectSummary:
    spec, spaces = collection.environment()
    if overwrite and not resume:
        store.remove()
    store.open(collection.identity, resume=resume)
    if workers != 1:
        _collect_ahead(collection, store, base, workers, progress)
        progress = None
    tally = Tally(collection.labels)
    with DatasetWriter(base, collection.config.dataset_id, spaces, spec) as writer:
        for part in _parts(collection, store, progress):
            writer.append(part)
            tally.add(part)
            del part  # before the next one is made
        summary = _publish(collection, writer, tally, base, begun, overwrite=overwrite)
    store.remove()
    return summary


@dataclass(frozen=True)
class _PartJob:
    """A part for a worker, which keeps it on disk."""

    config: CollectConfig
    plan: PartPlan
    base: Path

    def __call__(self, report: Report, /) -> None:
        collection = _built(self.config)
        part = collection.collect(self.plan, report)
        PartStore(self.base, self.config.dataset_id).save(self.plan.index, part)
        report(self.plan.lanes * collection.episode_steps)


@cache
def _built(config: CollectConfig) -> Collection:
    return Collection.build(config)


def _collect_ahead(
    collection: Collection,
    store: PartStore,
    base: Path,
    workers: Workers,
    progress: Progress | None,
) -> None:
    """Have the parts that are not on disk yet collected side by side."""
    jobs = [
        _PartJob(collection.config, plan, base.resolve())
        for plan in collection.parts
        if not store.holds(plan.index)
    ]
    steps = [plan.lanes * collection.episode_steps for plan in collection.parts]
    done = {job.plan.index: 0.0 for job in jobs}
    kept = collection.total - sum(steps[index] for index in done)

    def moved(number: int, steps_done: float) -> None:
        done[jobs[number].plan.index] = steps_done
        if progress is not None:
            progress(kept + int(sum(done.values())), collection.total)

    run_jobs(jobs, workers, moved, folder=store.path)


def _no_room(error: OSError, base: Path, collection: Collection) -> DataError:
    return DataError(
        f"{error.filename} cannot be written: {error.strerror}",
        expected=f"room for the dataset and, until it is whole, its parts: some "
        f"{2 * collection.total * _BYTES_A_STEP / 1e6:,.0f} MB in {base}",
        hint="nothing of it was kept: make room and collect it again, or choose another --root",
    )


def _existing(
    base: Path, collection: Collection, store: PartStore, *, resume: bool
) -> CollectSummary:
    """The summary of a finished collection of the same settings, if it may be taken as it is."""
    dataset_id = collection.config.dataset_id
    if resume and dataset_facts(dataset_id, base).identity == collection.identity:
        file = base / dataset_id / _SUMMARY
        if file.is_file():
            store.remove()  # what a kill left behind after the dataset had appeared
            return _stored_summary(file)
    raise ConfigError(
        f"dataset {dataset_id!r} exists in {base}"
        + (" and was collected with other settings" if resume else ""),
        expected="an id of its own",
        hint="another version, as in name-v1, or --overwrite",
    )


def _parts(collection: Collection, store: PartStore, progress: Progress | None) -> Iterator[Part]:
    """Every part in order; none is held on to after it was yielded."""
    done = 0
    for plan in collection.parts:

        def within(steps_done: int, before: int = done) -> None:
            if progress is not None:
                progress(before + steps_done, collection.total)

        yield _part(collection, store, plan, within)
        done += plan.lanes * collection.episode_steps


def _part(
    collection: Collection, store: PartStore, plan: PartPlan, progress: Callable[[int], None]
) -> Part:
    """A part kept on disk, or collected, and kept but for the last."""
    part = store.load(plan.index)
    if part is None:
        part = collection.collect(plan, progress)
        if plan is not collection.parts[-1]:
            store.save(plan.index, part)
    progress(plan.lanes * collection.episode_steps)
    return part


def _publish(
    collection: Collection,
    writer: DatasetWriter,
    tally: Tally,
    base: Path,
    begun: float,
    *,
    overwrite: bool,
) -> CollectSummary:
    """Finish the dataset with metadata, plot and summary; all of it appears at once."""
    dataset_id = collection.config.dataset_id
    metadata = describe(collection, collection.scores())
    facts = tally.facts()
    with naming(writer.folder / _PLOT):
        plot_summary(writer.folder / _PLOT, dataset_id, facts, tally.returns, tally.owners)
    path = base / dataset_id

    def summary(size_mb: float) -> CollectSummary:
        return CollectSummary(
            dataset_id=dataset_id,
            path=str(path),
            **facts,
            ref_min_score=metadata["ref_min_score"],
            ref_max_score=metadata["ref_max_score"],
            size_mb=size_mb,
            seconds=time.perf_counter() - begun,
            plot=str(path / _PLOT),
        )

    def write(size_mb: float) -> None:
        stored = to_json(summary(size_mb), indent=1) + "\n"
        with naming(writer.folder / _SUMMARY):
            atomic_write(writer.folder / _SUMMARY, stored.encode())

    writer.publish(metadata, overwrite=overwrite, beside=write)
    return _stored_summary(path / _SUMMARY)


def _stored_summary(file: Path) -> CollectSummary:
    """The summary of a finished collection.

    Raises:
        DataError: it cannot be read.
    """
    hint = "--overwrite collects the dataset again"
    payload = read_object(file, what="the summary of a collection", hint=hint)
    return from_json(CollectSummary, payload, str(file))
