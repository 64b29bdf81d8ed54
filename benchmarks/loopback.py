"""Clients of `benchmarks.serving`: HTTP/1.1 over kept connections, as plain as can be.

A general client library costs more a request than the servers that are measured.
"""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

__all__ = ["Load", "Peer", "drive", "post", "started"]

HOST = "127.0.0.1"
Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@dataclass
class Load:
    """What clients met.

    Attributes:
        seconds: of each request, in order of their ends.
        wall_s: from the first to the last.
        server_s: processor time of the server.
        errors: answers other than 200, with their text.
    """

    seconds: list[float] = field(default_factory=list)
    wall_s: float = 0.0
    server_s: float = 0.0
    errors: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Peer:
    """A server that runs.

    Attributes:
        port: on loopback.
        process: its own.
    """

    port: int
    process: subprocess.Popen[str]


@contextmanager
def started(command: Sequence[str], core: int | None, port: int | None = None) -> Iterator[Peer]:
    """A server on one core, until the block ends.

    Args:
        command: that starts it.
        core: it alone; None: any.
        port: where it listens; None: it prints its address to stderr.
    """
    pinned = [] if core is None else ["taskset", "-c", str(core)]
    process = subprocess.Popen([*pinned, *command], stderr=subprocess.PIPE, text=True)
    try:
        yield Peer(port or _told_port(process), process)
    finally:
        process.terminate()
        process.wait(timeout=30)


def _told_port(process: subprocess.Popen[str]) -> int:
    assert process.stderr is not None
    heard = ""
    while "listening on" not in heard:
        line = process.stderr.readline()
        if not line:
            raise SystemExit(f"the server did not start:\n{heard}")
        heard += line
    found = re.search(r"listening on http://[\d.]+:(\d+)", heard)
    assert found is not None, heard
    return int(found[1])


async def connected(port: int, patience_s: float = 20.0) -> Connection:
    """A connection, as soon as the server takes one."""
    until = time.monotonic() + patience_s
    while True:
        try:
            return await asyncio.open_connection(HOST, port)
        except OSError:
            if time.monotonic() > until:
                raise
            await asyncio.sleep(0.05)


async def post(connection: Connection, path: str, body: bytes) -> tuple[int, bytes]:
    """Status and body of the answer."""
    reader, writer = connection
    head = (
        f"POST {path} HTTP/1.1\r\nHost: {HOST}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    writer.write(head.encode() + body)
    answered = await reader.readuntil(b"\r\n\r\n")
    status = int(answered[9:12])
    length = re.search(rb"content-length: (\d+)", answered, re.IGNORECASE)
    assert length is not None, answered
    return status, await reader.readexactly(int(length[1]))


async def drive(
    port: int,
    path: str,
    bodies: Sequence[Callable[[int], bytes]],
    seconds: float,
    seen: Callable[[int, bytes], None] | None = None,
) -> Load:
    """Each client sends its next request as soon as the one before is answered.

    Args:
        bodies: of each client, by the number of its request.
        seconds: after which no request begins.
        seen: told the client and the body of each good answer.
    """
    load = Load()
    connections = [await connected(port) for _ in bodies]
    begun = time.perf_counter()

    async def client(which: int) -> None:
        number = 0
        while time.perf_counter() - begun < seconds:
            body = bodies[which](number)
            sent = time.perf_counter()
            status, answer = await post(connections[which], path, body)
            load.seconds.append(time.perf_counter() - sent)
            if status != 200:
                load.errors.append(f"{status} {answer[:200]!r}")
            elif seen is not None:
                seen(which, answer)
            number += 1

    await asyncio.gather(*(client(which) for which in range(len(bodies))))
    load.wall_s = time.perf_counter() - begun
    for _, writer in connections:
        writer.close()
    return load


def python(*words: str | Path) -> list[str]:
    """A command of this interpreter."""
    return [sys.executable, *map(str, words)]
