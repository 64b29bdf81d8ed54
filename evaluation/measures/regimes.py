"""Measures by regime: on the bars that the causal detector assigns to each, as they came.

The label at the close of t belongs to the return from t to t + 1: it was known when the position
was chosen. Nothing is cut out and spliced into episodes, which would invent price paths.
"""

from __future__ import annotations

import numpy as np

from offline_trader.errors import DataError
from offline_trader.evaluation.judging import RegimeRow
from offline_trader.evaluation.measures.returns import mean_return, sharpe_ratio
from offline_trader.markets.regimes import REGIMES, detect_regimes
from offline_trader.types import FloatArray, IntArray

__all__ = ["MIN_REGIME_BARS", "NOT_ENOUGH", "regime_labels", "regime_rows"]

MIN_REGIME_BARS = 60
NOT_ENOUGH = "not enough data"


def regime_labels(close: FloatArray, start: int, stop: int) -> IntArray:
    """[stop − start − 1] label at the start of each return between the closes of these rows.

    Args:
        close: [T] all closes, those before ``start`` included: the detector needs a past.
        start, stop: rows of the evaluated range.
    """
    if not 0 <= start < stop <= len(close):
        raise DataError(f"rows {start} to {stop} of {len(close)} closes", expected="a range in it")
    return detect_regimes(close[:stop])[start : stop - 1]


def regime_rows(
    returns: FloatArray,
    labels: IntArray,
    periods_per_year: float,
    benchmark: FloatArray | None = None,
) -> tuple[RegimeRow, ...]:
    """One row a regime.

    Args:
        returns: [T] net simple returns.
        labels: [T] regime at the start of each return, from :func:`regime_labels`.
        periods_per_year: bars a year.
        benchmark: [T] returns of buy-and-hold.

    Below :data:`MIN_REGIME_BARS` bars the measures are ``None`` and the note says why.
    """
    if len(labels) != len(returns):
        raise DataError(f"{len(labels)} regime labels", expected=f"{len(returns)}, one a return")
    rows = []
    for number, name in enumerate(REGIMES):
        here = np.asarray(labels) == number
        n = int(here.sum())
        enough = n >= MIN_REGIME_BARS
        rows.append(
            RegimeRow(
                name=name,
                n=n,
                share=n / max(len(labels), 1),
                sharpe=sharpe_ratio(returns[here], periods_per_year) if enough else None,
                mean_return=mean_return(returns[here]) if enough else None,
                benchmark_mean_return=(
                    mean_return(benchmark[here]) if enough and benchmark is not None else None
                ),
                note="" if enough else f"{NOT_ENOUGH} ({n} of {MIN_REGIME_BARS} bars)",
            )
        )
    return tuple(rows)
