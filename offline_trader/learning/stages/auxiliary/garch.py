"""GARCH(1, 1) as the naive forecast of volatility, by arch.

    σ²_{t+1} = ω + α ε²_t + β σ²_t,   E_t σ²_{t+i} = v + (α + β)^{i−1} (σ²_{t+1} − v),
    v = ω / (1 − α − β)

(Bollerslev 1986); ``arch`` fits ω, α, β by the likelihood of Gaussian shocks.
"""

from __future__ import annotations

import warnings

import numpy as np

from offline_trader.types import FloatArray

__all__ = ["garch_volatility"]

_PER_CENT = 100.0
"""arch's optimiser wants returns of about this size."""
_BARS = 100
_STATIONARY = 1.0 - 1e-6


def garch_volatility(returns: FloatArray, horizon: int, fitted_on: int) -> FloatArray:
    """[R] root mean variance of the ``horizon`` returns after each bar, as a GARCH(1, 1) has it.

    Row t reads returns up to t; the parameters are those of the first rows. NaN everywhere where
    too few rows are fitted on, or nothing moves in them; NaN in row 0.

    Args:
        returns: [R] log returns, the first one NaN.
        horizon: bars ahead.
        fitted_on: rows that the parameters are fitted on.
    """
    found = np.full(len(returns), np.nan)
    scaled = _PER_CENT * returns[1:]
    given = scaled[: max(fitted_on - 1, 0)]
    if len(given) < _BARS or not given.std() > 0.0:
        return found
    from arch import arch_model  # both take a second, and every training imports this module
    from scipy.signal import lfilter

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a likelihood that has not converged: it is naive
        model = arch_model(given, mean="Zero", vol="GARCH", rescale=False)
        omega, alpha, beta = np.asarray(model.fit(disp="off").params, np.float64)
    kept = min(alpha + beta, _STATIONARY)
    shocks = omega + alpha * np.square(scaled)
    following, _ = lfilter([1.0], [1.0, -beta], shocks, zi=[beta * np.mean(given**2)])
    level = omega / (1.0 - kept)
    mean = level + (kept ** np.arange(horizon)).mean() * (following - level)
    found[1:] = np.sqrt(np.maximum(mean, 0.0)) / _PER_CENT
    return found
