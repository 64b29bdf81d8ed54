"""Serving: a policy bar by bar, with an account and the reason of every decision.

Needs numpy and onnxruntime alone. Names load on first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from offline_trader.lazy import lazy_names

if TYPE_CHECKING:
    from offline_trader.serving.account import Fill, Hold, Portfolio
    from offline_trader.serving.session import Decision, Holdings, Order, Session
    from offline_trader.serving.vectors import write_vectors

__all__ = ["Decision", "Fill", "Hold", "Holdings", "Order", "Portfolio", "Session", "write_vectors"]

__getattr__ = lazy_names(__name__)
