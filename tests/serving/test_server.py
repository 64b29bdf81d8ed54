"""The server: its decisions are the desk's; strangers and mistakes get no order and no trace."""

from __future__ import annotations

import asyncio
import json
import math
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

pytest.importorskip("fastapi")
pytest.importorskip("uvicorn")

from fastapi import FastAPI

from offline_trader.errors import ConfigError, DataError
from offline_trader.export import OnnxPolicy
from offline_trader.hashing import file_sha256
from offline_trader.markets import Bar, Bars, load_market
from offline_trader.serving import (
    Answer,
    AuditLog,
    Commits,
    Desk,
    RiskLimits,
    models_named,
    replay,
)
from offline_trader.serving.catalog import Catalog
from offline_trader.serving.http_server import make_app
from offline_trader.serving.server_settings import ServerLimits
from offline_trader.serving.store import SqliteStore
from offline_trader.simulator import SimulatorConfig

MakeModel = Callable[..., Path]
BodyOf = Callable[[Bar], dict[str, Any]]
TOKEN = "0123456789abcdef"
LIMITS = RiskLimits(max_exposure=0.5, max_price_age_s=1e12)


class Server:
    """An application and who asks it, in one process."""

    def __init__(self, app: Any, token: str = TOKEN) -> None:
        self._app = app
        self.headers = {"authorization": f"Bearer {token}"} if token else {}

    def ask(self, method: str, path: str, **what: Any) -> httpx.Response:
        async def one() -> httpx.Response:
            transport = httpx.ASGITransport(app=self._app)
            async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
                return await client.request(method, path, **{"headers": self.headers, **what})

        return asyncio.run(one())

    def post(self, path: str, **body: Any) -> httpx.Response:
        return self.ask("POST", path, json=body)


@pytest.fixture
def bars() -> Bars:
    return load_market("synthetic:ou?bars=420&seed=7")


@pytest.fixture
def policy(make_model: MakeModel) -> OnnxPolicy:
    return OnnxPolicy(make_model(SimulatorConfig(action_mode="target_long")))


def opened(policy: OnnxPolicy, place: Path, **settings: Any) -> Desk:
    return Desk(policy, AuditLog(place), LIMITS, **settings)


@pytest.fixture
def desk(policy: OnnxPolicy, tmp_path: Path) -> Desk:
    return opened(policy, tmp_path / "served.db")


@pytest.fixture
def server(desk: Desk) -> Server:
    return Server(make_app({"OU": desk}, token=TOKEN))


def test_what_is_answered_is_what_the_desk_decides(
    server: Server, policy: OnnxPolicy, bars: Bars, tmp_path: Path, body_of: BodyOf
) -> None:
    other = opened(policy, tmp_path / "other.db").warm_up(bars.slice(0, 300))
    warm = server.post("/v1/warm-up", bars=[body_of(bar) for bar in bars.slice(0, 300)])
    assert (warm.status_code, warm.json()["bars_seen"]) == (200, 300)
    orders = 0
    for first in range(300, 360, 3):
        part = list(bars.slice(first, first + 3))
        answered = server.post("/v1/decide", instrument="OU", bars=[*map(body_of, part)])
        assert answered.status_code == 200
        told = answered.json()
        assert told["model_sha256"] == policy.file.sha256
        for bar, found in zip(part, told["answers"], strict=True):
            expected = other.on_bar(bar)
            assert found["action"] == expected.decision.action
            assert found["portfolio"]["equity"] == expected.decision.portfolio.equity
            assert found["reasons"] == list(expected.reasons)
            order = found["order"]
            sign = {"buy": 1.0, "sell": -1.0}
            units = 0.0 if order is None else sign[order["side"]] * order["units"]
            assert units == expected.units
            orders += order is not None
    assert orders > 10
    metrics = server.ask("GET", "/metrics").text
    assert 'offline_trader_decisions_total{instrument="OU"} 60\n' in metrics
    assert f'offline_trader_orders_total{{instrument="OU"}} {orders}\n' in metrics


