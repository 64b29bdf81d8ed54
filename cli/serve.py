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
from offline_trader.errors import ConfigError, RiskHalt
from offline_trader.serving.places import LOGS_FILE, is_database
from offline_trader.serving.server_settings import ServeConfig, read_token, require_names

__all__ = ["EXAMPLES", "command"]

EXAMPLES = examples(
    "offline-trader serve runs/finetune/export/policy.onnx --instrument SPX",
    "offline-trader serve policy.onnx --instrument SPX --set limits.max_exposure=0.5",
    "offline-trader serve runs/her/export/policy.onnx --instrument SPX --goal 0.8",
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
        Path, typer.Option("--logs", metavar="FOLDER", help="Where the audit logs are: audit.db.")
    ] = Path("logs"),
    store: Annotated[
        str | None,
        typer.Option("--store", metavar="URL", help="postgresql://… in the place of a folder."),
    ] = None,
    models: Annotated[
        Path | None,
        typer.Option(
            "--models", metavar="FOLDER", help="Whose ONNX files may take the model's place."
        ),
    ] = None,
    goal: Annotated[
        float | None,
        typer.Option(
            "--goal",
            help="What a model that takes a goal aims at; by default that of the log, and at "
            "first the model's own.",
        ),
    ] = None,
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

    Each instrument's log says what it has done; a server that is started on the same folder goes
    on from there. Several servers may share a PostgreSQL database, with limits over all of them.
    GET /dashboard is a page of a folder's logs. Loopback alone, unless there are a token and TLS.
    Exit code 5 where a desk is halted when the server is told to end.
    """
    terminal = Terminal(as_json=as_json, quiet=quiet)
    plan = resolve(ServeConfig, config, settings)
    require_names(instrument)
    token = read_token(token_file)
    require_place(host, token, tls_cert, tls_key)
    if models is not None and not models.is_dir():
        raise ConfigError(f"no folder {models}", expected="a folder of ONNX files")
    if store is not None and not is_database(store):
        raise ConfigError(
            f"--store {store}", expected="postgresql://…; a folder is given with --logs"
        )
    from offline_trader.export import open_model
    from offline_trader.features import name_features
    from offline_trader.monitoring import (
        OPEN_PATHS,
        Book,
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
    policy = open_model(model, goal=goal, unverified=unverified)
    if dry_run:
        show_settings(terminal, plan)
        return
    channels = open_channels(watched.channels)
    if summary_beside(policy) is None:
        terminal.note("no summary of the training beside the model: no drift is told")
    from offline_trader.serving import AuditLog, Commits, Desk, models_named, open_book, open_store
    from offline_trader.serving.catalog import Catalog
    from offline_trader.serving.http_server import make_app, run_app

    if store is None:
        logs.mkdir(parents=True, exist_ok=True)
    opened = open_store(store or logs / LOGS_FILE)
    with ExitStack() as held:
        commits, desks = Commits(opened), {}
        held.callback(commits.close)
        catalog, book = Catalog(policy, models), open_book(opened, plan.book)
        for name in instrument:
            held.enter_context(opened.held(name))
            log = AuditLog(commits, name)
            known = catalog.having(models_named(log))
            desks[name] = desk = Desk(
                known, log, plan.limits, bars_per_year=plan.bars_per_year, goal=goal, book=book
            )
            seen = f"{desk.session.bars_seen:,} bars, {desk.state.state}"
            task = policy.task
            aim = "" if task is None else f"aims at {task.kind} {desk.session.goal:.4g}, "
            terminal.note(f"{name}: {aim}{seen}, log in {opened.place}")
        delivery = Delivery(channels)
        held.callback(delivery.close)
        watch = Watch(desks, watched, delivery)
        app = make_app(
            desks,
            token=token,
            limits=plan.server,
            catalog=catalog,
            watcher=watch,
            open_paths=OPEN_PATHS,
        )
        dashboard = Dashboard(
            [Book(store or logs / LOGS_FILE, name) for name in desks],
            lambda: {name: {"broken": desk.broken} for name, desk in desks.items()},
        )
        held.callback(dashboard.close)
        dashboard.add_to(app)
        run_app(app, host, port, tls_cert=tls_cert, tls_key=tls_key, listening=terminal.note)
        stopped = [f"{name}: {desk.stopped}" for name, desk in desks.items() if desk.stopped]
        if stopped:
            raise RiskHalt(
                f"nothing could be ordered at the end; {'; '.join(stopped)}",
                expected="desks that are neither halted nor without a log",
                hint="start again and POST /v1/rearm once the cause is gone",
            )
