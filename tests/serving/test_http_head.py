"""The head of a request has a bound, over a real connection."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

pytest.importorskip("httptools")

import uvicorn
from uvicorn.server import ServerState

from offline_trader.serving.http_head import LARGEST_HEAD, BoundedHead


async def app(scope: Any, receive: Any, send: Any) -> None:
    head = [(b"content-length", b"2")]
    await send({"type": "http.response.start", "status": 200, "headers": head})
    await send({"type": "http.response.body", "body": b"ok"})


def answered(*parts: bytes, answers: int = 1) -> bytes:
    """What comes back until the server closes the connection, or so many answers are whole."""

    async def talk() -> bytes:
        config = uvicorn.Config(app, http=BoundedHead, ws="none", log_level="error")
        config.load()
        state, loop = ServerState(), asyncio.get_running_loop()
        server = await loop.create_server(
            lambda: BoundedHead(config=config, server_state=state, app_state={}), "127.0.0.1", 0
        )
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        for part in parts:
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(0.02)  # a part comes apart from the one before
        found = b""
        while more := await asyncio.wait_for(reader.read(65_536), 5.0):
            found += more
            if found.count(b"\r\n\r\nok") >= answers:
                break
        writer.close()
        server.close()
        return found

    return asyncio.run(talk())


def test_requests_of_usual_and_large_heads_are_answered() -> None:
    start = b"POST / HTTP/1.1\r\nhost: x\r\n"
    assert answered(start + b"content-length: 0\r\n\r\n").startswith(b"HTTP/1.1 200")
    large = start + b"x: " + b"y" * (LARGEST_HEAD - 100) + b"\r\n"
    assert answered(large, b"content-length: 0\r\n\r\n").startswith(b"HTTP/1.1 200")
    body = b"z" * (3 * LARGEST_HEAD)  # a body is bounded by its stated length
    whole = start + b"content-length: %d\r\n\r\n" % len(body)
    assert answered(whole + body[:-1], body[-1:]).startswith(b"HTTP/1.1 200")


def test_requests_that_come_together_are_no_large_head() -> None:
    """What was read at once ends in a head that began after many whole requests."""
    one = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"
    count = 2 * LARGEST_HEAD // len(one)
    found = answered(one * count + one[:10], one[10:], answers=count + 1)
    assert found.count(b"HTTP/1.1 200") == count + 1


@pytest.mark.parametrize(
    "filler", [b"a: b\r\n" * 4_000, b"x: " + b"y" * 24_000, b"y" * 24_000], ids=str
)
def test_a_head_without_an_end_is_refused(filler: bytes) -> None:
    start = b"GET / HTTP/1.1\r\n" if filler[1:2] == b":" else b"GET /"
    found = answered(start + filler, *[filler] * 3)
    assert found.startswith(b"HTTP/1.1 400")
    assert b"more than 65536 bytes" in found or b"Invalid" in found


def test_nothing_of_a_head_comes_after_the_body() -> None:
    start = b"GET / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n0\r\n"
    assert b"HTTP/1.1 400" in answered(start + b"a: b\r\n" * 3 + b"\r\n")


def test_an_offer_of_another_protocol_keeps_nobody_waiting() -> None:
    """As Java's client makes it unasked: its next request had no answer, and no end either."""
    offer = b"host: x\r\nconnection: Upgrade, HTTP2-Settings\r\nupgrade: h2c\r\n"
    get = b"GET / HTTP/1.1\r\n" + offer + b"\r\n"
    found = answered(get, get, answers=2)
    assert found.count(b"HTTP/1.1 200") == 1  # and the connection was closed: it is asked anew
    assert b"connection: close" in found
    start = b"POST / HTTP/1.1\r\n" + offer
    found = answered(start + b"content-length: 2\r\n\r\n{}", answers=2)
    assert found.startswith(b"HTTP/1.1 400")
    assert b"(Upgrade): ask by HTTP/1.1 alone" in found
