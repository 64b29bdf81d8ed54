"""Whether numba can keep what it compiles."""

from __future__ import annotations

import logging
import os
from functools import cache

__all__ = ["can_be_kept"]

_TOLD = "_OFFLINE_TRADER_TOLD_OF_NO_CACHE"


@cache
def can_be_kept() -> bool:
    """Whether compiled code can be kept on disk, as ``cache=`` of numba's decorators asks.

    Neither beside a read-only installation nor in a home that cannot be written there is a place
    for it, and numba then refuses the decorator. Everything is compiled at each start instead,
    which is logged once, by the first of the processes that a command starts.
    """
    import numba

    try:
        numba.njit(cache=True)(_probe)
    except RuntimeError:
        if _TOLD not in os.environ:
            os.environ[_TOLD] = "1"  # which the processes of this one inherit
            logging.getLogger("offline_trader").warning(
                "note: compiled code cannot be kept here, so every start compiles it again; "
                "NUMBA_CACHE_DIR can name a folder that may be written"
            )
        return False
    return True


def _probe() -> None:
    return
