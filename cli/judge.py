"""``offline-trader judge``: the same measures and report for results that were made elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from offline_trader.cli.console import Terminal
from offline_trader.cli.evaluation_tables import print_evaluation
from offline_trader.cli.options import (
    Config,
    Json,
    Overwrite,
    Quiet,
    Seed,
    Settings,
    examples,
    resolve,
)
from offline_trader.errors import ConfigError
from offline_trader.pipeline.evaluating import judge_imported
from offline_trader.pipeline.report_folder import claimed_folder

__all__ = ["EXAMPLES", "command"]

EXAMPLES = examples(
    "offline-trader judge returns.csv --benchmark sp500",
    "offline-trader judge equity.parquet --kind equity",
    "offline-trader judge factors.csv --kind returns --column Mkt-RF --percent",
    "offline-trader judge daily_pnl.csv --capital 100000",
    "offline-trader judge trades.csv --kind trades --capital 100000",
)


def command(
    source: Annotated[Path, typer.Argument(help="A table of returns, equity, profits, or trades.")],
    kind: Annotated[
        str | None,
        typer.Option("--kind", help="returns, equity, profits, trades; told by the columns."),
    ] = None,
    column: Annotated[
        str | None, typer.Option("--column", help="The column of the series.")
    ] = None,
    percent: Annotated[
        bool | None,
        typer.Option("--percent/--no-percent", help="Returns are in per cent; told by % signs."),
    ] = None,
    log_returns: Annotated[
        bool | None, typer.Option("--log-returns", help="Returns are logarithmic.")
    ] = None,
    profit: Annotated[
        str | None,
        typer.Option("--profit", help="Trades' profit before (gross) or after (net) costs; told."),
    ] = None,
    capital: Annotated[
        float | None,
        typer.Option("--capital", help="The account's money at the start; for profits in money."),
    ] = None,
    tz: Annotated[
        str | None, typer.Option("--tz", help="Time zone of times without an offset; UTC.")
    ] = None,
    benchmark: Annotated[
        str | None, typer.Option("--benchmark", help="Market to compare with.")
    ] = None,
    stamps: Annotated[
        str | None,
        typer.Option(
            "--stamps",
            help="open or close: which end of a bar the benchmark's time stamps mean; guessed, and "
            "said.",
        ),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Folder of the report; runs/judge-NAME.")
    ] = None,
    overwrite: Overwrite = False,
    config: Config = None,
    settings: Settings = None,
    seed: Seed = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Judge a returns series, an equity curve or a trade list like one of our own results."""
    from offline_trader.evaluation.imported import ImportOptions

    terminal = Terminal(as_json=as_json, quiet=quiet)
    if any(text.strip().startswith("env.") for text in settings or []):
        raise ConfigError(
            "trading rules are set for a result that was traded elsewhere",
            expected="settings of how the file is read",
            hint="its costs are what the file says: --profit net or gross, columns of fees",
        )
    options = resolve(
        ImportOptions,
        config,
        settings,
        kind=kind,
        column=column,
        percent=percent,
        log_returns=log_returns,
        profit=profit,
        capital=capital,
        tz=tz,
        benchmark=benchmark,
        stamps=stamps,
        seed=seed,
    )
    folder = output or Path("runs") / f"judge-{source.stem}"
    with claimed_folder(folder, overwrite=overwrite):
        evaluation = judge_imported(source, options, folder, terminal)
    print_evaluation(terminal, evaluation)
    terminal.line(f"report: {folder / 'report.html'}")
    terminal.result(evaluation.to_dict())
