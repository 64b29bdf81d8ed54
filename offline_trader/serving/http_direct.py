"""Answers straight from the connection to what needs no route, and no task of an event loop.

Requests that come together are read first and decided on one after the other, so that what a
decision needs stays in the processor's cache; an answer is one write when its rows are on disk.
uvicorn's protocol keeps what belongs to a connection: parsing, order of pipelined requests,
keeping it open, closing. Whatever else a request wants goes the usual way through the application.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from offline_trader.serving.http_guard import Direct, Guard, begin, content_of
from offline_trader.serving.http_head import BoundedHead
from offline_trader.serving.one_turn import Turn

__all__ = ["NEEDED", "DirectAnswers"]

NEEDED = "_start_asgi_task"
"""Of uvicorn's protocol; versions without it never come to :class:`DirectAnswers`' own."""


class DirectAnswers(BoundedHead):
    """A connection.

    Args:
        guard: says what needs no route, and what may pass.
        turn: the server's.
        settings: of uvicorn's protocol.
    """

    def __init__(self, *, guard: Guard, turn: Turn, **settings: Any) -> None:
        super().__init__(**settings)
        self._guard, self._turn = guard, turn
        self._first = False  # no request waits for the one before
        self._awaited: Direct | None = None  # its body is not whole

    def on_headers_complete(self) -> None:
        """The head has ended."""
        self._first = True
        super().on_headers_complete()
        self._first = False

    def on_body(self, body: bytes) -> None:
        """A part of a body, whose stated length was let through."""
        super().on_body(body)
        if self._awaited is not None:  # nobody else goes on reading after a large one
            self.flow.resume_reading()

    def on_message_complete(self) -> None:
        """The body is whole."""
        super().on_message_complete()
        direct, self._awaited = self._awaited, None
        if direct is not None:
            told = partial(self._answer, self.cycle)
            self._turn.add(partial(begin, direct, bytes(self.cycle.body), told))

    def _start_asgi_task(self, cycle: Any, app: Any) -> None:
        direct = self._guard.direct(cycle.scope)
        plain = self._first and not cycle.waiting_for_100_continue and not self.flow.write_paused
        if direct is None or not plain:
            super()._start_asgi_task(cycle, app)
            return
        refused = self._guard.refusal(cycle.scope, json=True)
        if refused is not None:
            self._answer(cycle, *content_of(*refused))
        else:
            self._awaited = direct

    def _answer(self, cycle: Any, status: int, content: bytes) -> None:
        if cycle.response_complete or self.transport.is_closing():
            return
        cycle.response_started = cycle.response_complete = True
        head = [STATUS_LINE[status]]
        for name, value in self.server_state.default_headers:
            head += (name, b": ", value, b"\r\n")
        if not cycle.keep_alive:
            head.append(b"connection: close\r\n")
        head.append(b"content-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(content))
        self.transport.write(b"".join((*head, content)))
        if not cycle.keep_alive:
            self.transport.close()
        cycle.on_response()
