"""A portfolio from what an observation shows of it: the inverse of the kernel's last step."""

from __future__ import annotations

import numpy as np

from offline_trader.simulator import kernel as k
from offline_trader.simulator.observed import hold_scale
from offline_trader.types import FloatArray, PortfolioField

__all__ = ["bars_held", "portfolio_fields"]


def portfolio_fields(
    seen: FloatArray, equity: FloatArray, close: FloatArray
) -> dict[int, FloatArray]:
    """Fields of the kernel's state, by number: [N] each.

    With exposure w, unrealised log return u and drawdown d of an account of equity E at the close
    c: units ``wE/c``, cash ``E − wE``, entry ``c·exp(∓u)`` (long, short), peak ``E/(1 + d)``.

    Args:
        seen: [N, 5] the portfolio's columns of an observation (``types.PortfolioField``). One that
            has no position shows neither return nor bars held.
        equity: [N] quote currency.
        close: [N] of the bar that is observed.
    """
    exposure = np.asarray(seen[:, PortfolioField.EXPOSURE], np.float64)
    gain = np.exp(np.asarray(seen[:, PortfolioField.UNREALISED_RETURN], np.float64))
    units = exposure * equity / close
    # an exposure of 1 may be a little more in single precision, and cash is never below zero
    cash = np.maximum(equity - units * close, 0.0)
    worth = cash + units * close
    opened = exposure != 0.0
    entry = np.where(units > 0.0, close / gain, close * gain)
    held = np.maximum(bars_held(seen[:, PortfolioField.HOLD_TIME]), 1.0)
    return {
        k.CASH: cash,
        k.UNITS: units,
        k.EQUITY: worth,
        k.PEAK: worth / (1.0 + np.maximum(seen[:, PortfolioField.DRAWDOWN], -0.999_999)),
        k.ENTRY: np.where(opened, entry, 0.0),
        k.EXPOSURE: units * close / worth,
        k.HELD: np.where(opened, held, 0.0),
    }


def bars_held(shown: FloatArray) -> FloatArray:
    """[N] bars since the position was opened, of what an observation shows of them."""
    return np.minimum(np.rint(253.0 ** np.asarray(shown, np.float64) - 1.0), len(hold_scale()) - 1)
