"""``offline-trader serve``: an exported model behind HTTP, with limits and an audit log."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer

from offline_trader.cli.console import Terminal
from offline_trader.cli.options import (
    Config,
    DryRun,
    Json,
    Quiet,
    Settings,
    Unverified,
    examples,
    resolve,
    show_settings,
)
from offline_trader.cli.place_options import (
    Host,
    Port,
    TlsCert,
    TlsKey,
    TokenFile,
    require_place,
)
from offline_trader.locks import locked
from offline_trader.serving.server_settings import ServeConfig, read_token, require_names

__all__ = ["EXAMPLES", "command"]

EXAMPLES = examples(
    "offline-trader serve runs/finetune/export/policy.onnx --instrument SPX",
    "offline-trader serve policy.onnx --instrument SPX --set limits.max_exposure=0.5",
    "offline-trader serve policy.onnx --instrument SPX --host 0.0.0.0 --token-file token "
    "--tls-cert cert.pem --tls-key key.pem",
)


def command(
    model: Annotated[Path, typer.Argument(help="The exported ONNX file.")],
    instrument: Annotated[
        list[str],
        typer.Option("--instrument", help="A name; each has an account and a log. Repeatable."),
    ],
    logs: Annotated[
        Path, typer.Option("--logs", metavar="FOLDER", help="Where the audit logs are.")
    ] = Path("logs"),
    host: Host = "127.0.0.1",
    port: Port = 8_000,
    token_file: TokenFile = None,
    tls_cert: TlsCert = None,
    tls_key: TlsKey = None,
    alerts: Annotated[
        Path | None,
        typer.Option("--alerts", metavar="FILE", help="Thresholds and channels of alerts."),
    ] = None,
    features: Annotated[
        list[str] | None,
        typer.Option(
            "--features",
            metavar="FILE.py:FUNCTION",
            help="Name the features of your own that the model reads: their code is imported only "
            "if you do; repeatable.",
        ),
    ] = None,
    config: Config = None,
    settings: Settings = None,
    unverified: Unverified = False,
    dry_run: DryRun = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Answer POST /v1/decide with the model's order at a bar, behind a risk gate.

    Each instrument's log in the folder says what it has done; a server that is started on the
    same folder goes on from there. GET /dashboard is a page of it. Loopback alone, unless there
    are a token and TLS.
    """
    terminal = Terminal(as_json=as_json, quiet=quiet)
    plan = resolve(ServeConfig, config, settings)
    require_names(instrument)
    token = read_token(token_file)
    require_place(host, token, tls_cert, tls_key)
    from offline_trader.export import OnnxPolicy
    from offline_trader.features import name_features
    from offline_trader.monitoring import (
        OPEN_PATHS,
        Dashboard,
        Delivery,
        Watch,
        open_channels,
        read_alerts,
        summary_beside,
    )

    watched = read_alerts(alerts)
    for each in features or ():
        name_features(each)
    policy = OnnxPolicy(model, unverified=unverified)
    if dry_run:
        show_settings(terminal, plan)
        return
    channels = open_channels(watched.channels)
    summary = summary_beside(policy)
    if summary is None:
        terminal.note("no summary of the training beside the model: no drift is told")
    from offline_trader.serving import AuditLog, Desk
    from offline_trader.serving.http_server import make_app, run_app

    logs.mkdir(parents=True, exist_ok=True)
    with ExitStack() as held:
        desks = {}
        for name in instrument:
            held.enter_context(locked(logs / f".{name}.lock", f"the log of {name}"))
            log = AuditLog(logs / f"{name}.db")
            desk = Desk(policy, log, plan.limits, bars_per_year=plan.bars_per_year)
            desks[name] = desk
            terminal.note(
                f"{name}: {desk.session.bars_seen:,} bars, {desk.state.state}, log {log.path}"
            )
        delivery = Delivery(channels)
        held.callback(delivery.close)
        known = {} if summary is None else dict.fromkeys(desks, summary)
        watch = Watch(desks, watched, delivery, known)
        app = make_app(desks, token=token, limits=plan.server, watcher=watch, open_paths=OPEN_PATHS)
        dashboard = Dashboard(
            [desk.log.path for desk in desks.values()],
            lambda: {name: {"broken": desk.broken} for name, desk in desks.items()},
        )
        dashboard.add_to(app)
        run_app(app, host, port, tls_cert=tls_cert, tls_key=tls_key, listening=terminal.note)
