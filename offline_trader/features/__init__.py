"""Features: causal, scale-free descriptions of the bars up to t."""

from __future__ import annotations

from offline_trader.features.compute import Features, compute_features
from offline_trader.features.scaler import FeatureScaler
from offline_trader.features.schema import (
    FEATURE_NAMES,
    WARMUP_BARS,
    FeatureSchema,
    observation_layout,
)
from offline_trader.features.streaming import StreamingFeatures

__all__ = [
    "FEATURE_NAMES",
    "WARMUP_BARS",
    "FeatureScaler",
    "FeatureSchema",
    "Features",
    "StreamingFeatures",
    "compute_features",
    "observation_layout",
]
