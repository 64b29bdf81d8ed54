"""Markets whose best policy is known, so that an algorithm's score needs no belief.

``get_market("M3")`` gives one, :func:`score_policy` scores any policy on it,
:func:`make_dataset` makes an offline dataset, :class:`KnownOptimumLanes` lets one learn online.
"""

from __future__ import annotations

from offline_trader.errors import ConfigError
from offline_trader.evaluation.known_optimum.almgren_chriss import AlmgrenChriss
from offline_trader.evaluation.known_optimum.garleanu_pedersen import GarleanuPedersen
from offline_trader.evaluation.known_optimum.interface import KnownMarket, KnownPolicy, Outcome
from offline_trader.evaluation.known_optimum.kelly import Kelly
from offline_trader.evaluation.known_optimum.lanes import (
    AskedMarket,
    KnownOptimumLanes,
    LaneStep,
)
from offline_trader.evaluation.known_optimum.mean_reversion import MeanReversion, band_positions
from offline_trader.evaluation.known_optimum.offline_data import (
    OFFLINE_DATASETS,
    OfflineDataset,
    behaviour_policy,
    make_dataset,
)
from offline_trader.evaluation.known_optimum.placebo import Placebo
from offline_trader.evaluation.known_optimum.scoring import Score, optimal_policy, score_policy

__all__ = [
    "KNOWN_MARKETS",
    "OFFLINE_DATASETS",
    "AlmgrenChriss",
    "AskedMarket",
    "GarleanuPedersen",
    "Kelly",
    "KnownMarket",
    "KnownOptimumLanes",
    "KnownPolicy",
    "LaneStep",
    "MeanReversion",
    "OfflineDataset",
    "Outcome",
    "Placebo",
    "Score",
    "band_positions",
    "behaviour_policy",
    "get_market",
    "make_dataset",
    "optimal_policy",
    "score_policy",
]

KNOWN_MARKETS: dict[str, type[KnownMarket]] = {
    "M0": Placebo,
    "M1": GarleanuPedersen,
    "M2": Kelly,
    "M3": MeanReversion,
    "M4": AlmgrenChriss,
}


def get_market(name: str) -> KnownMarket:
    """The market ``name`` with its documented parameters.

    Raises:
        ConfigError: an unknown name.
    """
    if name not in KNOWN_MARKETS:
        raise ConfigError(f"unknown market {name!r}", expected="one of " + ", ".join(KNOWN_MARKETS))
    return KNOWN_MARKETS[name]()
