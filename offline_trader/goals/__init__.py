"""Goals that a policy can be given: what is asked for, what counts, who keeps track of it."""

from typing import TYPE_CHECKING

from offline_trader.lazy import lazy_names

if TYPE_CHECKING:
    from offline_trader.goals.preference import Preference, PreferencePolicy, Preferred
    from offline_trader.goals.pursuit import (
        AccountPolicy,
        Conditioned,
        GoalPolicy,
        Horizons,
        Pursuit,
        Pursuits,
        pursued,
    )
    from offline_trader.goals.task import OUTCOME_WIDTH, SUCCESS_MARGIN, GoalTask

__all__ = [
    "OUTCOME_WIDTH",
    "SUCCESS_MARGIN",
    "AccountPolicy",
    "Conditioned",
    "GoalPolicy",
    "GoalTask",
    "Horizons",
    "Preference",
    "PreferencePolicy",
    "Preferred",
    "Pursuit",
    "Pursuits",
    "pursued",
]

__getattr__ = lazy_names(__name__)
