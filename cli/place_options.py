"""The options of what listens: where, and who may ask."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, TypeAlias

import typer

from offline_trader.errors import ConfigError
from offline_trader.serving.server_settings import require_safe_place

__all__ = ["Host", "Port", "TlsCert", "TlsKey", "TokenFile", "require_place"]

Host: TypeAlias = Annotated[str, typer.Option("--host", help="Address to listen on.")]
Port: TypeAlias = Annotated[int, typer.Option("--port", min=0, max=65_535, help="0: any.")]
TokenFile: TypeAlias = Annotated[
    Path | None, typer.Option("--token-file", help="File with the token that clients send.")
]
TlsCert: TypeAlias = Annotated[
    Path | None, typer.Option("--tls-cert", help="PEM file of the certificate.")
]
TlsKey: TypeAlias = Annotated[Path | None, typer.Option("--tls-key", help="PEM file of its key.")]


def require_place(host: str, token: str, tls_cert: Path | None, tls_key: Path | None) -> None:
    """Nothing if a server may listen there.

    Raises:
        ConfigError: what listens is not installed, half of TLS, or an address that others reach
            without a token and TLS.
    """
    if (tls_cert is None) != (tls_key is None):
        raise ConfigError("a certificate or a key alone", expected="--tls-cert and --tls-key")
    require_safe_place(host, token=token, tls=tls_cert is not None)
    if find_spec("fastapi") is None or find_spec("uvicorn") is None:
        raise ConfigError(
            "fastapi or uvicorn is not installed",
            expected="the environment of requirements-serve.lock, or the extra `serve`",
            hint="pip install 'offline-trader[serve]'",
        )
