"""The decorator of every compiled kernel of the fast engine."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import numba

from offline_trader.compiled_code import can_be_kept

__all__ = ["kernel"]

# Sums may be reordered and multiply-adds contracted, which is what vectorises them. NaN and
# infinity keep their meaning: a diverging run has to show.
_FASTMATH = {"reassoc", "contract", "arcp", "nsz"}


def kernel(function: Callable[..., Any]) -> Callable[..., Any]:
    """``function`` compiled by numba on its first call, kept on disk, and run without the GIL.

    A kernel that another one calls is always inlined. Else the process that compiles them could
    call its first copy, and those that load the caller from disk the one that was compiled with
    it, whose sums have another order: the first training would not be repeated to the bit.
    """
    compiled = numba.njit(
        cache=can_be_kept(),
        nogil=True,
        fastmath=_FASTMATH,
        error_model="numpy",
        forceinline=True,
    )
    return cast("Callable[..., Any]", compiled(function))
