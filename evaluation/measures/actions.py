"""What the policy did: collapse measures and the action map, over all instruments together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from offline_trader.evaluation.judging import ActionMap
from offline_trader.evaluation.measures.collapse import (
    N_BINS,
    CollapseMeasures,
    action_bins,
    collapse_measures,
    quantile_codes,
)
from offline_trader.types import ObservationLayout

if TYPE_CHECKING:
    from offline_trader.evaluation.backtest import Backtest

__all__ = ["action_map", "collapse_of"]

MAP_COLUMNS = 10


def collapse_of(
    backtests: Sequence[Backtest], seed: int = 0, *, learned: bool = True
) -> CollapseMeasures:
    """Collapse measures and verdicts of what was done on all instruments.

    The one function by which validation, export, evaluation and walk-forward judge. Buying,
    holding and selling are what was filled: a sale while flat is a hold, a smaller target weight is
    a sale.

    Args:
        backtests: one backtest an instrument, with its observations.
        seed: of the permutations.
        learned: of a trained policy, not of a person's rule.
    """
    units = np.concatenate([backtest.units for backtest in backtests])
    return collapse_measures(
        np.concatenate([backtest.actions for backtest in backtests]),
        np.concatenate([backtest.observations for backtest in backtests]),
        rng=np.random.default_rng(seed),
        directions=units,
        traded=units != 0.0,
        learned=learned,
    )


def action_map(backtests: Sequence[Backtest], layout: ObservationLayout) -> ActionMap:
    """Mean action by decile of the ten columns over which it varies most."""
    actions = np.concatenate([backtest.actions for backtest in backtests])
    observations = np.concatenate([backtest.observations for backtest in backtests])
    codes = quantile_codes(observations)
    means = np.full((layout.size, 10), np.nan)
    for column in range(layout.size):
        counts = np.bincount(codes[:, column], minlength=10)
        sums = np.bincount(codes[:, column], actions, 10)
        means[column, counts > 0] = sums[counts > 0] / counts[counts > 0]
    spread = np.nanmax(means, axis=1) - np.nanmin(means, axis=1)
    chosen = np.argsort(-spread, kind="stable")[:MAP_COLUMNS]
    return ActionMap(
        columns=tuple(layout.names[i] for i in chosen),
        mean_action=means[chosen],
        histogram=np.bincount(action_bins(actions), minlength=N_BINS) / len(actions),
    )
