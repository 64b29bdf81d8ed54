"""What ``/openapi.json`` states of answers and errors is what is answered, route by route."""

from __future__ import annotations

import asyncio
import copy
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

pytest.importorskip("fastapi")
pytest.importorskip("uvicorn")

from jsonschema import Draft202012Validator, ValidationError

from offline_trader.errors import DataError
from offline_trader.export import OnnxPolicy
from offline_trader.markets import Bar, Bars, load_market
from offline_trader.monitoring import OPEN_PATHS, Book, Dashboard
from offline_trader.serving import AuditLog, Desk, RiskLimits
from offline_trader.serving.catalog import Catalog
from offline_trader.serving.http_server import make_app
from offline_trader.serving.server_settings import ServerLimits
from offline_trader.simulator import SimulatorConfig

MakeModel = Callable[..., Path]
BodyOf = Callable[[Bar], dict[str, Any]]
TOKEN = "0123456789abcdef"
ODD: tuple[Any, ...] = (None, True, -1, 1e308, "", "x", "2020-01-01T00:00:00Z", [], {}, [{}])


class Stated:
    """A server, what it states, and which of that was seen."""

    def __init__(self, app: Any) -> None:
        self.app, self.document = app, copy.deepcopy(app.openapi())
        for shape in self.document["components"]["schemas"].values():
            if "properties" in shape:  # a key that is not stated is a mistake here
                shape["additionalProperties"] = False
        self.seen: set[tuple[str, str, int]] = set()

    def ask(self, method: str, path: str, *, token: str = TOKEN, **what: Any) -> httpx.Response:
        async def one() -> httpx.Response:
            transport = httpx.ASGITransport(app=self.app)
            async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
                headers = {"authorization": f"Bearer {token}", **what.pop("headers", {})}
                return await client.request(method, path, headers=headers, **what)

        answered = asyncio.run(one())
        self.check(method, path, answered)
        return answered

    def check(self, method: str, path: str, answered: httpx.Response) -> None:
        """Status, type and shape are stated."""
        found = self.document["paths"][path][method.lower()]["responses"]
        content = found[str(answered.status_code)]["content"]
        kind = answered.headers["content-type"].partition(";")[0]
        assert list(content) == [kind], (path, answered.status_code)
        if kind == "application/json":
            self.validate(content[kind]["schema"], answered.json())
        self.seen.add((method.lower(), path, answered.status_code))

    def validate(self, schema: dict[str, Any], told: Any) -> None:
        """By the schema; numbers and texts are told apart."""
        components = {"components": self.document["components"]}
        Draft202012Validator({**schema, **components}).validate(told)

    def operations(self) -> Iterator[tuple[str, str]]:
        for path, methods in self.document["paths"].items():
            for method in methods:
                yield method, path


@pytest.fixture
def bars() -> Bars:
    return load_market("synthetic:ou?bars=360&seed=7")


@pytest.fixture
def desk(make_model: MakeModel, tmp_path: Path) -> Desk:
    policy = OnnxPolicy(make_model(SimulatorConfig(action_mode="target_long")))
    limits = RiskLimits(max_price_age_s=1e12, price_collar=0.5)
    return Desk(policy, AuditLog(tmp_path / "log.db"), limits)


@pytest.fixture
def stated(desk: Desk, make_model: MakeModel) -> Stated:
    folder = make_model(SimulatorConfig(action_mode="target_long"), seed=1).parent
    limits = ServerLimits(body_bytes=100_000, requests_per_second=1e9)
    catalog = Catalog(desk.model, folder)
    app = make_app({"OU": desk}, token=TOKEN, catalog=catalog, limits=limits, open_paths=OPEN_PATHS)
    Dashboard([Book(desk.log.name)]).add_to(app)
    return Stated(app)


def test_every_route_answers_as_is_stated(
    stated: Stated, desk: Desk, bars: Bars, tmp_path: Path, body_of: BodyOf
) -> None:
    files = sorted(each.name for each in tmp_path.glob("*.onnx"))
    stated.ask("POST", "/v1/warm-up", json={"bars": [*map(body_of, bars.slice(0, 300))]})
    part = [*map(body_of, bars.slice(300, 340))]
    told = stated.ask("POST", "/v1/decide", json={"bars": part}).json()["answers"]
    assert any(each["order"] for each in told)
    assert any(each["hold"] for each in told)
    requests = [{"bars": [body_of(bars[i])]} for i in (340, 339)]  # the second one is old
    told = stated.ask("POST", "/v1/decide/batch", json={"requests": requests}).json()["results"]
    assert ["answers" in told[0], "error" in told[1]] == [True, True]
    for file in files:
        loaded = stated.ask("POST", "/v1/models/load", json={"file": file}).json()
    swap = {"model_sha256": loaded["model_sha256"], "reason": "A. Person"}
    for path in ("swap", "roll-back", "shadow"):
        body = swap if path != "roll-back" else {"reason": "A. Person"}
        stated.ask("POST", f"/v1/models/{path}", json=body)
    for path in ("/healthz", "/readyz", "/metrics", "/v1/models", "/v1/desks"):
        stated.ask("GET", path)
    for path in ("/v1/halt", "/v1/rearm"):
        stated.ask("POST", path, json={"reason": "drill"})
    answered = {(method, path) for method, path, status in stated.seen if status == 200}
    assert set(stated.operations()) - answered == {("get", "/dashboard/events")}  # without an end


