"""Writing an HDF5 file of episodes in one pass, front to back, at the speed of a copy.

The library spends some 60 µs on each of an episode's small datasets, which for episodes of a
thousand steps is more time than the rollout takes. But the episodes of a collection differ only in
their numbers and in where they lie: the objects that describe one (headers, index nodes, names) are
made once for its shapes, as an image with addresses that count from its start; for every episode
the image is copied, its addresses are moved, and it is written behind the episode's arrays.

What comes out is plain HDF5 that every version of the library reads, extends and edits. Written
after the HDF5 File Format Specification 3.0: superblock version 1 (II.A), B-trees version 1
(III.A.1), symbol tables and local heaps (III.B to D), header version 1 (IV.A.1.a) with dataspace,
datatype, fill value, layout version 3, attribute and symbol table messages (IV.A.2). Types are
encoded by the library itself. The superblock is written last: until :meth:`EpisodeFile.close` the
file is not HDF5.

Nothing else in this package knows the format; Minari's own storages are the alternatives, which
``benchmarks/storage.py`` measures beside this one.
"""

from __future__ import annotations

import math
import os
import weakref
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from struct import pack
from typing import BinaryIO, TypeAlias

import numpy as np
from h5py import h5t
from numpy.typing import NDArray

from offline_trader.types import IntArray

__all__ = ["CHUNK_ROWS", "EpisodeFile", "stored_bytes"]

CHUNK_ROWS = 8192
"""Rows of a chunk, at most; a shorter array is one chunk."""

Signature: TypeAlias = tuple[tuple[str, tuple[int, ...], str], ...]
"""Name, shape and dtype of every array of an episode, in order."""

_NOWHERE = (1 << 64) - 1
_GROUP_FANOUT = 32
_CHUNK_FANOUT = 8
_NODE_SYMBOLS = 16
_SUPERBLOCK = 104  # bytes, with what fills them up to a multiple of 8
_SPACE, _TYPE, _FILL, _LAYOUT, _ATTRIBUTE, _SYMBOLS = 0x01, 0x03, 0x05, 0x08, 0x0C, 0x11
_LATE_NEVER_FILLED = pack("<BBBBI", 2, 3, 1, 1, 0)  # version 2: allocated as chunks are written


class EpisodeFile:
    """A file with a group ``episode_N`` for each episode, numbered in the order of :meth:`add`.

    Args:
        path: file to write; replaced if it exists.
    """

    def __init__(self, path: Path) -> None:
        self._file = path.open("wb", buffering=1 << 20)
        weakref.finalize(self, _abandon, self._file)
        self._end = self._file.write(bytes(_SUPERBLOCK))
        self._episodes: list[int] = []

    def add(self, arrays: Mapping[str, NDArray[np.generic]], attributes: Mapping[str, int]) -> int:
        """Write the next episode; the address of its first byte.

        Its arrays lie there one behind another, each over :func:`stored_bytes` bytes.

        Args:
            arrays: by name, C-contiguous, with at least one row each; ``infos/x`` is ``x`` in the
                group ``infos``. Each can later be extended along its first axis.
            attributes: whole numbers of the episode's group.
        """
        signature = tuple((name, one.shape, one.dtype.str) for name, one in arrays.items())
        start = self._end
        image = _episode_image(signature, tuple(attributes))
        for values, size in zip(arrays.values(), image.sizes, strict=True):
            self._file.write(values.reshape(-1).view(np.uint8).data)
            if size > values.nbytes:
                self._file.write(bytes(size - values.nbytes))
        self._file.write(image.at(start, list(attributes.values())).data)
        self._episodes.append(start + image.header)
        self._end += image.end
        return start

    def close(self) -> None:
        """Write the root group and then the superblock: the file is whole, and on the disk."""
        names = [b"episode_%d" % number for number in range(len(self._episodes))]
        image = _Image(self._end)
        root = image.group(dict(zip(names, self._episodes, strict=True)))
        self._file.write(image.data)
        self._sync()  # what the superblock points to before the superblock
        self._file.seek(0)
        self._file.write(_superblock(root, image.end))
        self._sync()
        self._file.close()

    def abandon(self) -> None:
        """Let go of the file, finished or not."""
        _abandon(self._file)

    def _sync(self) -> None:
        self._file.flush()
        os.fsync(self._file.fileno())


@dataclass(frozen=True)
class _EpisodeImage:
    """An episode's objects, ready to be put anywhere.

    Attributes:
        sizes: bytes that each array takes, in the order of the signature; the objects follow.
        data: [B] uint8, the objects.
        places: [L, 8] positions in ``data`` of the addresses.
        targets: [L] what they point to, from the episode's first byte.
        numbers: [A, 8] positions in ``data`` of the attributes' values.
        header: of the episode's group, from the episode's first byte.
        end: bytes of arrays and objects together.
    """

    sizes: tuple[int, ...]
    data: NDArray[np.uint8]
    places: IntArray
    targets: IntArray
    numbers: IntArray
    header: int
    end: int

    def at(self, start: int, attributes: list[int]) -> NDArray[np.uint8]:
        """The objects [B] of an episode whose first byte is at ``start`` in the file."""
        data = self.data.copy()
        data[self.places] = (self.targets + start).view(np.uint8).reshape(-1, 8)
        data[self.numbers] = np.array(attributes, dtype="<i8").view(np.uint8).reshape(-1, 8)
        return data


