"""HTTP/1.1 by llhttp (httptools), whose parser has no bound of its own for the head of a request.

Here a head may have 64 KiB after the part that it began with, as with uvicorn's slower parser in
Python, and nothing of a head comes after the body. A request that offers another protocol
(``Upgrade: h2c``, as Java's client does unasked) is the last that this parser reads of a
connection, and it reads no body of it.
"""

from __future__ import annotations

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

__all__ = ["LARGEST_HEAD", "BoundedHead"]

LARGEST_HEAD = 65_536
"""Bytes of a request's line and headers that may wait for their end."""
_OTHER = "A body with an offer of another protocol (Upgrade): ask by HTTP/1.1 alone."


class BoundedHead(HttpToolsProtocol):  # type: ignore[misc]
    """uvicorn's protocol; a head that does not end is answered 400, and its connection closed."""

    _in_head, _begun, _read = True, False, 0

    def data_received(self, data: bytes) -> None:
        """Bytes of a connection; what is not a head yet is counted, but for those it began with,
        which may have whole requests before it."""
        self._begun = False
        super().data_received(data)
        if self._in_head and not self._begun:
            self._read += len(data)
            if self._read > LARGEST_HEAD and not self.transport.is_closing():
                self.send_400_response(f"A head of more than {LARGEST_HEAD} bytes.")

    def on_message_begin(self) -> None:
        """A request begins."""
        self._in_head, self._begun, self._read = True, True, 0
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header."""
        if not self._in_head:
            raise ValueError("a header after the body")
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """The head has ended."""
        self._in_head = False
        offers = self.parser.should_upgrade()
        if offers and self.parser.get_method() not in (b"GET", b"HEAD"):
            self.send_400_response(_OTHER)
            return
        super().on_headers_complete()
        if offers:  # whoever goes on asking here would wait for good
            self.cycle.keep_alive = False

    def on_message_complete(self) -> None:
        """The request is whole."""
        if not self.transport.is_closing():
            super().on_message_complete()

    def _unsupported_upgrade_warning(self) -> None:
        """Offers are no mistake."""
