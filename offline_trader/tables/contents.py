"""Bytes of a file, unpacked within a limit; and every library's exception as one of ours."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, cast

from offline_trader.errors import ConfigError, DataError, OfflineTraderError, visible

__all__ = ["EXPECTED", "LIMIT_VARIABLE", "PACKED", "check_size", "label", "refusals", "unpack"]

EXPECTED = "a CSV (.csv, .tsv or .txt, also .gz, .bz2, .xz or .zip), JSON, Parquet or Feather file"
PACKED = {".gz", ".bz2", ".xz", ".zip"}
LIMIT_VARIABLE = "OFFLINE_TRADER_TABLE_LIMIT_MB"
_LIMIT_MB = 512
_OPENERS: dict[str, Callable[..., Any]] = {
    ".gz": gzip.open,
    ".bz2": bz2.open,
    ".xz": lzma.open,
}
_CHUNK = 1 << 20


def label(path: str | Path) -> str:
    """The path as a message may hold it: what no terminal can show is escaped."""
    text = os.fsencode(path).decode("utf-8", "backslashreplace")
    return visible(text.replace("\n", "\\n"))


@contextmanager
def refusals(source: str, expected: str = EXPECTED) -> Iterator[None]:
    """Turn whatever a reading library raises on a file's content into a DataError that names it.

    Raises:
        DataError: in place of any exception that is not one of ours.
    """
    try:
        yield
    except OfflineTraderError:
        raise
    except MemoryError:
        raise DataError(
            f"{source}: it does not fit into memory", expected="a smaller file"
        ) from None
    # what the libraries raise on damaged files is no closed list: Arrow's own tree, ValueError,
    # KeyError, OverflowError, zlib.error, EOFError, struct.error, …
    except Exception as error:
        text = getattr(error, "strerror", None) or str(error).strip() or type(error).__name__
        reason = str(text).splitlines()[0][:200]
        raise DataError(f"{source}: cannot be read ({reason})", expected=expected) from None


def _limit_bytes() -> int:
    text = os.environ.get(LIMIT_VARIABLE, str(_LIMIT_MB))
    try:
        limit = float(text)
        if not 0.0 < limit < 1e9:
            raise ValueError
    except ValueError:
        raise ConfigError(
            f"{LIMIT_VARIABLE} is {text!r}", expected="a number of megabytes above 0"
        ) from None
    return int(limit * 1e6)


def check_size(source: str, size: int, what: str) -> None:
    """Refuse a table of more bytes than the limit.

    Args:
        source: the file, for the message.
        size: bytes in memory.
        what: what would take them.

    Raises:
        DataError: it is too large; the message names size, limit and how to raise it.
        ConfigError: the limit that the environment gives is no number.
    """
    limit = _limit_bytes()
    if size > limit:
        raise DataError(
            f"{source}: {what} {size / 1e6:,.0f} MB, the limit is {limit / 1e6:,.0f} MB",
            expected=f"at most {limit / 1e6:,.0f} MB once unpacked",
            hint=f"split the file, or raise the limit: {LIMIT_VARIABLE}=4000 (megabytes)",
        )


def unpack(path: Path, source: str) -> bytes:
    """The file's bytes, unpacked; no more than the limit is ever held.

    Raises:
        DataError: unreadable, too large, or an archive of several files.
    """
    ending = path.suffix.lower()
    with refusals(source):
        if ending == ".zip":
            return _from_archive(path, source)
        if ending not in PACKED:
            check_size(source, path.stat().st_size, "it holds")
        with _OPENERS.get(ending, open)(path, "rb") as stream:
            return _read_within_limit(cast(IO[bytes], stream), source)


def _from_archive(path: Path, source: str) -> bytes:
    with zipfile.ZipFile(path) as archive:
        members = [
            each for each in archive.infolist()
            if not each.is_dir() and not each.filename.startswith("__MACOSX/")
        ]  # fmt: skip
        if len(members) != 1:
            raise DataError(
                f"{source}: {len(members)} files in the archive", expected="one CSV file"
            )
        if members[0].flag_bits & 1:
            raise DataError(f"{source}: the archive is locked by a password", expected=EXPECTED)
        check_size(source, members[0].file_size, "unpacked it holds")
        with archive.open(members[0]) as stream:
            return _read_within_limit(stream, source)


def _read_within_limit(stream: IO[bytes], source: str) -> bytes:
    limit = _limit_bytes()
    buffer = io.BytesIO()
    while chunk := stream.read(_CHUNK):
        if buffer.tell() + len(chunk) > limit:
            check_size(source, buffer.tell() + len(chunk), "unpacked it holds more than")
        buffer.write(chunk)
    return buffer.getvalue()
