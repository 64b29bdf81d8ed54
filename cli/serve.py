"""``offline-trader serve``: an exported model behind HTTP, with limits and an audit log."""

from __future__ import annotations

from contextlib import ExitStack
from importlib.util import find_spec
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
from offline_trader.errors import ConfigError
from offline_trader.locks import locked
from offline_trader.serving.server_settings import (
    ServeConfig,
    read_token,
    require_names,
    require_safe_place,
)

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
    host: Annotated[str, typer.Option("--host", help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65_535, help="0: any.")] = 8_000,
    token_file: Annotated[
        Path | None, typer.Option("--token-file", help="File with the token that clients send.")
    ] = None,
    tls_cert: Annotated[
        Path | None, typer.Option("--tls-cert", help="PEM file of the certificate.")
    ] = None,
    tls_key: Annotated[Path | None, typer.Option("--tls-key", help="PEM file of its key.")] = None,
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
    same folder goes on from there. Loopback alone, unless there are a token and TLS.
    """
    terminal = Terminal(as_json=as_json, quiet=quiet)
    plan = resolve(ServeConfig, config, settings)
    require_names(instrument)
    token = read_token(token_file)
    if (tls_cert is None) != (tls_key is None):
        raise ConfigError("a certificate or a key alone", expected="--tls-cert and --tls-key")
    require_safe_place(host, token=token, tls=tls_cert is not None)
    if find_spec("fastapi") is None or find_spec("uvicorn") is None:
        raise ConfigError(
            "fastapi or uvicorn is not installed",
            expected="the environment of requirements-serve.lock, or the extra `serve`",
            hint="pip install 'offline-trader[serve]'",
        )
    from offline_trader.export import OnnxPolicy
    from offline_trader.features import name_features

    for each in features or ():
        name_features(each)
    policy = OnnxPolicy(model, unverified=unverified)
    if dry_run:
        show_settings(terminal, plan)
        return
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
        app = make_app(desks, token=token, limits=plan.server)
        run_app(app, host, port, tls_cert=tls_cert, tls_key=tls_key, listening=terminal.note)
