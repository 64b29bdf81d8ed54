"""Run directories: resolved config, manifest, metrics, checkpoints, resume.

::

    runs/NAME/
        config.yaml          the resolved configuration
        manifest.json        versions, hashes, seed, parents, status, facts
        metrics.jsonl        one JSON object a logged step
        events.out.tfevents* the same numbers for TensorBoard
        checkpoints/STEP     a file or a folder, whole or absent

Every file that a later command reads is written beside its place and renamed, so a kill leaves
either the old one or the new one. One process writes a run at a time; any number may read it. The
metrics that were logged after the last checkpoint are cut off on resume: their steps are done
again.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from platform import python_version
from typing import Any

from offline_trader import __version__
from offline_trader.codec import Facts, from_json, parse_json, read_object, require_types, to_json
from offline_trader.config import portable, require_seed, to_yaml
from offline_trader.errors import ConfigError, DataError
from offline_trader.hashing import content_sha256
from offline_trader.locks import locked
from offline_trader.runs.metrics_log import METRICS, MetricsLog
from offline_trader.types import digest

__all__ = ["LOCK", "Run", "atomic_write", "named_in_errors", "package_versions"]

MANIFEST, CONFIG, CHECKPOINTS = "manifest.json", "config.yaml", "checkpoints"
LOCK = ".lock"
"""Of the process that works on a folder; inside it, so that whoever may write it may lock it."""
_PACKAGES = ("numpy", "numba", "TA-Lib", "torch", "d3rlpy", "imitation", "minari", "gymnasium")


@contextmanager
def named_in_errors(path: Path) -> Iterator[None]:
    """Let an error of the system inside the block name ``path``: of a full disk it names no file,
    and of a file that is written beside its place a name that nobody knows."""
    try:
        yield
    except OSError as error:
        if error.errno is not None:
            error.filename = os.fspath(path)
        raise


def atomic_write(path: Path, content: bytes) -> None:
    """Write ``content`` to ``path`` so that a reader, or a kill, sees all of it or none.

    What was begun is removed when an error or Ctrl-C ends it.

    Raises:
        OSError: a place that cannot be written or is full; its ``filename`` is ``path``.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with named_in_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            with temporary.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def package_versions() -> dict[str, str]:
    """Versions of Python, this package and the libraries that decide a run's numbers."""
    versions = {"python": python_version(), "offline-trader": __version__}
    for name in _PACKAGES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return versions


