"""What a server does when something breaks: no order, no lost row, no trace.

A server in a process of its own is killed at random moments under load; its store is taken away,
its disk is full, its clock goes back, it is stopped for ten seconds, its model's file becomes
garbage, it gets bars that are none and requests that are none. After each, orders are counted that
should not be, and every row that a client was answered about has to be in the log, whose chain has
to hold.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.loopback import HOST, connected, post
from benchmarks.record import Figure, publish

INSTRUMENTS = 4
HISTORY = 300
FORK = multiprocessing.get_context("forkserver")
FORK.set_forkserver_preload(["benchmarks.serving_child"])


@dataclass
class Client:
    """Bars that go on over every restart, and what was answered about them.

    Attributes:
        instrument: that it asks about.
        market: [N] bars as requests have them, without their times.
        next: of the next bar.
        rows: answers by the number of their row.
    """

    instrument: str
    market: list[dict[str, float]]
    next: int = HISTORY
    rows: dict[int, dict[str, Any]] = field(default_factory=dict)

    def bar(self, i: int, now: float | None = None) -> dict[str, Any]:
        """Hourly, or stamped now."""
        moment = 1.5e9 + 3_600.0 * i if now is None else now
        stamp = datetime.fromtimestamp(moment, UTC).isoformat()
        return {"time": stamp, **self.market[i % len(self.market)]}

    def body(self, now: float | None = None, **wrong: float) -> bytes:
        """The next request; the bar is the same until it was answered."""
        bar = self.bar(self.next, now) | wrong
        return json.dumps({"instrument": self.instrument, "bars": [bar]}).encode()

    def take(self, content: bytes) -> dict[str, Any]:
        """An answer, kept."""
        (told,) = json.loads(content)["answers"]
        self.rows[told["row"]] = told
        self.next += 1
        found: dict[str, Any] = told
        return found


@dataclass
class Running:
    """A server in a process of its own."""

    process: Any
    port: int
    offset: Any


@contextmanager
def running(folder: Path, *, file_bytes: int = 0, max_age_s: float = 1e12) -> Iterator[Running]:
    """It serves the folder's model on the folder's store.

    Args:
        file_bytes: largest file that it may write; 0: any.
        max_age_s: of a price.
    """
    from benchmarks import serving_child

    ours, theirs = FORK.Pipe()
    offset = FORK.Value("d", 0.0)
    process = FORK.Process(
        target=serving_child.serve,
        args=(str(folder), INSTRUMENTS, file_bytes, max_age_s, offset, theirs),
        daemon=True,
    )
    process.start()
    try:
        if not ours.poll(60.0):
            raise SystemExit("the server did not start")
        yield Running(process, int(ours.recv()), offset)
    finally:
        with suppress(ProcessLookupError):
            os.kill(process.pid or 0, signal.SIGKILL)
        process.join()


async def warmed(port: int, clients: list[Client]) -> None:
    """Show the desks their history, where they have none."""
    connection = await connected(port)
    for client in clients:
        bars = [client.bar(i) for i in range(HISTORY)]
        body = json.dumps({"instrument": client.instrument, "bars": bars}).encode()
        status, answer = await post(connection, "/v1/warm-up", body)
        assert status == 200, answer
    connection[1].close()


async def ask_until_killed(found: Running, clients: list[Client], after_s: float) -> None:
    """All clients ask until the server is killed."""

    async def ask(client: Client) -> None:
        with suppress(OSError, asyncio.IncompleteReadError):
            connection = await connected(found.port)
            while True:
                status, answer = await post(connection, "/v1/decide", client.body())
                if status == 200:
                    client.take(answer)

    async def kill() -> None:
        await asyncio.sleep(after_s)
        os.kill(found.process.pid, signal.SIGKILL)

    await asyncio.gather(kill(), *(ask(client) for client in clients))


def kills(folder: Path, clients: list[Client], times: int, seed: int) -> list[Figure]:
    """The server is killed at random moments and started again on its store."""
    rng = np.random.default_rng(seed)
    for attempt in range(times):
        with running(folder) as found:
            if attempt == 0:
                asyncio.run(warmed(found.port, clients))
            asyncio.run(ask_until_killed(found, clients, float(rng.uniform(0.0, 0.4))))
    rows, lost = compared(folder, clients)
    return [
        Figure("SIGKILL at random moments", times, ""),
        Figure("SIGKILL: rows that were acknowledged", rows, ""),
        Figure("SIGKILL: of them lost or different", lost, "", target="0", holds=lost == 0),
    ]


def compared(folder: Path, clients: list[Client]) -> tuple[int, int]:
    """Acknowledged rows, and how many of them the log has not or says something else about."""
    from offline_trader.export import OnnxPolicy
    from offline_trader.serving import AuditLog, replay

    rows = lost = 0
    policy = OnnxPolicy(folder / "policy.onnx")
    for client in clients:
        log = AuditLog(folder / "audit.db", client.instrument)
        log.verify()
        replay(policy, log)
        told = {each.number: each.content for each in log.entries("decided")}
        for number, answer in client.rows.items():
            row = told.get(number)
            rows += 1
            same = row is not None and row["action"] == answer["action"]
            lost += not (same and (row or {})["units"] == signed(answer))
        log.close()
    return rows, lost


def signed(answer: dict[str, Any]) -> float:
    """Units of the answer's order."""
    order = answer["order"]
    if order is None:
        return 0.0
    return float(order["units"]) * (1.0 if order["side"] == "buy" else -1.0)


