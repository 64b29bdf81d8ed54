"""The random streams of a market: numpy's, begun in a fraction of the time.

``np.random.SeedSequence(seed).spawn(n)`` hashes the seed again for each of its children, which for
short markets took half as long as all that they draw. Here one compiled call hashes for all.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.random.bit_generator import ISeedSequence
from numpy.typing import NDArray

from offline_trader.markets.synthetic.kernels import spawned_words

__all__ = ["spawned_streams"]

_POOL = 4
"""Words of 32 bits that a seed is mixed into."""


class _Words(ISeedSequence):
    """Gives a bit generator the words that it begins with."""

    def __init__(self, words: NDArray[np.uint64]) -> None:
        self._words = words

    def generate_state(self, n_words: int, dtype: Any = np.uint32) -> NDArray[np.uint64]:
        assert (n_words, dtype) == (len(self._words), self._words.dtype)
        return self._words


def spawned_streams(seed: int, n: int) -> list[np.random.Generator]:
    """Generators of the ``n`` children of ``np.random.SeedSequence(seed)``, 0 or more."""
    seed = int(seed)  # those of numpy shift within their own width
    words = [seed >> bits & 0xFFFFFFFF for bits in range(0, max(seed.bit_length(), 1), 32)]
    words += [0] * (_POOL - len(words))
    begun: list[Any] = [_Words(each) for each in spawned_words(np.array(words, np.uint32), n)]
    return [np.random.Generator(np.random.PCG64(each)) for each in begun]
