"""Answers straight from a connection are those of the application, in order, whole, and once."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi")
pytest.importorskip("httptools")

import uvicorn
from uvicorn.server import ServerState

from offline_trader.export import OnnxPolicy
from offline_trader.markets import Bar, Bars, load_market
from offline_trader.serving import AuditLog, Desk, RiskLimits
from offline_trader.serving.http_direct import DirectAnswers
from offline_trader.serving.http_guard import Guard
from offline_trader.serving.http_head import BoundedHead
from offline_trader.serving.http_server import _http, make_app
from offline_trader.serving.one_turn import Turn
from offline_trader.serving.server_settings import ServerLimits
from offline_trader.simulator import SimulatorConfig

TOKEN = "0123456789abcdef"
BodyOf = Callable[[Bar], dict[str, Any]]
Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
Answer = tuple[int, dict[str, str], Any]


@pytest.fixture
def bars() -> Bars:
    return load_market("synthetic:ou?bars=340&seed=7")


@pytest.fixture
def desk(make_model: Callable[..., Path], bars: Bars, tmp_path: Path) -> Desk:
    policy = OnnxPolicy(make_model(SimulatorConfig(action_mode="target_long")))
    limits = RiskLimits(max_exposure=0.5, max_price_age_s=1e12)
    return Desk(policy, AuditLog(tmp_path / "audit.db"), limits).warm_up(bars.slice(0, 300))


def talked(desk: Desk, talk: Talk, limits: ServerLimits = ServerLimits()) -> None:
    """One connection to a server of the desk."""

    async def run() -> None:
        app = make_app({"OU": desk}, token=TOKEN, limits=limits)
        config = uvicorn.Config(app, ws="none", log_level="error", access_log=False)
        config.load()
        loop, state = asyncio.get_running_loop(), ServerState()
        server = await loop.create_server(
            partial(
                DirectAnswers,
                guard=app.state.guard,
                turn=app.state.turn,
                config=config,
                server_state=state,
                app_state={},
            ),
            "127.0.0.1",
            0,
        )
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        await asyncio.wait_for(talk(reader, writer), 20.0)
        writer.close()
        server.close()

    asyncio.run(run())


def request(
    body: bytes, path: str = "/v1/decide", token: str = TOKEN, head: str = "", kind: str = "json"
) -> bytes:
    length = "" if "Content-Length" in head or "Transfer" in head else len(body)
    lines = [
        f"POST {path} HTTP/1.1", "Host: x", f"Content-Type: application/{kind}",
        f"Authorization: Bearer {token}", *([f"Content-Length: {length}"] if length != "" else []),
        *([head] if head else []), "", "",
    ]  # fmt: skip
    return "\r\n".join(lines).encode() + body


def decide(bar: dict[str, Any], **more: Any) -> bytes:
    return request(json.dumps({"bars": [bar], **more}).encode())


async def heard(reader: asyncio.StreamReader) -> Answer:
    head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
    fields = dict(line.split(": ", 1) for line in head[1:] if line)
    content = await reader.readexactly(int(fields["content-length"]))
    return int(head[0].split()[1]), fields, json.loads(content)


def test_pipelined_requests_are_answered_in_order(desk: Desk, bars: Bars, body_of: BodyOf) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        parts = [decide(body_of(bar)) for bar in bars.slice(300, 310)]
        parts[3:3] = [b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n", request(b"{")]
        writer.write(b"".join(parts))
        found = [await heard(reader) for _ in parts]
        assert [status for status, _, _ in found] == [200] * 4 + [422] + [200] * 7
        rows = [told["answers"][0]["row"] for _, _, told in found if "answers" in told]
        assert rows == list(range(3, 13))

    talked(desk, talk)
    assert [each.number for each in desk.log.entries("decided")] == list(range(3, 13))


def test_a_long_line_of_pipelined_requests_is_answered(desk: Desk) -> None:
    """Each is answered at once; none inside the answer of the one before."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(request(b"{") * 1_500)
        for _ in range(1_500):
            assert (await heard(reader))[0] == 422

    talked(desk, talk, ServerLimits(requests_per_second=1e9))


def test_a_body_in_parts_and_a_large_one_are_read_whole(
    desk: Desk, bars: Bars, body_of: BodyOf
) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        whole = decide(body_of(bars[300]))
        for part in (whole[:20], whole[20:-30], whole[-30:]):
            writer.write(part)
            await asyncio.sleep(0.01)
        assert (await heard(reader))[0] == 200
        filler = b" " * 300_000
        writer.write(request(filler + json.dumps({"bars": [body_of(bars[301])]}).encode()))
        assert (await heard(reader))[2]["answers"][0]["row"] == 4

    talked(desk, talk)


def test_what_is_not_let_through_is_told_as_by_the_application(
    desk: Desk, bars: Bars, body_of: BodyOf
) -> None:
    good = json.dumps({"bars": [body_of(bars[300])]}).encode()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for asked, status, words in (
            (request(good, token="0123456789abcdeX"), 401, "no valid token"),
            (request(good, kind="text"), 422, "application/text"),
            (request(good + b" " * 2_000), 413, "more than 2,000 bytes"),
            (request(b'{"bars": []}'), 422, "body.bars"),
            (request(b'{"bars": [], "instrument": "no"}'), 422, "bars"),
            (request(good, path="/v1/decide/batch"), 422, "requests"),
        ):
            writer.write(asked)
            found, fields, told = await heard(reader)
            assert (found, fields["content-type"]) == (status, "application/json")
            assert words in json.dumps(told)
            assert set(told["error"]) == {"found", "expected", "hint"}
        writer.write(request(b"0\r\n\r\n", head="Transfer-Encoding: chunked"))
        assert (await heard(reader))[0] == 411

    talked(desk, talk, ServerLimits(2_000))
    assert not list(desk.log.entries("decided"))


def test_a_client_that_asks_first_and_one_that_closes_are_heard(
    desk: Desk, bars: Bars, body_of: BodyOf
) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        body = json.dumps({"bars": [body_of(bars[300])]}).encode()
        writer.write(request(body, head="Expect: 100-continue")[: -len(body)])
        assert b"100 Continue" in await reader.readuntil(b"\r\n\r\n")
        writer.write(body)
        assert (await heard(reader))[0] == 200
        body = json.dumps({"bars": [body_of(bars[301])]}).encode()
        writer.write(request(body, head="Connection: close"))
        status, fields, _ = await heard(reader)
        assert (status, fields["connection"]) == (200, "close")
        assert await reader.read() == b""

    talked(desk, talk)


def test_a_client_that_does_not_wait_harms_nobody(desk: Desk, bars: Bars, body_of: BodyOf) -> None:
    """Its bar was decided on, and is in the log."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        address = writer.get_extra_info("peername")
        _, other = await asyncio.open_connection(*address)
        other.write(decide(body_of(bars[300])))
        await other.drain()
        other.transport.abort()
        await asyncio.sleep(0.1)
        writer.write(decide(body_of(bars[301])))
        assert (await heard(reader))[0] == 200

    talked(desk, talk)
    assert desk.session.bars_seen >= 301


def test_a_call_that_fails_leaves_the_others_of_its_turn(
    caplog: pytest.LogCaptureFixture,
) -> None:
    done: list[int] = []

    async def run() -> None:
        turn = Turn()
        for call in (
            partial(done.append, 1),
            partial(done.__delitem__, 9),
            partial(done.append, 2),
        ):
            turn.add(call)
        await asyncio.sleep(0)

    asyncio.run(run())
    assert done == [1, 2]
    assert [each.message for each in caplog.records] == ["a request failed"]


@pytest.mark.parametrize(
    ("owner", "name", "parser"),
    [
        ("HttpToolsProtocol", "_start_asgi_task", BoundedHead),
        ("", "STATUS_LINE", "h11"),
    ],
)
def test_a_uvicorn_of_another_form_is_told_of_once_and_served_the_longer_way(
    owner: str,
    name: str,
    parser: Any,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from uvicorn.protocols.http import httptools_impl

    caplog.set_level("WARNING", "offline_trader")  # a quiet command raises it
    monkeypatch.delattr(getattr(httptools_impl, owner, httptools_impl), name)
    if not owner:
        monkeypatch.delitem(sys.modules, DirectAnswers.__module__)
    guard = Guard("", ServerLimits())
    assert _http(guard, Turn()) == parser
    assert [name in each for each in caplog.messages] == [True]
    monkeypatch.undo()
    assert _http(guard, Turn()).func is DirectAnswers


def test_too_many_are_refused_and_counted_once(desk: Desk, bars: Bars) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        codes = []
        for _ in range(20):
            writer.write(request(b"{"))
            codes.append((await heard(reader))[0])
        assert set(codes) == {422, 429}
        assert codes[:10] == [422] * 10

    talked(desk, talk, ServerLimits(requests_per_second=5.0))
