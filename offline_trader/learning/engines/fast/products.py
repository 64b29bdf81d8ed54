"""Matrix products in registers: one tile of the result is summed over k before it is stored.

The networks here are so small that a library's packing and dispatch are a sixth of a product.
Both operands are read where they lie; the tile is as large as the vector registers allow, and
LLVM turns its vectors of 16 numbers into what the processor has.

On Intel's processors MKL, torch's library there, is at home and faster in large layers: see
:func:`largest_product_layer`. ``benchmarks.training --part products`` measures it.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, cast

import llvmlite.binding as llvm
import numba
import numpy as np
import torch
from llvmlite import ir
from numba import types
from numba.extending import intrinsic
from numpy.typing import NDArray

from offline_trader.compiled_code import can_be_kept
from offline_trader.learning.engines.fast.compiled import kernel

__all__ = ["PRODUCTS", "largest_product_layer", "product", "put", "transpose"]

Array = NDArray[np.float32]

_intrinsic = cast("Callable[[Callable[..., Any]], Callable[..., Any]]", intrinsic)
_LANES = 16
_VECTOR = ir.VectorType(ir.FloatType(), _LANES)
_MASK = ir.VectorType(ir.IntType(1), _LANES)
_INDEX, _LANE = ir.IntType(64), ir.IntType(32)
_BYTES = ir.IntType(8).as_pointer()
# 32 registers of 16 lanes, or 16 of 8 (two to a vector here): the tile has to fit in them.
_WIDE = bool(llvm.get_host_cpu_features().get("avx512f", False))
_TALL, _BROAD = (8, 2) if _WIDE else (6, 1)
_SPAN = _BROAD * _LANES
PRODUCTS = "OFFLINE_TRADER_PRODUCTS"
"""Environment variable: ``ours`` or ``torch`` does all products of dense layers, for measuring."""
_EVERY_LAYER, _NO_LAYER = 2**31, 0
# Units up to which ours were as fast as MKL's on Intel's processors: 1.02 times at 64, .92 at 128.
_INTEL_LAYER = 64
_DEPTH = 512  # of k at a time, so that both operands' strips stay in the second-level cache


@cache
def largest_product_layer() -> int:
    """Units of the last layer up to which a tower's products are these; beyond, they are torch's.

    It depends on the processor's vendor and on whether torch has MKL alone, so on one machine a
    seed always gives the same bytes.
    """
    asked = os.environ.get(PRODUCTS)
    if asked is not None:
        return _NO_LAYER if asked == "torch" else _EVERY_LAYER
    library = bool(torch.backends.mkl.is_available())  # type: ignore[no-untyped-call]
    return _INTEL_LAYER if library and _is_intel() else _EVERY_LAYER


def _is_intel() -> bool:
    """Whether Linux or Windows says that the processor is Intel's."""
    known = os.environ.get("PROCESSOR_IDENTIFIER", "")  # Windows: family, model, vendor
    with suppress(OSError):
        known += Path("/proc/cpuinfo").read_text(encoding="utf-8")
    return "GenuineIntel" in known


def _function(builder: Any, name: str, result: Any, arguments: list[Any]) -> Any:
    known = builder.module.globals.get(name)
    return known or ir.Function(builder.module, ir.FunctionType(result, arguments), name)