class Run:
    """One run directory. Make it with :meth:`create` or :meth:`open`, use it in a ``with`` block.

    From :meth:`create` to the end of the block no other process can work on it: a lock says whose
    it is, and ends with its process. Leaving the block by an exception marks the run
    ``interrupted`` (Ctrl-C, or the command that started this process has ended) or ``failed``;
    :meth:`finish` marks it ``done``.
    """

    def __init__(self, path: Path, manifest: dict[str, Any]) -> None:
        self.path = path
        self.manifest = manifest
        self._log = MetricsLog(path)
        self._lock = ExitStack()

    @classmethod
    def create(
        cls,
        path: Path,
        config: Mapping[str, Any],
        *,
        command: str,
        seed: int,
        parents: Sequence[Path] = (),
        data_hash: str = "",
        resume: bool = False,
    ) -> Run:
        """A new run at ``path``, or with ``resume`` the one that is there, ready to go on.

        Args:
            path: the directory, made here; its name is the run's.
            config: resolved configuration, JSON-able.
            command: the command that runs, such as ``pretrain``.
            seed: the seed that every generator of the run derives from.
            parents: files and directories that this run starts from; their hashes are stored.
            data_hash: SHA-256 of the bars or of the dataset.
            resume: go on with an existing run of the same configuration and parents.

        Raises:
            ConfigError: the directory is in use, another process is at it, resuming would mix two
                configurations, or a seed outside 0 to 2^63 − 1.
        """
        path = Path(path)
        require_seed(seed)
        _refuse_foreign(path)
        facts = {
            "command": command,
            "config_hash": digest(portable(config)),
            "seed": seed,
            "data_hash": data_hash,
            "parents": [{"path": str(p), "sha256": content_sha256(p)} for p in parents],
        }
        with ExitStack() as lock:
            lock.enter_context(locked(path / LOCK, f"the run directory {path}"))
            _refuse_foreign(path)
            if (path / MANIFEST).exists():
                run = cls._reopen(path, config, facts, resume=resume)
            else:
                run = cls._begin(path, config, facts)
            run._lock = lock.pop_all()
            return run

    @classmethod
    def _begin(cls, path: Path, config: Mapping[str, Any], facts: Mapping[str, Any]) -> Run:
        (path / CHECKPOINTS).mkdir(parents=True, exist_ok=True)
        atomic_write(path / CONFIG, to_yaml(config).encode())
        run = cls(
            path, {**facts, "format": 1, "status": "running", "started": _now(), "resumed": 0}
        )
        run._update(versions=package_versions())
        return run

    @classmethod
    def _reopen(
        cls, path: Path, config: Mapping[str, Any], facts: Mapping[str, Any], *, resume: bool
    ) -> Run:
        run = cls.open(path)
        if not resume:
            raise ConfigError(
                f"{path} holds a run with status {run.status!r}",
                hint="add --resume to go on with it, or choose another --run",
            )
        for key in ("command", "config_hash", "seed", "data_hash", "parents"):
            before, now = run.manifest.get(key), facts[key]
            if key == "parents":
                before, now = [[p["sha256"] for p in side or ()] for side in (before, now)]
            if before != now:
                detail = _difference(run.config(), dict(config)) if key == "config_hash" else ""
                raise ConfigError(
                    f"{path} was made with another {key.replace('_', ' ')}{detail}",
                    expected=f"{before}",
                    hint="resume with the same settings, or choose another --run",
                )
        if run.status != "done":
            run._forget_unsaved_metrics()
            run._update(status="running", resumed=int(run.manifest.get("resumed", 0)) + 1)
        return run

    @classmethod
    def open(cls, path: Path) -> Run:
        """The run at ``path``, to read.

        Raises:
            DataError: no run there, or its manifest is not readable.
        """
        path = Path(path)
        if not (path / MANIFEST).exists():
            raise DataError(
                f"{path} is not a run directory", expected=f"a directory with {MANIFEST}"
            )
        hint = "if it was changed, take it from a copy, or make the run again"
        manifest = read_object(path / MANIFEST, what="the manifest of a run", hint=hint)
        if "status" not in manifest:
            raise DataError(
                f"{path / MANIFEST} is not the manifest of a run",
                expected="the directory of a run, such as runs/finetune",
            )
        from_json(_Manifest, manifest, str(path / MANIFEST))
        return cls(path, manifest)

    @property
    def status(self) -> str:
        """``running``, ``done``, ``interrupted`` or ``failed``."""
        return str(self.manifest["status"])

    def config(self) -> dict[str, Any]:
        """The resolved configuration that the run was made with.

        Raises:
            DataError: its file is lost or broken.
        """
        import yaml

        from offline_trader.config.settings_yaml import settings_of

        file = self.path / CONFIG
        try:
            tree = settings_of(file.read_text(encoding="utf-8")) or {}
        except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
            raise DataError(f"{file} is not readable: {error}") from error
        if not isinstance(tree, dict):
            raise DataError(f"{file} holds a {type(tree).__name__}", expected="settings")
        return tree

    def log(self, step: int, values: Mapping[str, float | str]) -> None:
        """Append ``values`` at ``step`` to the metrics and to TensorBoard's events.

        A value that is not finite is stored as null: JSON has no infinity.
        """
        with named_in_errors(self.path / METRICS):
            self._log.append(step, values)

    def metrics(self) -> list[dict[str, Any]]:
        """The logged rows, oldest first; a torn last line (a kill) is left out."""
        return self._log.rows()

    def save_checkpoint(self, step: int, writer: Callable[[Path], None], *, keep: int = 2) -> Path:
        """Let ``writer`` write a file or folder at a path, then make it checkpoint ``step``.

        The newest ``keep`` checkpoints stay. Returns the checkpoint's path.
        """
        folder = self.path / CHECKPOINTS
        folder.mkdir(exist_ok=True)
        temporary, final = folder / f".{step:010d}.tmp", folder / f"{step:010d}"
        _remove(temporary)
        try:
            with named_in_errors(final):
                writer(temporary)
            if not temporary.exists():
                raise RuntimeError(f"the writer of checkpoint {step} wrote nothing")
            known = {"metrics_bytes": self._log.size, "sha256": content_sha256(temporary)}
            marker = to_json(known)
            atomic_write(folder / f"{step:010d}.json", marker.encode())
            _remove(final)
            temporary.replace(final)
        except BaseException:
            _remove(temporary)
            raise
        for old, path in self._checkpoints()[:-keep]:
            _remove(path)
            _remove(folder / f"{old:010d}.json")
        return final

    def latest_checkpoint(self) -> tuple[int, Path] | None:
        """Step and path of the newest whole checkpoint, or None.

        Raises:
            DataError: its bytes are not those that were saved.
        """
        found = self._checkpoints()
        if not found:
            return None
        step, path = found[-1]
        stated = self._marker(step).get("sha256")  # an older version stored none
        if stated is not None and stated != content_sha256(path):
            raise DataError(
                f"checkpoint {path} is not what was saved: its SHA-256 differs",
                expected=f"{str(stated)[:16]}…",
                hint=f"delete it and {path.name}.json; the run then goes on from the one before",
            )
        return step, path

    def finish(self, **facts: Any) -> None:
        """Mark the run done and store ``facts`` (JSON-able) in its manifest.

        A number that is not finite is stored as null.
        """
        self._log.close()
        self._update(status="done", finished=_now(), facts={**self.facts, **facts})

    @property
    def facts(self) -> dict[str, Any]:
        """What :meth:`finish` stored."""
        return dict(self.manifest.get("facts", {}))

    def __enter__(self) -> Run:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, *_: object
    ) -> None:
        with self._lock:
            self._log.close()
            if kind is not None and self.status == "running":
                status = "interrupted" if _was_stopped(error) else "failed"
                self._update(status=status, finished=_now())

    def _forget_unsaved_metrics(self) -> None:
        """Drop the rows that were logged after the newest checkpoint: they come again."""
        latest = self.latest_checkpoint()
        if latest is None:
            self._log.cut(0, first_step=0)
        else:
            size = self._marker(latest[0])["metrics_bytes"]
            self._log.cut(size, first_step=latest[0] + 1)

    def _marker(self, step: int) -> dict[str, Any]:
        """What was noted beside checkpoint ``step``.

        Raises:
            DataError: it is lost or broken.
        """
        file = self.path / CHECKPOINTS / f"{step:010d}.json"
        hint = "delete it and its checkpoint; the run then goes on from the one before"
        what = "what is noted beside a checkpoint"
        marker = read_object(file, what=what, hint=hint)
        require_types(marker, {"metrics_bytes": int}, file, hint=hint)
        return marker

    def _checkpoints(self) -> list[tuple[int, Path]]:
        folder = self.path / CHECKPOINTS
        if not folder.is_dir():
            return []
        return sorted((int(p.name), p) for p in folder.iterdir() if p.name.isdigit())

    def _update(self, **entries: Any) -> None:
        manifest = {**self.manifest, **entries}
        text = to_json(manifest, indent=2) + "\n"
        atomic_write(self.path / MANIFEST, text.encode())
        self.manifest = parse_json(text)


