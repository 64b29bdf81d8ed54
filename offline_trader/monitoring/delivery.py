"""Delivery: each channel has a thread that tries until an alert is there, or is given up.

Nothing that decides waits for it: :meth:`Delivery.send` puts an alert into a queue, and
:meth:`Delivery.outcomes` says later what became of it.
"""

from __future__ import annotations

import queue
import threading
import time
from dataclasses import dataclass

from offline_trader.monitoring.channels import Channel, Message

__all__ = ["Delivery", "Outcome"]

_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 1.0, 300.0
_WAITING = 10_000
"""Alerts that a channel keeps; more are given up at once."""


@dataclass(frozen=True)
class Outcome:
    """What became of an alert on a channel.

    Attributes:
        message: the alert.
        row: of the audit log that it is in; 0: it could not be written there.
        channel: its name.
        reason: why it was given up; empty: it was delivered.
        tries: how often it was sent.
    """

    message: Message
    row: int
    channel: str
    reason: str
    tries: int


class Delivery:
    """The threads of the channels.

    Args:
        channels: where to.
        first_pause_s: before the second try; each pause is twice the one before, up to 5 minutes.
    """

    def __init__(self, channels: list[Channel], *, first_pause_s: float = _FIRST_PAUSE_S) -> None:
        self._first_pause_s = first_pause_s
        self._done: queue.SimpleQueue[Outcome] = queue.SimpleQueue()
        self._ended = threading.Event()
        self._lines: list[tuple[Channel, queue.Queue[tuple[Message, int]]]] = [
            (channel, queue.Queue(_WAITING)) for channel in channels
        ]
        self._threads = [
            threading.Thread(
                target=self._work, args=line, daemon=True, name=f"alerts {line[0].settings.name}"
            )
            for line in self._lines
        ]
        for thread in self._threads:
            thread.start()

    @property
    def channels(self) -> list[Channel]:
        """Where to."""
        return [channel for channel, _ in self._lines]

    @property
    def waiting(self) -> int:
        """Alerts that are not under way yet."""
        return sum(line.qsize() for _, line in self._lines)

    def send(self, message: Message, row: int, *, only: str | None = None) -> None:
        """Put an alert into the queues of the channels that want it; returns at once.

        Args:
            message: the alert.
            row: of the audit log.
            only: the name of the one channel that it is for.
        """
        for channel, line in self._lines:
            name = channel.settings.name
            if channel.wants(message.severity) and only in (None, name):
                try:
                    line.put_nowait((message, row))
                except queue.Full:
                    self._done.put(Outcome(message, row, name, "too many alerts wait", 0))

    def outcomes(self) -> list[Outcome]:
        """What has become of alerts since the last call."""
        found = []
        while True:
            try:
                found.append(self._done.get_nowait())
            except queue.Empty:
                return found

    def close(self, wait_s: float = 5.0) -> None:
        """Let what is under way be tried once more, for ``wait_s`` seconds at most."""
        self._ended.set()
        until = time.monotonic() + wait_s
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))

    def _work(self, channel: Channel, line: queue.Queue[tuple[Message, int]]) -> None:
        while True:
            try:
                message, row = line.get(timeout=0.2)
            except queue.Empty:
                if self._ended.is_set():
                    return
                continue
            outcome = self._try(channel, message, row)
            if outcome is not None:
                self._done.put(outcome)

    def _try(self, channel: Channel, message: Message, row: int) -> Outcome | None:
        """What became of it; None: the server ends, and the next one tries again."""
        begun, pause, tries = time.monotonic(), self._first_pause_s, 0
        name = channel.settings.name
        while True:
            tries += 1
            reason = channel.send(message)
            if not reason or time.monotonic() - begun + pause > channel.settings.give_up_s:
                return Outcome(message, row, name, reason, tries)
            if self._ended.wait(pause):
                return None
            pause = min(2.0 * pause, _LONGEST_PAUSE_S)
