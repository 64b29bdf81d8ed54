"""The page: what desks do, as their audit logs tell it, sent as it happens.

The page itself (HTML, a stylesheet, scripts, nothing from elsewhere) holds no data and needs no
token; ``/dashboard/events`` sends the data to whoever has it, as a stream of server-sent events.
The page reads it by ``fetch``, since an ``EventSource`` cannot send a token.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from offline_trader import __version__
from offline_trader.codec import to_json
from offline_trader.errors import DataError
from offline_trader.monitoring.book import Book

if TYPE_CHECKING:
    from fastapi import FastAPI
    from fastapi.responses import RedirectResponse, Response

__all__ = ["OPEN_PATHS", "Dashboard"]

_ASSETS = {
    "/dashboard": ("page.html", "text/html; charset=utf-8"),
    "/dashboard/page.css": ("page.css", "text/css; charset=utf-8"),
    "/dashboard/page.js": ("page.js", "text/javascript; charset=utf-8"),
    "/dashboard/charts.js": ("charts.js", "text/javascript; charset=utf-8"),
}
OPEN_PATHS = frozenset({"/", *_ASSETS})
"""Paths without data, which need no token."""
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
_LOOK_S, _BEAT_S, _LONGEST_S = 0.2, 5.0, 600.0
_VIEWERS = 32


class Dashboard:
    """The page and its stream.

    Args:
        books: of the desks.
        live: what the process knows beside the logs, by instrument, as ``broken``.
    """

    def __init__(
        self, books: list[Book], live: Callable[[], Mapping[str, Mapping[str, Any]]] = dict
    ) -> None:
        self._books, self._live = books, live
        self._viewers = 0
        self._reading = asyncio.Lock()
        self._read_at = 0.0
        self._trouble: dict[str, str] = {}

    def add_to(self, app: FastAPI) -> None:
        """Let ``app`` answer ``/dashboard`` and what is below it."""
        from fastapi.responses import Response

        from offline_trader.serving.http_answers import RefusalTold, stated

        for path in _ASSETS:
            app.add_api_route(path, _answering(path), include_in_schema=False)
        app.add_api_route("/", _to_page, include_in_schema=False)
        answers = stated("text/event-stream")
        answers[503] = {"model": RefusalTold, "description": "Too many pages are open."}
        app.add_api_route(
            "/dashboard/events",
            self.events,
            response_class=Response,
            response_model=None,
            responses=answers,
        )

    def close(self) -> None:
        """Read no more; a store that is still read cannot be put in order by who writes it."""
        for book in self._books:
            book.close()

    async def events(self) -> Response:
        """A stream of events ``update``: each desk's state, and its decisions since the last."""
        from fastapi.responses import JSONResponse, StreamingResponse

        if self._viewers >= _VIEWERS:
            found = f"{self._viewers} pages are open"
            error = {"found": found, "expected": f"{_VIEWERS} at most", "hint": ""}
            return JSONResponse({"error": error}, 503)
        return StreamingResponse(
            self._stream(), media_type="text/event-stream", headers={"Cache-Control": "no-store"}
        )

    async def _stream(self) -> AsyncIterator[str]:
        self._viewers += 1
        try:
            sent: dict[str, tuple[Any, ...]] = {}
            begun = beat = time.monotonic()
            while time.monotonic() - begun < _LONGEST_S:
                async with self._reading:
                    await self._read()
                    desks = self._news(sent)
                now = time.monotonic()
                if desks or now - beat > _BEAT_S:
                    beat = now
                    message = {"version": __version__, "now": time.time(), "desks": desks}
                    yield f"event: update\ndata: {to_json(message)}\n\n"
                await asyncio.sleep(_LOOK_S)
        finally:
            self._viewers -= 1

    async def _read(self) -> None:
        """Read on in every log, in another thread, once for all viewers."""
        if time.monotonic() - self._read_at >= _LOOK_S / 2:
            await asyncio.to_thread(self._read_books)
            self._read_at = time.monotonic()

    def _read_books(self) -> None:
        for book in self._books:
            try:
                while book.read_on():
                    time.sleep(0.0)  # a long log is read in parts, and decisions come between
                self._trouble.pop(book.instrument, None)
            except DataError as error:
                self._trouble[book.instrument] = error.found

    def _news(self, sent: dict[str, tuple[Any, ...]]) -> list[dict[str, Any]]:
        """Of each desk that changed since ``sent``, what the page does not know; marks it there."""
        found = []
        live = self._live()
        for book in self._books:
            name = book.instrument
            beside = {"trouble": self._trouble.get(name, ""), **live.get(name, {})}
            mark = (book.row, *beside.values())
            before = sent.get(name)
            if mark != before:
                points = book.points_after(0 if before is None else before[0])
                found.append({**book.head, **beside, "points": points, "whole": before is None})
                sent[name] = mark
        return found


def _answering(path: str) -> Callable[[], Any]:
    name, kind = _ASSETS[path]
    content = (files("offline_trader.monitoring") / name).read_bytes()

    async def answer() -> Any:
        from fastapi.responses import Response

        return Response(content, media_type=kind, headers=_HEADERS)

    return answer


async def _to_page() -> RedirectResponse:
    from fastapi.responses import RedirectResponse

    return RedirectResponse("dashboard")  # below whatever a proxy puts before it
