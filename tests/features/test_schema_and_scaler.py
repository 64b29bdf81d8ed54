"""The schema's hash, the documentation's table, and the scaler's arithmetic."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from offline_trader.codec import from_json, parse_json, to_json
from offline_trader.errors import DataError
from offline_trader.features import (
    FEATURE_NAMES,
    FeatureScaler,
    FeatureSchema,
    compute_features,
    observation_layout,
    schema,
)
from offline_trader.markets import Bars, load_market
from offline_trader.types import PORTFOLIO_FIELDS, ObservationLayout

DOCUMENT = Path(__file__).parents[2] / "docs" / "markets-and-features.md"


def test_there_are_32_names_and_one_layout() -> None:
    assert len(FEATURE_NAMES) == len(set(FEATURE_NAMES)) == 32
    layout = observation_layout()
    assert layout.features == FEATURE_NAMES
    assert layout.size == 32 + len(PORTFOLIO_FIELDS)
    assert layout.feature_hash == FeatureSchema().hash
    assert compute_features(load_market("sp500")).schema.hash == layout.feature_hash


def test_the_hash_follows_names_order_formulas_and_version(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    base = FeatureSchema()
    others = [
        dataclasses.replace(base, names=base.names[:-1]),
        dataclasses.replace(base, names=base.names[::-1]),
        dataclasses.replace(base, version=base.version + 1),
    ]
    assert len({base.hash, *(other.hash for other in others)}) == 4
    before = base.hash
    monkeypatch.setitem(schema.FEATURE_FORMULAS, "gap", "another formula")
    assert base.hash != before


def test_the_documentation_lists_every_feature_with_its_formula() -> None:
    rows = re.findall(r"^\| \d+ \| `(\w+)` \| (.+?) \|$", DOCUMENT.read_text(), re.MULTILINE)
    assert dict(rows) == schema.FEATURE_FORMULAS
    assert tuple(name for name, _ in rows) == FEATURE_NAMES


def training_values() -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    return np.asarray(compute_features(load_market("sp500")).values[252:2000])


def test_fitted_values_are_standardised_and_the_portfolio_is_left() -> None:
    values = training_values()
    layout = observation_layout()
    scaler = FeatureScaler.fit(values, layout)
    observations = np.concatenate([values, np.full((len(values), 5), 0.25)], axis=1)
    scaled = scaler.transform(observations.astype(np.float32))
    assert scaled.dtype == np.float32
    moving = values.std(axis=0) > 0.0
    assert moving.sum() == 30  # daily bars have one time of day
    np.testing.assert_allclose(scaled[:, :32].mean(axis=0), 0.0, atol=1e-4)
    np.testing.assert_allclose(scaled[:, :32][:, moving].std(axis=0), 1.0, atol=1e-4)
    np.testing.assert_array_equal(scaled[:, 32:], 0.25)


def test_the_scaler_sees_the_training_rows_only(make_bars: Callable[..., Bars]) -> None:
    values = compute_features(make_bars(800, seed=1)).values
    changed = values.copy()
    changed[600:] += 100.0
    layout = observation_layout()
    one, two = (FeatureScaler.fit(v[252:600], layout) for v in (values, changed))
    np.testing.assert_array_equal(one.mean, two.mean)
    np.testing.assert_array_equal(one.scale, two.scale)


@settings(max_examples=50)
@given(st.lists(st.floats(-1e6, 1e6), min_size=3, max_size=3))
def test_to_json_and_back_is_the_identity(mean: list[float]) -> None:
    scaler = FeatureScaler(np.array(mean), np.array([0.1, 1e-12, 3.3]))
    copy = from_json(FeatureScaler, parse_json(to_json(scaler)), "the scaler")
    assert copy.mean.tobytes() == scaler.mean.tobytes()
    assert copy.scale.tobytes() == scaler.scale.tobytes()


def test_wrong_scalers_are_refused() -> None:
    layout = ObservationLayout(("a", "b"), "hash", ())
    with pytest.raises(DataError, match=r"features of shape \(1, 2\)"):
        FeatureScaler.fit(np.ones((1, 2)), layout)
    with pytest.raises(DataError, match=r"features of shape \(5, 3\)"):
        FeatureScaler.fit(np.ones((5, 3)), layout)
    with pytest.raises(DataError, match="a feature is not finite"):
        FeatureScaler.fit(np.array([[1.0, 2.0], [np.nan, 1.0]]), layout)
    with pytest.raises(DataError, match="do not fit together"):
        FeatureScaler(np.zeros(2), np.array([1.0, 0.0]))
    with pytest.raises(DataError, match="do not fit together"):
        FeatureScaler(np.zeros(2), np.ones(3))
