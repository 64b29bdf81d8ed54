"""Settings of the learning stages: frozen, checked, no torch needed to read them."""

from typing import TYPE_CHECKING

from offline_trader.lazy import lazy_names

if TYPE_CHECKING:
    from offline_trader.learning.settings.direct import DirectConfig
    from offline_trader.learning.settings.stages import (
        ALGORITHMS,
        CloneConfig,
        LearnerConfig,
        OfflineConfig,
        OnlineConfig,
    )

__all__ = [
    "ALGORITHMS",
    "CloneConfig",
    "DirectConfig",
    "LearnerConfig",
    "OfflineConfig",
    "OnlineConfig",
]

__getattr__ = lazy_names(__name__)
