"""Names and number formats of measures and statistics, shared by report, tables and comparison."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from offline_trader.evaluation.report.charts import NumberFormat, format_number

__all__ = ["LABELS", "Label", "label_of", "named", "short_names", "value_text"]


@dataclass(frozen=True)
class Label:
    """How a measure is shown.

    Attributes:
        text: its name.
        unit: number format.
        better: 1 if more is better, -1 if less is, 0 if neither.
        short: name in a narrow column; empty: the same.
    """

    text: str
    unit: NumberFormat
    better: int = 0
    short: str = ""


LABELS: dict[str, Label] = {
    "total_return": Label("Total return", "percent", 1, short="Return"),
    "cagr": Label("Annual growth", "percent", 1, short="Growth"),
    "volatility": Label("Volatility a year", "percent", short="Volatility"),
    "sharpe": Label("Sharpe ratio", "ratio", 1, short="Sharpe"),
    "sortino": Label("Sortino ratio", "ratio", 1, short="Sortino"),
    "calmar": Label("Calmar ratio", "ratio", 1),
    "max_drawdown": Label("Maximum drawdown", "percent", 1, short="Drawdown"),
    "omega": Label("Omega ratio", "ratio", 1),
    "tail_ratio": Label("Tail ratio, 95th ÷ 5th percentile", "ratio", 1),
    "value_at_risk": Label("Value at risk, 5 % a bar", "percent", 1),
    "expected_shortfall": Label("Expected shortfall, 5 % a bar", "percent", 1),
    "skewness": Label("Skewness", "ratio"),
    "kurtosis": Label("Kurtosis (raw; 3 is normal)", "ratio"),
    "stability": Label("Stability, R² of log equity", "ratio", 1),
    "mean_return": Label("Mean return a bar", "percent", 1),
    "win_rate": Label("Winning round trips", "percent", 1),
    "payoff_ratio": Label("Average win ÷ average loss, round trips", "ratio", 1),
    "profit_factor": Label("Profit factor, round trips", "ratio", 1),
    "mean_duration_bars": Label("Bars a round trip", "number"),
    "lots": Label("Closed FIFO lots", "money"),
    "lot_win_rate": Label("Winning FIFO lots", "percent", 1),
    "lot_payoff_ratio": Label("Average win ÷ average loss, FIFO lots", "ratio", 1),
    "lot_profit_factor": Label("Profit factor, FIFO lots", "ratio", 1),
    "mean_lot_bars": Label("Bars a FIFO lot", "number"),
    "exposure": Label("Time in the market", "percent"),
    "mean_exposure": Label("Mean position ÷ equity", "percent"),
    "turnover": Label("Turnover a year (×)", "ratio", short="Turnover"),
    "trades": Label("Closed round trips", "money"),
    "orders": Label("Filled orders", "money"),
    "costs_paid": Label("Costs paid, quote currency", "money"),
    "psr": Label("Probabilistic Sharpe ratio", "percent", 1),
    "dsr": Label("Deflated Sharpe ratio", "percent", 1),
}


def label_of(name: str) -> Label:
    """The label of a measure; an unknown one is shown by its own name."""
    return LABELS.get(name, Label(name.replace("_", " ").capitalize(), "number"))


def value_text(name: str, value: float | None) -> str:
    """Text of a measure's value in its format."""
    return format_number(value, label_of(name).unit)


def named(name: str) -> str:
    """A policy's or an expert's name as words."""
    return name.replace("_", " ").replace("buy and hold", "buy-and-hold")


def short_names(names: Sequence[str]) -> list[str]:
    """Experts' names without their parameters (``name?key=value``), where that tells them apart."""
    plain = [name.partition("?")[0] for name in names]
    return [
        short if plain.count(short) == 1 else name for short, name in zip(plain, names, strict=True)
    ]