@lru_cache(maxsize=256)
def _episode_image(signature: Signature, attributes: tuple[str, ...]) -> _EpisodeImage:
    """The objects of an episode with arrays of these shapes."""
    sizes = tuple(stored_bytes(shape, np.dtype(dtype)) for _, shape, dtype in signature)
    image = _Image(sum(sizes))
    groups: dict[str, dict[bytes, int]] = {"": {}}
    data = 0
    for (path, shape, dtype), size in zip(signature, sizes, strict=True):
        group, _, name = path.rpartition("/")
        made = image.dataset(shape, np.dtype(dtype), data)
        groups.setdefault(group, {})[name.encode()] = made
        data += size
    members = groups.pop("")
    for name, inner in groups.items():
        members[name.encode()] = image.group(inner).header
    header = image.group(members, attributes).header
    eight = np.arange(8)
    return _EpisodeImage(
        sizes=sizes,
        data=np.frombuffer(bytes(image.data), dtype=np.uint8),
        places=np.array(image.links, dtype=np.int64)[:, None] + eight,
        targets=np.array(image.targets, dtype="<i8"),
        numbers=np.array(image.numbers, dtype=np.int64).reshape(-1, 1) + eight,
        header=header,
        end=image.end,
    )


@dataclass(frozen=True)
class _Group:
    """Addresses of a group's parts."""

    header: int
    tree: int
    heap: int


class _Image:
    """Objects one behind another, linked by addresses.

    Args:
        start: address of the first byte.
    """

    def __init__(self, start: int) -> None:
        self._start = start
        self.data = bytearray()
        self.links: list[int] = []  # positions in the data
        self.targets: list[int] = []  # the addresses there
        self.numbers: list[int] = []  # positions in the data of attributes' values

    @property
    def end(self) -> int:
        """Address of the next object."""
        return self._start + len(self.data)

    def place(self, *pieces: bytes | int, size: int = 0) -> int:
        """Append an object of bytes and addresses, filled up to ``size``; its own address."""
        address = self.end
        for piece in pieces:
            if isinstance(piece, int):
                if piece != _NOWHERE:
                    self.links.append(len(self.data))
                    self.targets.append(piece)
                piece = pack("<Q", piece)
            self.data += piece
        self.data += bytes(max(size - (self.end - address), 0))
        assert self.end % 8 == 0
        return address

    def dataset(self, shape: tuple[int, ...], dtype: np.dtype[np.generic], data: int) -> int:
        """Describe the chunks that begin at ``data``; address of the header."""
        rows, chunk = shape[0], _chunk(shape)
        size = _chunk_bytes(shape, dtype)
        starts = range(0, rows, chunk[0])
        zeros = bytes(8 * len(shape))  # the other axes, and the axis of an element's bytes
        keys = [pack("<IIQ", size, 0, first) + zeros for first in starts]
        beyond = (*(starts[-1] + chunk[0], *chunk[1:]), dtype.itemsize)
        keys.append(pack(f"<II{len(beyond)}Q", 0, 0, *beyond))
        chunks = [data + index * size for index in range(len(starts))]
        tree = self._tree(1, keys, chunks, _CHUNK_FANOUT)
        rank = len(shape)
        grown = (_NOWHERE, *shape[1:])
        space = pack(f"<BBBBI{2 * rank}Q", 1, rank, 1, 0, 0, *shape, *grown)
        layout = pack(f"<{rank + 1}I", *chunk, dtype.itemsize)
        return self._header(
            _message(_SPACE, space),
            _message(_TYPE, _encoded(dtype)),
            _message(_FILL, _LATE_NEVER_FILLED),
            _message(_LAYOUT, pack("<BBB", 3, 2, rank + 1), tree, layout),
        )

    def group(self, members: Mapping[bytes, int], attributes: tuple[str, ...] = ()) -> _Group:
        """A group of ``members`` (name → header) with attributes whose values are set later."""
        names, order = bytearray(8), sorted(members)  # the empty name comes first
        offsets = []
        for name in order:
            offsets.append(len(names))
            names += _padded(name + b"\0")
        segment = self.place(bytes(names))
        heap = self.place(b"HEAP" + bytes(4) + pack("<QQ", len(names), 1), segment)
        nodes, keys = [], [pack("<Q", 0)]
        for first in range(0, len(order), _NODE_SYMBOLS):
            some = range(first, min(first + _NODE_SYMBOLS, len(order)))
            pieces: list[bytes | int] = [b"SNOD" + pack("<BBH", 1, 0, len(some))]
            for index in some:
                pieces += [pack("<Q", offsets[index]), members[order[index]], bytes(24)]
            nodes.append(self.place(*pieces, size=8 + 40 * _NODE_SYMBOLS))
            keys.append(pack("<Q", offsets[some[-1]]))
        tree = self._tree(0, keys, nodes, _GROUP_FANOUT)
        marks = [_message(_ATTRIBUTE, _attribute(name)) for name in attributes]
        header = self._header(_message(_SYMBOLS, tree, heap), *marks)
        after = len(self.data) - sum(map(_length, marks))
        for mark in marks:  # the header ends with them, and each with its value
            after += _length(mark)
            self.numbers.append(after - 8)
        return _Group(header, tree, heap)

    def _header(self, *messages: list[bytes | int]) -> int:
        pieces = [piece for message in messages for piece in message]
        return self.place(pack("<BBHIII", 1, 0, len(messages), 1, _length(pieces), 0), *pieces)

    def _tree(self, kind: int, keys: list[bytes], children: list[int], fanout: int) -> int:
        """A B-tree over ``children``, of which each lies between two of the keys; its root."""
        size = 24 + (fanout + 1) * len(keys[0]) + fanout * 8
        level = 0
        while True:
            firsts = range(0, max(len(children), 1), fanout)
            nodes = [self.end + index * size for index in range(len(firsts))]
            around = [_NOWHERE, *nodes, _NOWHERE]
            for index, first in enumerate(firsts):
                some = children[first : first + fanout]
                pieces: list[bytes | int] = [b"TREE" + pack("<BBH", kind, level, len(some))]
                pieces += [around[index], around[index + 2]]
                for key, child in zip(keys[first:], some, strict=False):
                    pieces += [key, child]
                self.place(*pieces, keys[first + len(some)], size=size)
            if len(nodes) == 1:
                return nodes[0]
            keys = [*keys[:-1:fanout], keys[-1]]
            children, level = nodes, level + 1