Break = Callable[[Running, Path], dict[str, float] | None]
"""Breaks something; what is wrong with the bars from then on, if they are it."""


def taken_away(found: Running, folder: Path) -> None:
    """The store's file is deleted."""
    (folder / "audit.db").unlink()


def clock_back(found: Running, folder: Path) -> None:
    """By an hour."""
    found.offset.value = -3_600.0


def paused(found: Running, folder: Path) -> None:
    """For ten seconds, in which the requests wait."""
    os.kill(found.process.pid, signal.SIGSTOP)
    time.sleep(0.2)
    resume = ["sh", "-c", f"sleep 10; kill -CONT {found.process.pid}"]
    subprocess.Popen(resume)


def no_number(found: Running, folder: Path) -> dict[str, float]:
    """The close of every further bar."""
    return {"close": float("nan")}


def nothing(found: Running, folder: Path) -> None:
    """The disk is full by itself after a while."""


FAULTS: dict[str, tuple[Break, dict[str, Any], int]] = {
    # what breaks, how the server is started, and requests after which it has to be noticed
    "store gone": (taken_away, {}, 0),
    "disk full": (nothing, {"file_bytes": 400_000}, 400),
    "clock back by an hour": (clock_back, {"max_age_s": 3_000.0}, 0),
    "NaN bar": (no_number, {}, 0),
    "10 s pause": (paused, {"max_age_s": 5.0}, 0),
}


def orders_after(fault: str, make: Callable[[], tuple[Path, list[Client]]]) -> tuple[int, int]:
    """Orders before a fault and after it."""
    folder, clients = make()
    harm, settings, until = FAULTS[fault]
    client = clients[0]

    async def walk(found: Running) -> tuple[int, int]:
        await warmed(found.port, clients)
        connection = await connected(found.port)
        before = after = 0
        for i in range(max(60, until)):
            status, answer = await post(connection, "/v1/decide", client.body(time.time()))
            if status != 200:
                break
            before += client.take(answer)["order"] is not None
            if i >= 40 and not until:
                break
        wrong = harm(found, folder) or {}
        for _ in range(5):
            asked = client.body(time.time(), **wrong)
            try:
                status, answer = await post(connection, "/v1/decide", asked)
            except (ConnectionError, asyncio.IncompleteReadError):  # idle for too long: asked again
                connection = await connected(found.port)
                status, answer = await post(connection, "/v1/decide", asked)
            if status == 200:
                after += client.take(answer)["order"] is not None
            if fault == "10 s pause":
                break  # the one request that waited
        return before, after

    with running(folder, **settings) as found:
        return asyncio.run(walk(found))


def model_replaced(folder: Path, clients: list[Client]) -> list[Figure]:
    """The model's file becomes garbage: what is in force goes on, and the file is not."""
    client = clients[0]

    async def walk(port: int) -> tuple[int, int]:
        await warmed(port, clients)
        connection = await connected(port)
        models, harmed = set(), 0
        for i in range(80):
            if i == 40:
                (folder / "policy.onnx").write_bytes(b"\x00garbage" * 1_000)
            status, answer = await post(connection, "/v1/decide", client.body())
            harmed += status != 200
            if status == 200:
                models.add(client.take(answer)["model_sha256"])
        body = {"instrument": client.instrument, "model_sha256": min(models), "reason": "drill"}
        status, _ = await post(connection, "/v1/models/swap", json.dumps(body).encode())
        return harmed + len(models) - 1, int(status == 200)

    with running(folder) as found:
        harmed, swapped = asyncio.run(walk(found.port))
    name = "model file replaced by garbage"
    return [
        Figure(f"{name}: decisions that failed", harmed, "", target="0", holds=harmed == 0),
        Figure(f"{name}: swaps to it", swapped, "", target="0", holds=swapped == 0),
    ]


