"""Collapse measures: the reference table, the verdicts, and what fools a plain entropy."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from offline_trader.envs import EnvConfig
from offline_trader.errors import DataError
from offline_trader.evaluation.backtest import EvaluationRange
from offline_trader.evaluation.measures import (
    collapse_measures,
    collapse_of,
    dormant_ratio,
    effective_rank,
    quantile_codes,
    state_cells,
    state_coverage,
    verdicts_of,
)
from offline_trader.types import FloatArray, Observations

N = 20_000


def _policy(name: str, z: FloatArray, rng: np.random.Generator) -> FloatArray:
    actions = {
        "constant": np.full(z.size, 0.3),
        "sign": np.sign(z),
        "coin": rng.choice([-1.0, 1.0], z.size),
        "uniform": rng.uniform(-1.0, 1.0, z.size),
        "tanh": np.tanh(z),
        "tiny": 0.02 * z,
    }
    return actions[name]


@pytest.mark.parametrize(
    ("name", "h_norm", "n_effective", "mi", "verdicts"),
    [
        ("constant", 0.0, 1.0, 0.0, {"COLLAPSED", "STATE-BLIND"}),
        ("sign", 0.228, 2.0, 0.29, {"SATURATED"}),
        ("coin", 0.228, 2.0, 0.0, {"STATE-BLIND", "SATURATED"}),
        ("uniform", 1.0, 21.0, 0.0, {"STATE-BLIND"}),
        ("tanh", 0.99, None, 0.89, set()),
        ("tiny", 0.03, 1.1, None, {"COLLAPSED"}),
    ],
)
def test_reference_table(
    name: str, h_norm: float, n_effective: float | None, mi: float | None, verdicts: set[str]
) -> None:
    rng = np.random.default_rng(7)
    z = rng.standard_normal(N)
    found = collapse_measures(_policy(name, z, rng), z, rng=rng)
    assert found.h_norm == pytest.approx(h_norm, abs=0.02)
    if n_effective is not None:
        assert found.n_effective == pytest.approx(n_effective, abs=0.02)
    assert found.mi_norm is not None
    if mi is not None:
        assert found.mi_norm == pytest.approx(mi, abs=0.02)
    assert verdicts <= set(found.verdicts)
    assert ("COLLAPSED" in found.verdicts) == (name in {"constant", "tiny"})
    assert found.mi_null_95 is not None
    assert (found.mi_norm > found.mi_null_95) == (name in {"sign", "tanh", "tiny"})


def test_entropy_is_corrected_for_few_samples() -> None:
    """Uniform actions, n = 100: the plain estimate is low by about (m − 1)/2n = .1 nats."""
    rng = np.random.default_rng(0)
    found = [collapse_measures(rng.uniform(-1, 1, 100), rng=rng) for _ in range(200)]
    plain = np.mean([math.log(each.n_effective) / math.log(21) for each in found])
    corrected = np.mean([each.h_norm for each in found])
    assert plain < 0.975
    assert corrected == pytest.approx(1.0, abs=0.005)


def test_mutual_information_is_unbiased_on_many_blind_columns() -> None:
    """The greatest of 30 unrelated columns stays below the 95 % null in about 95 of 100 cases."""
    rng = np.random.default_rng(1)
    above = 0
    for _ in range(60):
        found = collapse_measures(
            rng.uniform(-1, 1, 300), rng.standard_normal((300, 30)), rng=rng, permutations=60
        )
        assert found.mi_norm is not None
        assert found.mi_null_95 is not None
        above += found.mi_norm > found.mi_null_95
    assert above <= 9


def test_finds_the_column_that_matters() -> None:
    rng = np.random.default_rng(2)
    states = rng.standard_normal((2000, 12))
    found = collapse_measures(np.tanh(states[:, 5]), states, rng=rng)
    assert found.mi_column == 5
    assert found.verdicts == ()


def test_hold_share_and_trades() -> None:
    actions = np.array([0.0, 0.05, 0.5, -0.5, 0.1])
    found = collapse_measures(
        actions,
        rng=np.random.default_rng(0),
        traded=np.array([False, False, True, True, False]),
        voluntary=np.array([False, False, True, False, False]),
    )
    assert found.hold_share == pytest.approx(0.4)
    assert found.trades_per_1000 == pytest.approx(400.0)
    assert found.voluntary_trade_rate == pytest.approx(0.2)
    expected = -(0.2 * math.log(0.2) + 2 * 0.4 * math.log(0.4))
    assert found.action_entropy == pytest.approx(expected)


def test_what_was_filled_is_judged_not_what_was_asked_for() -> None:
    """Weights .5, .3, .3, .6, −.2, −.1: sold, held, bought, sold, bought back."""
    weights = np.array([0.5, 0.3, 0.3, 0.6, -0.2, -0.1])
    units = np.array([5.0, -2.0, 0.0, 3.0, -8.0, 1.0])
    found = collapse_measures(
        weights, rng=np.random.default_rng(0), directions=units, traded=units != 0.0
    )
    assert found.hold_share == pytest.approx(1 / 6)
    assert found.largest_side == pytest.approx(3 / 6)
    assert found.trades_per_1000 == pytest.approx(5000 / 6)


def test_a_policy_that_only_sells_while_flat_never_trades() -> None:
    def seller(observations: Observations, /) -> NDArray[np.float32]:
        size = 0.2 + 0.8 * np.abs(np.sin(1e4 * observations[:, :1]))
        return np.asarray(-size, np.float32)

    env = EnvConfig(market=("synthetic:ou?bars=1500",))
    backtests = EvaluationRange.from_env(env).account(seller, env.simulator).backtests
    found = collapse_of(backtests)
    assert found.n_effective > 1.5
    assert found.std > 0.02
    assert found.verdicts[0] == "COLLAPSED"
    reason = verdicts_of(found.to_dict())["COLLAPSED"]
    assert reason == f"never trades: no order was filled on {found.n:,} bars"
    assert found.action_entropy == 0.0
    assert collapse_of(backtests, learned=False).verdicts[0] == "inactive"


def test_a_rule_that_waits_is_rare_and_a_policy_that_does_is_collapsed() -> None:
    """One fill in a hundred: the hold share trips, whatever else was asked for."""
    actions = np.random.default_rng(0).uniform(-1.0, 1.0, 1_000)
    traded = np.arange(1_000) % 100 == 0
    measures = collapse_measures(
        actions, rng=np.random.default_rng(0), directions=traded, traded=traded
    ).to_dict()
    reason = "99.0% of the bars hold, more than 98%"
    assert verdicts_of(measures) == {"COLLAPSED": reason}
    assert verdicts_of(measures, learned=False) == {"rare": reason}


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("n_effective", 1.2, "1.20 effective actions, fewer than 1.5"),
        ("std", 0.001, "standard deviation of the actions 0.001, below 0.02"),
    ],
)
def test_the_rule_that_fired_is_named_with_its_value(name: str, value: float, reason: str) -> None:
    sound = {"n": 100.0, "n_effective": 5.0, "std": 0.5, "hold_share": 0.4, "trades_per_1000": 90.0}
    assert verdicts_of(sound) == {}
    assert verdicts_of({**sound, name: value}) == {"COLLAPSED": reason}


def test_always_hold_is_collapsed() -> None:
    rng = np.random.default_rng(0)
    actions = rng.uniform(-0.0999, 0.0999, 500)
    assert "COLLAPSED" in collapse_measures(actions, rng=rng).verdicts


def test_equal_values_share_a_quantile_group() -> None:
    codes = quantile_codes(np.array([0.0] * 50 + [1.0] * 50))
    assert len(np.unique(codes)) == 2
    assert np.unique(codes[:50]).size == 1


def test_dormant_units_and_rank() -> None:
    rng = np.random.default_rng(0)
    h = rng.standard_normal((500, 20))
    h[:, :5] *= 1e-4
    assert dormant_ratio(h) == pytest.approx(0.25)
    low = rng.standard_normal((500, 3)) @ rng.standard_normal((3, 20))
    assert effective_rank(low) == 3
    assert effective_rank(rng.standard_normal((5000, 20))) == 20
    assert effective_rank(np.zeros((4, 3))) == 0


def test_coverage_counts_reachable_cells() -> None:
    wide = state_cells(np.linspace(-1, 1, 11), np.zeros(11), np.zeros(11))
    assert np.unique(wide).size == 11
    assert state_coverage(wide[:5], wide) == pytest.approx(5 / 11)
    ages = state_cells(np.zeros(6), [0, 1, 2, 3, 4, 1000], np.zeros(6))
    assert np.unique(ages).size == 5
    assert state_coverage(wide, wide[:0]) is None


def test_refuses_bad_actions() -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(DataError, match=r"action 1 is 1\.5"):
        collapse_measures([0.0, 1.5], rng=rng)
    with pytest.raises(DataError, match="action 0 is nan"):
        collapse_measures([math.nan], rng=rng)
    with pytest.raises(DataError, match="no actions"):
        collapse_measures([], rng=rng)
    with pytest.raises(DataError, match="traded"):
        collapse_measures([0.1, 0.2], rng=rng, traded=np.array([True]))


@pytest.mark.parametrize("n", [1, 2, 21, 40, 200])
def test_shares_of_entropy_and_information_are_shares(n: int) -> None:
    """As many actions as bins, each in its own: the bias correction led to 1.16."""
    rng = np.random.default_rng(0)
    for actions in (np.linspace(-1.0, 1.0, n), rng.uniform(-1.0, 1.0, n), np.zeros(n)):
        found = collapse_measures(actions, rng.normal(size=(n, 3)), rng=rng)
        assert 0.0 <= found.h_norm <= 1.0
        assert found.mi_norm is not None
        assert 0.0 <= found.mi_norm <= 1.0
    assert n == 1 or collapse_measures(np.linspace(-1, 1, n), rng=rng).h_norm > 0.2
