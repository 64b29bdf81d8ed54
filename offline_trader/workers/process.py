"""A worker process from the inside: it takes over its parent's state, then does job after job."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import threading
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

__all__ = ["THREAD_SETTINGS", "carried_state", "carry", "end_as_ctrl_c_would", "work"]

THREAD_SETTINGS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
_PATIENCE_SECONDS = 30.0
_CARRIED: list[tuple[Callable[[], Any], Callable[[Any], None]]] = []


def carry(state: Callable[[], Any], restore: Callable[[Any], None]) -> None:
    """Have every worker begin with ``restore(state())``, the state being this process's.

    For what a user said or what was found once, which a new interpreter does not know. Both are
    functions of a module; what ``state`` returns can be pickled.
    """
    _CARRIED.append((state, restore))


def carried_state() -> bytes:
    """What a worker that begins now takes over, for :func:`work`."""
    return pickle.dumps([(restore, state()) for state, restore in _CARRIED])


def end_as_ctrl_c_would(processes: Sequence[BaseProcess]) -> None:
    """Interrupt what still runs and wait; by force only what does not answer."""
    for process in processes:
        if process.is_alive() and process.pid is not None:
            os.kill(process.pid, signal.SIGINT)
    for process in processes:
        process.join(_PATIENCE_SECONDS)
        if process.is_alive():
            process.kill()
            process.join()


def work(pipe: Connection, carried: bytes) -> None:
    """What a worker process does: it takes over :func:`carried_state`, then does its jobs."""
    signal.signal(signal.SIGINT, _interrupt_once)
    if hasattr(signal, "pthread_sigmask"):  # Ray's processes block it, and what they start inherits
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    _end_with_the_parent()
    try:
        try:
            for restore, state in pickle.loads(carried):
                restore(state)
            while True:
                try:
                    job = pipe.recv()
                except EOFError:
                    return
                pipe.send(("done", job(lambda done: pipe.send(("progress", done)))))
        except (KeyboardInterrupt, BrokenPipeError):
            raise
        except Exception as error:
            # What is told must not be cut off, nor the process's end be told by a traceback.
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            pipe.send(("error", error))
    except (KeyboardInterrupt, BrokenPipeError):
        raise SystemExit(130) from None


def _interrupt_once(*_: Any) -> None:
    """Ctrl-C reaches the process from the terminal and from its parent: the second must not
    disturb what the first one set off."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    raise KeyboardInterrupt


def _end_with_the_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
