"""The pool: errors, progress and results come home, workers end with their work or their parent."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from offline_trader.errors import DataError, OfflineTraderError
from offline_trader.workers import Pool, run_jobs, usable_cores

# Imported by a bare name, because new processes inherit sys.path and not pytest's import mode.
sys.path.insert(0, str(Path(__file__).parent))
JOBS: Any = importlib.import_module("worker_jobs")
sys.path.pop(0)


@pytest.fixture(autouse=True)
def _importable_jobs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parent))


@pytest.mark.parametrize("modules", [(), ("worker_jobs",)], ids=["fresh", "forked"])
def test_every_job_is_done_once_by_as_many_workers_as_are_asked_for(
    modules: tuple[str, ...],
) -> None:
    waiting: Iterator[Any] = iter([JOBS.Doubling(number) for number in range(6)])
    told: dict[int, Any] = {}
    with Pool[Any](2, modules, one_thread=True) as pool:
        pool.wait_for_imports()
        pool.run(
            lambda: next(waiting, None), on_done=lambda job, found: told.update({job.number: found})
        )
    assert {number: found[0] for number, found in told.items()} == {n: 2 * n for n in range(6)}
    assert len({process for _, process, _ in told.values()}) <= 2
    assert {threads for _, _, threads in told.values()} == {"1"}


def test_a_job_that_waits_for_another_begins_when_that_is_done() -> None:
    done: list[int] = []
    begun: list[int] = []

    def take() -> Any:
        ready = [n for n in range(4) if n not in begun and (n == 0 or n - 1 in done)]
        if not ready:
            return None
        begun.append(ready[0])
        return JOBS.Doubling(ready[0])

    with Pool[Any](3) as pool:
        pool.run(take, on_done=lambda job, _: done.append(job.number))
    assert begun == done == [0, 1, 2, 3]


def test_a_workers_error_comes_home_whole() -> None:
    seen: list[tuple[int, float]] = []
    with pytest.raises(DataError) as caught:
        run_jobs([JOBS.Refusing()], 1, lambda index, done: seen.append((index, done)))
    assert (caught.value.found, caught.value.hint) == ("no rows", "collect first")
    assert seen == [(0, 0.5)]
    with pytest.raises(OfflineTraderError, match="ended by itself with code -9"):
        run_jobs([JOBS.Killed()], 1, lambda *_: None)


def test_an_error_in_the_parent_interrupts_its_workers(
    tmp_path: Path,
) -> None:
    notes = tmp_path / "notes"

    def refuse(*_: object) -> None:
        raise DataError("enough")

    with pytest.raises(DataError, match="enough"):
        run_jobs([JOBS.Orderly(notes)], 1, refuse)
    assert notes.read_text() == "put in order"


def test_workers_are_counted_where_no_process_can_be_bound_to_cores(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert usable_cores() == len(os.sched_getaffinity(0))
    monkeypatch.delattr(os, "sched_getaffinity")  # macOS, Windows
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    assert usable_cores() == 6
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert usable_cores() == 1


@pytest.mark.parametrize("modules", [(), ("worker_jobs",)], ids=["fresh", "forked"])
def test_workers_know_the_features_that_the_user_named_and_what_was_found_of_them(
    modules: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from offline_trader.features import admission, compute_features, name_features, own
    from offline_trader.markets import load_market

    for module, attribute in ((own, "_NAMED"), (own, "_LOADED"), (admission, "_ADMITTED")):
        monkeypatch.setattr(module, attribute, {})
    monkeypatch.setattr(admission, "_SECONDS", 0.05)
    file = tmp_path / "mine.py"
    file.write_text("def move(bars):\n    return bars['close'].pct_change(3)\n", encoding="utf-8")
    name = name_features(f"{file}:move")
    here = compute_features(load_market("synthetic:walk?bars=300&seed=1"), name)
    waiting: Iterator[Any] = iter([JOBS.Observing(name)])
    found: list[Any] = []
    with Pool[Any](1, modules) as pool:
        pool.run(lambda: next(waiting, None), on_done=lambda _, told: found.append(told))
    assert found == [(here.schema.hash, 1, float(here.values[-1, 0]))]