class Spy:
    """A watcher that writes down what it sees."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str]] = []

    def decided(self, instrument: str, answer: Answer, seconds: float) -> None:
        assert seconds > 0.0
        self.seen.append((instrument, str(answer.row)))

    def refused(self, instrument: str) -> None:
        self.seen.append((instrument, "refused"))

    def exposition(self) -> str:
        return "offline_trader_spied 1\n"

    async def run(self) -> None:
        await asyncio.Event().wait()


def test_a_watcher_sees_every_decision_and_refusal(desk: Desk, bars: Bars, body_of: BodyOf) -> None:
    spy = Spy()
    server = Server(make_app({"OU": desk}, token=TOKEN, watcher=spy, open_paths={"/openapi.json"}))
    desk.warm_up(bars.slice(0, 300))
    for i in (300, 301, 300):
        server.post("/v1/decide", bars=[body_of(bars[i])])
    assert spy.seen == [("OU", "3"), ("OU", "4"), ("OU", "refused")]
    metrics = server.ask("GET", "/metrics").text
    assert 'offline_trader_refused_total{instrument="OU"} 1\n' in metrics
    assert metrics.endswith("\noffline_trader_spied 1\n")
    assert Server(server._app, "").ask("GET", "/openapi.json").status_code == 200


def test_strangers_learn_nothing_but_that_the_server_lives(server: Server) -> None:
    for token in ("", "0123456789abcdeX", "0123456789abcdef "):
        stranger = Server(server._app, token)
        if token.strip() != TOKEN:
            for path in ("/v1/models", "/v1/desks", "/metrics", "/openapi.json"):
                assert stranger.ask("GET", path).status_code == 401
            assert stranger.post("/v1/halt", reason="x").status_code == 401
        assert stranger.ask("GET", "/healthz").json()["status"] == "ok"
        assert stranger.ask("GET", "/readyz").status_code == 200
    assert server.ask("GET", "/v1/models").json()["models"][0]["instrument"] == "OU"
    assert "/v1/decide" in server.ask("GET", "/openapi.json").json()["paths"]


GOOD = {"time": "2020-01-01T00:00:00Z", "open": 1, "high": 2, "low": 0.5, "close": 1.5}


@pytest.mark.parametrize(
    ("content", "status", "message"),
    [
        (b"", 422, "body"),
        (b"{", 422, "JSON"),
        (b'{"bars": []}', 422, "bars"),
        (b'{"bars": [{}]}', 422, "bars.0.time"),
        (json.dumps({"bars": [GOOD], "more": 1}).encode(), 422, "more"),
        (json.dumps({"bars": [GOOD | {"close": float("nan")}]}).encode(), 422, "close"),
        (json.dumps({"bars": [GOOD | {"close": "x"}]}).encode(), 422, "close"),
        (json.dumps({"bars": [GOOD | {"close": True}]}).encode(), 422, "close"),
        (json.dumps({"bars": [GOOD | {"volume": "7"}]}).encode(), 422, "volume"),
        (json.dumps({"bars": [GOOD | {"high": 1}]}).encode(), 422, "high 1 < close 1.5"),
        (json.dumps({"bars": [GOOD | {"time": "2020-01-01T00:00:00"}]}).encode(), 422, "no zone"),
        (json.dumps({"bars": [GOOD | {"time": "20200101"}]}).encode(), 422, "written as"),
        (json.dumps({"bars": [GOOD | {"time": 1_577_836_800}]}).encode(), 422, "written as"),
        (
            json.dumps({"bars": [GOOD | {"time": "9999-12-31T23:59:59-14:00"}]}).encode(),
            422,
            "time",
        ),
        (json.dumps({"bars": [GOOD], "instrument": "no"}).encode(), 422, "no instrument 'no'"),
        (json.dumps({"bars": [GOOD], "holdings": {"cash": -1, "units": 0}}).encode(), 422, "-1"),
        (b"\xff\xfe", 422, ""),
        (b"[" * 100_000, 422, "JSON"),
    ],
)
def test_mistakes_are_named_and_order_nothing(
    content: bytes, status: int, message: str, server: Server, desk: Desk
) -> None:
    headers = {**server.headers, "content-type": "application/json"}
    answered = server.ask("POST", "/v1/decide", content=content, headers=headers)
    assert answered.status_code == status, answered.text
    assert message in answered.text
    assert set(answered.json()["error"]) == {"found", "expected", "hint"}
    assert "Traceback" not in answered.text
    assert desk.session.portfolio.units == 0.0
    assert not list(desk.log.entries("decided"))


@pytest.mark.slow
def test_ten_thousand_malformed_requests_bring_no_order_and_no_trace(
    desk: Desk, bars: Bars, body_of: BodyOf
) -> None:
    """Good requests of which bytes or values were changed, and noise; some of them stay good."""
    rng = np.random.default_rng(0)
    app = make_app({"OU": desk}, limits=ServerLimits(requests_per_second=1e9))
    desk.warm_up(bars.slice(0, 300))
    desk.halt("drill")
    good = json.dumps(
        {"bars": [body_of(bars[300])], "holdings": {"cash": 1e4, "units": 0}}
    ).encode()
    odd: list[Any] = [
        None,
        True,
        "",
        "x",
        [],
        {},
        -1,
        1e308,
        float("nan"),
        2**70,
        "2020-01-01",
        "NaT",
    ]

    def changed() -> bytes:
        kind = rng.integers(4)
        if kind == 0:
            return rng.bytes(int(rng.integers(200)))
        if kind == 1:
            content = bytearray(good)
            for place in rng.integers(len(content), size=3):
                content[place] = int(rng.integers(256))
            return bytes(content)
        if kind == 2:
            return good[: int(rng.integers(len(good)))]
        tree = json.loads(good)
        where = tree if rng.random() < 0.3 else tree["bars"][0]
        where[str(rng.choice(list(where)))] = odd[int(rng.integers(len(odd)))]
        return json.dumps(tree).encode()

    async def flood() -> set[int]:
        codes = set()
        transport = httpx.ASGITransport(app=app)
        headers = {"content-type": "application/json"}
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            for _ in range(10_000):
                path = str(rng.choice(["/v1/decide", "/v1/warm-up", "/v1/rearm2", "/v1/models"]))
                answered = await client.post(path, content=changed(), headers=headers)
                codes.add(answered.status_code)
                assert "Traceback" not in answered.text
                assert '"side"' not in answered.text
        return codes

    assert asyncio.run(flood()) <= {200, 400, 404, 405, 422}
    assert desk.session.portfolio.units == 0.0
    desk.log.verify()


def test_what_is_not_there_is_named_alike(server: Server) -> None:
    for method, path, status in (("GET", "/v1/nothing", 404), ("GET", "/v1/decide", 405)):
        answered = server.ask(method, path)
        assert (answered.status_code, set(answered.json())) == (status, {"error"})


def test_a_route_inside_another_application_answers_alike(
    server: Server, desk: Desk, bars: Bars, body_of: BodyOf
) -> None:
    desk.warm_up(bars.slice(0, 300))
    around = FastAPI()
    around.mount("/inside", server._app)
    first, second, old = map(body_of, (bars[300], bars[301], bars[300]))
    whole = server.post("/v1/decide", bars=[first])
    routed = Server(around).post("/inside/v1/decide", bars=[second])
    rows = [each.json()["answers"][0]["row"] for each in (whole, routed)]
    assert (routed.status_code, rows) == (200, [3, 4])
    for path, body in (("/v1/decide", {"bars": [old]}), ("/v1/decide/batch", {"requests": [{}]})):
        answers = [server.post(path, **body), Server(around).post(f"/inside{path}", **body)]
        assert [each.status_code for each in answers] == [422, 422]
        assert answers[0].json() == answers[1].json()


def test_our_own_mistake_shows_no_trace(
    server: Server, desk: Desk, bars: Bars, monkeypatch: pytest.MonkeyPatch, body_of: BodyOf
) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise ZeroDivisionError("secret")

    monkeypatch.setattr(desk, "decide", broken)
    answered = server.post("/v1/decide", bars=[body_of(bars[0])])
    assert (answered.status_code, "secret" in answered.text) == (500, False)


@pytest.mark.parametrize("wrong", [(None, 1.0), (1, "5"), (math.nan, 1.0), (1, math.nan), (0, 1.0)])
def test_limits_of_requests_that_are_none_are_refused(wrong: tuple[Any, Any]) -> None:
    with pytest.raises(ConfigError, match="server limits of"):
        ServerLimits(*wrong)


def test_too_much_and_too_often_are_refused(desk: Desk) -> None:
    few = Server(make_app({"OU": desk}, limits=ServerLimits(1_000, 5.0)), token="")
    assert few.ask("POST", "/v1/halt", content=b"x" * 1_001).status_code == 413

    async def endless() -> Any:
        yield b"x" * 100

    assert few.ask("POST", "/v1/halt", content=endless()).status_code == 411
    codes = [few.ask("GET", "/healthz").status_code for _ in range(20)]
    assert set(codes) == {200, 429}


def test_strangers_do_not_use_up_what_clients_may_ask(desk: Desk) -> None:
    """Nor do clients use up the health checks, which would have the server started anew."""
    for who, floods, codes, spared, other in (
        (TOKEN[:-1] + "x", "/v1/desks", {401, 429}, "/v1/desks", TOKEN),
        (TOKEN, "/v1/models", {200, 429}, "/healthz", ""),
    ):
        app = make_app({"OU": desk}, token=TOKEN, limits=ServerLimits(requests_per_second=0.5))
        flood = Server(app, token=who)
        assert {flood.ask("GET", floods).status_code for _ in range(4)} == codes
        assert Server(app, token=other).ask("GET", spared).status_code == 200


def test_a_halt_over_http_stops_orders_until_it_is_lifted(
    server: Server, desk: Desk, bars: Bars, body_of: BodyOf
) -> None:
    server.post("/v1/warm-up", bars=[body_of(bar) for bar in bars.slice(0, 300)])
    assert server.post("/v1/halt", reason="drill").json()["risk_state"] == "HALT"
    ready = server.ask("GET", "/readyz")
    assert (ready.status_code, ready.json()["stopped"]) == (503, {"OU": "drill"})
    halted = server.post("/v1/decide", bars=[body_of(bar) for bar in bars.slice(300, 360)]).json()
    assert all(each["order"] is None for each in halted["answers"])
    assert server.post("/v1/rearm", reason="").status_code == 422
    assert server.post("/v1/rearm", reason="A. Person").json()["risk_state"] == "NORMAL"
    after = server.post("/v1/decide", bars=[body_of(bar) for bar in bars.slice(360, 420)]).json()
    assert any(each["order"] for each in after["answers"])


def test_a_log_that_is_gone_answers_503(
    server: Server, desk: Desk, bars: Bars, body_of: BodyOf
) -> None:
    server.post("/v1/warm-up", bars=[body_of(bar) for bar in bars.slice(0, 300)])
    blocker = sqlite3.connect(desk.log.name)
    blocker.execute("DROP TABLE log")
    blocker.close()
    for bar in bars.slice(300, 302):
        answered = server.post("/v1/decide", bars=[body_of(bar)])
        assert answered.status_code == 503
        assert "cannot be written" in answered.json()["error"]["found"]
    assert server.ask("GET", "/readyz").status_code == 503


def test_models_are_loaded_swapped_and_rolled_back_over_http(
    desk: Desk,
    policy: OnnxPolicy,
    make_model: MakeModel,
    bars: Bars,
    tmp_path: Path,
    body_of: BodyOf,
) -> None:
    folder = tmp_path / "models"
    (folder / "second").mkdir(parents=True)
    made = make_model(SimulatorConfig(action_mode="target_long"), seed=1)
    made.rename(folder / "second" / "new.onnx")
    (folder / "garbage.onnx").write_bytes(b"\x00garbage" * 100)
    server = Server(make_app({"OU": desk}, token=TOKEN, catalog=Catalog(policy, folder)))
    server.post("/v1/warm-up", bars=[body_of(bar) for bar in bars.slice(0, 300)])
    server.post("/v1/decide", bars=[body_of(bar) for bar in bars.slice(300, 310)])
    for file, message in (
        ("../served.db", "no file"),
        ("second/../../served.db", "no file"),
        (str(tmp_path / "served.db"), "no file"),
        ("none.onnx", "expected"),
        ("none.onnx", "second/new.onnx"),
        ("\u00e9" * 255, "no file"),
        ("garbage.onnx", "garbage.onnx"),
    ):
        refused = server.post("/v1/models/load", file=file)
        assert (refused.status_code, message in refused.text) == (422, True)
    loaded = server.post("/v1/models/load", file="second/new.onnx").json()
    new = loaded["model_sha256"]
    assert [each["file"] for each in loaded["loaded"]] == [policy.path.name, "second/new.onnx"]
    missing = server.post("/v1/models/swap", model_sha256="0" * 12, reason="x")
    assert "0 loaded models" in missing.json()["error"]["found"]
    less = server.post("/v1/models/swap", model_sha256=new, reason="x", max_difference=-1)
    assert (less.status_code, "max_difference" in less.text) == (422, True)
    far = server.post("/v1/models/swap", model_sha256=new, reason="x", max_difference=1e-6)
    assert "differ by up to" in far.json()["error"]["found"]
    swapped = server.post("/v1/models/swap", model_sha256=new[:12], reason="A. Person").json()
    assert (swapped["model_sha256"], swapped["compared"]["observations"]) == (new, 10)
    told = server.post("/v1/decide", bars=[body_of(bars[310])]).json()
    assert told["model_sha256"] == told["answers"][0]["model_sha256"] == new
    assert server.ask("GET", "/v1/models").json()["models"][0]["model_sha256"] == new
    shadow = {"model_sha256": policy.file.sha256, "reason": "x"}
    assert (
        server.post("/v1/models/shadow", **shadow).json()["shadow_sha256"] == shadow["model_sha256"]
    )
    back = server.post("/v1/models/roll-back", reason="A. Person").json()
    assert back["model_sha256"] == policy.file.sha256
    server.post("/v1/decide", bars=[body_of(bars[311])])
    known = Catalog(policy, folder).having(models_named(desk.log))
    assert {each.file.sha256 for each in known} == {new, policy.file.sha256}
    assert replay(known, AuditLog(desk.log.name)) == 12
    told = [each.content for each in desk.log.entries("loaded")]
    assert [(each["file"], each["model_sha256"]) for each in told] == [("second/new.onnx", new)]
    refusals = [each.content for each in desk.log.entries("model refused")]
    assert [each["asked"] for each in refusals] == ["load"] * 7 + ["swap"] * 2
    assert [each["model_sha256"] for each in refusals] == [
        *[None] * 6,
        file_sha256(folder / "garbage.onnx"),  # it was there, and is no model
        "0" * 12,
        new,
    ]
    assert "differ by up to" in refusals[-1]["why"]


def test_a_load_is_in_every_log_that_can_be_written(
    policy: OnnxPolicy, make_model: MakeModel, tmp_path: Path
) -> None:
    file = make_model(SimulatorConfig(action_mode="target_long"), seed=1)
    desks = {name: opened(policy, tmp_path / f"{name}.db") for name in "AB"}
    server = Server(make_app(desks, token=TOKEN, catalog=Catalog(policy, file.parent)))
    for name, told in (("A", [1, 1]), ("B", [1, 2])):
        answered = server.post("/v1/models/load", file=file.name)
        assert answered.status_code == 200
        found = [list(each.log.entries("loaded")) for each in desks.values()]
        assert [len(each) for each in found] == told
        assert found[1][-1].content["model_sha256"] == answered.json()["model_sha256"]
        desks[name].stop(DataError("disk full"))
    assert server.post("/v1/models/load", file=file.name).status_code == 503


def test_what_is_turned_away_is_counted_and_not_written(desk: Desk) -> None:
    server = Server(make_app({"OU": desk}, token=TOKEN, limits=ServerLimits(1_000)))
    rows, stranger = desk.log.last, Server(server._app, "")
    for _ in range(3):
        assert stranger.post("/v1/models/load", file="x").status_code == 401
    assert server.ask("POST", "/v1/halt", content=b"x" * 1_001).status_code == 413
    assert server.ask("POST", "/v1/decide", content=b"x").status_code == 422
    assert desk.log.last == rows
    metrics = server.ask("GET", "/metrics").text
    for status, count in ((401, 3), (411, 0), (413, 1), (422, 1), (429, 0)):
        assert f'offline_trader_turned_away_total{{status="{status}"}} {count}\n' in metrics


def test_a_model_whose_file_was_replaced_is_not_put_in_force(
    desk: Desk, policy: OnnxPolicy, make_model: MakeModel, bars: Bars, tmp_path: Path
) -> None:
    """A server that is started again could not find it, and what else lies there is no matter."""
    folder = tmp_path / "models"
    folder.mkdir()
    file = make_model(SimulatorConfig(action_mode="target_long"), seed=1).rename(folder / "b.onnx")
    content = file.read_bytes()
    server = Server(make_app({"OU": desk}, token=TOKEN, catalog=Catalog(policy, folder)))
    new = server.post("/v1/models/load", file="b.onnx").json()["model_sha256"]
    for path in ("swap", "shadow"):
        for other in (b"garbage", None):
            file.unlink() if other is None else file.write_bytes(other)
            refused = server.post(f"/v1/models/{path}", model_sha256=new, reason="x")
            assert (refused.status_code, "replaced" in refused.text) == (422, True)
        file.write_bytes(content)
    assert server.post("/v1/models/swap", model_sha256=new, reason="x").status_code == 200
    (folder / "a-folder.onnx").mkdir()
    (folder / "a-link.onnx").symlink_to(tmp_path / "nowhere")
    known = Catalog(policy, folder).having(models_named(desk.log))
    assert {each.file.sha256 for each in known} == {new, policy.file.sha256}


def test_swaps_under_load_lose_nothing_and_mix_nothing(
    desk: Desk,
    policy: OnnxPolicy,
    make_model: MakeModel,
    bars: Bars,
    tmp_path: Path,
    body_of: BodyOf,
) -> None:
    folder = tmp_path / "models"
    folder.mkdir()
    other = OnnxPolicy(make_model(SimulatorConfig(action_mode="target_long"), seed=1))
    catalog = Catalog(policy, other.path.parent)
    hashes = [catalog.load(other.path.name).file.sha256, policy.file.sha256]
    desk.warm_up(bars.slice(0, 300))
    app = make_app({"OU": desk}, catalog=catalog, limits=ServerLimits(requests_per_second=1e9))

    async def load() -> list[Any]:
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:

            async def ask() -> list[Any]:
                answers = []
                for bar in bars.slice(300, 420):
                    answers.append(await client.post("/v1/decide", json={"bars": [body_of(bar)]}))
                return answers

            async def swap() -> None:
                for i in range(60):
                    body = {"model_sha256": hashes[i % 2], "reason": "test"}
                    assert (await client.post("/v1/models/swap", json=body)).status_code == 200
                    for _ in range(i % 5):
                        await asyncio.sleep(0)

            answers = asyncio.create_task(ask())
            await swap()
            return await answers

    answers = asyncio.run(load())
    assert {each.status_code for each in answers} == {200}
    told = [each.json() for each in answers]
    assert {each["model_sha256"] for each in told} == set(hashes)
    models = dict(zip(hashes, (other, policy), strict=True))
    rows = {each.number: each for each in desk.log.entries()}
    in_force = policy.file.sha256
    for number in sorted(rows):
        if rows[number].kind == "swapped":
            in_force = rows[number].content["model_sha256"]
        for each in told:
            if each["answers"][0]["row"] == number:
                assert each["model_sha256"] == in_force
    assert replay(list(models.values()), AuditLog(desk.log.name)) == 120


def test_decisions_that_come_at_once_reach_the_disk_at_once(
    policy: OnnxPolicy, bars: Bars, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body_of: BodyOf
) -> None:
    store = SqliteStore(tmp_path / "audit.db")
    commits, names = Commits(store), [f"I{i}" for i in range(8)]
    desks = {name: Desk(policy, AuditLog(commits, name), LIMITS) for name in names}
    for desk in desks.values():
        desk.warm_up(bars.slice(0, 300))
    batches: list[int] = []
    full: list[bool] = []
    start = store.start

    def counted(rows: Any) -> Callable[[], None] | None:
        batches.append(len(rows))
        if full:
            raise DataError("disk full")
        return start(rows)

    monkeypatch.setattr(store, "start", counted)
    app = make_app(desks)

    async def together(bar: Bar) -> list[httpx.Response]:
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            bodies = [{"instrument": name, "bars": [body_of(bar)]} for name in names]
            return await asyncio.gather(*(client.post("/v1/decide", json=b) for b in bodies))

    for i in range(3):
        assert {each.status_code for each in asyncio.run(together(bars[300 + i]))} == {200}
    assert sum(batches) == 24
    assert max(batches) > 1
    full.append(True)
    assert {each.status_code for each in asyncio.run(together(bars[303]))} == {503}
    assert all(desk.broken for desk in desks.values())
    for name in names:
        assert AuditLog(store.place, name).verify()[0] == 5


def test_a_batch_is_answered_request_by_request(
    policy: OnnxPolicy, bars: Bars, tmp_path: Path, body_of: BodyOf
) -> None:
    commits = Commits(SqliteStore(tmp_path / "audit.db"))
    desks = {name: Desk(policy, AuditLog(commits, name), LIMITS) for name in "AB"}
    for desk in desks.values():
        desk.warm_up(bars.slice(0, 300))
    server = Server(make_app(desks, token=TOKEN))
    good = [
        {"instrument": name, "bars": [body_of(bar) for bar in bars.slice(300, 303)]}
        for name in "AB"
    ]
    wrong = {"instrument": "A", "bars": [body_of(bars[303]) | {"high": 0.0}]}
    told = server.post("/v1/decide/batch", requests=[*good, wrong, {**wrong, "instrument": "C"}])
    first, second, third, fourth = told.json()["results"]
    for found, request in zip((first, second), good, strict=True):
        assert found["instrument"] == request["instrument"]
        assert [each["row"] for each in found["answers"]] == [3, 4, 5]
    assert first["answers"] == second["answers"]
    assert "high" in third["error"]["found"]
    assert "no instrument 'C'" in fourth["error"]["found"]
    metrics = server.ask("GET", "/metrics").text
    assert 'offline_trader_refused_total{instrument="A"} 1\n' in metrics
    desks["B"].log.commits.store.close()
    broken = server.post(
        "/v1/decide/batch",
        requests=[{"instrument": name, "bars": [body_of(bars[304])]} for name in "AB"],
    ).json()["results"]
    assert all("cannot be written" in each["error"]["found"] for each in broken)


@pytest.mark.parametrize("kind", [None, "text/plain", "application/x-www-form-urlencoded"])
def test_what_another_sites_page_could_send_orders_nothing(
    kind: str | None, server: Server, desk: Desk, bars: Bars, body_of: BodyOf
) -> None:
    """A browser sends such bodies to loopback without asking first; JSON it has to ask for."""
    server.post("/v1/warm-up", bars=[body_of(bar) for bar in bars.slice(0, 300)])
    content = json.dumps({"bars": [body_of(bars[300])]}).encode()
    headers = {**server.headers, **({} if kind is None else {"content-type": kind})}
    for path in ("/v1/decide", "/v1/decide/batch", "/v1/halt"):
        answered = server.ask("POST", path, content=content, headers=headers)
        assert answered.status_code == 422
    assert not list(desk.log.entries("decided"))
    assert desk.state.reason == ""
