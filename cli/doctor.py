"""``offline-trader doctor``: whether this installation works, and what to do where it does not."""

from __future__ import annotations

from typing import Annotated

import typer

from offline_trader.cli.console import Terminal
from offline_trader.cli.options import Json, Quiet, Root, examples
from offline_trader.config import to_dict
from offline_trader.errors import GateFailed
from offline_trader.pipeline.doctor import examine, self_test

__all__ = ["EXAMPLES", "command"]

EXAMPLES = examples(
    "offline-trader doctor", "offline-trader doctor --no-self-test", "offline-trader doctor --json"
)


def command(
    test: Annotated[
        bool,
        typer.Option("--self-test/--no-self-test", help="Run a tiny line, about ten seconds."),
    ] = True,
    root: Root = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Look at versions, threads, places and GPU, and run a tiny line from experts to ONNX.

    Exit code 4 if anything would keep the toolkit from working; what to do stands below.
    """
    terminal = Terminal(as_json=as_json, quiet=quiet)
    checks = examine(root)
    if test:
        checks.append(self_test(terminal))
    terminal.table(
        "", ["check", "verdict", "found"], [[c.name, c.verdict, c.found] for c in checks]
    )
    for check in checks:
        if check.advice:
            terminal.line(f"{check.name}: {check.advice}")
    problems = [check.name for check in checks if check.verdict == "problem"]
    terminal.result({"checks": [to_dict(check) for check in checks], "works": not problems})
    if problems:
        raise GateFailed(
            f"{len(problems)} of {len(checks)} checks found a problem: {', '.join(problems)}",
            hint="the lines above say what to do",
        )
    terminal.line("everything that is needed works")
