"""The seeds of a line's parts, each derived from the one that the user gives."""

from __future__ import annotations

import numpy as np

__all__ = ["fold_seed", "stage_seeds"]


def stage_seeds(seed: int, count: int) -> list[int]:
    """``count`` independent seeds of one run's stages."""
    return [int(word) for word in np.random.SeedSequence(seed).generate_state(count)]


def fold_seed(seed: int, index: int) -> int:
    """The seed of window ``index`` of a walk-forward."""
    return int(np.random.SeedSequence([seed, index]).generate_state(1)[0])
