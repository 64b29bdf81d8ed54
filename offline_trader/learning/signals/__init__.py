"""What is added to or taken from a reward while a policy learns."""

from typing import TYPE_CHECKING

from offline_trader.lazy import lazy_names

if TYPE_CHECKING:
    from offline_trader.learning.signals.components import (
        FACTS_OF_A_STEP,
        ComponentState,
        components_of,
    )
    from offline_trader.learning.signals.novelty import Novelty
    from offline_trader.learning.signals.objectives import (
        ObjectiveColumns,
        Objectives,
        make_objectives,
    )
    from offline_trader.learning.signals.potentials import HandMade, LearnedPotential, Potential
    from offline_trader.learning.signals.shaping import Shaping, make_shaping

__all__ = [
    "FACTS_OF_A_STEP",
    "ComponentState",
    "HandMade",
    "LearnedPotential",
    "Novelty",
    "ObjectiveColumns",
    "Objectives",
    "Potential",
    "Shaping",
    "components_of",
    "make_objectives",
    "make_shaping",
]

__getattr__ = lazy_names(__name__)