class _Tile:
    """The instructions of ``c[m:m+tall, n:n+16·broad] (+)= a[m:, k0:k1] · b[k0:k1, n:]``."""

    def __init__(self, builder: Any, tall: int, broad: int, lanes: Any) -> None:
        self._builder, self._tall, self._broad = builder, tall, broad
        self._mask = None
        if lanes is not None:
            count = self._spread(builder.trunc(lanes, _LANE), ir.VectorType(_LANE, _LANES))
            numbers = ir.Constant(ir.VectorType(_LANE, _LANES), list(range(_LANES)))
            self._mask = builder.icmp_signed("<", numbers, count)

    def _spread(self, number: Any, kind: Any) -> Any:
        nothing, first = ir.Constant(kind, ir.Undefined), ir.Constant(_LANE, 0)
        filled = self._builder.insert_element(nothing, number, first)
        everywhere = ir.Constant(ir.VectorType(_LANE, _LANES), [0] * _LANES)
        return self._builder.shuffle_vector(filled, nothing, everywhere)

    def _load(self, address: Any) -> Any:
        place = self._builder.bitcast(address, _VECTOR.as_pointer())
        if self._mask is None:
            return self._builder.load(place, align=4)
        kinds = [place.type, _LANE, _MASK, _VECTOR]
        load = _function(self._builder, "llvm.masked.load.v16f32.p0", _VECTOR, kinds)
        zero = ir.Constant(_VECTOR, [0.0] * _LANES)
        return self._builder.call(load, [place, ir.Constant(_LANE, 4), self._mask, zero])

    def _store(self, value: Any, address: Any) -> None:
        place = self._builder.bitcast(address, _VECTOR.as_pointer())
        if self._mask is None:
            self._builder.store(value, place, align=4)
            return
        kinds = [_VECTOR, place.type, _LANE, _MASK]
        store = _function(self._builder, "llvm.masked.store.v16f32.p0", ir.VoidType(), kinds)
        self._builder.call(store, [value, place, ir.Constant(_LANE, 4), self._mask])

    def _strip(self, base: Any, step: Any, count: int) -> list[Any]:
        """``count`` addresses from ``base`` on, ``step`` bytes apart."""
        builder = self._builder
        return [
            builder.gep(base, [builder.mul(step, ir.Constant(step.type, i))]) for i in range(count)
        ]

    def emit(self, left: Any, right: Any, out: Any, first: Any, last: Any) -> None:
        """left, right, out: address of the tile's first number (at k = 0), its two strides."""
        builder = self._builder
        vector = ir.Constant(_INDEX, 4 * _LANES)
        zero = ir.Constant(_VECTOR, [0.0] * _LANES)
        multiply_add = _function(builder, "llvm.fmuladd.v16f32", _VECTOR, [_VECTOR] * 3)
        rows = self._strip(left[0], left[1], self._tall)
        before = builder.block
        loop, done = builder.append_basic_block("k"), builder.append_basic_block("done")
        builder.branch(loop)
        builder.position_at_end(loop)
        k = builder.phi(_INDEX)
        sums = [[builder.phi(_VECTOR) for _ in range(self._broad)] for _ in rows]
        line = builder.gep(right[0], [builder.mul(k, right[1])])
        across = [self._load(place) for place in self._strip(line, vector, self._broad)]
        down = builder.mul(k, left[2])
        results = []
        for row, totals in zip(rows, sums, strict=True):
            place = builder.bitcast(builder.gep(row, [down]), ir.FloatType().as_pointer())
            number = self._spread(builder.load(place), _VECTOR)
            results.append(
                [
                    builder.call(multiply_add, [number, x, total])
                    for x, total in zip(across, totals, strict=True)
                ]
            )
        following = builder.add(k, ir.Constant(_INDEX, 1))
        builder.cbranch(builder.icmp_signed("<", following, last), loop, done)
        k.add_incoming(first, before)
        k.add_incoming(following, loop)
        for totals, new in zip(sums, results, strict=True):
            for total, value in zip(totals, new, strict=True):
                total.add_incoming(zero, before)
                total.add_incoming(value, loop)
        builder.position_at_end(done)
        again = builder.icmp_signed(">", first, ir.Constant(_INDEX, 0))
        with builder.if_else(again) as (then, otherwise):
            for adding, branch in ((True, then), (False, otherwise)):
                with branch:
                    self._write(results, out, adding=adding)

    def _write(self, results: list[list[Any]], out: Any, *, adding: bool) -> None:
        vector = ir.Constant(_INDEX, 4 * _LANES)
        for row, values in zip(self._strip(out[0], out[1], self._tall), results, strict=True):
            for place, value in zip(self._strip(row, vector, self._broad), values, strict=True):
                known = self._builder.fadd(value, self._load(place)) if adding else value
                self._store(known, place)


def _tile(tall: int, broad: int, *, masked: bool = False) -> Callable[..., Any]:
    """A compiled-code function for one tile, see :meth:`_Tile.emit`; k0 < k1.

    Addresses rather than arrays, so that it is compiled once for all layouts: those of the tile's
    first numbers at k = 0, and strides in bytes.
    """

    @_intrinsic
    def tile(typing: Any, left: Any, left_row: Any, left_k: Any, right: Any, right_k: Any,
             out: Any, out_row: Any, k0: Any, k1: Any, lanes: Any) -> Any:  # fmt: skip
        signature = types.void(*[types.int64] * 10)

        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            left, left_row, left_k, right, right_k, out, out_row, k0, k1, lanes = arguments
            left, right, out = (builder.inttoptr(x, _BYTES) for x in (left, right, out))
            _Tile(builder, tall, broad, lanes if masked else None).emit(
                (left, left_row, left_k), (right, right_k), (out, out_row), k0, k1
            )
            return context.get_dummy_value()

        return signature, generate

    return tile


def _symbol(name: str, count: int) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """A function of ``count`` addresses and sizes that compiled code calls by its name.

    Numba would compile it again into each of its callers, and theirs; it is nine tenths of them.
    """

    def compiled(function: Callable[..., None]) -> Callable[..., None]:
        signature = types.void(*[types.int64] * count)
        made = numba.cfunc(signature, cache=can_be_kept())(function)
        llvm.add_symbol(name, made.address)
        _KEPT.append(made)
        return cast("Callable[..., None]", types.ExternalFunction(name, signature))

    return compiled


_KEPT: list[Any] = []
_whole = _tile(_TALL, _BROAD)
_narrow = _tile(_TALL, 1)
_edge = _tile(_TALL, 1, masked=True)
_four, _two, _one = _tile(4, _BROAD), _tile(2, _BROAD), _tile(1, _BROAD)
_row_edge = _tile(1, 1, masked=True)


