"""``offline-trader audit``: perturb the future and see which outputs of a function moved."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from offline_trader.cli.console import Terminal
from offline_trader.cli.feature_options import BarEnd, SignalFiles, Signals
from offline_trader.cli.options import (
    Closes,
    Json,
    Quiet,
    Unverified,
    examples,
    market_sources,
)
from offline_trader.errors import GateFailed

if TYPE_CHECKING:
    from offline_trader.evaluation.audit import Leak

__all__ = ["EXAMPLES", "command"]

EXAMPLES = examples(
    "offline-trader audit features",
    "offline-trader audit my_features.py:momentum --market prices.csv",
    "offline-trader audit my_features.py:mood --market prices.csv --signal sentiment",
    "offline-trader audit my_package.rules:decide --market nasdaq --json",
    "offline-trader audit expert:ma_cross",
    "offline-trader audit policy:my_policies.py:act",
)


def command(
    subject: Annotated[
        str,
        typer.Argument(
            help="module:function or file.py:function (a frame of bars in, an array or frame "
            "with a row for each bar out; or an expert of yours), 'features' for our own, "
            "expert:NAME, or policy:NAME of what evaluate takes."
        ),
    ],
    market: Annotated[
        str, typer.Option("--market", help="Built-in market, CSV or Parquet file.")
    ] = "sp500",
    bars: Annotated[int, typer.Option("--bars", min=1, help="Use the first so many bars.")] = 1_000,
    cuts: Annotated[int, typer.Option("--cuts", help="Places in time to cut at.")] = 6,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of cuts and changes.")] = 0,
    closes: Closes = False,
    signal: Signals = None,
    signal_file: SignalFiles = None,
    bar_end: BarEnd = None,
    unverified: Unverified = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Look for leaks: change the bars after a cut and report outputs up to it that moved.

    The function gets a pandas frame (open, high, low, close, volume, signals; index of times) and
    returns an array, Series or DataFrame. One that gives a row for each bar is looked at as
    features are before they are used (--features of collect), too. Exit code 4 when anything leaks.
    """
    from offline_trader.evaluation.audit import (
        AuditConfig,
        audit_function,
        audited,
        bars_frame,
        rare_leaks,
    )
    from offline_trader.markets import SignalColumns, load_market

    terminal = Terminal(as_json=as_json, quiet=quiet)
    (source,) = market_sources([market], closes) or [market]
    wanted = SignalColumns(tuple(signal or ()), tuple(signal_file or ()), bar_end or "")
    loaded = load_market(source, signals=wanted)
    loaded = loaded.slice(0, min(bars, len(loaded)))
    frame = bars_frame(loaded)
    if subject.startswith("policy:"):
        from offline_trader.pipeline import find_strategy
        from offline_trader.pipeline.foreign_strategies import strategy_walk

        name = subject.removeprefix("policy:")
        function = strategy_walk(find_strategy(name, unverified=unverified))
    else:
        function = audited(subject)
    config = AuditConfig(cuts=cuts, seed=seed)
    result = audit_function(function, frame, config)
    if result.clean:
        result = replace(result, leaks=rare_leaks(subject, loaded))
    if result.leaks:
        _print(terminal, result.leaks)
    for text in result.skipped[:3]:
        terminal.note(f"not compared: {text}")
    if result.unread:
        few = ", ".join(result.unread[:5]) + (", …" if len(result.unread) > 5 else "")
        terminal.note(
            f"the bars have no influence on {few}: what a function reads elsewhere is not audited"
        )
    terminal.line(
        f"{subject}: {len(result.leaks)} of {len(result.outputs)} outputs read the future "
        f"({result.comparisons} comparisons on {len(frame):,} bars of {market})"
    )
    terminal.result({"subject": subject, "market": market, **result.to_dict()})
    if not result.clean:
        names = ", ".join(leak.output for leak in result.leaks[:5])
        raise GateFailed(
            f"{subject} reads the future: {names}",
            expected="rows up to bar t that stay the same when later bars change",
        )


def _print(terminal: Terminal, leaks: Sequence[Leak]) -> None:
    terminal.table(
        "",
        ["output", "first bar that moved", "time", "reads ahead", "after", "was", "became"],
        [
            [
                leak.output,
                leak.bar,
                leak.timestamp[:19],
                _reach(leak.reach_bars),
                f"{leak.perturbation} from bar {leak.cut + 1}",
                leak.before,
                leak.after,
            ]
            for leak in leaks
        ],
    )


def _reach(bars: int | None) -> str:
    if bars is None:
        return "the whole sample"
    return f"{bars} bar{'s' if bars > 1 else ''}"
