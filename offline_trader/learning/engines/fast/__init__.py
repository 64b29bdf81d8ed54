"""Hand-written updates of d3rlpy's algorithms on the CPU: the same mathematics, many times faster.

A package of its own kind: what is here works on the parameters of d3rlpy's own modules, in
place, so that a policy trained by it is a d3rlpy policy.
"""

from typing import TYPE_CHECKING

from offline_trader.lazy import lazy_names

if TYPE_CHECKING:
    from offline_trader.learning.engines.fast.engine import FastEngine, make_fast_engine
    from offline_trader.learning.engines.fast.updates import make_update, unsupported

__all__ = ["FastEngine", "make_fast_engine", "make_update", "unsupported"]

__getattr__ = lazy_names(__name__)
