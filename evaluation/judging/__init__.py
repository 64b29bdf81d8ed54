"""Evaluations: made, kept as plain data, counted as trials, put side by side."""

from typing import TYPE_CHECKING

from offline_trader.lazy import lazy_names

if TYPE_CHECKING:
    from offline_trader.evaluation.judging.comparing import (
        PairedDifference,
        SideBySide,
        side_by_side,
    )
    from offline_trader.evaluation.judging.evaluation import evaluate
    from offline_trader.evaluation.judging.goal_sweep import (
        achieved_of,
        require_horizon,
        sweep_goals,
    )
    from offline_trader.evaluation.judging.judgement import ComparatorCurve, TrialRecord, judge
    from offline_trader.evaluation.judging.ledger import LEDGER_FOLDER, LEDGER_NAME, TrialLedger
    from offline_trader.evaluation.judging.option_traces import (
        OptionTrace,
        OptionTrader,
        option_trace,
        option_use,
    )
    from offline_trader.evaluation.judging.options import EvaluateOptions
    from offline_trader.evaluation.judging.preference_sweep import (
        not_dominated,
        sweep_preferences,
    )
    from offline_trader.evaluation.judging.record import (
        ActionMap,
        Comparator,
        CostPoint,
        Curve,
        Evaluation,
        GateRow,
        GoalPoint,
        GoalSweep,
        InstrumentRow,
        OptionRow,
        OptionUse,
        PreferencePoint,
        PreferenceSweep,
        RegimeRow,
        Robustness,
        ScoreRow,
        TradeRow,
        WindowRow,
        above_zero,
    )
    from offline_trader.evaluation.judging.studies import SeedRun, seed_study

__all__ = [
    "ActionMap",
    "Comparator",
    "CostPoint",
    "Curve",
    "EvaluateOptions",
    "Evaluation",
    "GateRow",
    "GoalPoint",
    "GoalSweep",
    "PreferencePoint",
    "PreferenceSweep",
    "InstrumentRow",
    "LEDGER_FOLDER",
    "LEDGER_NAME",
    "OptionRow",
    "OptionTrace",
    "OptionTrader",
    "OptionUse",
    "PairedDifference",
    "RegimeRow",
    "ComparatorCurve",
    "Robustness",
    "ScoreRow",
    "SeedRun",
    "SideBySide",
    "TradeRow",
    "TrialLedger",
    "TrialRecord",
    "WindowRow",
    "above_zero",
    "achieved_of",
    "evaluate",
    "judge",
    "option_trace",
    "option_use",
    "require_horizon",
    "seed_study",
    "side_by_side",
    "not_dominated",
    "sweep_goals",
    "sweep_preferences",
]

__getattr__ = lazy_names(__name__)
