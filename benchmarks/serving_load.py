"""The servers of `benchmarks.serving`, and what clients ask them."""

from __future__ import annotations

import asyncio
import json
import os
import socket
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.loopback import HOST, Load, Peer, connected, drive, post, python, started
from benchmarks.session import HISTORY
from offline_trader.markets import Bar, Bars, load_market
from offline_trader.serving import RiskLimits

__all__ = [
    "BARE", "BARE_DURABLE", "CLIENTS", "IN_MEMORY", "LIMITS", "OURS", "Asked", "Desks",
    "bare_server", "market", "our_server", "phases", "serve_command", "warmed",
]  # fmt: skip

CLIENTS = 32
OURS, IN_MEMORY, BARE = "ours", "ours, log in memory", "bare"
BARE_DURABLE = "bare, synchronised"
LIMITS = RiskLimits(max_price_age_s=1e12, max_orders_per_day=1e9, max_drawdown=1.0)
SETTINGS = {
    "limits.max_price_age_s": LIMITS.max_price_age_s,
    "limits.max_orders_per_day": LIMITS.max_orders_per_day,
    "limits.max_drawdown": LIMITS.max_drawdown,
    "server.requests_per_second": 1e9,
}


def body_of(bar: Bar, hours: int) -> dict[str, Any]:
    """The bar as the server takes it, so many hours after the first one of all."""
    moment = np.datetime64("2020-01-01T00:00:00") + np.timedelta64(hours, "h")
    fields = {name: getattr(bar, name) for name in ("open", "high", "low", "close", "volume")}
    return {"time": f"{moment}Z", **fields}


def market(bars: int) -> Bars:
    """Hourly bars that revert, so that a policy keeps trading; the last close meets the first."""
    return load_market(f"synthetic:ou?bars={bars}&seed=7")


class Desks:
    """One instrument a client, each fed one bar after the other, whatever phase asks."""

    def __init__(self, bars: Bars, count: int) -> None:
        self._bars, self._next = list(bars), [HISTORY] * count

    def history(self) -> list[dict[str, Any]]:
        """Of the warm-up."""
        return [body_of(bar, i) for i, bar in enumerate(self._bars[:HISTORY])]

    def bodies(self, client: int) -> Callable[[int], bytes]:
        """The next bar of a client as a request."""

        def body(number: int) -> bytes:
            i = self._next[client]
            self._next[client] += 1
            bar = self._bars[HISTORY + (i - HISTORY) % (len(self._bars) - HISTORY)]
            return json.dumps({"instrument": f"I{client}", "bars": [body_of(bar, i)]}).encode()

        return body


def serve_command(model: Path, folder: Path, models: Path | None = None) -> list[str]:
    """Our server with an instrument a client."""
    words: list[str] = []
    for client in range(CLIENTS):
        words += ["--instrument", f"I{client}"]
    for name, value in SETTINGS.items():
        words += ["--set", f"{name}={value}"]
    if models is not None:
        words += ["--models", str(models)]
    return python(
        "-m", "offline_trader.cli.main", "serve", model, *words, "--port", "0",
        "--logs", folder,
    )  # fmt: skip


async def warmed(port: int, desks: Desks) -> None:
    """Show every instrument the history."""
    connection = await connected(port)
    history = desks.history()
    for client in range(CLIENTS):
        body = json.dumps({"instrument": f"I{client}", "bars": history}).encode()
        status, answer = await post(connection, "/v1/warm-up", body)
        assert status == 200, answer
    connection[1].close()


def busy_s(process: int) -> float:
    """Processor time of a process, with the kernel's for it."""
    told = Path(f"/proc/{process}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(told[11]) + int(told[12])) / os.sysconf("SC_CLK_TCK")


def free_port() -> int:
    """One that nobody listens on."""
    with socket.socket() as place:
        place.bind((HOST, 0))
        found: int = place.getsockname()[1]
    return found


@dataclass(frozen=True)
class Asked:
    """A server, and what clients ask it.

    Attributes:
        peer: that runs.
        path: of the requests.
        bodies: of a client, by the number of its request.
    """

    peer: Peer
    path: str
    bodies: Callable[[int], Callable[[int], bytes]]


def our_server(model: Path, folder: Path, bars: Bars, core: int, held: ExitStack) -> Asked:
    """Ours, warmed up, with its log in ``folder``."""
    peer = held.enter_context(started(serve_command(model, folder), core))
    desks = Desks(bars, CLIENTS)
    asyncio.run(warmed(peer.port, desks))
    return Asked(peer, "/v1/decide", desks.bodies)


def bare_server(
    model: Path, width: int, core: int, held: ExitStack, durable: Path | None = None
) -> Asked:
    """The peer that only asks the model, and writes to the file ``durable`` where there is one."""
    port = free_port()
    files = [] if durable is None else [durable]
    command = python("-m", "benchmarks.bare_service", model, str(port), *files)
    rng = np.random.default_rng(0)
    rows = [
        json.dumps({"observation": row}).encode() for row in rng.normal(size=(64, width)).tolist()
    ]
    peer = held.enter_context(started(command, core, port))
    return Asked(peer, "/decide", lambda client: lambda number: rows[number % 64])


def phases(
    servers: Mapping[str, Asked],
    rounds: int,
    seconds: Mapping[int, float],
    disk: Callable[[], None],
) -> dict[tuple[str, int], Load]:
    """What clients met at each server: one client, and all of them, in alternating rounds.

    :data:`BARE_DURABLE` is asked by one client alone: many would share no synchronisation there.

    Args:
        servers: by name.
        rounds: of each.
        seconds: of all rounds, by the number of clients.
        disk: done before each round.
    """
    found: dict[tuple[str, int], Load] = {}
    for _ in range(rounds):
        disk()
        for clients in seconds:
            for name, asked in servers.items():
                if name == BARE_DURABLE and clients > 1:
                    continue
                process = asked.peer.process.pid
                bodies = [asked.bodies(i) for i in range(clients)]
                before = busy_s(process)
                part = asyncio.run(
                    drive(asked.peer.port, asked.path, bodies, seconds[clients] / rounds)
                )
                whole = found.setdefault((name, clients), Load())
                whole.server_s += busy_s(process) - before
                whole.seconds += part.seconds
                whole.wall_s += part.wall_s
                whole.errors += part.errors
    return found
