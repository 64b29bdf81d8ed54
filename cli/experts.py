"""``offline-trader experts``: list the experts, and judge them on a market."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from offline_trader.cli.console import Terminal
from offline_trader.cli.evaluation_tables import measure_heads, measured
from offline_trader.cli.options import (
    Closes,
    Config,
    Json,
    Quiet,
    Settings,
    Tz,
    examples,
    listed,
    market_sources,
    resolve,
)
from offline_trader.errors import ConfigError

__all__ = ["EXAMPLES", "command"]

EXAMPLES = examples(
    "offline-trader experts",
    "offline-trader experts --market sp500 --end 2012-12-31",
    "offline-trader experts --market sp500 --set env.simulator.commission_bps=2",
    "offline-trader experts --json",
)

_SHOWN = ("total_return", "cagr", "sharpe", "max_drawdown")


def command(
    market: Annotated[
        str | None, typer.Option("--market", help="Score every expert on this market.")
    ] = None,
    start: Annotated[str | None, typer.Option("--start", help="First date of the score.")] = None,
    end: Annotated[str | None, typer.Option("--end", help="Last date, included.")] = None,
    tz: Tz = None,
    closes: Closes = False,
    config: Config = None,
    settings: Settings = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """List the experts with their parameters; with --market also what they earn there.

    The score is that of the expert's own decisions, without noise; --set env.simulator.KEY=VALUE
    changes costs and rules.
    """
    from offline_trader.experts import list_experts
    from offline_trader.pipeline.expert_scores import ScoreConfig, score_expert

    if market is None and (start or end or tz or config or settings):
        raise ConfigError("options that say how to score, and no market", hint="add --market")
    terminal = Terminal(as_json=as_json, quiet=quiet)
    experts = list_experts()
    rows = [_facts(expert) for expert in experts]
    if market is None:
        _print_list(terminal, rows)
    else:
        plan = resolve(
            ScoreConfig,
            config,
            settings,
            env__market=listed(market_sources([market], closes)),
            env__tz=tz,
            env__start=start,
            env__end=end,
        )
        with terminal.task("scoring", len(experts)) as advance:
            for done, (expert, row) in enumerate(zip(experts, rows, strict=True), 1):
                row["score"] = score_expert(expert, plan.env)
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
                "\n".join(f"{key}={value}" for key, value in row["params"].items()) or "none",
                row["summary"] + (" (reads the future)" if row["privileged"] else ""),
            ]
            for row in rows
        ],
    )


def _print_scores(terminal: Terminal, rows: list[dict[str, Any]]) -> None:
    def cells(row: dict[str, Any]) -> list[object]:
        name = row["name"] + (" (reads the future)" if row["privileged"] else "")
        return [name, *measured(_SHOWN, row["score"]), row["score"]["trades_per_1000"]]

    head = ["expert", *measure_heads(_SHOWN), "Filled orders per 1,000 bars"]
    terminal.table("", head, [cells(row) for row in rows])
