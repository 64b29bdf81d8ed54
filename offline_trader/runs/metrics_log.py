"""Appending a run's numbers to ``metrics.jsonl`` and to TensorBoard's event files."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from offline_trader.codec import parse_json, to_json

if TYPE_CHECKING:
    from tensorboard.summary.writer.event_file_writer import EventFileWriter

__all__ = ["METRICS", "MetricsLog"]

METRICS = "metrics.jsonl"


class MetricsLog:
    """The metrics of one run directory, on disk as soon as they are logged."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._path = folder / METRICS
        self._events: EventFileWriter | None = None
        # TensorBoard opens no folder whose name is not UTF-8: such a run has its numbers here.
        self._has_events = not any("\ud800" <= each <= "\udfff" for each in str(folder))
        self._first_step: int | None = None

    @property
    def size(self) -> int:
        """Bytes of metrics on disk."""
        return self._path.stat().st_size if self._path.exists() else 0

    def append(self, step: int, values: Mapping[str, float | str]) -> None:
        """Add one row; a value that is not finite is stored as null: JSON has no infinity.

        Texts are not among TensorBoard's numbers.
        """
        texts = {name: value for name, value in values.items() if isinstance(value, str)}
        numbers = {name: float(value) for name, value in values.items() if name not in texts}
        with self._path.open("ab") as file:
            file.write(to_json({"step": step, **numbers, **texts}).encode() + b"\n")
        if numbers:
            self._write_event(step, numbers)

    def rows(self) -> list[dict[str, Any]]:
        """All rows, oldest first; a last line torn by a kill is left out."""
        found: list[dict[str, Any]] = []
        for line in self._path.read_bytes().splitlines() if self._path.exists() else ():
            try:
                found.append(parse_json(line))
            except ValueError:
                break
        return found

    def cut(self, size: int, first_step: int) -> None:
        """Forget the rows after ``size`` bytes; TensorBoard drops its own from ``first_step``."""
        if self._path.exists():
            os.truncate(self._path, min(size, self.size))
        self._first_step = first_step

    def close(self) -> None:
        """Flush and close the event file; a later :meth:`append` opens a new one."""
        if self._events is not None:
            self._events.close()
            self._events = None

    def _write_event(self, step: int, numbers: Mapping[str, float]) -> None:
        if not self._has_events:
            return
        from tensorboard.compat.proto.event_pb2 import Event, SessionLog
        from tensorboard.compat.proto.summary_pb2 import Summary

        if self._events is None:
            from tensorboard.summary.writer.event_file_writer import EventFileWriter

            self._events = EventFileWriter(str(self._folder))
        if self._first_step is not None:
            log = SessionLog(status=SessionLog.START)
            event = Event(wall_time=time.time(), step=self._first_step, session_log=log)
            self._events.add_event(event)
            self._first_step = None
        values = [Summary.Value(tag=k, simple_value=v) for k, v in numbers.items()]
        summary = Summary(value=values)
        self._events.add_event(Event(wall_time=time.time(), step=step, summary=summary))
