"""A file of bars."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest


def _write(path: Path, n_bars: int) -> None:
    rng = np.random.default_rng(0)
    close = 50.0 * np.exp(np.cumsum(rng.normal(0.0, 0.01, n_bars)))
    days = np.datetime64("2010-01-01") + np.arange(n_bars)
    rows = [
        f"{day},{c:.4f},{c * 1.01:.4f},{c * 0.99:.4f},{c:.4f},{1000 + i}"
        for i, (day, c) in enumerate(zip(days, close, strict=True))
    ]
    path.write_text("\n".join(["date,open,high,low,close,volume", *rows]) + "\n", encoding="utf-8")


@pytest.fixture
def write_bars() -> Callable[[Path, int], None]:
    """``write_bars(path, n_bars)``: a CSV of daily bars."""
    return _write
