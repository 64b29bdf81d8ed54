"""Serving: a policy bar by bar, with an account, a risk gate and a log of every decision.

Needs numpy and onnxruntime alone. Names load on first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from offline_trader.lazy import lazy_names

if TYPE_CHECKING:
    from offline_trader.serving.account import Fill, Hold, Portfolio
    from offline_trader.serving.audit_log import AuditLog, Commits, Entry
    from offline_trader.serving.broker import Broker, BrokerOrder, PaperBroker, trade
    from offline_trader.serving.decisions import Decision, Holdings, Order
    from offline_trader.serving.desk import Answer, Desk, replay
    from offline_trader.serving.desk_rows import models_named
    from offline_trader.serving.places import open_book, open_store
    from offline_trader.serving.risk import RiskState, State
    from offline_trader.serving.risk_book import BookLimits
    from offline_trader.serving.risk_limits import RiskLimits
    from offline_trader.serving.session import Session
    from offline_trader.serving.shortfall import Day, daily_report
    from offline_trader.serving.vectors import write_vectors

__all__ = [
    "Answer",
    "AuditLog",
    "BookLimits",
    "Broker",
    "BrokerOrder",
    "Commits",
    "Day",
    "Decision",
    "Desk",
    "Entry",
    "Fill",
    "Hold",
    "Holdings",
    "Order",
    "PaperBroker",
    "Portfolio",
    "RiskLimits",
    "RiskState",
    "Session",
    "State",
    "daily_report",
    "models_named",
    "open_book",
    "open_store",
    "replay",
    "trade",
    "write_vectors",
]

__getattr__ = lazy_names(__name__)
