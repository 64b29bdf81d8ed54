"""``offline-trader dashboard``: the page of desks in a process of its own."""

from __future__ import annotations

from typing import Annotated

import typer

from offline_trader.cli.console import Terminal
from offline_trader.cli.options import Quiet, examples
from offline_trader.cli.place_options import (
    Host,
    Port,
    TlsCert,
    TlsKey,
    TokenFile,
    require_place,
)

__all__ = ["EXAMPLES", "command"]

EXAMPLES = examples(
    "offline-trader dashboard --store logs",
    "offline-trader dashboard --store logs/audit.db --port 8100 --token-file token",
)


def command(
    store: Annotated[
        str,
        typer.Option(
            "--store", metavar="PLACE", help="A folder of audit logs, one, or postgresql://…"
        ),
    ] = "logs",
    host: Host = "127.0.0.1",
    port: Port = 8_001,
    token_file: TokenFile = None,
    tls_cert: TlsCert = None,
    tls_key: TlsKey = None,
    quiet: Quiet = False,
) -> None:
    """Show what desks do, as it happens: equity, decisions, limits, drift, alerts.

    The logs are opened for reading alone, beside the server that writes them; `offline-trader
    serve` has the same page at /dashboard. Loopback alone, unless there are a token and TLS.
    """
    terminal = Terminal(quiet=quiet)
    from offline_trader.serving.server_settings import read_token

    token = read_token(token_file)
    require_place(host, token, tls_cert, tls_key)
    from offline_trader.monitoring import OPEN_PATHS, Dashboard, find_books
    from offline_trader.serving.http_server import guarded_app, run_app

    dashboard = Dashboard(find_books(store))
    app = guarded_app(token=token, open_paths=OPEN_PATHS)
    dashboard.add_to(app)

    def listening(text: str) -> None:
        terminal.note(f"{text}/dashboard")

    run_app(app, host, port, tls_cert=tls_cert, tls_key=tls_key, listening=listening)
