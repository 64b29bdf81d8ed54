"""The markets with a known optimum as logs that the direct stage trains on.

The portfolio's rules (what a position costs) are known to a trader and are taken from the market;
what is not known, how the gains come about, is in the log alone: a row's gain is what was
realised. Nothing of the market's law or of its optimum gets in.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from offline_trader.errors import ConfigError
from offline_trader.evaluation.known_optimum.garleanu_pedersen import GarleanuPedersen
from offline_trader.evaluation.known_optimum.interface import KnownMarket
from offline_trader.evaluation.known_optimum.mean_reversion import MeanReversion
from offline_trader.evaluation.known_optimum.offline_data import (
    OFFLINE_DATASETS,
    OfflineDataset,
    make_dataset,
)
from offline_trader.evaluation.known_optimum.placebo import Placebo
from offline_trader.learning.stages.direct import Log, PositionMarket
from offline_trader.types import BoolArray, FloatArray, IntArray

__all__ = ["logged_market", "placebo_market", "position_market", "ruled"]

_DATASETS = ", ".join(OFFLINE_DATASETS)

_SMALLEST_POSITION = 1e-5


def logged_market(name: str, *, seed: int = 0, realised: bool = True) -> PositionMarket:
    """The log of a dataset, or of a market: M0's returns, M1's and M3's wide datasets.

    Raises:
        ConfigError: another name, or a market without a log to train on.
    """
    if name == "M0":
        return placebo_market(Placebo(), seed=seed)
    named = name if name in OFFLINE_DATASETS else f"{name}-wide"
    if named not in OFFLINE_DATASETS:
        raise ConfigError(f"the direct stage on {name}", expected=f"M0, M1, M3, {_DATASETS}")
    data = make_dataset(named, seed=seed, realised=realised)
    market = GarleanuPedersen() if OFFLINE_DATASETS[named].market == "M1" else MeanReversion()
    return position_market(market, data)


def position_market(market: KnownMarket, data: OfflineDataset) -> PositionMarket:
    """The dataset's rows with the gains that its rewards or next observations show.

    On M1 a reward is ``p·g − p²/2 − ℓ/2·Δp²`` with all but g known; on M3 the gain is the change
    of the deviation that the next observation shows, whatever the rewards are.

    A row of M1 without a position shows no gain: it is left out, and its series goes on as another.

    Raises:
        ConfigError: another market than M1 or M3.
    """
    features = data.observations[:, :1]
    if isinstance(market, GarleanuPedersen):
        seen, gains = _gains_of_rewards(market, data)
        log = Log(features[seen], gains[seen][:, None], _series(data.episode_ids, seen))
    elif isinstance(market, MeanReversion):
        change = data.next_observations[:, 0].astype(np.float64) - data.observations[:, 0]
        every = np.ones(len(change), dtype=np.bool_)
        log = Log(features, market.deviation * change[:, None], _series(data.episode_ids, every))
    else:
        raise ConfigError(f"the direct stage on {market.name}", expected="M1 or M3")
    made = ruled(market, log)
    return replace(made, reward_mean=data.reward_mean, reward_sd=data.reward_sd)


def ruled(market: KnownMarket, log: Log) -> PositionMarket:
    """``log`` under what a position costs on the market, in the market's own unit.

    Raises:
        ConfigError: another market than M1 or M3.
    """
    if isinstance(market, GarleanuPedersen):
        return PositionMarket(log, market.scale, risk=1.0, quadratic_cost=market.ell)
    if isinstance(market, MeanReversion):
        return PositionMarket(log, proportional_cost=market.cost)
    raise ConfigError(f"the rules of a position on {market.name}", expected="M1 or M3")


def _series(lanes: IntArray, seen: BoolArray) -> IntArray:
    """[K, 2] first row and row behind the last of the unbroken runs of ``seen`` rows of a lane,
    counted among the rows that are seen."""
    rows = np.flatnonzero(seen)
    breaks = np.flatnonzero((np.diff(rows) > 1) | (np.diff(lanes[rows]) != 0)) + 1
    return np.stack([np.append(0, breaks), np.append(breaks, len(rows))], axis=1)


def _gains_of_rewards(
    market: GarleanuPedersen, data: OfflineDataset
) -> tuple[BoolArray, FloatArray]:
    """[M] whether a row shows its gain, and the gain."""
    position = market.scale * data.actions[:, 0].astype(np.float64)
    change = position - data.observations[:, 1]
    rewards = data.rewards.astype(np.float64) * data.reward_sd + data.reward_mean
    costs = position**2 / 2.0 + market.ell / 2.0 * change**2
    seen = np.abs(position) >= _SMALLEST_POSITION
    return seen, (rewards + costs) / np.where(seen, position, 1.0)


def placebo_market(
    market: Placebo, *, seed: int = 0, n_lanes: int = 200, n_steps: int = 500
) -> PositionMarket:
    """A log of M0: each row's feature is the last return, its gain the next, which it tells
    nothing about."""
    shocks = np.random.default_rng(seed).standard_normal((n_lanes, n_steps + 1))
    ends = np.arange(1, n_lanes + 1) * n_steps
    log = Log(
        shocks[:, :-1].reshape(-1, 1).astype(np.float32),
        market.sigma * shocks[:, 1:].reshape(-1, 1),
        np.stack([ends - n_steps, ends], axis=1),
    )
    return PositionMarket(log, proportional_cost=market.cost)
