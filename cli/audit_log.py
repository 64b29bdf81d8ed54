"""``offline-trader audit-log``: verify, export and replay the log of a desk."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from offline_trader.cli.console import Terminal
from offline_trader.cli.options import Json, Quiet, Unverified, examples
from offline_trader.errors import DataError
from offline_trader.serving import AuditLog

__all__ = ["EXAMPLES", "commands", "export_log", "replay_log", "verify_log"]

EXAMPLES = examples(
    "offline-trader audit-log verify desk.db",
    "offline-trader audit-log export desk.db > desk.jsonl",
    "offline-trader audit-log replay desk.db runs/finetune/export/policy.onnx",
)

Log = Annotated[Path, typer.Argument(help="The log's file.")]


def verify_log(log: Log, as_json: Json = False, quiet: Quiet = False) -> None:
    """Recompute the chain of hashes: no row was changed, taken out or put in.

    Keep the hash that is printed elsewhere: a later one shows whether rows were cut off at the end.
    """
    terminal = Terminal(as_json=as_json, quiet=quiet)
    rows, last = _opened(log).verify()
    terminal.line(f"{log}: {rows:,} rows, the chain holds; last hash {last}")
    terminal.result({"log": str(log), "rows": rows, "hash": last})


def export_log(log: Log) -> None:
    """Print every row as one JSON object a line, after the chain was verified."""
    from offline_trader.codec import to_json

    found = _opened(log)
    found.verify()
    for entry in found.entries():
        typer.echo(to_json(entry))


def replay_log(
    log: Log,
    model: Annotated[Path, typer.Argument(help="The ONNX file that decided.")],
    unverified: Unverified = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Let the model decide again on every bar of the log: the same decisions, to the bit."""
    from offline_trader.export import OnnxPolicy
    from offline_trader.serving import replay

    terminal = Terminal(as_json=as_json, quiet=quiet)
    policy = OnnxPolicy(model, unverified=unverified)
    decisions = replay(policy, _opened(log))
    terminal.line(f"{log}: {decisions:,} decisions, each the same again")
    terminal.result({"log": str(log), "decisions": decisions, "model": policy.file.sha256})


def _opened(log: Path) -> AuditLog:
    if not log.is_file():
        raise DataError(
            f"no file {log}", expected="the log of a desk (offline_trader.serving.Desk)"
        )
    return AuditLog(log)


commands = {"verify": verify_log, "export": export_log, "replay": replay_log}
