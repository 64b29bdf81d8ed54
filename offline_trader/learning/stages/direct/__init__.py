"""Direct reinforcement: the policy is trained by the gradient through its own portfolio."""

from typing import TYPE_CHECKING

from offline_trader.lazy import lazy_names

if TYPE_CHECKING:
    from offline_trader.learning.stages.direct.agent import DirectAgent
    from offline_trader.learning.stages.direct.bars import BarMarket, require_no_impact
    from offline_trader.learning.stages.direct.compiled import CompiledUnroll, reason_against
    from offline_trader.learning.stages.direct.forecast import fit_forecast
    from offline_trader.learning.stages.direct.market import DirectMarket, Log
    from offline_trader.learning.stages.direct.objectives import objective
    from offline_trader.learning.stages.direct.positions import PositionMarket
    from offline_trader.learning.stages.direct.replaying import LogJudge
    from offline_trader.learning.stages.direct.training import train_direct
    from offline_trader.learning.stages.direct.unrolling import Batch, TorchUnroll, Unrolled
    from offline_trader.learning.stages.direct.volatility import fit_volatility

__all__ = [
    "BarMarket",
    "Batch",
    "CompiledUnroll",
    "DirectAgent",
    "DirectMarket",
    "Log",
    "LogJudge",
    "PositionMarket",
    "TorchUnroll",
    "Unrolled",
    "fit_forecast",
    "fit_volatility",
    "objective",
    "reason_against",
    "train_direct",
    "require_no_impact",
]

__getattr__ = lazy_names(__name__)
