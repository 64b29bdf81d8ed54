"""Features: causal, scale-free descriptions of the bars up to t."""

from __future__ import annotations

from offline_trader.features.admission import (
    Admission,
    LeakFound,
    admission_notes,
    admitted,
)
from offline_trader.features.compute import Features, compute_features
from offline_trader.features.leaks import AuditConfig, AuditResult, Leak, audit_function, bars_frame
from offline_trader.features.own import changed_code, examine_features, name_features, state_window
from offline_trader.features.scaler import FeatureScaler
from offline_trader.features.schema import FEATURE_NAMES, WARMUP_BARS, FeatureSchema
from offline_trader.features.sets import (
    FEATURE_SETS,
    FeatureSet,
    FeatureStream,
    feature_set,
    feature_stream,
    may_miss,
    observation_layout,
)
from offline_trader.features.streaming import StreamingFeatures

__all__ = [
    "FEATURE_NAMES",
    "FEATURE_SETS",
    "WARMUP_BARS",
    "Admission",
    "AuditConfig",
    "AuditResult",
    "FeatureScaler",
    "FeatureSchema",
    "FeatureSet",
    "FeatureStream",
    "Features",
    "Leak",
    "LeakFound",
    "StreamingFeatures",
    "admission_notes",
    "admitted",
    "audit_function",
    "bars_frame",
    "changed_code",
    "compute_features",
    "examine_features",
    "feature_set",
    "feature_stream",
    "may_miss",
    "name_features",
    "observation_layout",
    "state_window",
]
