"""Monitoring: what a served model does, seen from outside: alerts, drift, a page.

Needs what serving needs. Names load on first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from offline_trader.lazy import lazy_names

if TYPE_CHECKING:
    from offline_trader.monitoring.alert_rules import AlertRule, AlertState, judge
    from offline_trader.monitoring.alert_settings import (
        DEFAULT_ALERTS,
        AlertSettings,
        ChannelSettings,
        read_alerts,
    )
    from offline_trader.monitoring.book import Book, find_books
    from offline_trader.monitoring.channels import Channel, Message, open_channels
    from offline_trader.monitoring.dashboard import OPEN_PATHS, Dashboard
    from offline_trader.monitoring.delivery import Delivery, Outcome
    from offline_trader.monitoring.drift import (
        DriftReport,
        TrainingSummary,
        drift_from,
        summarise,
        summary_beside,
    )
    from offline_trader.monitoring.signals import SIGNALS
    from offline_trader.monitoring.watch import Watch

__all__ = [
    "DEFAULT_ALERTS",
    "OPEN_PATHS",
    "SIGNALS",
    "AlertRule",
    "AlertSettings",
    "AlertState",
    "Book",
    "Channel",
    "ChannelSettings",
    "Dashboard",
    "Delivery",
    "DriftReport",
    "Message",
    "Outcome",
    "TrainingSummary",
    "Watch",
    "drift_from",
    "find_books",
    "judge",
    "open_channels",
    "read_alerts",
    "summarise",
    "summary_beside",
]

__getattr__ = lazy_names(__name__)
