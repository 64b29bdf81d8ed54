"""What the policy did: collapse measures and the action map, over all instruments together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from offline_trader.evaluation.collapse import (
    N_BINS,
    CollapseMeasures,
    action_bins,
    collapse_measures,
    quantile_codes,
)
from offline_trader.evaluation.record import ActionMap
from offline_trader.simulator import SimulatorConfig
from offline_trader.types import FloatArray, ObservationLayout, Observations

if TYPE_CHECKING:
    from offline_trader.evaluation.backtest import Backtest

__all__ = ["action_map", "collapse_of", "collapse_under"]

MAP_COLUMNS = 10


def collapse_of(legs: Sequence[Backtest], rules: SimulatorConfig, seed: int) -> CollapseMeasures:
    """Collapse measures and verdicts of the actions on all instruments."""
    return collapse_under(
        rules,
        np.concatenate([leg.actions for leg in legs]),
        np.concatenate([leg.observations for leg in legs]),
        np.concatenate([leg.units for leg in legs]),
        rng=np.random.default_rng(seed),
    )


def collapse_under(
    rules: SimulatorConfig,
    actions: FloatArray,
    observations: Observations,
    units: FloatArray,
    *,
    rng: np.random.Generator,
    permutations: int = 100,
) -> CollapseMeasures:
    """Collapse measures and verdicts of actions that were traded under ``rules``.

    In the target modes an action of zero is a decision to be flat, and a smaller weight is a
    sale: there what was filled says whether a bar sold, held or bought.

    Args:
        actions: [n] in [−1, 1].
        observations: [n, O] that they were taken on.
        units: [n] signed units filled for each; 0 where nothing was.
        rng: draws the permutations.
        permutations: size of the null sample of the mutual information.
    """
    return collapse_measures(
        actions,
        observations,
        rng=rng,
        directions=None if rules.action_mode == "order" else units,
        traded=units != 0.0,
        permutations=permutations,
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
