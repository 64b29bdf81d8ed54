"""The leak detector."""

from typing import TYPE_CHECKING

from offline_trader.lazy import lazy_names

if TYPE_CHECKING:
    from offline_trader.evaluation.audit.leaks import AuditConfig, Leak, audit_function, bars_frame
    from offline_trader.evaluation.audit.subjects import audited

__all__ = [
    "AuditConfig",
    "Leak",
    "audit_function",
    "audited",
    "bars_frame",
]

__getattr__ = lazy_names(__name__)
