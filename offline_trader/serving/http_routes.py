"""What can be asked of a server: the routes over its desks.

Handlers are coroutines that never wait in the middle of a decision, so the decisions of a server
come one after the other; an answer leaves once its row is on disk.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from offline_trader import __version__
from offline_trader.errors import ConfigError, OfflineTraderError, RiskHalt
from offline_trader.serving.catalog import Catalog
from offline_trader.serving.desk import Answer, Desk
from offline_trader.serving.desk_rows import LOADED, NOT_PUT
from offline_trader.serving.group_commit import GroupCommit
from offline_trader.serving.http_answers import (
    BatchTold,
    DecidedTold,
    DesksTold,
    DeskTold,
    HealthTold,
    LoadTold,
    ModelsTold,
    ReadyTold,
    ShadowTold,
    SwapTold,
    stated,
)
from offline_trader.serving.http_guard import Direct, Guard, Told, refusal
from offline_trader.serving.http_messages import (
    BatchBody,
    DecideBody,
    LoadBody,
    ReasonBody,
    ShadowBody,
    SwapBody,
    WarmUpBody,
    exposition,
    told,
    told_desk,
)
from offline_trader.serving.model_swap import Comparison
from offline_trader.serving.one_turn import Turn

if TYPE_CHECKING:
    from fastapi import FastAPI
    from fastapi.responses import JSONResponse, PlainTextResponse

__all__ = ["Routes", "Watcher"]


class Watcher(Protocol):
    """Who looks at what the server does; it runs between decisions, on the server's thread."""

    def decided(self, instrument: str, answer: Answer, seconds: float) -> None:
        """A bar was decided on, in so much time."""

    def refused(self, instrument: str) -> None:
        """A bar was refused, or could not be decided on."""

    def exposition(self) -> str:
        """Further metrics in Prometheus' text format."""

    async def run(self) -> None:
        """Watch until it is cancelled."""


@dataclass
class _Asked:
    """A request to decide, and what came of it."""

    name: str = ""
    desk: Desk | None = None
    model_sha256: str = ""
    answers: list[tuple[Answer, float]] = field(default_factory=list)
    problem: Exception | None = None

    def told(self) -> DecidedTold:
        """The answer's JSON."""
        shown = [told(answer) for answer, _ in self.answers]
        return {"instrument": self.name, "model_sha256": self.model_sha256, "answers": shown}

    def answer(self) -> tuple[int, Mapping[str, Any]]:
        """Its status and JSON, or those of why there is none."""
        return (200, self.told()) if self.problem is None else refusal(self.problem)


