"""IMPALA: actors step many lanes and do not wait for the learner, which corrects for their age."""

from typing import TYPE_CHECKING

from offline_trader.lazy import lazy_names

if TYPE_CHECKING:
    from offline_trader.learning.stages.impala.acting import (
        Actor,
        ActorWeights,
        Rollout,
        Trajectory,
    )
    from offline_trader.learning.stages.impala.training import ImpalaResult, train_impala

__all__ = ["Actor", "ActorWeights", "ImpalaResult", "Rollout", "Trajectory", "train_impala"]

__getattr__ = lazy_names(__name__)
