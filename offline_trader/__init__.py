"""offline-trader: from price history and trading rules to a policy that can be deployed.

The line in Python; every step takes what the one before it returned::

    import offline_trader as ot

    bars = ot.load_bars("sp500")  # or a file, or a DataFrame
    data = ot.collect(bars, end="2012-12-31")
    trained = ot.pretrain(data, validate_until="2014-12-31")
    tuned = ot.finetune(trained)
    model = ot.export_policy(tuned)
    report = ot.evaluate(model, bars, start="2015-01-01")

Nothing of it is loaded before it is used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from offline_trader.lazy import lazy_names

if TYPE_CHECKING:
    from offline_trader.datasets import load_transitions
    from offline_trader.export import OnnxPolicy
    from offline_trader.markets import Bars
    from offline_trader.pipeline import Window
    from offline_trader.policies import adapt
    from offline_trader.workbench import (
        Dataset,
        Model,
        Report,
        Trained,
        audit,
        collect,
        evaluate,
        export_policy,
        finetune,
        judge,
        known_optimum,
        load_bars,
        pretrain,
        walk_forward,
    )

__all__ = [
    "Bars",
    "Dataset",
    "Model",
    "OnnxPolicy",
    "Report",
    "Trained",
    "Window",
    "__version__",
    "adapt",
    "audit",
    "collect",
    "evaluate",
    "export_policy",
    "finetune",
    "judge",
    "known_optimum",
    "load_bars",
    "load_transitions",
    "pretrain",
    "walk_forward",
]

__version__ = "0.1.0"

__getattr__ = lazy_names(__name__)
