"""Who may ask the server, how much and how often; and what a mistake is answered."""

from __future__ import annotations

import asyncio
import hmac
import logging
import time
from collections.abc import Callable, Mapping, Sequence, Set
from functools import partial
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from offline_trader.errors import OfflineTraderError, RiskHalt
from offline_trader.serving.row_text import json_text
from offline_trader.serving.server_settings import ServerLimits

if TYPE_CHECKING:
    from fastapi import FastAPI, Request
    from fastapi.exceptions import RequestValidationError
    from fastapi.responses import JSONResponse
    from starlette.exceptions import HTTPException
    from starlette.types import ASGIApp, Receive, Scope, Send

    from offline_trader.serving.http_answers import RefusalTold

__all__ = ["Direct", "Guard", "Told", "begin", "content_of", "refusal"]

_OPEN = frozenset({"/healthz", "/readyz"})
_JSON = b"application/json"
_SHAPES = "what /openapi.json says"
_OURS = "the server made a mistake; its log says which"
_LOG = logging.getLogger("offline_trader.serving")


Told = Callable[[int, Mapping[str, Any]], None]
"""Takes status and JSON object of an answer; called once."""
Direct = Callable[[bytes, Told], None]
"""Begins to answer a request of this body, on the event loop's thread."""
Refusal = tuple[int, "RefusalTold"]
"""Status and JSON object of a request that is not let through."""


class Guard:
    """Lets through to an application what may pass, and shapes every error alike.

    Args:
        token: that a request has to have; empty: none.
        limits: of requests.
        open_paths: further paths that need no token.
        direct: paths whose POST requests are answered by :meth:`answered`; filled later, too.
            Finding the route, its arguments and the form of its answer takes the framework longer
            than a decision.

    Attributes:
        turned_away: requests that were not let through, by the status that they were answered:
            they are of no desk, so no log has them, and no stranger can fill a disk with them.
    """

    def __init__(
        self,
        token: str,
        limits: ServerLimits,
        open_paths: Set[str] = frozenset(),
        direct: Mapping[str, Direct] = {},
    ) -> None:
        self._limits, self._open, self._direct = limits, _OPEN | open_paths, direct
        self._expected = b"Bearer " + token.encode() if token else b""
        rate = limits.requests_per_second
        self._known, self._strangers = _Credit(rate), _Credit(rate)
        self.turned_away = dict.fromkeys((401, 411, 413, 422, 429), 0)

    def around(self, app: FastAPI) -> None:
        """Let through to the routes of ``app`` what may pass."""
        from fastapi.exceptions import RequestValidationError
        from starlette.exceptions import HTTPException

        app.add_middleware(_Guarded, guard=self)
        app.add_exception_handler(OfflineTraderError, _refused)
        app.add_exception_handler(RequestValidationError, _misshapen)
        app.add_exception_handler(HTTPException, _unanswered)

    def direct(self, scope: Scope) -> Direct | None:
        """What answers a request that needs no route; None: it needs one."""
        if scope["type"] != "http" or scope["method"] != "POST":
            return None
        return self._direct.get(scope["path"])

    async def answered(self, scope: Scope, receive: Receive, send: Send) -> bool:
        """Whether it was a request that needs no route, which then has its answer."""
        direct = self.direct(scope)
        if direct is None:
            return False
        await self.pass_on(partial(_answer, direct), scope, receive, send, json=True)
        return True

    async def pass_on(
        self, app: ASGIApp, scope: Scope, receive: Receive, send: Send, *, json: bool = False
    ) -> None:
        """The answer of ``app``, or why there is none.

        Args:
            json: no other body is taken.
        """
        refused = self.refusal(scope, json=json)
        if refused is not None:
            await _send(send, *content_of(*refused))
            return
        try:
            await app(scope, receive, send)
        except Exception as error:
            await _send(send, *content_of(*refusal(error)))

    def refusal(self, scope: Scope, *, json: bool) -> Refusal | None:
        """Why a request is not let through; each is asked about once. None: it is."""
        found = self._found(scope, json=json)
        if found is not None:
            self.turned_away[found[0]] += 1
        return found

    def _found(self, scope: Scope, *, json: bool) -> Refusal | None:
        headers: dict[bytes, bytes] = dict(scope["headers"])
        is_open, known = scope["path"] in self._open, True
        if self._expected and not is_open:
            known = hmac.compare_digest(headers.get(b"authorization", b""), self._expected)
        credit = self._known if known and not is_open else self._strangers
        if not credit.spent():
            return 429, _error("too many requests")
        if not known:
            return 401, _error("no valid token", expected="Authorization: Bearer TOKEN")
        length = headers.get(b"content-length")
        if scope["method"] == "POST" and (length is None or not length.isdigit()):
            return 411, _error("a body without a stated length")
        if length is not None and length.isdigit() and int(length) > self._limits.body_bytes:
            return 413, _error(f"a body of more than {self._limits.body_bytes:,} bytes")
        return _other_type(headers) if json else None


