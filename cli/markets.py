"""``offline-trader markets``: list the built-in markets, or check bar files of one's own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from offline_trader.cli.console import Terminal
from offline_trader.cli.options import Json, Quiet, examples

if TYPE_CHECKING:
    from offline_trader.markets import Bars

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
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """List the built-in markets, or check bar files: every row is read and validated.

    A file that is refused is named with the row and the reason (exit code 3).
    """
    from offline_trader.markets import BUILTIN_MARKETS, load_markets

    terminal = Terminal(as_json=as_json, quiet=quiet)
    rows = []
    for source in sources or list(BUILTIN_MARKETS):
        rows += [_facts(source, b) for b in load_markets([source], tz=tz, start=start, end=end)]
    terminal.table(
        "",
        ["market", "symbol", "bars", "from", "to", "gaps", "bars a year", "last close", "sha256"],
        [[*list(row.values())[:-1], row["sha256"][:12]] for row in rows],
    )
    terminal.result({"markets": rows})


def _facts(source: str, bars: Bars) -> dict[str, Any]:
    return {
        "source": source,
        "symbol": bars.symbol,
        "bars": len(bars),
        "start": str(bars.timestamps[0].astype("datetime64[D]")),
        "end": str(bars.timestamps[-1].astype("datetime64[D]")),
        "gaps": bars.gaps,
        "periods_per_year": round(bars.periods_per_year, 2),
        "last_close": float(bars.close[-1]),
        "sha256": bars.sha256,
    }
