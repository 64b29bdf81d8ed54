"""``offline-trader markets``: built-in markets, checks of bar files, synthetic bars."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from offline_trader.cli.console import Terminal
from offline_trader.cli.options import Closes, Json, Quiet, Tz, examples, market_sources

__all__ = ["EXAMPLES", "command", "commands", "synth"]

EXAMPLES = examples(
    "offline-trader markets",
    "offline-trader markets prices.csv more.parquet --tz America/New_York",
    "offline-trader markets sp500 --json",
    "offline-trader markets synth 'turbulent?signal=0.1' --output synth.csv --plots pictures",
    "offline-trader markets synth --like prices.csv --output like_mine.csv",
)


def command(
    sources: Annotated[
        list[str] | None,
        typer.Argument(help="Built-in names or CSV and Parquet files; all built-ins by default."),
    ] = None,
    tz: Tz = None,
    start: Annotated[str | None, typer.Option("--start", help="First date, as 2005-01-31.")] = None,
    end: Annotated[str | None, typer.Option("--end", help="Last date, included.")] = None,
    closes: Closes = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """List the built-in markets, or check bar files: every row is read and validated.

    A file that is refused is named with the row and the reason (exit code 3). The sub-command
    synth makes bars of a known law: offline-trader markets synth --help.
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


def synth(
    law: Annotated[
        str,
        typer.Argument(help="NAME?key=value&…: turbulent, ou or walk, as in synthetic: sources."),
    ] = "turbulent",
    like: Annotated[
        str | None,
        typer.Option("--like", help="Fit turbulent to this market (GARCH, tails, volume)."),
    ] = None,
    beside: Annotated[
        str | None, typer.Option("--beside", help="Real market to compare with.")
    ] = None,
    bars: Annotated[int | None, typer.Option("--bars", min=2, help="How many bars.")] = None,
    seed: Annotated[
        int | None, typer.Option("--seed", min=0, help="Same seed, same bytes.")
    ] = None,
    output: Annotated[Path | None, typer.Option("--output", help="CSV file of the bars.")] = None,
    plots: Annotated[
        Path | None, typer.Option("--plots", help="Folder for pictures of both markets.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace --output.")] = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Make a synthetic market, show its stylised facts beside a real one's, and write it.

    Nothing can be earned from turbulent?regime=none&signal=0 (the default); signal is the
    correlation of what is known with the next bar's return. The file, or synthetic:NAME?… itself,
    can be used wherever a market is asked for.
    """
    from offline_trader.markets import parse_source
    from offline_trader.pipeline.synthesising import synthesise

    terminal = Terminal(as_json=as_json, quiet=quiet)
    _, name, parameters = parse_source(f"synthetic:{law.removeprefix('synthetic:')}")
    over = {"bars": bars, "seed": seed}
    parameters |= {key: str(value) for key, value in over.items() if value is not None}
    made = synthesise(
        name,
        parameters,
        like=like,
        beside=beside,
        output=output,
        plots=plots,
        overwrite=overwrite,
    )
    rows = [
        [fact.replace("_", " "), *(f"{facts[fact]:.3f}" for facts in made.facts.values())]
        for fact in next(iter(made.facts.values()))
    ]
    terminal.table("", ["stylised fact", *made.facts], rows)
    for path in made.files:
        terminal.line(f"written: {path}")
    if output is not None:
        terminal.line(f"try it: offline-trader experts --market {output}")
    terminal.result(
        {"law": dict(made.law), "facts": made.facts, "files": [str(path) for path in made.files]}
    )


commands = {"synth": synth}
