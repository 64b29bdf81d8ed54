"""The whole line for Python users and for the CLI, from experts to a judged ONNX policy.

Every stage takes a :class:`Progress`, and none a terminal; without one it is silent.
"""

from typing import TYPE_CHECKING

from offline_trader.lazy import lazy_names

if TYPE_CHECKING:
    from offline_trader.datasets.collection import CollectConfig, collect
    from offline_trader.pipeline.demo import run_demo
    from offline_trader.pipeline.evaluating import (
        EvaluateConfig,
        evaluate_seeds,
        evaluate_strategy,
        judge_imported,
    )
    from offline_trader.pipeline.expert_scores import score_expert
    from offline_trader.pipeline.exporting import Exported, export_run
    from offline_trader.pipeline.finetuning import finetune
    from offline_trader.pipeline.folds import LineJob
    from offline_trader.pipeline.foreign_export import ForeignExportConfig, export_foreign
    from offline_trader.pipeline.foreign_strategies import foreign_policy, foreign_strategy
    from offline_trader.pipeline.known_optimum import score_method, score_named
    from offline_trader.pipeline.known_optimum_training import KnownOptimumConfig
    from offline_trader.pipeline.policy_folds import PolicyJob, Window
    from offline_trader.pipeline.pretraining import pretrain
    from offline_trader.pipeline.progress import Advance, Progress, Silent
    from offline_trader.pipeline.seed_records import chosen_run
    from offline_trader.pipeline.seed_strategies import find_strategies
    from offline_trader.pipeline.seeds import pretrain_seeds
    from offline_trader.pipeline.settings import (
        DEMO,
        WALK_FORWARD,
        DemoConfig,
        FinetuneConfig,
        LineConfig,
        PretrainConfig,
        WalkForwardConfig,
    )
    from offline_trader.pipeline.strategies import FoundStrategy, find_strategy
    from offline_trader.pipeline.validation import ValidationConfig, Validator
    from offline_trader.pipeline.walking import walk_market

__all__ = [
    "DEMO",
    "WALK_FORWARD",
    "Advance",
    "CollectConfig",
    "DemoConfig",
    "EvaluateConfig",
    "Exported",
    "FinetuneConfig",
    "ForeignExportConfig",
    "FoundStrategy",
    "KnownOptimumConfig",
    "LineConfig",
    "LineJob",
    "PolicyJob",
    "PretrainConfig",
    "Progress",
    "Silent",
    "ValidationConfig",
    "Validator",
    "WalkForwardConfig",
    "Window",
    "chosen_run",
    "collect",
    "evaluate_seeds",
    "evaluate_strategy",
    "export_foreign",
    "export_run",
    "find_strategies",
    "find_strategy",
    "finetune",
    "foreign_policy",
    "foreign_strategy",
    "judge_imported",
    "pretrain",
    "pretrain_seeds",
    "run_demo",
    "score_expert",
    "score_method",
    "score_named",
    "walk_market",
]

__getattr__ = lazy_names(__name__)
