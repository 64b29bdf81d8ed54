"""Transitions, how they are scaled, packed, kept and sampled."""

from typing import TYPE_CHECKING

from offline_trader.lazy import lazy_names

if TYPE_CHECKING:
    from offline_trader.learning.data.preprocessing import (
        Preprocessing,
        RewardScale,
        Scaler,
        fit_reward_scale,
    )
    from offline_trader.learning.data.ring_buffer import RingBuffer
    from offline_trader.learning.data.rows import PackedRows, RowLayout, pack
    from offline_trader.learning.data.sampler import Sampler
    from offline_trader.learning.data.transitions import Transitions, concatenate

__all__ = [
    "PackedRows",
    "Preprocessing",
    "RewardScale",
    "RingBuffer",
    "RowLayout",
    "Sampler",
    "Scaler",
    "Transitions",
    "concatenate",
    "fit_reward_scale",
    "pack",
]

__getattr__ = lazy_names(__name__)
