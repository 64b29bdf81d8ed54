"""``offline-trader markets``: list the built-in markets, or check bar files of one's own."""

from __future__ import annotations

from typing import Annotated

import typer

from offline_trader.cli.console import Terminal
from offline_trader.cli.options import Closes, Json, Quiet, examples, market_sources

__all__ = ["EXAMPLES", "command"]

EXAMPLES = examples(
    "offline-trader markets",
    "offline-trader markets prices.csv more.parquet --tz America/New_York",
    "offline-trader markets sp500 --json",
)


def command(
    sources: Annotated[
        list[str] | None,
        typer.Argument(help="Built-in names or CSV and Parquet files; all built-ins by default."),
    ] = None,
    tz: Annotated[
        str | None, typer.Option("--tz", help="Time zone of timestamps that name none.")
    ] = None,
    start: Annotated[str | None, typer.Option("--start", help="First date, as 2005-01-31.")] = None,
    end: Annotated[str | None, typer.Option("--end", help="Last date, included.")] = None,
    closes: Closes = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """List the built-in markets, or check bar files: every row is read and validated.

    A file that is refused is named with the row and the reason (exit code 3).
    """
    from offline_trader.markets import BUILTIN_MARKETS, check_market

    terminal = Terminal(as_json=as_json, quiet=quiet)
    facts = [
        found
        for source in market_sources(sources, closes) or list(BUILTIN_MARKETS)
        for found in check_market(source, tz=tz, start=start, end=end)
    ]
    terminal.table(
        "",
        ["market", "symbol", "bars", "from", "to", "gaps", "bars a year", "last close", "sha256"],
        [
            [f.source, f.symbol, f.bars, f.first, f.last, f.gaps, f.periods_per_year, f.last_close]
            + [f.sha256[:12]]
            for f in facts
        ],
    )
    for found in facts:
        for note in found.notes:
            terminal.note(f"{found.source}, {found.symbol}: {note}")
    terminal.result({"markets": [found.to_dict() for found in facts]})
