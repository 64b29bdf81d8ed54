"""Results that were made elsewhere, judged like ours."""

from typing import TYPE_CHECKING

from offline_trader.lazy import lazy_names

if TYPE_CHECKING:
    from offline_trader.evaluation.imported.marks import benchmark_rows
    from offline_trader.evaluation.imported.results import (
        Imported,
        ImportOptions,
        Source,
        evaluate_imported,
        read_imported,
    )

__all__ = [
    "ImportOptions",
    "Imported",
    "Source",
    "benchmark_rows",
    "evaluate_imported",
    "read_imported",
]

__getattr__ = lazy_names(__name__)
