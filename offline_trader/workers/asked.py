"""What a user asks for by ``--workers``: so many processes here, or a Ray cluster."""

from __future__ import annotations

import os
import re
import socket
from importlib.util import find_spec
from typing import TypeAlias

from offline_trader.errors import ConfigError

__all__ = [
    "LOCAL_CLUSTER",
    "Workers",
    "read_workers",
    "require_answer",
    "usable_cores",
    "usable_workers",
]

Workers: TypeAlias = int | str
"""So many processes on this machine; ``ray``: a Ray cluster of this machine alone, for the length
of the work; ``ray://HOST:PORT`` or ``HOST:PORT``: the cluster that is there."""

LOCAL_CLUSTER = "ray"
_ADDRESS = re.compile(r"(?:ray://)?[^\s:/]+:(\d{1,5})")
_LAST_PORT = 65_535
_EXPECTED = "1 or more, ray, ray://HOST:PORT or HOST:PORT"


def usable_cores() -> int:
    """How many cores this process may use: those it is bound to, where the system says so (Linux),
    otherwise all of the machine."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def read_workers(value: Workers, option: str = "--workers") -> Workers:
    """The number or the cluster that ``value`` means.

    Args:
        value: a number, also as text, or what names a cluster.
        option: what the user wrote it for, in messages.

    Raises:
        ConfigError: it is neither, or Ray is not installed.
    """
    text = str(value).strip()
    if re.fullmatch(r"-?\d{1,9}", text):
        if int(text) < 1:
            raise ConfigError(f"{option} {text}", expected=_EXPECTED)
        return int(text)
    address = _ADDRESS.fullmatch(text)
    port = 0 if address is None else int(address[1])
    if text != LOCAL_CLUSTER and not 0 < port <= _LAST_PORT:
        raise ConfigError(f"{option} {text}", expected=_EXPECTED)
    if find_spec("ray") is None:
        raise ConfigError(
            f"{option} {text}: Ray is not installed",
            hint="pip install 'offline-trader[ray]', or give a number of local processes",
        )
    return text


def usable_workers(value: Workers) -> Workers:
    """As :func:`read_workers`, of a cluster somebody of which answers: for those who write next.

    Raises:
        ConfigError: it is neither number nor cluster, Ray is not installed, or nobody answers.
    """
    workers = read_workers(value)
    if isinstance(workers, str):
        try:
            require_answer(workers)
        except (OSError, ValueError) as error:
            raise ConfigError(
                f"--workers {workers}: no Ray cluster can be joined there: {error}",
                hint="`ray status` on its machine shows whether it runs",
            ) from error
    return workers


def require_answer(address: str) -> None:
    """Nothing, if somebody listens there: Ray itself asks for a minute.

    Raises:
        OSError, ValueError: nobody does, or there is no such name.
    """
    if address == LOCAL_CLUSTER:
        return
    host, _, port = address.removeprefix("ray://").rpartition(":")
    socket.create_connection((host, int(port)), timeout=10).close()
