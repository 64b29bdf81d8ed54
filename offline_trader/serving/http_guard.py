"""Who may ask the server, how much and how often; and what a mistake is answered."""

from __future__ import annotations

import hmac
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence, Set
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

__all__ = ["Direct", "Guard", "refusal"]

_OPEN = frozenset({"/healthz", "/readyz"})
_OURS = "the server made a mistake; its log says which"
_LOG = logging.getLogger("offline_trader.serving")


Direct = Callable[[bytes], Awaitable[tuple[int, dict[str, Any]]]]
"""Status and JSON object for the body of a request."""


class Guard:
    """Lets through to an application what may pass, and shapes every error alike.

    Args:
        token: that a request has to have; empty: none.
        limits: of requests.
        open_paths: further paths that need no token.
        direct: paths whose POST requests are answered by :meth:`answered`; filled later, too.
            Finding the route, its arguments and the form of its answer takes the framework longer
            than a decision.
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
        self._credit, self._counted = 2.0 * limits.requests_per_second, time.monotonic()

    def around(self, app: FastAPI) -> None:
        """Let through to the routes of ``app`` what may pass."""
        from fastapi.exceptions import RequestValidationError
        from starlette.exceptions import HTTPException

        app.add_middleware(_Guarded, guard=self)
        app.add_exception_handler(OfflineTraderError, _refused)
        app.add_exception_handler(RequestValidationError, _misshapen)
        app.add_exception_handler(HTTPException, _unanswered)

    async def answered(self, scope: Scope, receive: Receive, send: Send) -> bool:
        """Whether it was a request that needs no route, which then has its answer."""
        if scope["type"] != "http" or scope["method"] != "POST":
            return False
        direct = self._direct.get(scope["path"])
        if direct is None:
            return False
        await self.pass_on(partial(_answer, direct), scope, receive, send)
        return True

    async def pass_on(self, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        """The answer of ``app``, or why there is none."""
        refusal = self._refusal(scope)
        if refusal is not None:
            await refusal(scope, receive, send)
            return
        try:
            await app(scope, receive, send)
        except Exception:
            _LOG.exception("a request failed")
            failed = _error(500, _OURS)
            await failed(scope, receive, send)

    def _refusal(self, scope: Scope) -> JSONResponse | None:
        if not self._has_credit():
            return _error(429, "too many requests")
        headers: dict[bytes, bytes] = dict(scope["headers"])
        if self._expected and scope["path"] not in self._open:
            given = headers.get(b"authorization", b"")
            if not hmac.compare_digest(given, self._expected):
                return _error(401, "no valid token", expected="Authorization: Bearer TOKEN")
        length = headers.get(b"content-length")
        if scope["method"] == "POST" and (length is None or not length.isdigit()):
            return _error(411, "a body without a stated length")
        if length is not None and length.isdigit() and int(length) > self._limits.body_bytes:
            return _error(413, f"a body of more than {self._limits.body_bytes:,} bytes")
        return None

    def _has_credit(self) -> bool:
        now, rate = time.monotonic(), self._limits.requests_per_second
        self._credit = min(2.0 * rate, self._credit + rate * (now - self._counted))
        self._counted = now
        if self._credit < 1.0:
            return False
        self._credit -= 1.0
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
    kind = dict(scope["headers"]).get(b"content-type", b"").split(b";")[0].strip().lower()
    if kind != b"application/json":  # of which no other site's page can send a request unasked
        found = f"a body of type {kind.decode('latin-1') or 'none'!r}"
        refused = _error(422, found, expected="Content-Type: application/json")
        await refused(scope, receive, send)
        return
    body, more = b"", True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        body += message.get("body", b"")
        more = message.get("more_body", False)
    try:
        status, told = await direct(body)
    except ValidationError as error:
        status, told = 422, _first_mistake(error.errors(include_url=False, include_input=False))
    except OfflineTraderError as error:
        status, told = refusal(error)
    content = json_text(told).encode()
    head = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(content)).encode()),
    ]
    await send({"type": "http.response.start", "status": status, "headers": head})
    await send({"type": "http.response.body", "body": content})


def _first_mistake(errors: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    first = errors[0]
    place = ".".join(map(str, ("body", *first["loc"])))
    found = f"{place}: {first['msg']}"
    return {"error": {"found": found, "expected": "what /openapi.json says", "hint": ""}}


def _error(status: int, found: str, *, expected: str = "", hint: str = "") -> JSONResponse:
    from fastapi.responses import JSONResponse

    return JSONResponse(
        {"error": {"found": found, "expected": expected, "hint": hint}}, status_code=status
    )


def refusal(error: Exception) -> tuple[int, dict[str, Any]]:
    """Status and JSON of a request that was refused, or at which the server made a mistake."""
    if not isinstance(error, OfflineTraderError):
        _LOG.error("a request failed", exc_info=error)
        return 500, {"error": {"found": _OURS, "expected": "", "hint": ""}}
    told = {"found": error.found, "expected": error.expected, "hint": error.hint}
    return 503 if isinstance(error, RiskHalt) else 422, {"error": told}


async def _refused(request: Request, error: OfflineTraderError) -> JSONResponse:
    from fastapi.responses import JSONResponse

    status, told = refusal(error)
    return JSONResponse(told, status_code=status)


async def _misshapen(request: Request, error: RequestValidationError) -> JSONResponse:
    first = error.errors()[0]
    place = ".".join(map(str, first["loc"]))
    return _error(422, f"{place}: {first['msg']}", expected="what /openapi.json says")


async def _unanswered(request: Request, error: HTTPException) -> JSONResponse:
    return _error(error.status_code, str(error.detail), expected="what /openapi.json says")
