"""Checksums of a dataset's files: numbers that changed on disk are noticed when they are read.

``SHA256SUMS`` lies in the dataset's ``data`` folder, in the form that ``sha256sum --check`` reads.
It tells damage, not intent: whoever changes the data on purpose can write the sums anew.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from offline_trader.errors import DataError
from offline_trader.hashing import bytes_sha256, file_sha256, visible_files
from offline_trader.runs import atomic_write

__all__ = ["SUMS_FILE", "check_bytes", "check_file", "check_folder", "mismatch", "read", "write"]

SUMS_FILE = "SHA256SUMS"
_LINE = re.compile(r"([0-9a-f]{64})  (\S.*)")


def write(folder: Path) -> None:
    """Write the checksums of every file in ``folder`` beside them; hidden files do not count."""
    lines = [f"{file_sha256(folder / name)}  {name}\n" for name in _names(folder)]
    atomic_write(folder / SUMS_FILE, "".join(lines).encode())


def read(folder: Path) -> dict[str, str] | None:
    """SHA-256 by name of file; None where a dataset has no checksums.

    Raises:
        DataError: the checksums themselves cannot be read.
    """
    file = folder / SUMS_FILE
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise DataError(f"{file} cannot be read: {error}", hint=_HINT) from error
    found = [_LINE.fullmatch(line) for line in lines]
    sums = {match[2]: match[1] for match in found if match}
    if not sums or len(sums) != len(lines):
        raise DataError(
            f"{file} is damaged", expected="a SHA-256 and a name of a file on each line", hint=_HINT
        )
    return sums


def check_bytes(file: Path, content: bytes, sums: Mapping[str, str]) -> None:
    """Raise :class:`DataError` unless ``content`` is what ``file`` held when it was written."""
    if bytes_sha256(content) != sums.get(file.name):
        raise mismatch(file)


def check_file(file: Path, sums: Mapping[str, str]) -> None:
    """Raise :class:`DataError` unless ``file`` holds what it held when it was written."""
    if _sum(file) != sums.get(file.name):
        raise mismatch(file)


def check_folder(folder: Path, sums: Mapping[str, str]) -> None:
    """Raise :class:`DataError` unless ``folder`` holds the files it held, none more or less."""
    names = _names(folder)
    for name in sorted(set(names) ^ set(sums)) or names:
        if name not in sums or _sum(folder / name) != sums[name]:
            raise mismatch(folder / name)


def mismatch(file: Path) -> DataError:
    """The error of a file that is not what it was."""
    return DataError(
        f"{file} is not what was written: its checksum differs from that in {SUMS_FILE}",
        expected="the bytes that the dataset was published with",
        hint=_HINT,
    )


_HINT = (
    "collect it again or restore it from a copy; if it was changed on purpose, "
    "offline-trader datasets seal ID takes it as it is"
)


def _names(folder: Path) -> list[str]:
    return [name for name in visible_files(folder) if name != SUMS_FILE]


def _sum(file: Path) -> str:
    try:
        return file_sha256(file)
    except OSError as error:
        raise DataError(f"{file} cannot be read: {error.strerror}", hint=_HINT) from error
