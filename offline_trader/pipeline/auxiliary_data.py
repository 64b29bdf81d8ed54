"""What the auxiliary stage trains on, out of a dataset's bars, observations and experts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from offline_trader.datasets import episode_table, load_info
from offline_trader.datasets.rollout import roll
from offline_trader.envs import EnvConfig, make_market, make_simulator
from offline_trader.errors import ConfigError, DataError
from offline_trader.experts import Mixture, MixtureActor, mixture
from offline_trader.learning.settings import AuxiliaryConfig, DaggerConfig
from offline_trader.learning.stages.auxiliary import (
    AuxiliaryData,
    BarLabels,
    LabelledRows,
    label_bars,
)
from offline_trader.pipeline.asked_experts import asked_mixture
from offline_trader.types import Observations

if TYPE_CHECKING:
    from offline_trader.datasets.facts import DatasetFacts
    from offline_trader.learning.data import Transitions
    from offline_trader.simulator import MarketTensor

__all__ = ["labelled_data"]

_LANES = 8
"""Portfolios side by side on the bars that validate, of each instrument."""


def labelled_data(
    dataset: str,
    own: DatasetFacts,
    transitions: Transitions,
    validation: EnvConfig | None,
    config: AuxiliaryConfig,
    seed: int,
    root: Path | None,
) -> AuxiliaryData:
    """The dataset's observations with the labels of their bars and what their experts would do,
    and every bar of its market once more.

    With a validation range the dataset's experts trade there, and what they see and would do
    validates; where none of them can be asked, portfolios are random and the head of actions is
    not validated. Otherwise the last ``config.holdout`` of each instrument's bars validate. No
    label of a training row reads a bar that validates.

    Args:
        dataset: its id.
        own: its facts.
        transitions: of the dataset.
        validation: environment of the validation range, or None.
        config: horizon and hold-out.
        seed: of the portfolios that validate.
        root: folder of all datasets.

    Raises:
        DataError: too few bars for a label.
    """
    market = make_market(own.env_config)
    spans = list(zip(market.start.tolist(), market.stop.tolist(), strict=True))
    lengths = [stop - start for start, stop in spans]
    cuts = lengths
    if validation is None:
        cuts = [round((1.0 - config.holdout) * length) for length in lengths]
    labels = _labels(market, config.horizon, cuts)
    # an info is of a step's outcome, a bar after the one that was decided on
    decided = load_info(dataset, "bar_index", root).astype(np.int64) - 1
    actions = _expert_actions(dataset, own, transitions, root)
    rows = LabelledRows(
        np.concatenate([transitions.observations, _every_bar(market, transitions, seed)]),
        np.concatenate([decided, np.arange(len(market))]),
        np.concatenate([actions, np.full(len(market), np.nan, np.float32)]),
        labels,
    )
    if validation is not None:
        return AuxiliaryData(rows, _traded(own, validation, config, lengths, seed))
    first = np.array([start + cut for (start, _), cut in zip(spans, cuts, strict=True)])
    instrument = np.searchsorted(market.stop, rows.bars, side="right")
    later = rows.bars >= first[instrument]
    before = rows.bars < first[instrument] - config.horizon
    if not later.any() or not before.any():
        raise DataError(
            f"{len(market)} bars cannot be cut into those that train and those that validate",
            expected=f"more than {config.horizon} bars before the last {config.holdout:.0%}",
            hint="collect on more bars, or give --validate-until",
        )
    return AuxiliaryData(rows.take(before), rows.take(later), validated=False)


def _labels(market: MarketTensor, horizon: int, fitted_on: list[int]) -> BarLabels:
    """Of every row of ``market``; the GARCH is fitted on so many first bars of each instrument."""
    spans = zip(market.start, market.stop, fitted_on, strict=True)
    return BarLabels.joined(
        [
            label_bars(np.asarray(market.prices[start:stop]), horizon, count)
            for start, stop, count in spans
        ]
    )


def _every_bar(market: MarketTensor, transitions: Transitions, seed: int) -> Observations:
    """[S, O] every bar of the market once, each with a portfolio that was met somewhere: what can
    be said of bars can be said of those that no expert traded on, too."""
    width = market.features.shape[1]
    drawn = np.random.default_rng(seed).integers(len(transitions), size=len(market))
    portfolios = transitions.observations[drawn, width:]
    return np.concatenate([market.features, portfolios], axis=1)


def _expert_actions(
    dataset: str, own: DatasetFacts, transitions: Transitions, root: Path | None
) -> np.ndarray:
    """[M] noise-free actions; NaN where the behaviour draws its own and has nothing to say."""
    actions = load_info(dataset, "expert_action", root).astype(np.float32).reshape(-1)
    drawn = [str(one["expert"]["name"]) == "random" for one in own.experts]
    acted = episode_table(dataset, root).behaviours[transitions.episode_ids]
    actions[np.array(drawn)[acted]] = np.nan
    return actions


def _traded(
    own: DatasetFacts,
    validation: EnvConfig,
    config: AuxiliaryConfig,
    lengths: list[int],
    seed: int,
) -> LabelledRows:
    """What the dataset's experts see on the validation bars, and would do."""
    market = make_market(validation)
    whole = make_market(replace(validation, start=own.env_config.start))
    labels = _labels(whole, config.horizon, lengths)
    counts = market.stop - market.start
    rows = [np.arange(stop - count, stop) for stop, count in zip(whole.stop, counts, strict=True)]
    labels = labels.take(np.concatenate(rows))
    asked, known = _asked(own)
    lanes = _LANES * len(market.symbols)
    simulator = make_simulator(validation, lanes, seed)
    actor = MixtureActor(
        asked, market.layout, validation.simulator, lanes, seed=seed, market=market
    )
    part = roll(simulator, actor, int(counts.max()) - 1)
    decided = np.ones(len(part.observations), dtype=np.bool_)
    decided[np.cumsum(part.lengths + 1) - 1] = False  # an episode's last observation
    actions = part.infos["expert_action"][np.flatnonzero(decided) + 1].astype(np.float32)
    return LabelledRows(
        part.observations[decided],
        part.infos["bar_index"][decided].astype(np.int64),
        actions if known else np.full_like(actions, np.nan),
        labels,
    )


def _asked(own: DatasetFacts) -> tuple[Mixture, bool]:
    """The dataset's experts without noise, and True; where none can be asked random ones."""
    try:
        return asked_mixture(own.experts, DaggerConfig()), True
    except ConfigError:
        return mixture(["random"]), False
