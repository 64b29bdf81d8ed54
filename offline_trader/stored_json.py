"""The old name of :mod:`offline_trader.codec`."""

from __future__ import annotations

from offline_trader.codec import from_json, parse_json, read_object, require_moderate, require_types

__all__ = ["from_json", "parse_json", "read_object", "require_moderate", "require_types"]
