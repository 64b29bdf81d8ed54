"""Transitions, how they are scaled, packed, kept and sampled."""

from typing import TYPE_CHECKING

from offline_trader.lazy import lazy_names

if TYPE_CHECKING:
    from offline_trader.learning.data.batch import Batch, Drawn, RowSource
    from offline_trader.learning.data.curiosity import Curiosity
    from offline_trader.learning.data.hindsight import GoalColumns, Hindsight
    from offline_trader.learning.data.preprocessing import (
        Preprocessing,
        RewardScale,
        Scaler,
        fit_reward_scale,
    )
    from offline_trader.learning.data.replay import (
        CounterfactualReplay,
        Replayed,
        Replaying,
        ReplayMarket,
        rows_of,
    )
    from offline_trader.learning.data.replayed_bars import BarReplay
    from offline_trader.learning.data.ring_buffer import RingBuffer
    from offline_trader.learning.data.rows import FACTS, PackedRows, RowLayout, pack
    from offline_trader.learning.data.sampler import Sampler
    from offline_trader.learning.data.transforms import (
        TRANSFORMS,
        Columns,
        Transform,
        TransformChain,
    )
    from offline_trader.learning.data.transitions import Transitions, concatenate

__all__ = [
    "BarReplay",
    "Batch",
    "Columns",
    "CounterfactualReplay",
    "Curiosity",
    "TRANSFORMS",
    "Transform",
    "TransformChain",
    "Drawn",
    "FACTS",
    "GoalColumns",
    "Hindsight",
    "RowSource",
    "PackedRows",
    "Preprocessing",
    "ReplayMarket",
    "Replayed",
    "Replaying",
    "RewardScale",
    "RingBuffer",
    "RowLayout",
    "Sampler",
    "Scaler",
    "Transitions",
    "concatenate",
    "fit_reward_scale",
    "pack",
    "rows_of",
]

__getattr__ = lazy_names(__name__)
