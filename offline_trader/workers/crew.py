"""What the pool asks of those who work for it: the protocol of its back-ends."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal, Protocol, TypeAlias

__all__ = ["Crew", "Job", "Message", "Report", "Worker"]

Report: TypeAlias = Callable[[float], None]


class Job(Protocol):
    """Something picklable to do; it may call ``report`` with how far it has come."""

    def __call__(self, report: Report, /) -> object:
        """Do it; what it returns goes to the parent."""
        ...


class Worker(Protocol):
    """One that does one job after another."""

    def send(self, job: Job) -> None:
        """Give it a job; what it then says is among the crew's messages."""
        ...


Message: TypeAlias = tuple[
    Worker, Literal["progress", "done", "error", "ended", "lost", "ready"], Any
]
"""Who says what: how far a job is, what it returned, the error that it raised; the process ended
with a code; the machine under it is gone, for the reason told; it can begin."""


class Crew(Protocol):
    """Workers of one kind, made as they are needed."""

    @property
    def size(self) -> int:
        """How many there are at most."""
        ...

    @property
    def forked(self) -> bool:
        """Whether one process imports for all of them."""
        ...

    def wait_for_imports(self) -> None:
        """Returns when that process has imported."""
        ...

    def free(self) -> Worker | None:
        """One with nothing to do; None where one has to be waited for."""
        ...

    def messages(self) -> Sequence[Message]:
        """Waits until somebody says something. Who has done a job is free again; who ended or is
        lost comes back no more."""
        ...

    def interrupt(self) -> None:
        """End what still runs as Ctrl-C would, and wait until it has put its files in order."""
        ...

    def close(self) -> None:
        """Let all go."""
        ...
