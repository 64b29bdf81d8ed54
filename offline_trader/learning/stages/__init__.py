"""The stages of training, one a file."""

from typing import TYPE_CHECKING

from offline_trader.lazy import lazy_names

if TYPE_CHECKING:
    from offline_trader.learning.stages.cloning import D3rlpyActorPolicy, clone
    from offline_trader.learning.stages.offline import train_offline
    from offline_trader.learning.stages.online import finetune

__all__ = [
    "D3rlpyActorPolicy",
    "clone",
    "finetune",
    "train_offline",
]

__getattr__ = lazy_names(__name__)
