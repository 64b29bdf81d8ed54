"""Ctrl-C while a model computes: it ends the model's run, whatever its graph does.

Python runs no signal handler while the main thread is inside onnxruntime, so a graph that never
ends (a ``Loop``) could not be interrupted. The C part of Python's handler does write the signal's
number to a wakeup descriptor at once; a thread that waits for it tells the runs in progress to
stop. A call of a model costs nothing more for it.
"""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Protocol

__all__ = ["RUNNING", "Stoppable", "stop_on_interrupt"]


class Stoppable(Protocol):
    """What can be told to stop: onnxruntime's ``RunOptions``."""

    terminate: bool


RUNNING: set[Stoppable] = set()
"""Runs in progress. A model adds its own before it computes and takes it out afterwards."""


@contextmanager
def stop_on_interrupt() -> Iterator[None]:
    """Inside, SIGINT ends the model runs that are in progress.

    Outside the main thread, where Python hands out no signals, it does nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    reader, writer = socket.socketpair()
    writer.setblocking(False)
    before = signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
    watcher = threading.Thread(target=_watch, args=(reader, before), daemon=True)
    watcher.start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(before)
        writer.close()
        watcher.join()
        reader.close()


def _watch(reader: socket.socket, before: int) -> None:
    """Stops the runs at SIGINT; hands every byte on to the descriptor that was there before."""
    while numbers := reader.recv(64):
        if signal.SIGINT in numbers:
            for run in tuple(RUNNING):
                run.terminate = True
        if before != -1:
            with suppress(OSError):
                os.write(before, numbers)
