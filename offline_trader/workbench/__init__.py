"""The line for a notebook or a script: short calls, results that show themselves, a progress bar.

The same runs, refusals and bytes as the commands: both call :mod:`offline_trader.pipeline`. The
names are offered by ``offline_trader`` itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from offline_trader.lazy import lazy_names

if TYPE_CHECKING:
    from offline_trader.workbench.judging import (
        audit,
        evaluate,
        judge,
        known_optimum,
        walk_forward,
    )
    from offline_trader.workbench.market_sources import MarketLike, load_bars
    from offline_trader.workbench.progress_bars import progress_for
    from offline_trader.workbench.results import Dataset, Model, Report, Trained
    from offline_trader.workbench.training import collect, export_policy, finetune, pretrain

__all__ = [
    "Dataset",
    "MarketLike",
    "Model",
    "Report",
    "Trained",
    "audit",
    "collect",
    "evaluate",
    "export_policy",
    "finetune",
    "judge",
    "known_optimum",
    "load_bars",
    "pretrain",
    "progress_for",
    "walk_forward",
]

__getattr__ = lazy_names(__name__)
