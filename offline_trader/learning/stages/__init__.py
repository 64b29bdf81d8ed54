"""The stages of training, one a file."""

from typing import TYPE_CHECKING

from offline_trader.lazy import lazy_names

if TYPE_CHECKING:
    from offline_trader.learning.stages.actor_policy import D3rlpyActorPolicy
    from offline_trader.learning.stages.cloning import clone
    from offline_trader.learning.stages.counterfactual import require_replays
    from offline_trader.learning.stages.lanes import Lanes, LaneStep, ResumableLanes
    from offline_trader.learning.stages.offline import train_offline
    from offline_trader.learning.stages.online import finetune
    from offline_trader.learning.stages.registered import STAGES
    from offline_trader.learning.stages.results import StageResult, TrainResult, Validated
    from offline_trader.learning.stages.stage import Stage, StageData, need, need_learner

__all__ = [
    "STAGES",
    "D3rlpyActorPolicy",
    "LaneStep",
    "Lanes",
    "ResumableLanes",
    "Stage",
    "StageData",
    "StageResult",
    "TrainResult",
    "Validated",
    "clone",
    "finetune",
    "need",
    "need_learner",
    "require_replays",
    "train_offline",
]

__getattr__ = lazy_names(__name__)
