"""Where the arrays of a file of episodes lie, so that it is read front to back like a plain file.

Opening one of an episode's arrays through the HDF5 library takes some 100 µs, five times for each
episode. The file that was published is read instead as it was written: the index says where its
episodes begin and how long they are, and the same pass that hands out the arrays computes the hash
that proves the file is still that one. A file that anything has changed since is read through the
library.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias

import numpy as np
from numpy.typing import NDArray

from offline_trader.codec import from_json, parse_json, to_json
from offline_trader.datasets import checksums
from offline_trader.datasets.episode_file import stored_bytes

__all__ = ["INDEX_FILE", "Array", "Episode", "EpisodeIndex", "StoredArray"]

Array: TypeAlias = NDArray[Any]
Episode: TypeAlias = dict[str, Array]

INDEX_FILE = "episodes.json"
_BLOCK = 1 << 20


@dataclass(frozen=True)
class StoredArray:
    """One array of every episode.

    Attributes:
        name: in the episode's group.
        dtype: as numpy writes it, such as ``<f4``.
        shape: of a row.
        more: rows beyond the episode's steps.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    more: int


@dataclass(frozen=True)
class EpisodeIndex:
    """What lies where in a file of E episodes.

    Attributes:
        arrays: of every episode, in the order in which they lie.
        starts: [E] first byte of each episode.
        steps: [E] steps of each.
    """

    arrays: tuple[StoredArray, ...]
    starts: tuple[int, ...]
    steps: tuple[int, ...]

    def to_bytes(self) -> bytes:
        """JSON form."""
        return (to_json(self, separators=(",", ":")) + "\n").encode()

    @classmethod
    def from_bytes(cls, content: bytes, size: int) -> EpisodeIndex:
        """Index from :meth:`to_bytes`' form, of a file of ``size`` bytes.

        Raises:
            DataError, ValueError, TypeError: it is not one, or not of such a file.
        """
        index = from_json(cls, parse_json(content), "the index")
        if not all(np.dtype(one.dtype).kind in "biuf" for one in index.arrays):
            raise ValueError("arrays that are not of numbers")
        if min((*index.starts, *index.steps, *(one.more for one in index.arrays)), default=0) < 0:
            raise ValueError("numbers below 0")
        sizes, after = index._sizes(), (*index.starts[1:], size)
        for start, steps, limit in zip(index.starts, index.steps, after, strict=True):
            if start + sum(sizes[steps]) > limit:
                raise ValueError("an episode that lies in another or beyond the file's end")
        return index

    def read(self, path: Path, names: Collection[str], sha256: str) -> Iterator[Episode]:
        """The arrays ``names`` of one episode after another, read-only.

        Raises:
            DataError: at the end, where the file's hash is not ``sha256``: what was handed out
                is then not what was written.
        """
        hasher, all_sizes = hashlib.sha256(), self._sizes()

        def take(file: BinaryIO, count: int) -> bytes:
            data = file.read(count)
            hasher.update(data)
            return data

        with path.open("rb") as file:
            for start, steps in zip(self.starts, self.steps, strict=True):
                take(file, start - file.tell())
                sizes = all_sizes[steps]
                data = take(file, sum(sizes))
                if len(data) < sum(sizes):  # the file was cut, which its hash tells below
                    break
                yield self._cut(data, sizes, steps, names)
            while take(file, _BLOCK):
                pass
        if hasher.hexdigest() != sha256:
            raise checksums.mismatch(path)

    def _sizes(self) -> dict[int, list[int]]:
        """Bytes of every array of an episode, by its steps."""
        types = [np.dtype(one.dtype) for one in self.arrays]
        return {
            steps: [
                stored_bytes((steps + one.more, *one.shape), dtype)
                for one, dtype in zip(self.arrays, types, strict=True)
            ]
            for steps in set(self.steps)
        }

    def _cut(
        self, data: bytes, sizes: Sequence[int], steps: int, names: Collection[str]
    ) -> Episode:
        episode, first = {}, 0
        for one, size in zip(self.arrays, sizes, strict=True):
            if one.name in names:
                shape = (steps + one.more, *one.shape)
                values = np.frombuffer(data, one.dtype, math.prod(shape), first)
                episode[one.name] = values.reshape(shape)
            first += size
        return episode
