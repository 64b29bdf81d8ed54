"""``offline-trader experts``: list the experts, and judge them on a market."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from offline_trader.cli.console import Percent, Terminal
from offline_trader.cli.options import Closes, Json, Quiet, examples, market_sources
from offline_trader.envs import EnvConfig
from offline_trader.errors import ConfigError

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
    closes: Closes = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """List the experts with their parameters; with --market also what they earn there.

    The score is that of the expert's own decisions, without noise, with the default costs.
    """
    from offline_trader.experts import list_experts
    from offline_trader.pipeline import score_expert

    if market is None and (start or end):
        raise ConfigError("--start and --end say which bars to score on", hint="add --market")
    terminal = Terminal(as_json=as_json, quiet=quiet)
    experts = list_experts()
    rows = [_facts(expert) for expert in experts]
    if market is None:
        _print_list(terminal, rows)
    else:
        sources = market_sources([market], closes) or ()
        env = EnvConfig(market=tuple(sources), start=start, end=end)
        with terminal.task("scoring", len(experts)) as advance:
            for done, (expert, row) in enumerate(zip(experts, rows, strict=True), 1):
                row["score"] = score_expert(expert, env)
                advance(done)
        _print_scores(terminal, rows)
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


def _print_scores(terminal: Terminal, rows: list[dict[str, Any]]) -> None:
    def cells(row: dict[str, Any]) -> list[object]:
        found = row["score"]
        return [
            row["name"] + (" (reads the future)" if row["privileged"] else ""),
            Percent(found["total_return"]),
            Percent(found["cagr"]),
            found["sharpe"],
            Percent(found["max_drawdown"]),
            found["trades_per_1000"],
        ]

    terminal.table(
        "",
        ["expert", "total return", "a year", "Sharpe", "max drawdown", "trades per 1,000 bars"],
        [cells(row) for row in rows],
    )
