"""Settings of a server, and what it refuses before it listens."""

from __future__ import annotations

import ipaddress
import os
import re
from dataclasses import dataclass, field
from pathlib import Path

from offline_trader.errors import ConfigError
from offline_trader.serving.risk_book import BookLimits
from offline_trader.serving.risk_limits import RiskLimits

__all__ = ["ServeConfig", "ServerLimits", "read_token", "require_names", "require_safe_place"]

_SHORTEST_TOKEN = 16


@dataclass(frozen=True)
class ServerLimits:
    """What clients may ask for.

    Attributes:
        body_bytes: largest request.
        requests_per_second: of all clients together, on average; twice as many in a burst.
    """

    body_bytes: int = 4_000_000
    requests_per_second: float = 1_000.0

    def __post_init__(self) -> None:
        numbers = (self.body_bytes, self.requests_per_second)
        if not all(isinstance(x, int | float) for x in numbers) or not (
            self.body_bytes >= 1 and self.requests_per_second > 0.0
        ):
            raise ConfigError(
                f"server limits of {self.body_bytes} bytes and {self.requests_per_second} requests "
                "a second",
                expected="numbers above 0",
            )


@dataclass(frozen=True)
class ServeConfig:
    """Settings of ``offline-trader serve``.

    Attributes:
        limits: of the risk gate of each instrument.
        book: limits over all instruments of the store together.
        server: of requests.
        bars_per_year: of the instruments, for the cost of borrowing; None: by model and rules none
            is needed.
    """

    limits: RiskLimits = field(default_factory=RiskLimits)
    book: BookLimits = field(default_factory=BookLimits)
    server: ServerLimits = field(default_factory=ServerLimits)
    bars_per_year: float | None = None


def require_safe_place(host: str, *, token: str, tls: bool) -> None:
    """Nothing if the server may listen there.

    Raises:
        ConfigError: an address that others reach, without a token or without TLS.
    """
    try:
        loopback = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        loopback = False
    if not loopback and not (token and tls):
        raise ConfigError(
            f"listening on {host}, which others reach, "
            + ("without TLS" if token else "without a token"),
            expected="a token and TLS, or 127.0.0.1",
            hint="--token-file, --tls-cert and --tls-key; or 127.0.0.1 behind a proxy with both",
        )


def read_token(file: Path | None) -> str:
    """The token in a file that its owner alone can read; empty without a file.

    Raises:
        ConfigError: no such file, one that others can read, or a token that is too short.
    """
    if file is None:
        return ""
    if not file.is_file():
        raise ConfigError(f"no file {file}", expected="a file that holds the token")
    if os.name == "posix" and file.stat().st_mode & 0o077:
        raise ConfigError(
            f"others can read {file}", expected="the owner alone", hint=f"chmod 600 {file}"
        )
    token = file.read_text(encoding="utf-8").strip()
    if len(token) < _SHORTEST_TOKEN or not token.isascii() or not token.isprintable():
        raise ConfigError(
            f"{file} holds a token of {len(token)} characters",
            expected=f"{_SHORTEST_TOKEN} or more, printable ASCII",
            hint="openssl rand -hex 32",
        )
    return token


def require_names(instruments: list[str]) -> None:
    """Nothing if each instrument can be the name of its log.

    Raises:
        ConfigError: one twice, or one that no file should be called.
    """
    for name in instruments:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", name):
            raise ConfigError(
                f"instrument {name!r}", expected="letters, digits, points, dashes, underscores"
            )
    if len({name.casefold() for name in instruments}) < len(instruments):
        raise ConfigError("an instrument is there twice", expected="each once")
