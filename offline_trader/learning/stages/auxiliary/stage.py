"""The auxiliary stage as a plug-in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from offline_trader.learning.agents import Agent
from offline_trader.learning.settings import AuxiliaryConfig
from offline_trader.learning.stages.auxiliary.training import (
    AuxiliaryResult,
    encoder_bytes,
    train_encoder,
)
from offline_trader.learning.stages.results import Checkpoint, Evaluate, Log
from offline_trader.learning.stages.stage import StageData, need, need_learner

__all__ = ["ENCODER_FILE", "AuxiliaryStage"]

ENCODER_FILE = "encoder.npz"


@dataclass(frozen=True)
class AuxiliaryStage:
    """:func:`train_encoder` as a :class:`~offline_trader.learning.stages.stage.Stage`."""

    Config: ClassVar[type[AuxiliaryConfig]] = AuxiliaryConfig
    needs: ClassVar[tuple[str, ...]] = ("labelled",)
    config: AuxiliaryConfig = field(default_factory=AuxiliaryConfig)

    @property
    def steps(self) -> int:
        """Updates, at most."""
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
    ) -> AuxiliaryResult:
        """Train the encoder of a d3rlpy learner on ``data.labelled``; it has no policy to validate.

        With ``data.keep`` the encoder is written as ``encoder.npz``.
        """
        result, heads = train_encoder(
            need_learner(agent, "auxiliary"),
            need(data, "labelled", "auxiliary"),
            self.config,
            log,
            seed=seed,
            checkpoint=checkpoint,
            resume=resume,
        )
        if data.keep is not None:
            data.keep(ENCODER_FILE, encoder_bytes(heads))
        return result
