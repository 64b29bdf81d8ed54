"""What an installation has and lacks: versions, threads, places, a GPU, and a line that runs.

Each check is independent of the others and says what to do where something is wrong, so that the
answers help on a machine that its reader has never seen.
"""

from __future__ import annotations

import os
import platform
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Literal

from offline_trader.errors import OfflineTraderError
from offline_trader.pipeline.progress import Progress, Silent

__all__ = ["Check", "examine", "self_test"]

LEAST_PYTHON = (3, 11)
LEAST_FREE_GB = 2.0
_AGAIN = "install again: pip install -r requirements.lock, then pip install --no-deps ."


@dataclass(frozen=True)
class Check:
    """One answer.

    Attributes:
        name: what was looked at.
        found: what is there.
        verdict: ``problem`` is what keeps the toolkit from working.
        advice: what to do; empty where there is nothing to do.
    """

    name: str
    found: str
    verdict: Literal["ok", "note", "problem"] = "ok"
    advice: str = ""


def examine(root: Path | None = None) -> list[Check]:
    """Every check but the :func:`self_test`.

    Args:
        root: folder of the datasets; Minari's by default.
    """
    checks: list[Check] = []
    for look in (_python, _packages, _threads, _gpu, _compiled_code):
        checks += _guarded(look)
    from offline_trader.datasets.catalog import datasets_root

    places = {"datasets (Minari)": datasets_root(root), "runs": Path("runs").absolute()}
    return [*checks, *(_place(name, folder) for name, folder in places.items())]


def self_test(progress: Progress = Silent()) -> Check:
    """A tiny line in a folder of its own: experts, a clone, an ONNX file that answers as torch.

    About ten seconds, and longer the first time, when the simulator is compiled.
    """
    begun = time.perf_counter()
    try:
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
            difference = _tiny_line(Path(folder), progress)
    except (Exception, SystemExit) as error:
        found = error.found if isinstance(error, OfflineTraderError) else str(error)
        return Check("self-test", f"{type(error).__name__}: {found}", "problem", _AGAIN)
    return Check(
        "self-test",
        f"collected, cloned, exported; ONNX within {difference:.0e} of torch; "
        f"{time.perf_counter() - begun:.0f} s",
    )


def _guarded(look: Callable[[], Iterator[Check]]) -> list[Check]:
    """The checks of ``look``; one that fails itself is a problem with its own words."""
    try:
        return list(look())
    except Exception as error:
        name = look.__name__.strip("_").replace("_", " ")
        return [Check(name, f"{type(error).__name__}: {error}", "problem", _AGAIN)]


def _python() -> Iterator[Check]:
    found = f"{platform.python_version()} on {platform.system()} {platform.machine()}"
    old = sys.version_info[:2] < LEAST_PYTHON
    advice = "install Python 3.11 or newer, and make the environment anew" if old else ""
    yield Check("Python", found, "problem" if old else "ok", advice)


def _packages() -> Iterator[Check]:
    """Every dependency with its version, against what the package asks for."""
    from packaging.requirements import Requirement

    shown, wrong = [], []
    for text in metadata.requires("offline-trader") or []:
        wanted = Requirement(text)
        if wanted.marker is not None and not wanted.marker.evaluate({"extra": ""}):
            continue
        try:
            version = metadata.version(wanted.name)
        except metadata.PackageNotFoundError:
            wrong.append(f"{wanted.name} is missing")
            continue
        shown.append(f"{wanted.name} {version}")
        if not wanted.specifier.contains(version, prereleases=True):
            wrong.append(f"{wanted.name} is {version}, not {wanted.specifier}")
    yield Check("offline-trader", metadata.version("offline-trader"))
    yield Check("packages", ", ".join(shown))
    if wrong:
        yield Check("versions", "; ".join(wrong), "problem", _AGAIN)


def _threads() -> Iterator[Check]:
    import torch

    from offline_trader.workers import usable_cores

    cores = usable_cores()
    limit = os.environ.get("OMP_NUM_THREADS")
    found = f"{cores} cores, OMP_NUM_THREADS {limit or 'not set'}, torch {torch.get_num_threads()}"
    advice = ""
    if limit is None and cores > 1:
        advice = (
            "a training sets its own threads; when several run at once, OMP_NUM_THREADS=1 keeps "
            "them from waiting for each other"
        )
    yield Check("threads", found, "note" if advice else "ok", advice)


def _gpu() -> Iterator[Check]:
    import torch

    if torch.cuda.is_available():
        yield Check("GPU", f"{torch.cuda.get_device_name()}; --device cuda uses it")
    else:
        yield Check("GPU", "none that torch can use; networks of the usual size need none")


def _compiled_code() -> Iterator[Check]:
    """Where compiled code is kept between starts."""
    from offline_trader.compiled_code import can_be_kept

    named = os.environ.get("NUMBA_CACHE_DIR")
    if can_be_kept():
        place = named or "beside the package, or in the user's cache folder"
        yield Check("compiled code", f"kept: {place}")
    else:
        advice = (
            "set NUMBA_CACHE_DIR to a folder that can be written; else every start takes longer"
        )
        yield Check("compiled code", "cannot be kept", "note", advice)


def _place(name: str, folder: Path) -> Check:
    """Whether ``folder``, or where it would be made, can be written and has room."""
    there = next(each for each in (folder, *folder.parents) if each.exists())
    try:
        with tempfile.TemporaryFile(dir=there):
            pass
        free = shutil.disk_usage(there).free / 1e9
    except OSError as error:
        advice = (
            "choose another place: --root or $MINARI_DATASETS_PATH for datasets, --run for runs"
        )
        return Check(name, f"{folder}: {error.strerror or error}", "problem", advice)
    found = f"{folder}{'' if there == folder else ' (made when needed)'}, {free:,.0f} GB free"
    if free < LEAST_FREE_GB:
        return Check(name, found, "note", "make room: a million transitions take about 0.2 GB")
    return Check(name, found)


def _tiny_line(folder: Path, progress: Progress) -> float:
    """Collect, clone and export; the largest difference between ONNX and torch."""
    from offline_trader.datasets import CollectConfig, collect
    from offline_trader.envs import EnvConfig
    from offline_trader.learning.settings import CloneConfig, LearnerConfig, OfflineConfig
    from offline_trader.pipeline.exporting import export_run
    from offline_trader.pipeline.pretraining import pretrain
    from offline_trader.pipeline.settings import PretrainConfig

    env = EnvConfig(start="2003-01-01", end="2006-12-31", episode_bars=100)
    config = CollectConfig(
        "doctor/self-test-v0", env, ("technical", "random"), 400, lanes=4, score_episodes=2
    )
    progress.note("self-test: a tiny line, from experts to an ONNX file")
    collect(config, root=folder / "data")
    pretrain(
        PretrainConfig(
            dataset=config.dataset_id,
            learner=LearnerConfig(hidden=(16, 16), batch_size=32),
            clone=CloneConfig(updates=50),
            offline=OfflineConfig(critic_updates=10, updates=10),
        ),
        folder / "run",
        root=folder / "data",
    )
    exported = export_run(folder / "run", folder / "export" / "policy.onnx", force=True)
    return exported.max_abs_difference