class _Credit:
    """Requests that are still let through. Those who need no token, or have none, have their own:
    they take nothing from the decisions, and decisions leave the health checks alone.

    Args:
        rate: requests a second, on average; twice as many in a burst.
    """

    def __init__(self, rate: float) -> None:
        self._rate, self._left, self._counted = rate, 2.0 * rate, time.monotonic()

    def spent(self) -> bool:
        """Whether there was enough for one more."""
        now, rate = time.monotonic(), self._rate
        self._left = min(2.0 * rate, self._left + rate * (now - self._counted))
        self._counted = now
        if self._left < 1.0:
            return False
        self._left -= 1.0
        return True


class _Guarded:
    """Around the routes: plain ASGI, which costs a tenth of a wrapped request."""

    def __init__(self, app: ASGIApp, guard: Guard) -> None:
        self._app, self._guard = app, guard

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or why there is none."""
        if scope["type"] == "http":
            await self._guard.pass_on(self._app, scope, receive, send)
        else:
            await self._app(scope, receive, send)


async def _answer(direct: Direct, scope: Scope, receive: Receive, send: Send) -> None:
    body, more = b"", True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        body += message.get("body", b"")
        more = message.get("more_body", False)
    answer: asyncio.Future[tuple[int, bytes]] = asyncio.get_running_loop().create_future()

    def told(status: int, content: bytes) -> None:
        if not answer.done():  # or whoever asked has gone
            answer.set_result((status, content))

    begin(direct, body, told)
    await _send(send, *await answer)


def _other_type(headers: Mapping[bytes, bytes]) -> Refusal | None:
    """Why a body that is not JSON is refused: another site's page can send such ones unasked."""
    given = headers.get(b"content-type", b"")
    if given == _JSON or given.partition(b";")[0].strip().lower() == _JSON:
        return None
    kind = given.partition(b";")[0].strip().lower().decode("latin-1")
    found = f"a body of type {kind or 'none'!r}"
    return 422, _error(found, expected="Content-Type: application/json")


def begin(direct: Direct, body: bytes, told: Callable[[int, bytes], None]) -> None:
    """Begin to answer; ``told`` is called once, with status and JSON text, now or later."""

    def done(status: int, found: Mapping[str, Any]) -> None:
        told(*content_of(status, found))

    try:
        direct(body, done)
    except ValidationError as error:
        done(422, _first_mistake(error.errors(include_url=False, include_input=False)))
    except Exception as error:
        done(*refusal(error))


def content_of(status: int, found: Mapping[str, Any]) -> tuple[int, bytes]:
    """Status and JSON text of an answer."""
    try:
        return status, json_text(found).encode()
    except (TypeError, ValueError):
        _LOG.exception("an answer has no JSON form")
        return 500, json_text(_error(_OURS)).encode()


async def _send(send: Send, status: int, content: bytes) -> None:
    head = [
        (b"content-type", _JSON),
        (b"content-length", str(len(content)).encode()),
    ]
    await send({"type": "http.response.start", "status": status, "headers": head})
    await send({"type": "http.response.body", "body": content})


def _first_mistake(errors: Sequence[Mapping[str, Any]]) -> RefusalTold:
    first = errors[0]
    place = ".".join(map(str, ("body", *first["loc"])))
    return _error(f"{place}: {first['msg']}", expected=_SHAPES)


def _error(found: str, *, expected: str = "", hint: str = "") -> RefusalTold:
    return {"error": {"found": found, "expected": expected, "hint": hint}}


def refusal(error: Exception) -> Refusal:
    """Status and JSON of a request that was refused, or at which the server made a mistake."""
    if not isinstance(error, OfflineTraderError):
        _LOG.error("a request failed", exc_info=error)
        return 500, _error(_OURS)
    told = _error(error.found, expected=error.expected, hint=error.hint)
    return 503 if isinstance(error, RiskHalt) else 422, told


async def _refused(request: Request, error: OfflineTraderError) -> JSONResponse:
    return _response(*refusal(error))


async def _misshapen(request: Request, error: RequestValidationError) -> JSONResponse:
    first = error.errors()[0]
    place = ".".join(map(str, first["loc"]))
    return _response(422, _error(f"{place}: {first['msg']}", expected=_SHAPES))


async def _unanswered(request: Request, error: HTTPException) -> JSONResponse:
    return _response(error.status_code, _error(str(error.detail), expected=_SHAPES))


def _response(status: int, told: RefusalTold) -> JSONResponse:
    from fastapi.responses import JSONResponse

    return JSONResponse(told, status_code=status)
