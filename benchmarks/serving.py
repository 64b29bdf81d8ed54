"""What a decision costs over HTTP, with features, risk gate and durable audit log.

Beside it, in the same alternating rounds and on the same core, a FastAPI and onnxruntime service
that does nothing else (`benchmarks.bare_service`); and, to tell what the disk takes, our server
with its log in memory, the bare service with one synchronisation before each answer, which is the
least that a durable answer can take, and plain synchronisations of a file on the same disk. Each
server has one core, the clients have the others. Then models are swapped under load, and the desk
is timed without HTTP, on all cores.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import torch

from benchmarks.disk_sync import COMMIT_BYTES, synchronised
from benchmarks.loopback import Load
from benchmarks.record import Figure, publish
from benchmarks.serving_load import (
    BARE,
    BARE_DURABLE,
    CLIENTS,
    IN_MEMORY,
    LIMITS,
    OURS,
    bare_server,
    market,
    our_server,
    phases,
)
from benchmarks.serving_swaps import swaps_apart
from benchmarks.session import HISTORY, model_file, timed
from offline_trader.export import OnnxPolicy
from offline_trader.features import compute_features
from offline_trader.markets import Bar, Bars
from offline_trader.serving import AuditLog, Desk
from offline_trader.serving.http_server import collect_seldom
from offline_trader.simulator import SimulatorConfig

MEMORY = Path("/dev/shm")
RATIO, SHARE, IN_PROCESS_US = 1.5, 0.6, 150.0
LOOP = 1_300
"""Turns of the plain loop."""


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
    collect_seldom()  # as the server does
    for i, bar in enumerate(bars.slice(HISTORY, len(bars))):
        begun = time.perf_counter_ns()
        desk.decide(bar)
        found.append((time.perf_counter_ns() - begun) / 1e3)
        if i % batch == batch - 1:
            desk.commit() if wait else desk.start_commit()
    desk.commit()
    desk.log.close()
    return found


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
        if BARE_DURABLE in at:
            floor = at[BARE_DURABLE]
            figures += [
                Figure(f"1 client, bare, synchronised: p{quantile}", floor, "ms", peer=peer,
                       ratio=bare / floor),
                Figure(f"1 client: p{quantile} ÷ that of bare, synchronised", ours / floor, ""),
            ]  # fmt: skip
        if IN_MEMORY in at:
            memory = at[IN_MEMORY]
            figures.append(
                Figure(
                    f"1 client, log in memory: p{quantile}", memory, "ms", peer=peer,
                    ratio=bare / memory, target=f"≤ {RATIO} × its own",
                    holds=memory <= RATIO * bare,
                )
            )  # fmt: skip
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
    errors = sum(
        len(load.errors) for (name, _), load in found.items() if name not in (BARE, BARE_DURABLE)
    )
    return [*figures, Figure("errors", errors, "", target="0", holds=errors == 0)]


def disk_figures(found: list[float]) -> list[Figure]:
    """What the disk takes by itself."""
    name = f"fdatasync of {COMMIT_BYTES:,} bytes"
    return [Figure(f"{name}: p{q}", float(np.percentile(found, q)), "ms") for q in (50, 99)]


def desk_figures(model: Path, bars: Bars, folder: Path, batch: int, repeats: int) -> list[Figure]:
    """A decision without HTTP, while the disk works and after waiting for it.

    Beside it a plain loop of about its length, for what the machine does to anything; and each
    decision's least time of all rounds, which is what the desk itself takes at it, first
    decisions after a batch included.
    """
    figures = []
    for name, wait in (("in process", False), ("in process, after waiting for the disk", True)):
        rounds, loops = [], []
        for i in range(repeats):
            place = folder / f"inside{wait:d}{i}.db"
            rounds.append(in_process(model, bars, place, batch, wait=wait))
            loops += timed(plain_loop, list(bars.slice(HISTORY, len(bars))))
        p50, p99 = (float(np.percentile(rounds, q)) for q in (50, 99))
        figures.append(Figure(f"{name}: p50", p50, "µs"))
        if wait:
            figures.append(Figure(f"{name}: p99", p99, "µs"))
            continue
        own = float(np.percentile(np.min(rounds, axis=0), 99))
        share = float(np.percentile(loops, 99) / np.percentile(loops, 50))
        figures += [
            Figure(
                f"{name}: p99", p99, "µs", target=f"≤ {IN_PROCESS_US:.0f}",
                holds=p99 <= IN_PROCESS_US,
            ),
            Figure(f"{name}: p99 of each decision's least of {repeats} rounds", own, "µs"),
            Figure(f"{name}: p99 ÷ p50", p99 / p50, ""),
            Figure("a plain loop of that length: p50", float(np.percentile(loops, 50)), "µs"),
            Figure("a plain loop of that length: p99 ÷ p50", share, ""),
        ]  # fmt: skip
    return figures


def plain_loop(bar: Bar) -> float:
    """Nothing but arithmetic on one float."""
    total = bar.close
    for k in range(LOOP):
        total += k
    return total


def main() -> None:
    """Measure and publish."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="of all clients, in all")
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--swaps", type=int, default=1_000)
    parser.add_argument("--batch", type=int, default=CLIENTS)
    parser.add_argument("--repeats", type=int, default=5, help="rounds without HTTP")
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
            # by itself, behind the others: its writes to the disk doubled the server's p99
            floor = bare_server(model, layout.size, cores[0], held, folder / "durable")
            found |= phases({BARE_DURABLE: floor}, given.rounds, {1: seconds[1]}, lambda: None)
        os.sched_setaffinity(0, cores)
        figures = [
            *http_figures(found),
            *disk_figures(synced),
            *desk_figures(model, bars, folder, given.batch, given.repeats),
        ]
        if given.swaps:
            figures += swaps_apart(model, bars, rules, folder, given.swaps)
    facts = vars(given) | {"clients": CLIENTS, "server_cores": 1, "decisions": len(bars) - HISTORY}
    publish("serving", figures, seeds=[0, 7], facts=facts)


if __name__ == "__main__":
    main()
