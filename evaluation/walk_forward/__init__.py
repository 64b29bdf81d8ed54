"""Walk-forward: trained on each past, judged on each future."""

from typing import TYPE_CHECKING

from offline_trader.lazy import lazy_names

if TYPE_CHECKING:
    from offline_trader.evaluation.walk_forward.fold_runs import (
        Schedule,
        Task,
        fold_directory,
        stored_result,
    )
    from offline_trader.evaluation.walk_forward.joined_windows import (
        joined_evaluation,
        load_windows,
    )
    from offline_trader.evaluation.walk_forward.results import (
        FoldJob,
        FoldResult,
        WalkForwardResult,
    )
    from offline_trader.evaluation.walk_forward.walk import walk_forward
    from offline_trader.evaluation.walk_forward.windows import Fold, WindowConfig, make_folds

__all__ = [
    "Fold",
    "FoldJob",
    "FoldResult",
    "Schedule",
    "Task",
    "WalkForwardResult",
    "WindowConfig",
    "fold_directory",
    "joined_evaluation",
    "load_windows",
    "make_folds",
    "stored_result",
    "walk_forward",
]

__getattr__ = lazy_names(__name__)
