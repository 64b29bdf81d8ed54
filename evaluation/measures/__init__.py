"""What is measured of a curve, its trades and its actions."""

from typing import TYPE_CHECKING

from offline_trader.lazy import lazy_names

if TYPE_CHECKING:
    from offline_trader.evaluation.measures.actions import action_map, collapse_of
    from offline_trader.evaluation.measures.activations import NetworkMeasures, network_measures
    from offline_trader.evaluation.measures.collapse import (
        CollapseMeasures,
        collapse_measures,
        dormant_ratio,
        effective_rank,
        quantile_codes,
        state_cells,
        state_coverage,
        verdicts_of,
    )
    from offline_trader.evaluation.measures.regimes import regime_labels, regime_rows
    from offline_trader.evaluation.measures.returns import (
        GREATEST_GROWTH,
        annual_return,
        is_constant,
        kurtosis,
        max_drawdown,
        performance,
        period_rate,
        sharpe_ratio,
        skewness,
        why_undefined,
    )
    from offline_trader.evaluation.measures.trades import (
        Fills,
        RoundTrips,
        fifo_lots,
        outcome_measures,
        round_trips,
        trade_measures,
        trip_outcome,
    )

__all__ = [
    "CollapseMeasures",
    "Fills",
    "GREATEST_GROWTH",
    "NetworkMeasures",
    "RoundTrips",
    "action_map",
    "annual_return",
    "collapse_measures",
    "collapse_of",
    "dormant_ratio",
    "effective_rank",
    "fifo_lots",
    "is_constant",
    "kurtosis",
    "max_drawdown",
    "network_measures",
    "outcome_measures",
    "performance",
    "period_rate",
    "quantile_codes",
    "regime_labels",
    "regime_rows",
    "round_trips",
    "sharpe_ratio",
    "skewness",
    "state_cells",
    "state_coverage",
    "trade_measures",
    "trip_outcome",
    "verdicts_of",
    "why_undefined",
]

__getattr__ = lazy_names(__name__)
