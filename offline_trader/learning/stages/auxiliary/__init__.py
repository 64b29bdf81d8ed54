"""The auxiliary stage: an encoder trained on what can be said of bars and experts."""

from typing import TYPE_CHECKING

from offline_trader.lazy import lazy_names

if TYPE_CHECKING:
    from offline_trader.learning.stages.auxiliary.labels import BarLabels, label_bars
    from offline_trader.learning.stages.auxiliary.rows import AuxiliaryData, LabelledRows
    from offline_trader.learning.stages.auxiliary.stage import AuxiliaryStage
    from offline_trader.learning.stages.auxiliary.table import HeadScore
    from offline_trader.learning.stages.auxiliary.training import AuxiliaryResult, train_encoder

__all__ = [
    "AuxiliaryData",
    "AuxiliaryResult",
    "AuxiliaryStage",
    "BarLabels",
    "HeadScore",
    "LabelledRows",
    "label_bars",
    "train_encoder",
]

__getattr__ = lazy_names(__name__)
