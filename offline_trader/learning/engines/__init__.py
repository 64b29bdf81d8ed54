"""How an update is computed: d3rlpy's own, hand-written on a CPU, captured on a GPU."""

from typing import TYPE_CHECKING

from offline_trader.lazy import lazy_names

if TYPE_CHECKING:
    from offline_trader.learning.engines.device import require_device
    from offline_trader.learning.engines.facts import EngineFacts
    from offline_trader.learning.engines.fixed_memory import AdamSteps, FixedBatch
    from offline_trader.learning.engines.graphed import Capture, GraphedEngine
    from offline_trader.learning.engines.interface import StockEngine, make_engine
    from offline_trader.learning.engines.plain_torch import PlainAdam, without_dynamo
    from offline_trader.learning.engines.row_adam import RowAdam

__all__ = [
    "AdamSteps",
    "Capture",
    "EngineFacts",
    "FixedBatch",
    "GraphedEngine",
    "PlainAdam",
    "RowAdam",
    "StockEngine",
    "make_engine",
    "require_device",
    "without_dynamo",
]

__getattr__ = lazy_names(__name__)
