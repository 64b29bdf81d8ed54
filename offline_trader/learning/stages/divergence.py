"""A training that has become NaN is stopped with an error that a user can read."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from offline_trader.errors import OfflineTraderError

__all__ = ["naming_divergence", "require_finite"]

_DIVERGED = "lower the learning rates, raise the conservative weight, or turn on layer_norm"


@contextmanager
def naming_divergence(step: int) -> Iterator[None]:
    """Inside, torch's refusal of a distribution with NaN becomes an error that a user can read.

    Raises:
        OfflineTraderError: the policy has become NaN somewhere after ``step``.
    """
    try:
        yield
    except ValueError as error:
        if "invalid values" not in str(error):
            raise
        raise OfflineTraderError(
            f"training diverged: the policy became NaN after step {step}", hint=_DIVERGED
        ) from error


def require_finite(step: int, losses: Mapping[str, float]) -> None:
    """Stop a training that has diverged, at the first row of losses that shows it.

    Raises:
        OfflineTraderError: a loss is NaN or infinite.
    """
    bad = [name for name, value in losses.items() if not math.isfinite(value)]
    if bad:
        raise OfflineTraderError(
            f"training diverged: {', '.join(bad)} not finite at step {step}",
            hint=_DIVERGED,
        )
