"""Gates: every threshold of the specification, three verdicts, and a user's own file."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from offline_trader.errors import ConfigError, GateFailed
from offline_trader.evaluation.gates import (
    GATE_FACTS,
    SOURCES,
    check_gates,
    gate_summary,
    load_gates,
    require_gates,
)
from offline_trader.evaluation.judging import (
    Curve,
    Evaluation,
    GateRow,
    RegimeRow,
    ScoreRow,
    WindowRow,
)

FREE = {"commission_bps": 0.0, "half_spread_bps": 0.0, "slippage_bps": 0.0, "impact_bps": 0.0}
FACTS = {
    "coverage": 0.9,
    "oracle_hold_share": 0.9,
    "optimal_sharpe": 1.0,
    "breaker_hits": 0.0,
    "objective_balance": 0.5,
    "parity": 1e-6,
    "latency_ms": 1.0,
}


def _collapse(**changes: float | None) -> dict[str, float | None]:
    good: dict[str, float | None] = {
        "n": 1000.0,
        "action_entropy": 1.0,
        "largest_share": 0.2,
        "largest_side": 0.5,
        "hold_share": 0.92,
        "mi_norm": 0.2,
        "mi_null_95": 0.01,
        "trades_per_1000": 100.0,
        "voluntary_trade_rate": 0.1,
        "diversity": 0.5,
    }
    return {**good, **changes}


def _evaluation(**changes: Any) -> Evaluation:
    stamps = tuple(f"2020-01-{day:02d}T00:00:00" for day in range(1, 5))
    window = WindowRow("1", "", "", 250, 0.5, None, 0.1, 0.0, -0.1)
    base = Evaluation(
        name="policy",
        kind="policy",
        fingerprint="",
        data_hash="",
        start=stamps[0],
        end=stamps[-1],
        n_bars=1000,
        periods_per_year=252.0,
        trials=1,
        simulator={**FREE, "commission_bps": 1.0},
        curve=Curve(stamps, np.array([1.0, 1.1, 1.0, 1.2])),
        measures={
            "sharpe": 0.7,
            "max_drawdown": -0.1,
            "win_rate": 0.5,
            "trades": 40.0,
            "payoff_ratio": 1.2,
        },
        intervals={"sharpe": (0.1, 1.3)},
        statistics={"psr": 0.97, "dsr": 0.6},
        collapse=_collapse(),
        regimes=tuple(
            RegimeRow(name, 100, 0.25, 0.5, 0.001, 0.0) for name in ("bull", "bear", "sideways")
        ),
        windows=(window,) * 10,
        seeds=tuple(ScoreRow(str(i), 1.0 + i / 10) for i in range(5)),
    )
    return replace(base, **changes)


def _by_name(rows: tuple[GateRow, ...]) -> dict[str, GateRow]:
    return {row.name: row for row in rows}


def _free(**changes: Any) -> Evaluation:
    return _evaluation(simulator=FREE, **changes)


def test_a_good_policy_passes_every_gate() -> None:
    rows = check_gates(_evaluation(), facts=FACTS, zero_cost=_free())
    assert {row.verdict for row in rows} == {"pass"}
    assert len(rows) == len(SOURCES)
    require_gates(rows)


SPECIFIED: list[tuple[str, dict[str, Any], dict[str, float], str]] = [
    ("action_entropy", {"collapse": _collapse(action_entropy=0.6)}, {}, "free"),
    ("largest_bin", {"collapse": _collapse(largest_share=0.61)}, {}, "free"),
    ("largest_side", {"collapse": _collapse(largest_side=0.61)}, {}, "free"),
    ("hold_share", {"collapse": _collapse(hold_share=0.96)}, {}, "costs"),
    ("state_dependence", {"collapse": _collapse(mi_norm=0.01)}, {}, "costs"),
    ("trades_per_1000", {"collapse": _collapse(trades_per_1000=20.0)}, {}, "free"),
    ("trades_per_episode", {"collapse": _collapse(trades_per_1000=10.0)}, {}, "free"),
    ("voluntary_trade_rate", {"collapse": _collapse(voluntary_trade_rate=0.05)}, {}, "free"),
    ("action_diversity", {"collapse": _collapse(diversity=0.3)}, {}, "costs"),
    ("coverage", {}, {"coverage": 0.8}, "costs"),
    ("sharpe", {"measures": {"sharpe": 0.3}}, {}, "costs"),
    ("sharpe_of_oracle", {"measures": {"sharpe": 0.59}}, {}, "costs"),
    ("drawdown", {"measures": {"max_drawdown": -0.2}}, {}, "costs"),
    ("win_rate", {"measures": {"win_rate": 0.4, "trades": 10.0}}, {}, "costs"),
    ("objective_balance", {}, {"objective_balance": 0.61}, "costs"),
    ("parity", {}, {"parity": 1.1e-5}, "costs"),
    ("latency", {}, {"latency_ms": 10.0}, "costs"),
]


@pytest.mark.parametrize(("name", "changes", "facts", "place"), SPECIFIED)
def test_thresholds_of_the_specification(
    name: str, changes: dict[str, Any], facts: dict[str, float], place: str
) -> None:
    """At or just beyond the threshold the gate fails; the good policy above passes it."""
    make = _free if place == "free" else _evaluation
    row = _by_name(check_gates(make(**changes), facts={**FACTS, **facts}))[name]
    assert row.verdict == "fail", row


def test_windows_regimes_and_stability() -> None:
    bad = WindowRow("1", "", "", 250, -0.5, None, -0.1, 0.0, -0.1)
    good = _evaluation().windows
    rows = _by_name(check_gates(_evaluation(windows=good[:6] + (bad,) * 4)))
    assert rows["walk_forward"].verdict == "fail"
    assert rows["walk_forward"].value == pytest.approx(0.6)
    seven = _by_name(check_gates(_evaluation(windows=good[:7] + (bad,) * 3)))
    assert seven["walk_forward"].verdict == "pass"
    idle = replace(bad, sharpe=None, total_return=0.0, max_drawdown=0.0, trades=0)
    held = _by_name(check_gates(_evaluation(windows=good[:6] + (idle,) * 4)))["walk_forward"]
    assert (held.verdict, held.n) == ("fail", 10)
    assert held.value == pytest.approx(0.6)
    regimes = _evaluation().regimes
    two = (*regimes[:2], replace(regimes[2], mean_return=-0.001))
    assert _by_name(check_gates(_evaluation(regimes=two)))["profitable_regimes"].verdict == "fail"
    unknown = (*regimes[:2], replace(regimes[2], mean_return=None, note="not enough data"))
    row = _by_name(check_gates(_evaluation(regimes=unknown)))["profitable_regimes"]
    assert "not enough data in sideways" in row.reason
    wild = tuple(ScoreRow(str(i), value) for i, value in enumerate((-3.0, 1.0, 4.0)))
    assert _by_name(check_gates(_evaluation(seeds=wild)))["reward_stability"].verdict == "fail"
    loss = tuple(ScoreRow(str(i), -1.0) for i in range(4))
    assert _by_name(check_gates(_evaluation(seeds=loss)))["reward_stability"].verdict == "fail"


def test_the_mean_of_the_seeds_is_no_seed() -> None:
    seeds = (ScoreRow("seed 0", 0.2), ScoreRow("seed 1", 0.6), ScoreRow("seed 2", 1.0))
    mean = ScoreRow("interquartile mean", 0.6, summary=True)
    row = _by_name(check_gates(_evaluation(seeds=(*seeds, mean))))["reward_stability"]
    assert row.value == pytest.approx(0.4 / 0.6)
    assert row.n == 3
    two = _evaluation(seeds=(*seeds[:2], mean), windows=())
    assert _by_name(check_gates(two))["reward_stability"].verdict == "not evaluable"


def test_stages_raise_the_limits() -> None:
    verdicts = [
        _by_name(check_gates(_evaluation(), load_gates(stage=stage)))["sharpe"].verdict
        for stage in (1, 2, 3, 9)
    ]
    assert verdicts == ["pass", "pass", "fail", "fail"]
    deep = _evaluation(measures={"max_drawdown": -0.18})
    for stage, verdict in ((2, "pass"), (3, "fail")):
        assert _by_name(check_gates(deep, load_gates(stage=stage)))["drawdown"].verdict == verdict


def test_rates_are_not_judged_where_trading_costs() -> None:
    rows = _by_name(check_gates(_evaluation(), facts=FACTS))
    for name in ("action_entropy", "trades_per_1000", "voluntary_trade_rate", "largest_bin"):
        assert rows[name].verdict == "not evaluable"
        assert rows[name].reason
        assert rows[name].value is None
    free = _by_name(check_gates(_free(), facts=FACTS))
    assert free["state_dependence"].verdict == "not evaluable"
    assert free["trades_per_1000"].verdict == "pass"


def test_what_is_missing_is_not_evaluable_and_says_so() -> None:
    empty = _evaluation(
        collapse=None, measures={}, regimes=(), windows=(), seeds=(), trades=(), simulator={}
    )
    rows = check_gates(empty)
    assert {row.verdict for row in rows} == {"not evaluable"}
    assert all(row.reason for row in rows)
    require_gates(rows)


def test_value_interval_and_n_are_shown() -> None:
    rows = _by_name(check_gates(_evaluation(), facts=FACTS, zero_cost=_free()))
    assert rows["sharpe"].interval == (0.1, 1.3)
    remark = "passes by its value: the interval includes values that would fail"
    assert rows["sharpe"].reason == f"{remark}; PSR 0.970, DSR 0.600"
    assert rows["win_rate"].n == 40
    assert rows["win_rate"].interval == pytest.approx((0.3520, 0.6480), abs=1e-4)
    trades = rows["trades_per_1000"]
    assert trades.interval is not None
    assert trades.interval[0] < 100 < trades.interval[1]
    assert rows["voluntary_trade_rate"].threshold == "> 0.05, aim 0.15"


def test_failure_names_the_gates() -> None:
    rows = check_gates(_evaluation(measures={"sharpe": -0.5, "max_drawdown": -0.5}))
    with pytest.raises(GateFailed, match=r"2 of 20 gates failed: sharpe -0\.5 \(> 0\.3\)") as info:
        require_gates(rows)
    assert info.value.exit_code == 4
    assert gate_summary(rows)["fail"] == ["sharpe", "drawdown"]


def test_own_thresholds(tmp_path: Path) -> None:
    path = tmp_path / "gates.yaml"
    path.write_text(
        "stage: 2\ngates:\n  sharpe: {threshold: 0.9}\n  parity: {enabled: false}\n"
        "  drawdown: {threshold: {1: 0.5, 2: 0.05}}\n"
    )
    rows = _by_name(check_gates(_evaluation(), load_gates(path), facts=FACTS))
    assert rows["sharpe"].threshold == "> 0.9"
    assert rows["sharpe"].verdict == "fail"
    assert "parity" not in rows
    assert rows["drawdown"].threshold == "< 0.05"
    assert rows["latency"].verdict == "pass"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("gates: {sharp: {threshold: 1}}", "did you mean 'sharpe'"),
        ("gates: {sharpe: {treshold: 1}}", "did you mean 'threshold'"),
        ("gates: {sharpe: {threshold: high}}", "threshold 'high'"),
        ("gates: {sharpe: {pass: '=='}}", "is unknown"),
        ("gates: {sharpe: {source: luck}}", "source 'luck' is unknown"),
        ("gates: {sharpe: 3}", "gate sharpe is 3"),
        ("stage: 0", "stage 0"),
        ("limits: {}", "key 'limits' is unknown"),
        ("- 1", "holds no gates"),
        ("gates: [", "is no YAML"),
        ("stage: 1\nstage: 2", "'stage' is there twice"),
        ("gates: [sharpe]", "gates is"),
        ("gates: 3", "gates is 3"),
        ("gates: {sharpe: {threshold: {'1': 0.3}}}", "stages '1'"),
        ("gates: {sharpe: {threshold: {0: 0.3}}}", "stages 0"),
        ("gates: {sharpe: {threshold: .nan}}", "threshold nan"),
        ("gates: {sharpe: {threshold: .inf}}", "threshold inf"),
        ("gates: {sharpe: {pass: [1]}}", "is unknown"),
        ("gates: {sharpe: {where: {a: 1}}}", "is unknown"),
        ("gates: {sharpe: {aim: high}}", "aim 'high'"),
        ("gates: {sharpe: {enabled: nope}}", "enabled 'nope'"),
    ],
)
def test_own_file_is_checked(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "gates.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message):
        load_gates(path)
    with pytest.raises(ConfigError, match="cannot be read"):
        load_gates(tmp_path / "missing.yaml")


def test_a_file_of_bytes_is_no_gates(tmp_path: Path) -> None:
    path = tmp_path / "gates.yaml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="is no YAML"):
        load_gates(path)


def test_every_source_and_fact_is_used() -> None:
    gates = load_gates().gates
    assert {gate.source for gate in gates} == set(SOURCES)
    assert {"parity", "latency_ms", "coverage"} <= set(GATE_FACTS)
    assert all(gate.definition for gate in gates)


def test_rows_survive_json() -> None:
    loss = tuple(ScoreRow(str(i), -1.0) for i in range(4))
    judged = _evaluation(n_bars=3, seeds=loss)  # as many bars as the curve's four marks have
    done = replace(judged, gates=check_gates(judged, facts=FACTS))
    again = Evaluation.from_dict(done.to_dict())
    stability = _by_name(again.gates)["reward_stability"]
    assert stability.verdict == "fail"
    assert stability.value is None or not math.isfinite(stability.value)
    assert [row.verdict for row in again.gates] == [row.verdict for row in done.gates]


def test_every_gate_says_what_it_measures_and_in_which_unit() -> None:
    rows = check_gates(_evaluation(), facts=FACTS)
    assert {row.name for row in rows} == {gate.name for gate in load_gates().gates}
    for gate, row in zip(load_gates().gates, rows, strict=True):
        assert gate.unit
        assert gate.definition
        assert row.explained.startswith(f"{gate.definition} ({gate.unit})")


def test_a_pass_with_an_interval_that_would_fail_says_so() -> None:
    def sharpe(*ends: float) -> GateRow:
        low, high = ends
        given = replace(_evaluation(), measures={"sharpe": 0.7}, intervals={"sharpe": (low, high)})
        return next(row for row in check_gates(given, facts=FACTS) if row.name == "sharpe")

    remark = "passes by its value: the interval includes values that would fail"
    wide, narrow = sharpe(-0.55, 1.9), sharpe(0.4, 1.0)
    assert wide.verdict == narrow.verdict == "pass"
    assert remark in wide.reason
    assert remark not in narrow.reason