def odd_requests(good: bytes, count: int, seed: int) -> Iterator[tuple[str, bytes]]:
    """Paths and bodies: noise, cut ones, changed bytes, values of other types, NaN, deep nests."""
    rng = np.random.default_rng(seed)
    paths = ["decide", "warm-up", "models/load", "models/swap", "models/shadow", "halt2", "desks"]
    odd: list[Any] = [
        None, True, "", "x", [], {}, -1, 1e308, float("nan"), float("inf"), 2**70, "2020-01-01",
        "NaT", "../../etc/passwd", "\ud800", [[[[[]]]]], {"a": {"b": {}}},
    ]  # fmt: skip
    for _ in range(count):
        kind = rng.integers(5)
        if kind == 0:
            body = rng.bytes(int(rng.integers(200)))
        elif kind == 1:
            changed = bytearray(good)
            for place in rng.integers(len(changed), size=3):
                changed[place] = int(rng.integers(256))
            body = bytes(changed)
        elif kind == 2:
            body = good[: int(rng.integers(len(good)))]
        elif kind == 3:
            body = b"[" * int(rng.integers(1, 50_000))
        else:
            tree = json.loads(good)
            where = tree if rng.random() < 0.3 else tree["bars"][0]
            where[str(rng.choice(list(where)))] = odd[int(rng.integers(len(odd)))]
            body = json.dumps(tree).encode()
        yield f"/v1/{rng.choice(paths)}", body


def malformed(folder: Path, clients: list[Client], count: int, schema: str) -> list[Figure]:
    """Requests that are none, over HTTP; what stays a good one is answered while halted."""

    async def flood(port: int) -> tuple[int, int, dict[int, int]]:
        await warmed(port, clients)
        connection = await connected(port)
        for client in clients:
            halt = {"instrument": client.instrument, "reason": "drill"}
            await post(connection, "/v1/halt", json.dumps(halt).encode())
        traces = orders = 0
        codes: dict[int, int] = {}
        for path, body in odd_requests(clients[0].body(), count, seed=0):
            status, answer = await post(connection, path, body)
            codes[status] = codes.get(status, 0) + 1
            traces += b"Traceback" in answer or status == 500
            orders += b'"side"' in answer
        return traces, orders, codes

    with running(folder) as found:
        traces, orders, codes = asyncio.run(flood(found.port))
        if schema:
            url = f"http://{HOST}:{found.port}/openapi.json"
            words = ["run", url, "--checks", "not_a_server_error", "--max-examples", "200"]
            words += ["--exclude-path", "/readyz"]  # which answers 503 while a desk is halted
            done = subprocess.run([schema, *words], capture_output=True, text=True, check=False)
            print(done.stdout[-1_500:])
            traces += done.returncode != 0
    print("answers by status:", dict(sorted(codes.items())))
    return [
        Figure("malformed requests", count, ""),
        Figure("malformed requests: tracebacks", traces, "", target="0", holds=traces == 0),
        Figure("malformed requests: orders", orders, "", target="0", holds=orders == 0),
    ]


def main() -> None:
    """Measure and publish."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--schemathesis", default="", help="the program, to ask it, too")
    given = parser.parse_args()
    from benchmarks.serving_child import made_folder

    with tempfile.TemporaryDirectory() as place:

        def make() -> tuple[Path, list[Client]]:
            folder = Path(tempfile.mkdtemp(dir=place))
            bars = made_folder(folder)
            return folder, [Client(f"I{i}", bars) for i in range(INSTRUMENTS)]

        figures = kills(*make(), given.kills, given.seed)
        for fault in FAULTS:
            before, after = orders_after(fault, make)
            assert before > 0, f"no order before: {fault}"
            figures.append(
                Figure(f"orders after: {fault}", after, "", target="0", holds=after == 0)
            )
        figures += model_replaced(*make())
        folder, clients = make()
        figures += malformed(folder, clients, given.requests, given.schemathesis)
        shutil.rmtree(folder)
    facts = vars(given) | {"schemathesis": bool(given.schemathesis)}
    publish("serving_faults", figures, seeds=[given.seed], facts=facts)


if __name__ == "__main__":
    main()
