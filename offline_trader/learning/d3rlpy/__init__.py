"""The one room that touches d3rlpy's internals."""

from typing import TYPE_CHECKING

from offline_trader.lazy import lazy_names

if TYPE_CHECKING:
    from offline_trader.learning.d3rlpy.bindings import BoundStack, bind_stack, scalar_head

__all__ = [
    "BoundStack",
    "bind_stack",
    "scalar_head",
]

__getattr__ = lazy_names(__name__)
