"""The direct stage as a plug-in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from offline_trader.learning.agents import Agent
from offline_trader.learning.settings import DirectConfig
from offline_trader.learning.stages.direct.training import train_direct
from offline_trader.learning.stages.results import Checkpoint, Evaluate, Log, TrainResult
from offline_trader.learning.stages.stage import StageData, need, need_learner

__all__ = ["DirectStage"]


@dataclass(frozen=True)
class DirectStage:
    """:func:`train_direct` as a :class:`~offline_trader.learning.stages.stage.Stage`."""

    Config: ClassVar[type[DirectConfig]] = DirectConfig
    needs: ClassVar[tuple[str, ...]] = ("market",)
    config: DirectConfig = field(default_factory=DirectConfig)

    @property
    def steps(self) -> int:
        """Updates in all."""
        return self.config.updates

    def fit(
        self,
        agent: Agent,
        data: StageData,
        log: Log | None = None,
        evaluate: Evaluate | None = None,
        checkpoint: Checkpoint | None = None,
        *,
        seed: int = 0,
        resume: Mapping[str, Any] | None = None,
    ) -> TrainResult:
        """Train a d3rlpy learner on ``data.market``."""
        return train_direct(
            need_learner(agent, "direct"),
            need(data, "market", "direct"),
            self.config,
            log,
            evaluate,
            checkpoint,
            seed=seed,
            resume=resume,
        )
