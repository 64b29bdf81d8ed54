"""Which engine computed something, as a run states it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from offline_trader.learning.engines.interface import Engine

__all__ = ["EngineFacts"]


@dataclass(frozen=True)
class EngineFacts:
    """Which engine computed the updates; ``reason`` is what the fast one, asked for, lacks."""

    name: str
    reason: str | None = None

    @staticmethod
    def of(engine: Engine) -> EngineFacts:
        """Those of a learner's engine."""
        return EngineFacts(engine.name, engine.reason)

    @property
    def fallback(self) -> str | None:
        """A text where another engine works than was asked for, else None."""
        if self.reason is None:
            return None
        return f"{self.name}, for the fast one does not cover {self.reason}"
