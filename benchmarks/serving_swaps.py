"""Models swapped under load: no request is lost, and every answer is one model's."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

from benchmarks.loopback import Load, connected, drive, post, started
from benchmarks.record import Figure
from benchmarks.serving_load import CLIENTS, Desks, serve_command, warmed
from benchmarks.session import model_file
from offline_trader.export import OnnxPolicy
from offline_trader.features import compute_features
from offline_trader.markets import Bars
from offline_trader.serving import AuditLog, replay
from offline_trader.simulator import SimulatorConfig

__all__ = ["swaps_apart"]


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


def swaps_apart(
    model: Path, bars: Bars, rules: SimulatorConfig, folder: Path, swaps: int
) -> list[Figure]:
    """:func:`swap_figures` with a second model, and a store of its own."""
    apart = folder / "swaps"
    (apart / "models").mkdir(parents=True)
    layout = compute_features(bars).schema.layout
    other = model_file(apart / "models", layout, rules, bars, seed=1)
    return swap_figures(model, other, bars, apart, swaps)
