"""SHA-256 of whatever the toolkit refers to by its content: files, folders, runs, plain data."""

from __future__ import annotations

import hashlib
from pathlib import Path

from offline_trader.errors import DataError
from offline_trader.types import digest

__all__ = ["bytes_sha256", "content_sha256", "file_sha256", "visible_files"]


def bytes_sha256(content: bytes) -> str:
    """SHA-256 (hex) of bytes."""
    return hashlib.sha256(content).hexdigest()


def file_sha256(path: Path) -> str:
    """SHA-256 (hex) of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def visible_files(folder: Path) -> list[str]:
    """Every file in ``folder`` by its path from there, sorted; hidden ones do not count, nor does
    what lies in hidden folders."""
    paths = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    shown = (path for path in paths if not any(part.startswith(".") for part in path.parts))
    return sorted(path.as_posix() for path in shown)


def content_sha256(path: Path) -> str:
    """SHA-256 (hex) of a file, or of the names and bytes of all visible files in a directory.

    Of a run directory (one with ``manifest.json`` and ``checkpoints``) only the configuration,
    the checkpoints and the policy count: manifests, events and reports hold clock times.

    Raises:
        DataError: nothing is at ``path``.
    """
    path = Path(path)
    if path.is_file():
        return file_sha256(path)
    if not path.is_dir():
        raise DataError(f"{path} does not exist")
    names = visible_files(path)
    if (path / "manifest.json").exists() and (path / "checkpoints").is_dir():
        counted = ("config.yaml", "policy.d3")
        names = [each for each in names if each in counted or each.startswith("checkpoints/")]
    return digest({name: file_sha256(path / name) for name in names})
