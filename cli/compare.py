"""``offline-trader compare``: evaluations side by side."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from offline_trader.cli.console import Figure, Terminal
from offline_trader.cli.options import Json, Quiet, examples
from offline_trader.pipeline.report_folder import read_evaluation
from offline_trader.runs import atomic_write

if TYPE_CHECKING:
    from offline_trader.evaluation.judging import PairedDifference

__all__ = ["EXAMPLES", "command"]

EXAMPLES = examples(
    "offline-trader compare runs/demo/evaluation runs/evaluation-technical-sp500-from-2015-01-13",
    "offline-trader compare a/evaluation.json b/evaluation.json -o comparison.html",
)
_MEASURES = ("total_return", "cagr", "sharpe", "sortino", "max_drawdown", "volatility", "turnover")


def command(
    evaluations: Annotated[
        list[Path],
        typer.Argument(help="Folders that evaluate or judge wrote, or their evaluation.json."),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="The page to write.")] = Path(
        "runs/comparison.html"
    ),
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of the bootstrap.")] = 0,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Compare two or more evaluations: measures, curves, and differences with intervals.

    Differences are to the first one, over the bars that both cover.
    """
    from offline_trader.config import to_dict
    from offline_trader.evaluation.judging import side_by_side
    from offline_trader.evaluation.report import render_comparison
    from offline_trader.evaluation.report.charts import format_number
    from offline_trader.evaluation.report.evidence import statistic_label
    from offline_trader.evaluation.report.labels import label_of, value_text

    terminal = Terminal(as_json=as_json, quiet=quiet)
    read = [read_evaluation(path) for path in evaluations]
    compared = side_by_side(read, seed=seed)
    output.parent.mkdir(parents=True, exist_ok=True)
    atomic_write(output, render_comparison(read, compared).encode())
    rows: list[list[object]] = []
    for name in _MEASURES:
        if name in compared.measures:
            shown = (value_text(name, value) for value in compared.measures[name])
            rows.append([label_of(name).text, *map(Figure, shown)])
    for name, values in compared.statistics.items():
        text, unit = statistic_label(name)
        rows.append([text, *(Figure(format_number(value, unit)) for value in values)])
    terminal.table("", ["", *compared.names], rows)
    for each in compared.differences:
        terminal.line(f"Sharpe ratio of {each.name} minus {compared.names[0]}: {_said(each)}")
    for note in compared.notes:
        terminal.line(f"note: {note}")
    terminal.line(f"page: {output}")
    terminal.result(to_dict(compared))


def _said(difference: PairedDifference) -> str:
    if difference.value is None or difference.interval is None:
        return f"not comparable, {difference.reason}"
    low, high = difference.interval
    return (
        f"{difference.value:+.2f}, 95 % interval {low:+.2f} to {high:+.2f}, "
        f"over {difference.n:,} bars"
    )
