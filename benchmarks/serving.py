"""What a decision costs over HTTP, with features, risk gate and durable audit log.

Beside it, in the same alternating rounds and on the same core, a FastAPI and onnxruntime service
that does nothing else (`benchmarks.bare_service`). Each server has one core, the clients have
the others. Then models are swapped under load, and the desk is timed without HTTP.
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
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

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


def phases(
    ours: Peer, bare: Peer, desks: Desks, width: int, rounds: int, seconds: dict[int, float]
) -> dict[tuple[str, int], Load]:
    """What clients met at each server: one client, and all of them, in alternating rounds."""
    rng = np.random.default_rng(0)
    rows = [
        json.dumps({"observation": row}).encode() for row in rng.normal(size=(64, width)).tolist()
    ]
    found: dict[tuple[str, int], Load] = {}
    processes = {"ours": ours.process.pid, "bare": bare.process.pid}
    for _ in range(rounds):
        for clients in (1, CLIENTS):
            asked = {
                "ours": (ours.port, "/v1/decide", [desks.bodies(i) for i in range(clients)]),
                "bare": (bare.port, "/decide", [lambda n: rows[n % 64]] * clients),
            }
            for name, (port, path, bodies) in asked.items():
                before = busy_s(processes[name])
                part = asyncio.run(drive(port, path, bodies, seconds[clients] / rounds))
                whole = found.setdefault((name, clients), Load())
                whole.server_s += busy_s(processes[name]) - before
                whole.seconds += part.seconds
                whole.wall_s += part.wall_s
                whole.errors += part.errors
    return found


def in_process(model: Path, bars: Bars, folder: Path, batch: int) -> list[float]:
    """µs of each decision of a desk whose rows reach the disk in batches, which are not timed."""
    desk = Desk(OnnxPolicy(model), AuditLog(folder / "inside.db"), LIMITS)
    desk.warm_up(bars.slice(0, HISTORY))
    found = []
    gc.collect()
    gc.freeze()  # as the server does
    for i, bar in enumerate(bars.slice(HISTORY, len(bars))):
        begun = time.perf_counter_ns()
        desk.decide(bar)
        found.append((time.perf_counter_ns() - begun) / 1e3)
        if i % batch == batch - 1:
            desk.commit()
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


def http_figures(found: dict[tuple[str, int], Load]) -> list[Figure]:
    """Latency at one client, decisions a second at all of them, beside the bare service."""
    figures = []
    for quantile in (50, 99):
        ours, bare = (
            float(np.percentile(found[name, 1].seconds, quantile)) * 1e3
            for name in ("ours", "bare")
        )
        figures.append(
            Figure(
                f"1 client: p{quantile}", ours, "ms", peer="bare FastAPI + onnxruntime",
                ratio=bare / ours, target=f"≤ {RATIO} × its own", holds=ours <= RATIO * bare,
            )
        )  # fmt: skip
    rates = {
        name: len(found[name, CLIENTS].seconds) / found[name, CLIENTS].wall_s
        for name in ("ours", "bare")
    }
    share = rates["ours"] / rates["bare"]
    figures += [
        Figure(
            f"{CLIENTS} clients: decisions a second", rates["ours"], "1/s",
            peer="bare FastAPI + onnxruntime", ratio=share, target=f"≥ {SHARE:.0%} of its own",
            holds=share >= SHARE,
        ),
        Figure(
            f"{CLIENTS} clients: p99",
            float(np.percentile(found["ours", CLIENTS].seconds, 99)) * 1e3,
            "ms",
        ),
    ]  # fmt: skip
    for (name, clients), load in sorted(found.items()):
        cost = load.server_s / len(load.seconds) * 1e3
        figures.append(Figure(f"{clients} clients: processor time a request, {name}", cost, "ms"))
    errors = sum(len(load.errors) for (name, _), load in found.items() if name == "ours")
    return [*figures, Figure("errors", errors, "", target="0", holds=errors == 0)]


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
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        model = model_file(folder, layout, rules, bars)
        desks, port = Desks(bars, CLIENTS), free_port()
        bare_command = python("-m", "benchmarks.bare_service", model, str(port))
        with (
            started(serve_command(model, folder), cores[0]) as ours,
            started(bare_command, cores[0], port) as bare,
        ):
            asyncio.run(warmed(ours.port, desks))
            seconds = {1: given.seconds / 4.0, CLIENTS: given.seconds}
            found = phases(ours, bare, desks, layout.size, given.rounds, seconds)
        figures = http_figures(found)
        times = in_process(model, bars, folder, given.batch)
        p50, p99 = (float(np.percentile(times, q)) for q in (50, 99))
        figures += [
            Figure("in process: p50", p50, "µs"),
            Figure(
                "in process: p99", p99, "µs", target=f"≤ {IN_PROCESS_US:.0f}",
                holds=p99 <= IN_PROCESS_US,
            ),
        ]  # fmt: skip
        if given.swaps:
            figures += swaps_apart(model, bars, rules, folder, given.swaps)
    facts = vars(given) | {"clients": CLIENTS, "server_cores": 1, "decisions": len(times)}
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
