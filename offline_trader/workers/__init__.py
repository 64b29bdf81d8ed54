"""The pool of workers: seeds, folds, parts; local processes, or a Ray cluster's."""

from typing import TYPE_CHECKING

from offline_trader.lazy import lazy_names

if TYPE_CHECKING:
    from offline_trader.workers.asked import (
        Workers,
        read_workers,
        usable_cores,
        usable_workers,
    )
    from offline_trader.workers.crew import Job, Report
    from offline_trader.workers.pool import Pool, run_jobs
    from offline_trader.workers.process import carry

__all__ = [
    "Job",
    "Pool",
    "Report",
    "Workers",
    "carry",
    "read_workers",
    "run_jobs",
    "usable_cores",
    "usable_workers",
]

__getattr__ = lazy_names(__name__)
