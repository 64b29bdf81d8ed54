"""Features: causal, scale-free descriptions of the bars up to t."""

from __future__ import annotations

from offline_trader.features.compute import Features, compute_features
from offline_trader.features.scaler import FeatureScaler
from offline_trader.features.schema import FEATURE_NAMES, WARMUP_BARS, FeatureSchema
from offline_trader.features.sets import (
    FEATURE_SETS,
    FeatureSet,
    FeatureStream,
    observation_layout,
)
from offline_trader.features.streaming import StreamingFeatures

__all__ = [
    "FEATURE_NAMES",
    "FEATURE_SETS",
    "WARMUP_BARS",
    "FeatureScaler",
    "FeatureSchema",
    "FeatureSet",
    "FeatureStream",
    "Features",
    "StreamingFeatures",
    "compute_features",
    "observation_layout",
]