class Routes:
    """What can be asked."""

    def __init__(
        self,
        app: FastAPI,
        desks: Mapping[str, Desk],
        catalog: Catalog,
        watcher: Watcher | None,
        turn: Turn,
    ) -> None:
        self._desks, self._catalog, self._watcher = dict(desks), catalog, watcher
        self._guard: Guard = app.state.guard
        self._counts: dict[str, dict[str, float]] = {n: defaultdict(float) for n in desks}
        stores = {id(desk.log.commits): desk.log.commits for desk in desks.values()}
        self._commits = {
            key: GroupCommit(each, [d for d in desks.values() if d.log.commits is each], turn)
            for key, each in stores.items()
        }
        self._add_to(app)

    def _add_to(self, app: FastAPI) -> None:
        from fastapi.responses import JSONResponse, Response

        health, ready = stated(HealthTold, is_open=True), stated(ReadyTold, is_open=True)
        ready[503] = {"model": ReadyTold, "description": "A desk cannot order."}
        for path, handler, answers in (
            ("/healthz", self.health, health),
            ("/readyz", self.ready, ready),
            ("/metrics", self.metrics, stated("text/plain")),
            ("/v1/models", self.models, stated(ModelsTold)),
            ("/v1/desks", self.all_desks, stated(DesksTold)),
        ):
            kind = Response if path == "/metrics" else JSONResponse
            app.add_api_route(
                path, handler, response_class=kind, response_model=None, responses=answers
            )
        for path, asked, shape in (
            ("/v1/models/load", self.load, LoadTold),
            ("/v1/models/swap", self.swap, SwapTold),
            ("/v1/models/roll-back", self.roll_back, SwapTold),
            ("/v1/models/shadow", self.shadow, ShadowTold),
            ("/v1/warm-up", self.warm_up, DeskTold),
            ("/v1/decide", self.decide, DecidedTold),
            ("/v1/decide/batch", self.decide_batch, BatchTold),
            ("/v1/halt", self.halt, DeskTold),
            ("/v1/rearm", self.rearm, DeskTold),
        ):
            app.add_api_route(
                path,
                asked,
                methods=["POST"],
                response_model=None,
                responses=stated(shape, posted=True),
            )

    async def health(self) -> HealthTold:
        """The process answers."""
        return {"status": "ok", "version": __version__}

    async def ready(self) -> JSONResponse:
        """Whether every desk could let an order through."""
        from fastapi.responses import JSONResponse

        stopped = {name: why for name, desk in self._desks.items() if (why := desk.stopped)}
        return JSONResponse({"ready": not stopped, "stopped": stopped}, 503 if stopped else 200)

    async def metrics(self) -> PlainTextResponse:
        """Counts and states in Prometheus' text format."""
        from fastapi.responses import PlainTextResponse

        more = "" if self._watcher is None else self._watcher.exposition()
        away = self._guard.turned_away
        return PlainTextResponse(exposition(self._desks, self._counts, away) + more)

    async def models(self) -> dict[str, Any]:
        """The models that decide, with their rules and the limits around them; what is loaded."""
        found = [
            {
                "instrument": name,
                **desk.stated,
                "model_sha256": desk.model_sha256,
                "shadow_sha256": desk.shadow_sha256,
            }
            for name, desk in self._desks.items()
        ]
        return {"models": found, "loaded": self._catalog.listed()}

    async def load(self, body: LoadBody) -> LoadTold:
        """Open and check a model of the folder; nothing is decided by it yet.

        It may be put in force at any desk, so the log of each says so, or why it may not.
        """
        told: dict[str, Any] = {"file": body.file}
        try:
            policy = await asyncio.to_thread(self._catalog.load, body.file)
        except OfflineTraderError as error:
            told["model_sha256"] = await asyncio.to_thread(self._catalog.sha256_of, body.file)
            self._record(NOT_PUT, {"asked": "load", **told, "why": error.found})
            raise
        told["model_sha256"] = policy.file.sha256
        self._record(LOADED, told)
        return {"model_sha256": policy.file.sha256, "loaded": self._catalog.listed()}

    async def swap(self, body: SwapBody) -> dict[str, Any]:
        """From the next bar on a loaded model decides, after it was warmed and compared."""
        name, desk = self._desk(body.instrument)
        with desk.telling_refusals("swap", body.model_sha256, body.reason):
            model = self._catalog.find(body.model_sha256)
        found = desk.swap(model, body.reason, max_difference=body.max_difference)
        return _swapped(name, desk, found)

    async def roll_back(self, body: ReasonBody) -> dict[str, Any]:
        """The model before the one in force decides again."""
        name, desk = self._desk(body.instrument)
        return _swapped(name, desk, desk.roll_back(body.reason))

    async def shadow(self, body: ShadowBody) -> ShadowTold:
        """A loaded model sees every bar from now on and orders nothing; the log has its account."""
        name, desk = self._desk(body.instrument)
        named = body.model_sha256
        with desk.telling_refusals("shadow", named, body.reason):
            model = None if named is None else self._catalog.find(named)
        desk.put_shadow(model, body.reason)
        return {"instrument": name, "shadow_sha256": desk.shadow_sha256}

    async def all_desks(self) -> DesksTold:
        """Where each desk stands."""
        return {"desks": [told_desk(name, desk) for name, desk in self._desks.items()]}

    async def warm_up(self, body: WarmUpBody) -> DeskTold:
        """Past bars for the features."""
        name, desk = self._desk(body.instrument)
        return told_desk(name, desk.warm_up([each.bar() for each in body.bars]))

    async def decide(self, body: DecideBody) -> JSONResponse:
        """The decision at each bar. What the broker holds is of the last one.

        A bar that is refused ends the request; the decisions before it are in the log.
        """
        return await _routed(partial(self._decide, body))

    async def decide_batch(self, body: BatchBody) -> JSONResponse:
        """Several requests at once, which reach the disk together; each is answered or refused."""
        return await _routed(partial(self._decide_batch, body))

    @property
    def direct(self) -> dict[str, Direct]:
        """The requests whose answers are waited for; the routes of the same name describe them."""
        decide, batch = DecideBody.model_validate_json, BatchBody.model_validate_json
        return {
            "/v1/decide": lambda body, told: self._decide(decide(body), told),
            "/v1/decide/batch": lambda body, told: self._decide_batch(batch(body), told),
        }

    def _decide(self, body: DecideBody, told: Told) -> None:
        asked = self._ask(body)
        self._settle([asked], lambda: told(*asked.answer()))

    def _decide_batch(self, body: BatchBody, told: Told) -> None:
        asked = [self._ask(each) for each in body.requests]
        self._settle(asked, lambda: told(200, {"results": [each.answer()[1] for each in asked]}))

    def _ask(self, body: DecideBody) -> _Asked:
        """What a desk decides; nothing of it may leave before it is on disk."""
        asked = _Asked()
        try:
            asked.name, asked.desk = self._desk(body.instrument)
            asked.model_sha256 = asked.desk.model_sha256
            held = None if body.holdings is None else body.holdings.holdings()
            bars = [each.bar() for each in body.bars]
            for i, bar in enumerate(bars):
                begun = time.perf_counter()
                answer = asked.desk.decide(bar, holdings=held if i == len(bars) - 1 else None)
                asked.answers.append((answer, time.perf_counter() - begun))
        except Exception as error:
            asked.problem = error
        return asked

    def _settle(self, asked: Sequence[_Asked], then: Callable[[], None]) -> None:
        """Calls ``then`` once everything is on disk, and counted."""
        stores = {id(each.desk.log.commits) for each in asked if each.desk is not None}
        waited = set(stores)

        def durable(store: int, halt: RiskHalt | None) -> None:
            waited.discard(store)
            for each in asked if halt is not None else ():
                if each.desk is not None and id(each.desk.log.commits) == store:
                    each.problem, each.answers = halt, []  # nothing of it may be acted upon
            if not waited:
                self._finish(asked, then)

        for store in stores:
            self._commits[store].when_durable(partial(durable, store))
        if not stores:
            self._finish(asked, then)

    def _finish(self, asked: Sequence[_Asked], then: Callable[[], None]) -> None:
        try:
            for each in asked:
                self._count(each)
        except Exception as error:  # it is answered, too
            for each in asked:
                each.problem = error
        then()

    def _count(self, asked: _Asked) -> None:
        if asked.desk is None:
            return
        count, refused = self._counts[asked.name], asked.problem is not None
        for answer, seconds in asked.answers:
            count["decisions"] += 1
            count["orders"] += answer.units != 0.0
            count["seconds"] += seconds
            if self._watcher is not None:
                self._watcher.decided(asked.name, answer, seconds)
        count["refused"] += refused
        if refused and self._watcher is not None:
            self._watcher.refused(asked.name)

    async def halt(self, body: ReasonBody) -> DeskTold:
        """The kill switch."""
        name, desk = self._desk(body.instrument)
        desk.halt(body.reason)
        return told_desk(name, desk)

    async def rearm(self, body: ReasonBody) -> DeskTold:
        """Back to NORMAL."""
        name, desk = self._desk(body.instrument)
        desk.rearm(body.reason)
        return told_desk(name, desk)

    def _record(self, kind: str, told: Mapping[str, Any]) -> None:
        """In the log of every desk that has one still; where none has, that is what is answered."""
        desks = list(self._desks.values())
        for desk in [each for each in desks if not each.broken] or desks:
            desk.record(kind, {**told, "now": time.time()})

    def _desk(self, instrument: str | None) -> tuple[str, Desk]:
        """The desk of an instrument; the only one where none is named.

        Raises:
            ConfigError: no such instrument, or none named of several.
        """
        name = next(iter(self._desks)) if instrument is None else instrument
        if name not in self._desks or (instrument is None and len(self._desks) > 1):
            raise ConfigError(
                f"no instrument {instrument!r}" if instrument else "no instrument is named",
                expected=f"one of {', '.join(self._desks)}",
            )
        return name, self._desks[name]


async def _routed(begin: Callable[[Told], None]) -> JSONResponse:
    """The same answer by a route, which a request finds where another application is around."""
    from fastapi.responses import JSONResponse

    answer: asyncio.Future[tuple[int, Any]] = asyncio.get_running_loop().create_future()
    begin(lambda *found: None if answer.done() else answer.set_result(found))
    status, content = await answer
    return JSONResponse(content, status)


def _swapped(name: str, desk: Desk, found: Comparison) -> dict[str, Any]:
    return {"instrument": name, "model_sha256": desk.model_sha256, "compared": asdict(found)}