@_symbol("offline_trader_product", 10)
def _product(
    left: int, left_row: int, left_k: int, right: int, right_k: int, out: int, out_row: int,
    rows: int, columns: int, depth: int,
) -> None:  # fmt: skip
    even = rows - rows % _TALL
    for k in range(0, depth, _DEPTH):
        stop = min(k + _DEPTH, depth)
        n = 0
        while n < columns:
            lanes = columns - n
            b, c = right + 4 * n, out + 4 * n
            for m in range(0, even, _TALL):
                a, d = left + m * left_row, c + m * out_row
                if lanes >= _SPAN:
                    _whole(a, left_row, left_k, b, right_k, d, out_row, k, stop, 0)
                elif lanes >= _LANES:
                    _narrow(a, left_row, left_k, b, right_k, d, out_row, k, stop, 0)
                else:
                    _edge(a, left_row, left_k, b, right_k, d, out_row, k, stop, lanes)
            m = even
            while m < rows:
                a, d = left + m * left_row, c + m * out_row
                if lanes < _SPAN:
                    count = min(lanes, _LANES)
                    _row_edge(a, left_row, left_k, b, right_k, d, out_row, k, stop, count)
                    m += 1
                elif rows - m >= 4:
                    _four(a, left_row, left_k, b, right_k, d, out_row, k, stop, 0)
                    m += 4
                elif rows - m >= 2:
                    _two(a, left_row, left_k, b, right_k, d, out_row, k, stop, 0)
                    m += 2
                else:
                    _one(a, left_row, left_k, b, right_k, d, out_row, k, stop, 0)
                    m += 1
            n += _SPAN if lanes >= _SPAN else _LANES


@kernel
def product(left: Array, right: Array, out: Array) -> None:
    """out [M, N] = left [M, K] · right [K, N]; the last axis of right and out is contiguous.

    Every number of the result is a sum over k in order (by parts of 512), whatever rows are
    computed together: splitting M among calls changes no bit.
    """
    _product(
        left.ctypes.data, left.strides[0], left.strides[1], right.ctypes.data, right.strides[0],
        out.ctypes.data, out.strides[0], out.shape[0], out.shape[1], right.shape[0],
    )  # fmt: skip


@_intrinsic
def _turn(typing: Any, source: Any, source_row: Any, out: Any, out_row: Any) -> Any:
    """16 × 16 numbers transposed in registers: addresses, and strides of rows in bytes."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        source, source_row, out, out_row = arguments

        def places(base: Any, step: Any) -> list[Any]:
            base = builder.inttoptr(base, _BYTES)
            steps = [builder.mul(step, ir.Constant(_INDEX, i)) for i in range(_LANES)]
            return [builder.bitcast(builder.gep(base, [i]), _VECTOR.as_pointer()) for i in steps]

        lines = [builder.load(place, align=4) for place in places(source, source_row)]
        for distance in (8, 4, 2, 1):  # swap the off-diagonal halves of ever smaller blocks
            low = [i + 16 - distance if i & distance else i for i in range(_LANES)]
            high = [i + 16 if i & distance else i + distance for i in range(_LANES)]
            picks = [ir.Constant(ir.VectorType(_LANE, _LANES), pick) for pick in (low, high)]
            for i in range(_LANES):
                if not i & distance:
                    pair = lines[i], lines[i + distance]
                    lines[i], lines[i + distance] = (
                        builder.shuffle_vector(*pair, pick) for pick in picks
                    )
        for line, place in zip(lines, places(out, out_row), strict=True):
            builder.store(line, place, align=4)
        return context.get_dummy_value()

    return types.void(*[types.int64] * 4), generate


@_symbol("offline_trader_transpose", 6)
def _transpose(source: int, down: int, out: int, across: int, rows: int, columns: int) -> None:
    for m in range(0, rows, _LANES):
        for n in range(0, columns, _LANES):
            _turn(source + m * down + 4 * n, down, out + n * across + 4 * m, across)


@kernel
def transpose(matrix: Array, out: Array) -> None:
    """out [N, M] = the transpose of matrix [M, N]; the last axes are contiguous."""
    rows, columns = matrix.shape
    even_rows, even_columns = rows - rows % _LANES, columns - columns % _LANES
    _transpose(
        matrix.ctypes.data, matrix.strides[0], out.ctypes.data, out.strides[0],
        even_rows, even_columns,
    )  # fmt: skip
    for i in range(rows):
        for j in range(even_columns if i < even_rows else 0, columns):
            out[j, i] = matrix[i, j]


@kernel
def put(matrix: Array, out: Array) -> None:
    """``out[:] = matrix`` for two axes. Numba takes seconds to compile an assignment of arrays,
    whose message for shapes that differ is made of texts."""
    for i in range(matrix.shape[0]):
        for j in range(matrix.shape[1]):
            out[i, j] = matrix[i, j]