def _was_stopped(error: BaseException | None) -> bool:
    """Whether it was stopped from outside: by Ctrl-C, also where a library on the way made another
    error of it, or because the process that started this one has gone."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        if isinstance(error, KeyboardInterrupt | SystemExit | BrokenPipeError):
            return True
        seen.add(id(error))
        error = error.__cause__ or error.__context__
    return False


@dataclass(frozen=True)
class _Parent:
    path: str
    sha256: str


@dataclass(frozen=True)
class _Manifest(Facts):
    """What a manifest has of the following is of these types."""

    status: str
    command: str = ""
    config_hash: str = ""
    data_hash: str = ""
    seed: int = 0
    resumed: int = 0
    parents: list[_Parent] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _refuse_foreign(path: Path) -> None:
    """Nothing if a run is at ``path`` or can be made there.

    Raises:
        ConfigError: something else is there.
    """
    if (path / MANIFEST).exists() or not path.exists() or _is_unused(path):
        return
    raise ConfigError(
        f"{path} exists and is not a run directory",
        expected="a new or empty directory",
        hint="choose another --run",
    )


def _is_unused(path: Path) -> bool:
    """Whether a directory is empty but for what a run leaves that was killed while it began."""
    if not path.is_dir():
        return False
    names = {entry.name for entry in path.iterdir()}
    left = {name for name in names if name.startswith(".") and name.endswith(".tmp")}
    left |= {name for name in names if name.startswith(LOCK)}
    if CHECKPOINTS in names and not any((path / CHECKPOINTS).iterdir()):
        left |= {CHECKPOINTS, CONFIG}  # made in this order
    return names <= left


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _difference(before: Mapping[str, Any], now: Mapping[str, Any], path: str = "") -> str:
    """The first setting that differs, as text for an error message."""
    for key in [*before, *(k for k in now if k not in before)]:
        left, right = before.get(key), now.get(key)
        if left == right:
            continue
        if isinstance(left, Mapping) and isinstance(right, Mapping):
            return _difference(left, right, f"{path}{key}.")
        return f": {path}{key} was {left!r} and is {right!r}"
    return ""