def _abandon(file: BinaryIO) -> None:
    """Close a file that nobody finished, or finished long ago; its disk may be full."""
    with suppress(OSError):
        file.close()


def _message(kind: int, *pieces: bytes | int) -> list[bytes | int]:
    """A message of an object header, filled up to a multiple of 8."""
    size = _length(pieces)
    constant = int(kind in (_TYPE, _FILL))
    full = -(-size // 8) * 8
    return [pack("<HHBBH", kind, full, constant, 0, 0), *pieces, bytes(full - size)]


def _length(pieces: Sequence[bytes | int]) -> int:
    """Bytes of ``pieces``, of which the whole numbers are addresses."""
    return sum(8 if isinstance(piece, int) else len(piece) for piece in pieces)


def _attribute(name: str) -> bytes:
    """Body of an attribute message: one whole number, last, still 0."""
    text, number = name.encode() + b"\0", _encoded(np.dtype("<i8"))
    scalar = pack("<BBBBI", 1, 0, 0, 0, 0)
    head = pack("<BBHHH", 1, 0, len(text), len(number), len(scalar))
    return head + _padded(text) + _padded(number) + scalar + bytes(8)


def _superblock(root: _Group, end: int) -> bytes:
    """The file's first bytes, which say where everything begins."""
    return b"".join(
        [
            b"\x89HDF\r\n\x1a\n",
            pack("<8B", 1, 0, 0, 0, 0, 8, 8, 0),
            pack("<HHIHH", _NODE_SYMBOLS // 2, _GROUP_FANOUT // 2, 0, _CHUNK_FANOUT // 2, 0),
            pack("<QQQQ", 0, _NOWHERE, end, _NOWHERE),
            pack("<QQIIQQ", 0, root.header, 1, 0, root.tree, root.heap),
        ]
    )


def _chunk(shape: tuple[int, ...]) -> tuple[int, ...]:
    return (min(shape[0], CHUNK_ROWS), *shape[1:])


def _chunk_bytes(shape: tuple[int, ...], dtype: np.dtype[np.generic]) -> int:
    return math.prod(_chunk(shape)) * dtype.itemsize


def stored_bytes(shape: tuple[int, ...], dtype: np.dtype[np.generic]) -> int:
    """Bytes that an array takes: its rows, up to whole chunks and the next multiple of 8."""
    chunks = -(-shape[0] // CHUNK_ROWS)
    return -(-chunks * _chunk_bytes(shape, dtype) // 8) * 8


@lru_cache(maxsize=16)
def _encoded(dtype: np.dtype[np.generic]) -> bytes:
    """The library's own description of a type, without the two bytes that its encoding adds."""
    return bytes(h5t.py_create(dtype, logical=True).encode())[2:]


def _padded(text: bytes) -> bytes:
    return text + bytes(-len(text) % 8)
