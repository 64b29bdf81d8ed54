"""``offline-trader experts``: list the experts, and judge them on a market."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from offline_trader.cli.console import Terminal
from offline_trader.cli.options import Json, Quiet, examples

__all__ = ["EXAMPLES", "command"]

EXAMPLES = examples(
    "offline-trader experts",
    "offline-trader experts --market sp500 --end 2012-12-31",
    "offline-trader experts --json",
)


def command(
    market: Annotated[
        str | None, typer.Option("--market", help="Score every expert on this market.")
    ] = None,
    start: Annotated[str | None, typer.Option("--start", help="First date of the score.")] = None,
    end: Annotated[str | None, typer.Option("--end", help="Last date, included.")] = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """List the experts with their parameters; with --market also what they earned there."""
    from offline_trader.experts import list_experts

    terminal = Terminal(as_json=as_json, quiet=quiet)
    rows = [_facts(expert) for expert in list_experts()]
    _print_list(terminal, rows)
    terminal.result({"experts": rows})


def _facts(expert: Any) -> dict[str, Any]:
    return {**expert.to_dict(), "summary": expert.summary}


def _print_list(terminal: Terminal, rows: list[dict[str, Any]]) -> None:
    terminal.table(
        "",
        ["expert", "acts by", "parameters", "what it does"],
        [
            [
                row["name"],
                row["space"],
                "\n".join(f"{key}={value}" for key, value in row["params"].items()) or "–",
                row["summary"] + (" (reads the future)" if row["privileged"] else ""),
            ]
            for row in rows
        ],
    )
