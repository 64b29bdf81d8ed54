"""Serving: a policy bar by bar, with an account, a risk gate and a log of every decision.

Needs numpy and onnxruntime alone. Names load on first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from offline_trader.lazy import lazy_names

if TYPE_CHECKING:
    from offline_trader.serving.account import Fill, Hold, Portfolio
    from offline_trader.serving.audit_log import AuditLog, Entry
    from offline_trader.serving.desk import Answer, Desk, replay
    from offline_trader.serving.risk import RiskLimits, RiskState, State
    from offline_trader.serving.session import Decision, Holdings, Order, Session
    from offline_trader.serving.vectors import write_vectors

__all__ = [
    "Answer",
    "AuditLog",
    "Decision",
    "Desk",
    "Entry",
    "Fill",
    "Hold",
    "Holdings",
    "Order",
    "Portfolio",
    "RiskLimits",
    "RiskState",
    "Session",
    "State",
    "replay",
    "write_vectors",
]

__getattr__ = lazy_names(__name__)
