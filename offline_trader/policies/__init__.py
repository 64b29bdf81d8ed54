"""Policies from elsewhere as ours: functions, stable-baselines3, d3rlpy, torch, TorchScript, ONNX.

Names load on first use; none of the libraries is imported here that the caller has not imported.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from offline_trader.lazy import lazy_names

if TYPE_CHECKING:
    from offline_trader.policies.adapting import adapt
    from offline_trader.policies.files import open_actor
    from offline_trader.policies.foreign import (
        MODEL_ENDINGS,
        PICKLE_ENDINGS,
        ForeignPolicy,
        Graph,
    )
    from offline_trader.policies.graphs import write_graph

__all__ = [
    "MODEL_ENDINGS",
    "PICKLE_ENDINGS",
    "ForeignPolicy",
    "Graph",
    "adapt",
    "open_actor",
    "write_graph",
]

__getattr__ = lazy_names(__name__)
