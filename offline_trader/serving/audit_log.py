"""The audit log: what was seen, decided and let through, in rows whose hashes form a chain.

A row that :meth:`AuditLog.append` returned, or that was staged before :meth:`AuditLog.commit`
returned, is on disk, whatever happens next. Every row's hash covers its content and the hash of the
row before, so a row that is changed, taken out or put in later breaks the chain at its place. Rows
cut off at the end leave a chain that is whole but shorter: keep the last hash elsewhere to see it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any, NamedTuple

from offline_trader.codec import parse_json
from offline_trader.errors import DataError
from offline_trader.hashing import bytes_sha256
from offline_trader.serving.places import open_store
from offline_trader.serving.row_text import json_text
from offline_trader.serving.store import Row, Store

if TYPE_CHECKING:
    from concurrent.futures import Future, ThreadPoolExecutor

__all__ = ["AuditLog", "Commits", "Content", "Entry"]

Content = Mapping[str, Any] | Callable[[], Mapping[str, Any]]
"""A JSON object, or what makes it once its row is written, from what nobody changes any more."""

_FIRST = "0" * 64
_BEGUN_S = 0.01
"""Longest wait for the other thread to take over; it does so in a hundredth of that."""


@dataclass(frozen=True)
class Entry:
    """One row.

    Attributes:
        number: from 1, without gaps.
        kind: what it is of.
        content: a JSON object.
        hash: SHA-256 (hex) of the hash before, number, kind and content.
    """

    number: int
    kind: str
    content: Mapping[str, Any]
    hash: str


class _Staged(NamedTuple):
    """A row that nothing has been computed of yet."""

    log: AuditLog
    number: int
    kind: str
    content: Content


class Commits:
    """What the logs of a store have staged, and its way to the disk. One thread stages.

    Attributes:
        store: that is written.
        failures: batches that were lost.
        lost: why the last of them was.
    """

    def __init__(self, store: Store) -> None:
        self.store = store
        self.failures = 0
        self.lost: BaseException | None = None
        self._staged: list[_Staged] = []
        self._writer: ThreadPoolExecutor | None = None
        self._under_way: Future[None] | None = None

    def add(self, log: AuditLog, number: int, kind: str, content: Content) -> None:
        """To be written with the next batch; the chain is continued then."""
        self._staged.append(_Staged(log, number, kind, content))

    def write(self) -> None:
        """Everything that was staged, in one transaction; returns once it is on disk.

        Raises:
            DataError: it cannot be written, or a batch that :meth:`start` sent off could not;
                nothing of what was staged is on disk, nor will be.
        """
        with self._lost_on_failure():
            self._settle()
            rows = self._taken()
            if rows or self.store.begun:
                self.store.write(rows)

    def start(self, ended: Callable[[], None] | None = None) -> None:
        """As :meth:`write`, but another thread waits for the disk; :meth:`settle` waits for that.

        What is staged meanwhile goes with the next batch, which begins when this one is on disk.
        A store that knows no such wait is written at once, and so is any where no thread is left.

        Args:
            ended: called when the batch is on disk, or lost, in the thread that waited for it.
                None: nobody waits, and while the batch before is on its way nothing is sent off.

        Raises:
            DataError: as :meth:`write`.
        """
        if ended is None and self._under_way is not None and not self._under_way.done():
            return
        with self._lost_on_failure():
            self._settle()
            end = self.store.start(self._taken())
            self._under_way = None if end is None else self._sent(end, ended is None)
        if ended is None:
            return
        if self._under_way is None:
            ended()
        else:
            self._under_way.add_done_callback(lambda _: ended())

    def settle(self) -> None:
        """What :meth:`start` sent off is on disk.

        Raises:
            DataError: it is not, and what was staged since is lost with it.
        """
        with self._lost_on_failure():
            self._settle()

    def close(self) -> None:
        """Nothing is written any more, once what was staged and sent off is on disk.

        Raises:
            DataError: it cannot be written; the store is closed all the same.
        """
        try:
            if self._staged or self._under_way is not None:
                self.write()
        finally:
            if self._writer is not None:
                self._writer.shutdown()
            self.store.close()

    def loss(self) -> DataError:
        """That rows were lost, and why."""
        found, why = f"rows for {self.store.place} were lost", self.lost
        if isinstance(why, DataError):
            return DataError(f"{found}: {why.found}", expected=why.expected, hint=why.hint)
        return DataError(found, expected="a store that can be written")

    def _sent(self, end: Callable[[], None], alone: bool) -> Future[None] | None:
        """The end of a transaction in the other thread. None: there is none, it has ended here.

        Args:
            alone: return once that thread is with the disk: it would take the interpreter from the
                next decision in its midst. A server's loop lets go of it by itself.
        """
        begun = Event()

        def ended() -> None:
            begun.set()
            end()

        try:
            if self._writer is None:
                from concurrent.futures import ThreadPoolExecutor

                self._writer = ThreadPoolExecutor(1, "audit log")
            sent = self._writer.submit(ended)
        except Exception:
            writer, self._writer = self._writer, None
            if writer is not None:  # it would end a later transaction, once it has its thread
                writer.shutdown(wait=False, cancel_futures=True)
            end()
            return None
        if alone:
            begun.wait(_BEGUN_S)
        return sent

    def _settle(self) -> None:
        if self._under_way is not None:
            error = self._under_way.exception()
            self._under_way = None
            if error is not None:
                raise error

    def _taken(self) -> list[Row]:
        staged, self._staged = self._staged, []
        return [each.log.chained(each.number, *each[2:]) for each in staged]

    @contextmanager
    def _lost_on_failure(self) -> Iterator[None]:
        try:
            yield
        except BaseException as error:  # what was staged since continues rows that are not there
            self.failures, self.lost = self.failures + 1, error
            self._staged.clear()
            raise


class AuditLog:
    """The log of one desk in a store.

    Args:
        place: a file, ``postgresql://…``, or the :class:`Commits` of an opened store.
        desk: whose log it is; a store holds several.

    Raises:
        DataError: the store is none, or cannot be opened or made.
    """

    def __init__(self, place: Path | str | Commits, desk: str = "") -> None:
        self.commits = place if isinstance(place, Commits) else Commits(open_store(place))
        self.store, self.desk = self.commits.store, desk
        self.name = f"{self.store.place} ({desk})" if desk else self.store.place
        self._next_number: int | None = None  # of what is staged next
        self._chain = ""  # hash of the last row that was written
        self._failures = self.commits.failures

    def append(self, kind: str, content: Mapping[str, Any]) -> Entry:
        """The row, once it is on disk; another process may have written the one before.

        Raises:
            DataError: it cannot be written (disk full, store gone, another writer that does not
                end); the log is as it was.
        """
        text = json_text(content)
        self.commit()
        row = self.store.append(
            self.desk, lambda number, before: _row(self.desk, number + 1, before, kind, text)
        )
        self.follow(row.number, row.hash)
        return Entry(row.number, kind, content, row.hash)

    def follow(self, number: int, chained: str) -> None:
        """What is staged next comes after this row, or is refused when it is written."""
        self._next_number, self._chain = number + 1, chained

    def stage(self, kind: str, content: Content) -> int:
        """Number of the row, which is on disk once :meth:`commit` returned. One writer a log.

        Args:
            content: a JSON object, which nobody changes any more; or what makes it, which is
                called when the row is written, and not while somebody waits for a decision.

        Raises:
            DataError: the store cannot be read, or a batch was lost, which may have had rows of
                this log in it.
        """
        if self._failures != self.commits.failures:
            self._next_number, self._failures = None, self.commits.failures
            raise self.commits.loss()
        if self._next_number is None:
            self.follow(*self.store.last(self.desk))
        number = self._next_number or 1
        self._next_number = number + 1
        self.commits.add(self, number, kind, content)
        return number

    def chained(self, number: int, kind: str, content: Content) -> Row:
        """The row that continues the chain; each is asked for once, in order."""
        told = content() if callable(content) else content
        row = _row(self.desk, number, self._chain, kind, json_text(told))
        self._chain = row.hash
        return row

    def commit(self) -> None:
        """Write what was staged here and in the other logs of the store.

        Raises:
            DataError: it cannot be written, or another process wrote to one of the logs; none of
                it is on disk, and a row that was staged is lost.
        """
        self.commits.write()

    @property
    def last(self) -> tuple[int, str]:
        """Number and hash of the last row on disk; 0 and zeros where there is none."""
        number, chained = self.store.last(self.desk)
        return number, chained or _FIRST

    def entries(self, *kinds: str, after: int = 0) -> Iterator[Entry]:
        """The rows in order, of these kinds if any are named; hashes are not compared.

        Args:
            after: leave out the rows up to this number.

        Raises:
            DataError: the store cannot be read, or a row is no JSON object.
        """
        for row in self.store.rows(self.desk, after):
            if not kinds or row.kind in kinds:
                yield Entry(row.number, row.kind, self._content(row), row.hash)

    def verify(self) -> tuple[int, str]:
        """Number and hash of the last row, after the whole chain was recomputed.

        Raises:
            DataError: the first row that does not continue the chain.
        """
        expected, before = 0, _FIRST
        for row in self.store.rows(self.desk):
            expected += 1
            found = _hash(before, row.number, row.kind, row.content)
            if row.number != expected or row.hash != found:
                raise DataError(
                    f"{self.name} row {row.number} does not continue row {expected - 1}",
                    expected=f"row {expected} with hash {found[:16]}…, found {row.hash[:16]}…",
                    hint="a row was changed, taken out or put in; compare with a copy",
                )
            before = row.hash
        return expected, before

    def close(self) -> None:
        """No more rows in any log of the store."""
        self.commits.close()

    def _content(self, row: Row) -> Mapping[str, Any]:
        try:
            found = parse_json(row.content)
        except ValueError as error:
            raise DataError(f"{self.name} row {row.number} is not JSON ({error})") from error
        if not isinstance(found, dict):
            raise DataError(f"{self.name} row {row.number} is no JSON object")
        return found


def _row(desk: str, number: int, before: str, kind: str, text: str) -> Row:
    return Row(desk, number, kind, text, _hash(before or _FIRST, number, kind, text))


def _hash(before: str, number: int, kind: str, text: str) -> str:
    return bytes_sha256(f"{before}\n{number}\n{kind}\n{text}".encode())
