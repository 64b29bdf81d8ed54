"""Pure maths of learning: what is estimated from rewards and scores, with golden tests."""

from typing import TYPE_CHECKING

from offline_trader.lazy import lazy_names

if TYPE_CHECKING:
    from offline_trader.learning.estimators.evolution import (
        antithetic_slope,
        centred_ranks,
        pair_noise,
    )
    from offline_trader.learning.estimators.objectives import (
        lower_twin,
        priced,
        scalarised,
        vector_target,
    )
    from offline_trader.learning.estimators.options import (
        arrival_value,
        best_available,
        option_target,
        smdp_target,
        termination_loss,
    )
    from offline_trader.learning.estimators.shaping import shaping_reward
    from offline_trader.learning.estimators.trajectories import VTrace, vtrace

__all__ = [
    "VTrace",
    "antithetic_slope",
    "arrival_value",
    "best_available",
    "centred_ranks",
    "option_target",
    "lower_twin",
    "pair_noise",
    "priced",
    "scalarised",
    "shaping_reward",
    "smdp_target",
    "termination_loss",
    "vector_target",
    "vtrace",
]

__getattr__ = lazy_names(__name__)
