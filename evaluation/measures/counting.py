"""Compiled counting of contingency tables for the mutual information of actions and states."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba

from offline_trader.compiled_code import can_be_kept
from offline_trader.types import IntArray

__all__ = ["count_pairs"]

_F = TypeVar("_F", bound=Callable[..., Any])


def _compiled(function: _F) -> _F:
    """Compiled on its first call, kept on disk."""
    return cast("_F", numba.njit(cache=can_be_kept(), nogil=True)(function))


@_compiled
def count_pairs(bins: IntArray, codes: IntArray, skipped: int, counts: IntArray) -> None:
    """Add to ``counts`` [bins, S, groups] how often each bin meets each column's group.

    Args:
        bins: [n] bin of each row.
        codes: [n, S] group of each row in each column.
        skipped: a bin that is left out. The commonest one follows from the margins, so most of
            the work of a policy that mostly holds can be saved.
        counts: written.
    """
    n, columns = codes.shape
    for i in range(n):
        here = bins[i]
        if here != skipped:
            for s in range(columns):
                counts[here, s, codes[i, s]] += 1
