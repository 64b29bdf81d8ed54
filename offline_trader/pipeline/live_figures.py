"""What a training shows of itself beside its progress bar."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

__all__ = ["LiveFigures"]

_SHOWN = {
    "stage": "stage {:.0f}",
    "reward": "reward {:.3g}",
    "action_entropy": "entropy {:.2f}",
    "trade_rate": "trades {:.0%}",
    "intrinsic_share": "intrinsic {:.1%}",
    "critic_loss": "critic {:.3g}",
    "actor_loss": "actor {:.3g}",
    "temp": "temperature {:.2g}",
    "policy_lag": "lag {:.1f}",
    "learner_waiting": "waiting {:.0%}",
}


class LiveFigures:
    """Steps a second, and the figures of the newest row of a training's log.

    Args:
        clock: gives seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._since: tuple[float, int] | None = None
        self._text = ""

    def text(self, step: int, values: Mapping[str, Any]) -> str:
        """A line for the row ``values`` of ``step``; of one without such figures, the last line."""
        named = {name.rpartition("/")[2]: value for name, value in values.items()}
        parts = [shape.format(named[name]) for name, shape in _SHOWN.items() if name in named]
        if not parts or any(name.startswith(("validation/", "curriculum/")) for name in values):
            return self._text
        now = self._clock()
        if self._since is not None and now > self._since[0]:
            parts.insert(0, f"{(step - self._since[1]) / (now - self._since[0]):,.0f} steps/s")
        self._since = (now, step)
        self._text = ", ".join(parts)
        return self._text
