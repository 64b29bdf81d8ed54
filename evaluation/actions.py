"""What the policy did: collapse measures and the action map, over all instruments together."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from offline_trader.evaluation.backtest import Backtest
from offline_trader.evaluation.collapse import (
    N_BINS,
    CollapseMeasures,
    action_bins,
    collapse_measures,
    quantile_codes,
)
from offline_trader.evaluation.record import ActionMap
from offline_trader.simulator import SimulatorConfig
from offline_trader.types import ObservationLayout

__all__ = ["action_map", "collapse_of"]

MAP_COLUMNS = 10


def collapse_of(legs: Sequence[Backtest], rules: SimulatorConfig, seed: int) -> CollapseMeasures:
    """Collapse measures and verdicts.

    In the target modes an action of zero is a decision to be flat, so a hold is a bar on which
    nothing was filled.
    """
    traded = np.concatenate([leg.traded for leg in legs])
    return collapse_measures(
        np.concatenate([leg.actions for leg in legs]),
        np.concatenate([leg.observations for leg in legs]),
        rng=np.random.default_rng(seed),
        holds=None if rules.action_mode == "order" else ~traded,
        traded=traded,
        hold_threshold=rules.hold_threshold,
    )


def action_map(legs: Sequence[Backtest], layout: ObservationLayout) -> ActionMap:
    """Mean action by decile of the ten columns over which it varies most."""
    actions = np.concatenate([leg.actions for leg in legs])
    observations = np.concatenate([leg.observations for leg in legs])
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
