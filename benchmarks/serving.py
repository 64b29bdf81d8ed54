"""What a decision costs over HTTP, with features, risk gate and durable audit log.

Beside it, in the same alternating rounds and on the same core, a FastAPI and onnxruntime service
that does nothing else (`benchmarks.bare_service`); and, to tell what the disk takes, our server
with its log in memory, and plain synchronisations of a file on the same disk. Each server has one
core, the clients have the others. Then models are swapped under load, and the desk is timed
without HTTP, on all cores.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import socket
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.disk_sync import COMMIT_BYTES, synchronised
from benchmarks.loopback import HOST, Load, Peer, connected, drive, post, python, started
from benchmarks.record import Figure, publish
from benchmarks.session import HISTORY, model_file
from offline_trader.export import OnnxPolicy
from offline_trader.features import compute_features
from offline_trader.markets import Bar, Bars, load_market
from offline_trader.serving import AuditLog, Desk, RiskLimits, replay
from offline_trader.simulator import SimulatorConfig

RATIO, SHARE, IN_PROCESS_US = 1.5, 0.6, 150.0
CLIENTS = 32
OURS, IN_MEMORY, BARE = "ours", "ours, log in memory", "bare"
MEMORY = Path("/dev/shm")
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


def bare_server(model: Path, width: int, core: int, held: ExitStack) -> Asked:
    """The peer that only asks the model."""
    port = free_port()
    command = python("-m", "benchmarks.bare_service", model, str(port))
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


def in_process(model: Path, bars: Bars, store: Path, batch: int, *, wait: bool) -> list[float]:
    """µs of each decision of a desk whose rows reach the disk in batches.

    Args:
        store: of its log.
        batch: decisions.
        wait: for the disk after each batch, which is not timed, in the place of going on meanwhile.
    """
    desk = Desk(OnnxPolicy(model), AuditLog(store), LIMITS)
    desk.warm_up(bars.slice(0, HISTORY))
    found = []
    gc.collect()
    gc.freeze()  # as the server does
    for i, bar in enumerate(bars.slice(HISTORY, len(bars))):
        begun = time.perf_counter_ns()
        desk.decide(bar)
        found.append((time.perf_counter_ns() - begun) / 1e3)
        if i % batch == batch - 1:
            desk.commit() if wait else desk.start_commit()
    desk.commit()
    desk.log.close()
    return found


async def swapped(port: int, desks: Desks, hashes: list[str], swaps: int) -> tuple[Load, set[str]]:
    """Eight clients ask while the model of the first one is swapped; errors, and who answered."""
    answered: set[str] = set()
    problems: list[str] = []

    def seen(client: int, content: bytes) -> None:
        told = json.loads(content)
        names = {told["model_sha256"], *(each["model_sha256"] for each in told["answers"])}
        if len(names) != 1:
            problems.append(f"{len(names)} models in one answer")
        if client == 0:
            answered.update(names)

    done = asyncio.Event()

    async def swap() -> None:
        connection = await connected(port)
        for i in range(swaps):
            body = {"instrument": "I0", "model_sha256": hashes[i % 2], "reason": "benchmark"}
            status, answer = await post(connection, "/v1/models/swap", json.dumps(body).encode())
            if status != 200:
                problems.append(f"swap: {status} {answer[:200]!r}")
        done.set()
        connection[1].close()

    loads: list[Load] = []

    async def ask() -> None:
        while not done.is_set():
            bodies = [desks.bodies(i) for i in range(8)]
            loads.append(await drive(port, "/v1/decide", bodies, 0.5, seen))

    await asyncio.gather(swap(), ask())
    whole = Load(errors=problems)
    for each in loads:
        whole.seconds += each.seconds
        whole.errors += each.errors
    return whole, answered


def http_figures(found: Mapping[tuple[str, int], Load]) -> list[Figure]:
    """Latency at one client, decisions a second at all of them, beside the bare service."""
    figures, peer = [], "bare FastAPI + onnxruntime"
    for quantile in (50, 99):
        at = {
            name: float(np.percentile(load.seconds, quantile)) * 1e3
            for (name, clients), load in found.items()
            if clients == 1
        }
        ours, bare = at[OURS], at[BARE]
        figures.append(
            Figure(
                f"1 client: p{quantile}", ours, "ms", peer=peer, ratio=bare / ours,
                target=f"≤ {RATIO} × its own", holds=ours <= RATIO * bare,
            )
        )  # fmt: skip
        if IN_MEMORY in at:
            memory = at[IN_MEMORY]
            name = f"1 client, log in memory: p{quantile}"
            figures.append(Figure(name, memory, "ms", peer=peer, ratio=bare / memory))
    rates = {
        name: len(load.seconds) / load.wall_s
        for (name, clients), load in found.items()
        if clients == CLIENTS
    }
    share = rates[OURS] / rates[BARE]
    figures.append(
        Figure(
            f"{CLIENTS} clients: decisions a second", rates[OURS], "1/s", peer=peer, ratio=share,
            target=f"≥ {SHARE:.0%} of its own", holds=share >= SHARE,
        )
    )  # fmt: skip
    if IN_MEMORY in rates:
        rate = rates[IN_MEMORY]
        name = f"{CLIENTS} clients, log in memory: decisions a second"
        figures.append(Figure(name, rate, "1/s", peer=peer, ratio=rate / rates[BARE]))
    latest = float(np.percentile(found[OURS, CLIENTS].seconds, 99)) * 1e3
    figures.append(Figure(f"{CLIENTS} clients: p99", latest, "ms"))
    for (name, clients), load in sorted(found.items()):
        cost = load.server_s / len(load.seconds) * 1e3
        figures.append(Figure(f"{clients} clients: processor time a request, {name}", cost, "ms"))
    errors = sum(len(load.errors) for (name, _), load in found.items() if name != BARE)
    return [*figures, Figure("errors", errors, "", target="0", holds=errors == 0)]


def disk_figures(found: list[float]) -> list[Figure]:
    """What the disk takes by itself."""
    name = f"fdatasync of {COMMIT_BYTES:,} bytes"
    return [Figure(f"{name}: p{q}", float(np.percentile(found, q)), "ms") for q in (50, 99)]


def desk_figures(model: Path, bars: Bars, folder: Path, batch: int) -> list[Figure]:
    """A decision without HTTP, while the disk works and after waiting for it."""
    figures = []
    for name, wait in (("in process", False), ("in process, after waiting for the disk", True)):
        times = in_process(model, bars, folder / f"inside{wait:d}.db", batch, wait=wait)
        p50, p99 = (float(np.percentile(times, q)) for q in (50, 99))
        strict = {} if wait else {"target": f"≤ {IN_PROCESS_US:.0f}", "holds": p99 <= IN_PROCESS_US}
        figures += [
            Figure(f"{name}: p50", p50, "µs"),
            Figure(f"{name}: p99", p99, "µs", **strict),
        ]
    return figures


def swap_figures(model: Path, other: Path, bars: Bars, folder: Path, swaps: int) -> list[Figure]:
    """Swaps under load; then every decision has to be that of the model that it names."""
    desks = Desks(bars, CLIENTS)
    hashes = [OnnxPolicy(each).file.sha256 for each in (other, model)]
    with started(serve_command(model, folder, other.parent), None) as ours:
        asyncio.run(warmed(ours.port, desks))

        async def load() -> None:
            connection = await connected(ours.port)
            body = json.dumps({"file": other.name}).encode()
            status, answer = await post(connection, "/v1/models/load", body)
            assert status == 200, answer

        asyncio.run(load())
        found, answered = asyncio.run(swapped(ours.port, desks, hashes, swaps))
    log = AuditLog(folder / "audit.db", "I0")
    decisions = replay([OnnxPolicy(model), OnnxPolicy(other)], log)
    assert sum(1 for _ in log.entries("swapped")) == swaps
    assert answered == set(hashes)
    return [
        Figure("hot swaps under load", swaps, ""),
        Figure("hot swaps: errors", len(found.errors), "", target="0", holds=not found.errors),
        Figure("hot swaps: decisions replayed to the bit by the one model each", decisions, ""),
    ]


def main() -> None:
    """Measure and publish."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="of all clients, in all")
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--swaps", type=int, default=1_000)
    parser.add_argument("--batch", type=int, default=CLIENTS)
    given = parser.parse_args()
    torch.set_num_threads(1)
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, cores[1:] or cores)  # the first one is the servers'
    bars, rules = market(HISTORY + 4_000), SimulatorConfig(action_mode="target_long")
    layout = compute_features(bars).schema.layout
    with tempfile.TemporaryDirectory() as place, ExitStack() as memory:
        folder = Path(place)
        model = model_file(folder, layout, rules, bars)
        with ExitStack() as held:
            servers = {OURS: our_server(model, folder, bars, cores[0], held)}
            if MEMORY.is_dir():
                apart = memory.enter_context(tempfile.TemporaryDirectory(dir=MEMORY))
                servers[IN_MEMORY] = our_server(model, Path(apart), bars, cores[0], held)
            servers[BARE] = bare_server(model, layout.size, cores[0], held)
            seconds = {1: given.seconds / 4.0, CLIENTS: given.seconds}
            synced: list[float] = []
            found = phases(
                servers, given.rounds, seconds, lambda: synced.extend(synchronised(folder))
            )
        os.sched_setaffinity(0, cores)
        figures = [
            *http_figures(found),
            *disk_figures(synced),
            *desk_figures(model, bars, folder, given.batch),
        ]
        if given.swaps:
            figures += swaps_apart(model, bars, rules, folder, given.swaps)
    facts = vars(given) | {"clients": CLIENTS, "server_cores": 1, "decisions": len(bars) - HISTORY}
    publish("serving", figures, seeds=[0, 7], facts=facts)


def swaps_apart(
    model: Path, bars: Bars, rules: SimulatorConfig, folder: Path, swaps: int
) -> list[Figure]:
    """:func:`swap_figures` with a second model, and a store of its own."""
    apart = folder / "swaps"
    (apart / "models").mkdir(parents=True)
    layout = compute_features(bars).schema.layout
    other = model_file(apart / "models", layout, rules, bars, seed=1)
    return swap_figures(model, other, bars, apart, swaps)


if __name__ == "__main__":
    main()
