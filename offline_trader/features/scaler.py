"""A scaler of observations, fitted on the training range only."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from offline_trader.errors import DataError
from offline_trader.types import FloatArray, ObservationLayout, Observations

__all__ = ["FeatureScaler"]


@dataclass(frozen=True, eq=False)
class FeatureScaler:
    """Affine map of observations: ``(x − mean) / scale``.

    Attributes:
        mean: [F + P] float64; 0 for portfolio fields.
        scale: [F + P] float64, positive; 1 for portfolio fields and constant features.
    """

    mean: FloatArray
    scale: FloatArray

    def __post_init__(self) -> None:
        for name in ("mean", "scale"):
            values = np.array(getattr(self, name), dtype=np.float64)
            values.setflags(write=False)
            object.__setattr__(self, name, values)
        ok = self.mean.shape == self.scale.shape and self.mean.ndim == 1
        if not ok or not np.isfinite(self.mean).all() or not (self.scale > 0.0).all():
            raise DataError(
                "scaler: mean and scale do not fit together",
                expected="two equally long lists, finite, scales above 0",
            )

    @classmethod
    def fit(cls, values: FloatArray, layout: ObservationLayout) -> FeatureScaler:
        """Mean and standard deviation of ``values`` [rows of the training range, F].

        Raises:
            DataError: fewer than two rows, a value that is not finite, or another width.
        """
        if values.ndim != 2 or len(values) < 2 or values.shape[1] != len(layout.features):
            raise DataError(
                f"scaler: features of shape {values.shape}",
                expected=f"at least two rows of {len(layout.features)} features",
            )
        if not np.isfinite(values).all():
            raise DataError("scaler: a feature is not finite", expected="rows after the warm-up")
        mean = np.zeros(layout.size)
        scale = np.ones(layout.size)
        n = len(layout.features)
        mean[:n] = values.mean(axis=0)
        spread = values.std(axis=0)
        scale[:n] = np.where(spread > 1e-12, spread, 1.0)
        return cls(mean, scale)

    def transform(self, observations: Observations) -> Observations:
        """Scaled observations [..., F + P] float32."""
        scaled = (observations - self.mean.astype(np.float32)) / self.scale.astype(np.float32)
        return np.asarray(scaled, dtype=np.float32)
