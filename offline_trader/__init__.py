"""offline-trader: from price history and trading rules to a policy that can be deployed."""

from __future__ import annotations

__all__ = ["__version__"]

__version__ = "0.1.0"
