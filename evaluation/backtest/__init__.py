"""One policy over a range of bars, in the simulator that training uses."""

from typing import TYPE_CHECKING

from offline_trader.lazy import lazy_names

if TYPE_CHECKING:
    from offline_trader.evaluation.backtest.evaluation_range import (
        EvaluationRange,
        Instrument,
        Scenario,
        noisy,
    )
    from offline_trader.evaluation.backtest.portfolio import Account, combine, lot_rows, trade_rows
    from offline_trader.evaluation.backtest.sensitivity import (
        DEFAULT_COSTS_BPS,
        Trials,
        break_even,
        robustness,
    )
    from offline_trader.evaluation.backtest.walk import (
        Backtest,
        Strategy,
        backtest,
        backtests,
        replayed,
        with_cost,
    )

__all__ = [
    "Account",
    "Backtest",
    "EvaluationRange",
    "DEFAULT_COSTS_BPS",
    "Instrument",
    "Scenario",
    "Strategy",
    "Trials",
    "backtest",
    "backtests",
    "break_even",
    "combine",
    "lot_rows",
    "noisy",
    "replayed",
    "robustness",
    "trade_rows",
    "with_cost",
]

__getattr__ = lazy_names(__name__)
