"""Products and transposes in registers against float64, at every kind of edge."""

from __future__ import annotations

import numpy as np
import pytest

from offline_trader.learning.engines.fast import products
from offline_trader.learning.engines.fast.products import (
    PRODUCTS,
    largest_product_layer,
    product,
    transpose,
)

# Rows, depth, columns: whole tiles, each kind of rest, one number, depths beyond a strip of 512.
SHAPES = [
    (8, 4, 32),
    (16, 48, 48),
    (13, 7, 33),
    (7, 9, 17),
    (1, 1, 1),
    (5, 1100, 49),
    (11, 513, 64),
]


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
def test_products_are_float64s_and_write_nothing_beside(
    shape: tuple[int, int, int], turned: bool
) -> None:
    rows, depth, columns = shape
    rng = np.random.default_rng(rows)
    left = rng.normal(size=(depth, rows) if turned else (rows, depth)).astype(np.float32)
    left = left.T if turned else left
    right = rng.normal(size=(depth, columns + 2)).astype(np.float32)[:, :columns]
    around = np.full((rows + 1, columns + 3), 7.0, np.float32)
    product(left, right, around[:rows, :columns])
    exact = left.astype(np.float64) @ right.astype(np.float64)
    np.testing.assert_allclose(around[:rows, :columns], exact, rtol=1e-5, atol=1e-6 * depth)
    assert (around[rows:] == 7.0).all()
    assert (around[:, columns:] == 7.0).all()


def test_rows_do_not_depend_on_those_computed_beside_them() -> None:
    rng = np.random.default_rng(0)
    left = rng.normal(size=(37, 50)).astype(np.float32)
    right = rng.normal(size=(50, 64)).astype(np.float32)
    whole, parts = np.zeros((37, 64), np.float32), np.zeros((37, 64), np.float32)
    product(left, right, whole)
    for first, last in ((0, 3), (3, 21), (21, 37)):
        product(left[first:last], right, parts[first:last])
    assert np.array_equal(whole, parts)


def test_not_a_number_shows() -> None:
    left, right = np.ones((8, 4), np.float32), np.ones((4, 32), np.float32)
    left[2, 1], out = np.nan, np.zeros((8, 32), np.float32)
    product(left, right, out)
    assert np.isnan(out[2]).all()
    assert (np.delete(out, 2, axis=0) == 4.0).all()


@pytest.mark.parametrize("shape", [(16, 16), (64, 49), (17, 33), (1, 5), (49, 64)])
def test_transposes(shape: tuple[int, int]) -> None:
    matrix = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    out = np.zeros(shape[::-1], np.float32)
    transpose(matrix, out)
    assert np.array_equal(out, matrix.T)


@pytest.mark.parametrize(
    ("intel", "library", "asked", "largest"),
    [
        (True, True, None, 64),
        (True, False, None, 2**31),
        (False, True, None, 2**31),
        (False, True, "torch", 0),
        (True, True, "ours", 2**31),
    ],
)
def test_the_vendor_and_the_library_decide_alone(
    monkeypatch: pytest.MonkeyPatch, intel: bool, library: bool, asked: str | None, largest: int
) -> None:
    monkeypatch.setattr(products, "_is_intel", lambda: intel)
    monkeypatch.setattr("torch.backends.mkl.is_available", lambda: library)
    monkeypatch.delenv(PRODUCTS, raising=False)
    if asked is not None:
        monkeypatch.setenv(PRODUCTS, asked)
    largest_product_layer.cache_clear()
    try:
        assert largest_product_layer() == largest
    finally:
        largest_product_layer.cache_clear()
