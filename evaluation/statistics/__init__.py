"""How much of a result may be luck."""

from typing import TYPE_CHECKING

from offline_trader.lazy import lazy_names

if TYPE_CHECKING:
    from offline_trader.evaluation.statistics.bootstrap import (
        INTERVAL_MEASURES,
        Interval,
        NoInterval,
        bootstrap_interval,
        measured_difference,
        measured_interval,
        performance_intervals,
        sharpe_difference,
        stationary_indices,
    )
    from offline_trader.evaluation.statistics.sharpe_luck import (
        SharpeEvidence,
        deflated_sharpe_ratio,
        expected_maximum,
        min_backtest_years,
        min_track_record,
        probabilistic_sharpe_ratio,
        psr_from_moments,
        sharpe_evidence,
        wilson_interval,
    )
    from offline_trader.evaluation.statistics.superiority import (
        SeedSummary,
        interquartile_mean,
        seed_summary,
        superior_to_all,
        superior_to_benchmark,
    )

__all__ = [
    "INTERVAL_MEASURES",
    "Interval",
    "NoInterval",
    "SeedSummary",
    "SharpeEvidence",
    "bootstrap_interval",
    "deflated_sharpe_ratio",
    "expected_maximum",
    "interquartile_mean",
    "measured_difference",
    "measured_interval",
    "min_backtest_years",
    "min_track_record",
    "performance_intervals",
    "probabilistic_sharpe_ratio",
    "psr_from_moments",
    "seed_summary",
    "sharpe_difference",
    "sharpe_evidence",
    "stationary_indices",
    "superior_to_all",
    "superior_to_benchmark",
    "wilson_interval",
]

__getattr__ = lazy_names(__name__)
