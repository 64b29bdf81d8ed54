"""Drift: PSI and KS against an independent computation, and what chance gives."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.stats import ks_2samp

from offline_trader.codec import from_json, parse_json, to_json
from offline_trader.errors import DataError
from offline_trader.monitoring import TrainingSummary, drift_from, summarise

RNG = np.random.default_rng(0)
TRAINED = np.stack([RNG.normal(size=4_000), RNG.integers(0, 3, 4_000), np.full(4_000, 0.5)], axis=1)
ACTIONS = np.tanh(RNG.normal(size=4_000))
SUMMARY = summarise(TRAINED, ACTIONS, ["normal", "steps", "still"])


def test_shares_are_those_of_the_values_and_ties_make_no_bin_twice() -> None:
    for summary in (*SUMMARY.columns.values(), SUMMARY.action):
        assert sum(summary.shares) == pytest.approx(1.0)
        assert sorted(set(summary.edges)) == list(summary.edges)
    assert len(SUMMARY.columns["normal"].edges) == 19
    steps = SUMMARY.columns["steps"]
    assert steps.edges == (0.0, 1.0, 2.0)
    assert steps.shares[1:] == pytest.approx(np.bincount(TRAINED[:, 1].astype(int)) / 4_000)
    assert from_json(TrainingSummary, parse_json(to_json(SUMMARY)), "x") == SUMMARY


def test_the_same_law_has_hardly_any_drift_even_of_few_rows() -> None:
    rng, psis = np.random.default_rng(1), []
    for _ in range(200):
        live = np.stack([rng.normal(size=100), rng.integers(0, 3, 100), np.full(100, 0.5)], axis=1)
        found = drift_from(SUMMARY, live, np.tanh(rng.normal(size=100)))
        assert found is not None
        psis.append(found.columns["normal"].psi)
        assert found.columns["still"].psi == found.columns["still"].ks == 0.0
    # Without what chance gives the mean would be 19 × (1/100 + 1/4000) = 0.195.
    assert np.mean(psis) < 0.05
    assert np.quantile(psis, 0.95) < 0.25


def test_psi_and_ks_are_those_of_their_definitions() -> None:
    live = np.random.default_rng(2).normal(0.7, 1.3, size=3_000)
    rows = np.stack([live, np.zeros(3_000), np.full(3_000, 0.5)], axis=1)
    found = drift_from(SUMMARY, rows, np.ones(3_000))
    assert found is not None
    edges = np.quantile(TRAINED[:, 0], np.arange(1, 20) / 20.0, method="higher")
    bounds = [-np.inf, *np.nextafter(edges, -np.inf), np.inf]
    p = np.histogram(TRAINED[:, 0], bounds)[0] / 4_000
    q = np.histogram(live, bounds)[0] / 3_000
    chance = 19 * (1 / 3_000 + 1 / 4_000)
    expected = float(np.sum((q - p) * np.log(q / p))) - chance
    assert found.columns["normal"].psi == pytest.approx(expected, rel=0.01)
    ks = ks_2samp(TRAINED[:, 0], live).statistic
    assert ks - 0.05 <= found.columns["normal"].ks <= ks
    assert found.columns["steps"].psi > 1.0
    assert found.action.psi > 1.0
    assert found.drifted == pytest.approx(2 / 3)


def test_few_rows_tell_nothing() -> None:
    assert drift_from(SUMMARY, TRAINED[:99], ACTIONS[:99]) is None


def test_a_summary_that_is_none_is_refused(tmp_path: Path) -> None:
    tree = parse_json(to_json(SUMMARY))
    tree["action"]["shares"] = [1.0]
    with pytest.raises(DataError, match="19 edges with 1 shares"):
        from_json(TrainingSummary, tree, "manifest.json: training")
