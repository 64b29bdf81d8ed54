"""The registry of stages; asking it for names loads none of them, and no torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from offline_trader.registry import Registry

if TYPE_CHECKING:
    from offline_trader.learning.stages.stage import Stage

__all__ = ["STAGES"]

STAGES: Registry[type[Stage]] = Registry(
    "stage",
    {
        "auxiliary": "offline_trader.learning.stages.auxiliary.stage:AuxiliaryStage",
        "clone": "offline_trader.learning.stages.cloning:CloneStage",
        "dagger": "offline_trader.learning.stages.dagger:DaggerStage",
        "direct": "offline_trader.learning.stages.direct.stage:DirectStage",
        "evolution": "offline_trader.learning.stages.evolution.training:EvolutionStage",
        "impala": "offline_trader.learning.stages.impala.training:ImpalaStage",
        "offline": "offline_trader.learning.stages.offline:OfflineStage",
        "online": "offline_trader.learning.stages.online:OnlineStage",
    },
)
"""Stages by name."""
