"""The server: desks behind HTTP, on one thread.

Handlers are coroutines that never wait in the middle of a decision, so the decisions of a server
come one after the other; what takes the time is the log's synchronisation. No answer holds a stack
trace. Everything but ``/healthz`` and ``/readyz`` needs the token, where there is one.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
import socket
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Set
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from offline_trader import __version__
from offline_trader.errors import ConfigError, OfflineTraderError, RiskHalt
from offline_trader.serving.desk import Answer, Desk
from offline_trader.serving.http_messages import (
    DecideBody,
    ReasonBody,
    WarmUpBody,
    exposition,
    told,
    told_desk,
)
from offline_trader.serving.risk import State
from offline_trader.serving.server_settings import ServerLimits

if TYPE_CHECKING:
    from fastapi import FastAPI, Request
    from fastapi.exceptions import RequestValidationError
    from fastapi.responses import JSONResponse, PlainTextResponse
    from starlette.exceptions import HTTPException

    _Next = Callable[[Request], Awaitable[Any]]

__all__ = ["Watcher", "guarded_app", "make_app", "run_app"]

_OPEN = frozenset({"/healthz", "/readyz"})
_LAST_ANSWERS_S = 5
"""At the end, for requests that have begun; a stream would not end by itself."""
_LOG = logging.getLogger("offline_trader.serving")


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


def make_app(
    desks: Mapping[str, Desk],
    *,
    token: str = "",
    limits: ServerLimits = ServerLimits(),
    watcher: Watcher | None = None,
    open_paths: Set[str] = frozenset(),
) -> FastAPI:
    """The application.

    Args:
        desks: by the name of their instrument.
        token: that clients have to send (``Authorization: Bearer …``); empty: none.
        limits: of requests.
        watcher: it runs as long as the server does.
        open_paths: further paths that need no token.
    """
    app = guarded_app(
        token=token,
        limits=limits,
        open_paths=open_paths,
        background=None if watcher is None else watcher.run,
    )
    _Routes(app, desks, watcher)
    return app


def guarded_app(
    *,
    token: str,
    limits: ServerLimits = ServerLimits(),
    open_paths: Set[str] = frozenset(),
    background: Callable[[], Awaitable[None]] | None = None,
) -> FastAPI:
    """An application without routes, behind the guard of :func:`make_app`.

    Args:
        token, limits, open_paths: as there.
        background: runs from start to end.
    """
    from fastapi import FastAPI

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        task = None if background is None else asyncio.ensure_future(background())
        yield
        if task is not None:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    app = FastAPI(
        title="offline-trader",
        version=__version__,
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
    )
    _Guard(app, token, limits, _OPEN | open_paths)
    return app


def run_app(
    app: FastAPI,
    host: str,
    port: int,
    *,
    tls_cert: Path | None = None,
    tls_key: Path | None = None,
    listening: Callable[[str], None] = _LOG.info,
) -> None:
    """Serve until SIGTERM or Ctrl-C; requests that have begun are answered.

    Args:
        listening: told the address, once connections are taken.

    Raises:
        ConfigError: the address is taken or is none of this machine, or the TLS files are none.
    """
    import uvicorn

    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as place:
        place.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            place.bind((host, port))
            place.listen(1_024)
            settings = uvicorn.Config(
                app,
                log_level="warning",
                server_header=False,
                access_log=False,
                timeout_graceful_shutdown=_LAST_ANSWERS_S,
                ssl_certfile=tls_cert,
                ssl_keyfile=None if tls_key is None else str(tls_key),
            )
            settings.load()
        except (OSError, OverflowError) as error:
            raise ConfigError(
                f"cannot listen on {host}:{port}: {error}",
                expected="a free port of this machine, and PEM files where TLS is asked for",
            ) from error
        scheme = "http" if tls_cert is None else "https"
        listening(f"listening on {scheme}://{host}:{place.getsockname()[1]}")
        uvicorn.Server(settings).run(sockets=[place])


class _Guard:
    """Who may ask, how much and how often; and what a mistake is answered."""

    def __init__(
        self, app: FastAPI, token: str, limits: ServerLimits, open_paths: Set[str]
    ) -> None:
        from fastapi.exceptions import RequestValidationError
        from starlette.exceptions import HTTPException

        self._token, self._limits, self._open = token.encode(), limits, open_paths
        self._credit, self._counted = 2.0 * limits.requests_per_second, time.monotonic()
        app.middleware("http")(self.checked)
        app.add_exception_handler(OfflineTraderError, _refused)
        app.add_exception_handler(RequestValidationError, _misshapen)
        app.add_exception_handler(HTTPException, _unanswered)

    async def checked(self, request: Request, call_next: _Next) -> Any:
        """The answer, or why there is none."""
        if not self._has_credit():
            return _error(429, "too many requests")
        if request.url.path not in self._open and not self._is_known(request):
            return _error(401, "no valid token", expected="Authorization: Bearer TOKEN")
        length = request.headers.get("content-length")
        if request.method == "POST" and (length is None or not length.isdigit()):
            return _error(411, "a body without a stated length")
        if length is not None and length.isdigit() and int(length) > self._limits.body_bytes:
            return _error(413, f"a body of more than {self._limits.body_bytes:,} bytes")
        try:
            return await call_next(request)
        except Exception:
            _LOG.exception("a request failed")
            return _error(500, "the server made a mistake; its log says which")

    def _is_known(self, request: Request) -> bool:
        if not self._token:
            return True
        given = request.headers.get("authorization", "").encode()
        return hmac.compare_digest(given, b"Bearer " + self._token)

    def _has_credit(self) -> bool:
        now, rate = time.monotonic(), self._limits.requests_per_second
        self._credit = min(2.0 * rate, self._credit + rate * (now - self._counted))
        self._counted = now
        if self._credit < 1.0:
            return False
        self._credit -= 1.0
        return True


class _Routes:
    """What can be asked."""

    def __init__(self, app: FastAPI, desks: Mapping[str, Desk], watcher: Watcher | None) -> None:
        self._desks, self._watcher = dict(desks), watcher
        self._counts: dict[str, dict[str, float]] = {n: defaultdict(float) for n in desks}
        for path, handler, method in (
            ("/healthz", self.health, "GET"),
            ("/readyz", self.ready, "GET"),
            ("/metrics", self.metrics, "GET"),
            ("/v1/models", self.models, "GET"),
            ("/v1/desks", self.all_desks, "GET"),
            ("/v1/warm-up", self.warm_up, "POST"),
            ("/v1/decide", self.decide, "POST"),
            ("/v1/halt", self.halt, "POST"),
            ("/v1/rearm", self.rearm, "POST"),
        ):
            app.add_api_route(path, handler, methods=[method], response_model=None)

    async def health(self) -> dict[str, str]:
        """The process answers."""
        return {"status": "ok", "version": __version__}

    async def ready(self) -> JSONResponse:
        """Whether every desk could let an order through."""
        from fastapi.responses import JSONResponse

        stopped = {
            name: desk.broken or desk.state.reason
            for name, desk in self._desks.items()
            if desk.broken or desk.state.state is State.HALT
        }
        return JSONResponse({"ready": not stopped, "stopped": stopped}, 503 if stopped else 200)

    async def metrics(self) -> PlainTextResponse:
        """Counts and states in Prometheus' text format."""
        from fastapi.responses import PlainTextResponse

        more = "" if self._watcher is None else self._watcher.exposition()
        return PlainTextResponse(exposition(self._desks, self._counts) + more)

    async def models(self) -> dict[str, Any]:
        """The models that decide, with their rules and the limits around them."""
        return {"models": [{"instrument": n, **d.stated} for n, d in self._desks.items()]}

    async def all_desks(self) -> dict[str, Any]:
        """Where each desk stands."""
        return {"desks": [told_desk(name, desk) for name, desk in self._desks.items()]}

    async def warm_up(self, body: WarmUpBody) -> dict[str, Any]:
        """Past bars for the features."""
        name, desk = self._desk(body.instrument)
        return told_desk(name, desk.warm_up([each.bar() for each in body.bars]))

    async def decide(self, body: DecideBody) -> dict[str, Any]:
        """The decision at each bar. What the broker holds is of the last one.

        A bar that is refused ends the request; the decisions before it are in the log.
        """
        name, desk = self._desk(body.instrument)
        count, bars = self._counts[name], [each.bar() for each in body.bars]
        held = None if body.holdings is None else body.holdings.holdings()
        answers = []
        for i, bar in enumerate(bars):
            begun = time.perf_counter()
            try:
                answer = desk.on_bar(bar, holdings=held if i == len(bars) - 1 else None)
            except Exception:
                count["refused"] += 1
                if self._watcher is not None:
                    self._watcher.refused(name)
                raise
            seconds = time.perf_counter() - begun
            count["decisions"] += 1
            count["orders"] += answer.units != 0.0
            count["seconds"] += seconds
            if self._watcher is not None:
                self._watcher.decided(name, answer, seconds)
            answers.append(told(answer))
        return {
            "instrument": name,
            "model_sha256": desk.stated["model_sha256"],
            "answers": answers,
        }

    async def halt(self, body: ReasonBody) -> dict[str, Any]:
        """The kill switch."""
        name, desk = self._desk(body.instrument)
        desk.halt(body.reason)
        return told_desk(name, desk)

    async def rearm(self, body: ReasonBody) -> dict[str, Any]:
        """Back to NORMAL."""
        name, desk = self._desk(body.instrument)
        desk.rearm(body.reason)
        return told_desk(name, desk)

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


def _error(status: int, found: str, *, expected: str = "", hint: str = "") -> JSONResponse:
    from fastapi.responses import JSONResponse

    return JSONResponse(
        {"error": {"found": found, "expected": expected, "hint": hint}}, status_code=status
    )


async def _refused(request: Request, error: OfflineTraderError) -> JSONResponse:
    status = 503 if isinstance(error, RiskHalt) else 422
    return _error(status, error.found, expected=error.expected, hint=error.hint)


async def _misshapen(request: Request, error: RequestValidationError) -> JSONResponse:
    first = error.errors()[0]
    place = ".".join(map(str, first["loc"]))
    return _error(422, f"{place}: {first['msg']}", expected="what /openapi.json says")


async def _unanswered(request: Request, error: HTTPException) -> JSONResponse:
    return _error(error.status_code, str(error.detail), expected="what /openapi.json says")