def test_every_error_is_answered_as_is_stated(
    stated: Stated, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def endless() -> Any:
        yield b"x"

    def broken(*_: Any, **__: Any) -> None:
        raise ZeroDivisionError

    json_type = {"content-type": "application/json"}
    for method, path in stated.operations():
        stated.ask(method, path, content=b"x" * 200_000)
        if method == "post":
            for content in (b"{", b'{"nothing": 1}', b"\x80{}", endless()):
                stated.ask(method, path, content=content, headers=json_type)
        if path not in ("/healthz", "/readyz"):
            stated.ask(method, path, token="x")
    desk.halt("drill")
    assert stated.ask("GET", "/readyz").status_code == 503
    desk.stop(DataError("disk full"))
    reason = {"reason": "A. Person"}
    stated.ask("POST", "/v1/rearm", json=reason)
    for method, path in stated.operations():
        asked: dict[str, Any] = {"json": reason} if method == "post" else {}
        if path != "/dashboard/events":
            stated.ask(method, path, **asked)
    monkeypatch.setattr(Desk, "halt", broken)
    assert stated.ask("POST", "/v1/halt", json=reason).status_code == 500
    few = Stated(make_app({"OU": desk}, limits=ServerLimits(requests_per_second=0.5)))
    for _ in range(4):
        few.ask("GET", "/healthz")
    found = {status for _, _, status in stated.seen | few.seen}
    named = {
        int(code)
        for methods in stated.document["paths"].values()
        for each in methods.values()
        for code in each["responses"]
    }
    assert found == named == {200, 400, 401, 411, 413, 422, 429, 500, 503}


def test_requests_made_out_of_what_is_stated_are_answered_as_is_stated(
    stated: Stated, desk: Desk, bars: Bars, body_of: BodyOf
) -> None:
    """Each field of each request gone, and of other kinds."""
    desk.warm_up(bars.slice(0, 300))
    shapes, tried = stated.document["components"]["schemas"], 0
    whole = {
        "bars": [body_of(bars[300])], "reason": "drill", "file": "none.onnx",
        "model_sha256": "0" * 64, "requests": [{"bars": [body_of(bars[301])]}],
    }  # fmt: skip
    for method, path in stated.operations():
        if method != "post":
            continue
        body = stated.document["paths"][path]["post"]["requestBody"]["content"]
        shape = shapes[body["application/json"]["schema"]["$ref"].rpartition("/")[2]]
        good = {key: whole[key] for key in shape["required"]}
        for field in shape["properties"]:
            for odd in ODD:
                content = json.dumps(good | {field: odd})
                stated.ask(
                    "POST", path, content=content, headers={"content-type": "application/json"}
                )
                tried += 1
    assert tried > 150
    assert {200, 422} <= {status for _, _, status in stated.seen}


def test_what_needs_the_token_is_stated(stated: Stated) -> None:
    document = stated.document
    (name,) = document["components"]["securitySchemes"]
    assert document["components"]["securitySchemes"][name] == {"type": "http", "scheme": "bearer"}
    needing = 0
    for method, path in stated.operations():
        if "stream" in path:  # it would not end
            continue
        asked = document["paths"][path][method].get("security", document["security"])
        answered = stated.ask(method.upper(), path, token="")
        assert (answered.status_code == 401) == (asked == [{name: []}]), path
        needing += answered.status_code == 401
    assert needing > 10


def test_without_a_token_none_is_stated(desk: Desk) -> None:
    document = make_app({"OU": desk}).openapi()
    assert "security" not in document
    assert "securitySchemes" not in document["components"]


@pytest.mark.parametrize("wrong", [{"row": "3"}, {"more": 1}, {"hold": "so"}, {"row": None}])
def test_another_shape_would_be_found(
    wrong: dict[str, Any], stated: Stated, desk: Desk, bars: Bars, body_of: BodyOf
) -> None:
    desk.warm_up(bars.slice(0, 300))
    told = stated.ask("POST", "/v1/decide", json={"bars": [body_of(bars[300])]}).json()
    schema = {"$ref": "#/components/schemas/DecidedTold"}
    stated.validate(schema, told)
    told["answers"][0] |= wrong
    with pytest.raises(ValidationError):
        stated.validate(schema, told)
