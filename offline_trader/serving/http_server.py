"""The server: desks behind HTTP, on one thread.

No answer holds a stack trace. Everything but ``/healthz`` and ``/readyz`` needs the token, where
there is one.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
import socket
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Set
from contextlib import asynccontextmanager, contextmanager, suppress
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from offline_trader import __version__
from offline_trader.errors import ConfigError
from offline_trader.serving.catalog import Catalog
from offline_trader.serving.desk import Desk
from offline_trader.serving.http_answers import with_token
from offline_trader.serving.http_guard import Direct, Guard
from offline_trader.serving.http_routes import Routes, Watcher
from offline_trader.serving.one_turn import Turn
from offline_trader.serving.server_settings import ServerLimits

if TYPE_CHECKING:
    from fastapi import FastAPI
    from starlette.types import Receive, Scope, Send

__all__ = ["collect_seldom", "guarded_app", "make_app", "run_app"]

_LAST_ANSWERS_S = 5
"""At the end, for requests that have begun; a stream would not end by itself."""
_YOUNG_OBJECTS = 10_000
_LOG = logging.getLogger("offline_trader.serving")


def make_app(
    desks: Mapping[str, Desk],
    *,
    token: str = "",
    limits: ServerLimits = ServerLimits(),
    catalog: Catalog | None = None,
    watcher: Watcher | None = None,
    open_paths: Set[str] = frozenset(),
) -> FastAPI:
    """The application.

    Args:
        desks: by the name of their instrument.
        token: that clients have to send (``Authorization: Bearer …``); empty: none.
        limits: of requests.
        catalog: of models that may be put in force; by default the first desk's alone.
        watcher: it runs as long as the server does.
        open_paths: further paths that need no token.
    """
    direct: dict[str, Direct] = {}
    turn = Turn()
    app = guarded_app(
        token=token,
        limits=limits,
        open_paths=open_paths,
        background=None if watcher is None else watcher.run,
        direct=direct,
        turn=turn,
    )
    known = catalog or Catalog(next(iter(desks.values())).model)
    routes = Routes(app, desks, known, watcher, turn)
    direct |= routes.direct
    return app


def guarded_app(
    *,
    token: str,
    limits: ServerLimits = ServerLimits(),
    open_paths: Set[str] = frozenset(),
    background: Callable[[], Awaitable[None]] | None = None,
    direct: Mapping[str, Direct] = {},
    turn: Turn | None = None,
) -> FastAPI:
    """An application without routes, behind the guard of :func:`make_app`.

    Args:
        token, limits, open_paths: as there.
        background: runs from start to end.
        direct: POST requests that need no route.
        turn: of what they lead to; None: of its own.
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

    guard = Guard(token, limits, open_paths, direct)

    class Guarded(FastAPI):  # type: ignore[misc]
        """What needs no route does not pass the framework's layers."""

        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            if not await guard.answered(scope, receive, send):
                await super().__call__(scope, receive, send)

        def openapi(self) -> dict[str, Any]:
            """Where there is a token, with what needs it."""
            if self.openapi_schema is None and token:
                with_token(super().openapi())
            return super().openapi()  # type: ignore[no-any-return]

    app = Guarded(
        title="offline-trader",
        version=__version__,
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
    )
    guard.around(app)
    app.state.guard, app.state.turn = guard, turn or Turn()
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
    # asyncio switches Nagle's algorithm off on sockets that name their protocol only: with it an
    # answer whose head and body are written apart waits for the client's delayed acknowledgement.
    with socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP) as place:
        place.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            place.bind((host, port))
            place.listen(1_024)
            settings = uvicorn.Config(
                app,
                log_level="warning",
                http=_http(app.state.guard, app.state.turn),
                ws="none",
                proxy_headers=False,  # who asks is told by the token alone
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
        collect_seldom()
        listening(f"listening on {scheme}://{host}:{place.getsockname()[1]}")
        with _returning_on_sigterm():
            uvicorn.Server(settings).run(sockets=[place])


@contextmanager
def _returning_on_sigterm() -> Iterator[None]:
    """uvicorn sends itself the signal again once it has ended, which would end the process before
    whoever called it has closed the store and the channels of alerts."""
    if threading.current_thread() is not threading.main_thread():  # which alone hears signals
        yield
        return
    before = signal.signal(signal.SIGTERM, lambda *_: None)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def collect_seldom() -> None:
    """Spare decisions the collector of cycles.

    What was loaded stays, and looking through it again takes milliseconds. What a batch of
    decisions makes is gone with it; a collector that comes after every 700 objects finds it alive.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG_OBJECTS)


def _http(guard: Guard, turn: Turn) -> Any:
    """The parser of requests: httptools' where it is installed, uvicorn's own in Python else.

    Answers straight from the connection need what uvicorn does not promise to keep.
    """
    if find_spec("httptools") is None:
        return "h11"
    slower = "requests go through the application, which is slower: uvicorn has another form (%s)"
    try:
        from offline_trader.serving.http_direct import NEEDED, DirectAnswers
        from offline_trader.serving.http_head import BoundedHead
    except ImportError as error:
        _LOG.warning(slower, error)
        return "h11"
    if not hasattr(BoundedHead, NEEDED):
        _LOG.warning(slower, f"no {NEEDED}")
        return BoundedHead
    return partial(DirectAnswers, guard=guard, turn=turn)
