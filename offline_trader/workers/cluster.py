"""Workers on the machines of a Ray cluster, of this machine's own for the length of the work or of
one that is joined.

Jobs, results and what workers take over are pickled: a cluster is trusted as this machine is.
"""

from __future__ import annotations

import logging
import os
import pickle
import signal
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing.reduction import ForkingPickler
from pathlib import Path
from typing import Any

from offline_trader.errors import ConfigError
from offline_trader.workers.asked import LOCAL_CLUSTER, require_answer, usable_cores
from offline_trader.workers.crew import Job, Message
from offline_trader.workers.process import THREAD_SETTINGS, carried_state
from offline_trader.workers.station import Orders, Station

__all__ = ["Cluster", "joined"]

_STORE_BYTES = 100 << 20
"""For messages; results lie in files."""
_PATIENCE_SECONDS = 35.0
"""A little more than a station gives its process."""
_SETTLING_SECONDS = 3.0
"""Until what ran on a lost machine has noticed, and writes no more."""


@dataclass(eq=False)
class _Worker:
    actor: Any
    ready: Any
    listening: Any = field(default=None, init=False)

    def send(self, job: Job) -> None:
        """Give it a job."""
        self.listening = self.actor.work.remote(bytes(ForkingPickler.dumps(job)))


class Cluster:
    """A crew on a Ray cluster: as many workers as it has cores for.

    Args:
        address: ``ray``, ``ray://HOST:PORT`` or ``HOST:PORT``. Where this process has joined a
            cluster already, it is that.
        folder: where jobs write, which all machines must see; None: nowhere.
        cores: that each job uses.

    Raises:
        ConfigError: it cannot be reached, or has too few cores.
    """

    forked = False

    def __init__(self, address: str, folder: Path | None, cores: int = 1) -> None:
        self._left = False
        self._joining = joined(address)
        self._ray = self._joining.__enter__()
        self._token = None if folder is None else _token(folder)
        self._cores = cores
        self._beginning: list[_Worker] = []
        self._idle: list[_Worker] = []
        self._busy: list[_Worker] = []
        there = self._ray.cluster_resources().get("CPU", 0.0)
        self.size = int(there // cores)
        if self.size < 1:
            self.close()
            raise ConfigError(f"--workers {address}: it has {there:g} cores", expected=f"{cores}")

    def wait_for_imports(self) -> None:
        """At once: every worker imports for itself."""

    def free(self) -> _Worker | None:
        """One with nothing to do; where there is none, one more begins, if there is room."""
        if self._idle:
            worker = self._idle.pop()
            self._busy.append(worker)
            return worker
        if len(self._busy) + len(self._beginning) < self.size:
            self._beginning.append(self._begun())
        return None

    def messages(self) -> Sequence[Message]:
        """What somebody says next."""
        listened = {each.listening: each for each in self._busy}
        listened |= {each.ready: each for each in self._beginning}
        refs, _ = self._ray.wait(list(listened), num_returns=1)
        return [self._message(listened[ref], ref) for ref in refs]

    def interrupt(self) -> None:
        """As Ctrl-C would; those that are lost do not answer."""
        told = [each.actor.interrupt.remote() for each in (*self._idle, *self._busy)]
        if told:
            self._ray.wait(told, num_returns=len(told), timeout=_PATIENCE_SECONDS)

    def close(self) -> None:
        """Let the workers go, and the cluster, if this process had not joined it before."""
        if self._left:
            return
        self._left = True
        for each in (*self._beginning, *self._idle, *self._busy):
            with suppress(Exception):  # a lost one
                self._ray.kill(each.actor)
        if self._token is not None:
            self._token.unlink(missing_ok=True)
        self._joining.__exit__(None, None, None)

    def _message(self, worker: _Worker, ref: Any) -> Message:
        try:
            value = self._ray.get(ref)
        except self._ray.exceptions.RayActorError as error:
            for group in (self._beginning, self._busy):
                if worker in group:
                    group.remove(worker)
            time.sleep(_SETTLING_SECONDS)
            return worker, "lost", str(error).strip().splitlines()[0]
        if worker in self._beginning:
            self._beginning.remove(worker)
            if value is not None:
                refusal = ConfigError(
                    f"a machine of the cluster cannot work with this one: {value}",
                    hint="one version of offline-trader, and one folder on all machines",
                )
                return worker, "error", refusal
            self._idle.append(worker)
            return worker, "ready", None
        if not isinstance(value, bytes):
            self._busy.remove(worker)
            return worker, "ended", value
        kind, told = pickle.loads(value)
        if kind == "done":
            self._busy.remove(worker)
            self._idle.append(worker)
        else:
            worker.listening = worker.actor.listen.remote()
        return worker, kind, told

    def _begun(self) -> _Worker:
        environment = {n: os.environ[n] for n in THREAD_SETTINGS if n in os.environ}
        orders = Orders(Path.cwd(), self._token, environment, tuple(sys.path), carried_state())
        made = self._ray.remote(num_cpus=self._cores, max_concurrency=2, max_restarts=0)(Station)
        actor = made.remote()
        return _Worker(actor, actor.begin.remote(orders))


@contextmanager
def joined(address: str) -> Iterator[Any]:
    """Inside, this process belongs to the cluster; gives the module ``ray``.

    Usage statistics are not sent, and no dashboard is started.

    Raises:
        ConfigError: it cannot be reached.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    import ray

    if ray.is_initialized():
        yield ray
        return
    own: dict[str, Any] = {"address": address}
    if address == LOCAL_CLUSTER:
        own = {
            "address": "local",
            "num_cpus": usable_cores(),
            "object_store_memory": _STORE_BYTES,
            "include_dashboard": False,
        }
    before = _handlers()
    try:
        require_answer(address)
        if address.startswith("ray://"):
            _show_token()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # the error says it, too
            ray.init(**own, log_to_driver=False, logging_level=logging.ERROR)
    except (ImportError, RuntimeError, OSError, ValueError) as error:
        ray.shutdown()
        raise ConfigError(
            f"--workers {address}: no Ray cluster can be joined there: {error}".splitlines()[0],
            hint="`ray status` on its machine shows whether it runs; Python and Ray must be of the "
            "same versions; where it asks for a token, RAY_AUTH_TOKEN_PATH names the file with it",
        ) from error
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    try:
        yield ray
    finally:
        ray.shutdown()


def _show_token() -> None:
    """Have this machine's token, if it has one, shown to a cluster that asks for it.

    ``ray start`` makes a cluster ask as soon as its machine has one. Whoever belongs to it then
    shows his by himself, but Ray's client does not.
    """
    logging.getLogger("ray").setLevel(logging.ERROR)
    with suppress(ImportError, AttributeError, TypeError):  # a version that knows no such tokens
        from ray._private.authentication import authentication_token_setup as setup

        setup.maybe_enable_token_auth_if_token_available(warn_if_disabled=False)


def _handlers() -> dict[int, Any]:
    """The handlers of signals that Ray puts its own in the place of."""
    if threading.current_thread() is not threading.main_thread():
        return {}
    return {signal.SIGTERM: signal.getsignal(signal.SIGTERM)}


def _token(folder: Path) -> Path:
    """A file in ``folder`` by which another machine's process knows that it is the same."""
    folder.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=".seen-by-workers-", dir=folder.resolve())
    os.close(handle)
    return Path(name)
