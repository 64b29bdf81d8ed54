"""The leak detector, over all that can be audited: features, experts, functions of one's own."""

from typing import TYPE_CHECKING

from offline_trader.lazy import lazy_names

if TYPE_CHECKING:
    from offline_trader.evaluation.audit.subjects import audited, rare_leaks, walked, walked_policy
    from offline_trader.features import (
        AuditConfig,
        AuditResult,
        Leak,
        audit_function,
        bars_frame,
    )

__all__ = [
    "AuditConfig",
    "AuditResult",
    "Leak",
    "audit_function",
    "audited",
    "bars_frame",
    "rare_leaks",
    "walked",
    "walked_policy",
]

__getattr__ = lazy_names(__name__)
