"""SHA-256 of files, run directories and other directories: what a run's parents were."""

from __future__ import annotations

import hashlib
from pathlib import Path

from offline_trader.errors import DataError
from offline_trader.types import digest

__all__ = ["content_sha256", "file_sha256"]


def file_sha256(path: Path) -> str:
    """SHA-256 (hex) of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def content_sha256(path: Path) -> str:
    """SHA-256 (hex) of a file, or of the names and bytes of all files in a directory.

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
    is_run = (path / "manifest.json").exists() and (path / "checkpoints").is_dir()
    hashes: dict[str, str] = {}
    for file in sorted(path.rglob("*")):
        name = file.relative_to(path).as_posix()
        counts = name in ("config.yaml", "policy.d3") or name.startswith("checkpoints/")
        if is_run and not counts:
            continue
        if file.is_file() and not file.name.startswith("."):
            hashes[name] = file_sha256(file)
    return digest(hashes)
