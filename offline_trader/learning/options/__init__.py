"""Options: stretches of behaviour that a controller chooses among, and the controller."""

from typing import TYPE_CHECKING

from offline_trader.lazy import lazy_names

if TYPE_CHECKING:
    from offline_trader.learning.options.agent import OptionsAgent, load_options_agent
    from offline_trader.learning.options.chooser import (
        STATE_COLUMNS,
        Chooser,
        OptionsPolicy,
        fresh_state,
    )
    from offline_trader.learning.options.option import OPTIONS, Lane, Option, Seen, Surroundings
    from offline_trader.learning.options.whole_options import WholeOptions

__all__ = [
    "OPTIONS",
    "STATE_COLUMNS",
    "Chooser",
    "Lane",
    "Option",
    "OptionsAgent",
    "OptionsPolicy",
    "Seen",
    "Surroundings",
    "WholeOptions",
    "fresh_state",
    "load_options_agent",
]

__getattr__ = lazy_names(__name__)
