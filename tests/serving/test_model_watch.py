"""Whether a model still decides: an evaluation's verdict, and how sure an action is."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from offline_trader.evaluation.measures.collapse import CollapseThresholds, collapse_measures
from offline_trader.export import OnnxPolicy
from offline_trader.features import observation_layout
from offline_trader.markets import Bars, load_market
from offline_trader.serving import AuditLog, Desk, RiskLimits, State, replay
from offline_trader.serving.model_watch import COLLAPSE, ActionWindow, Confidence
from offline_trader.simulator import SimulatorConfig

MakeModel = Callable[..., Path]


def test_the_verdict_is_that_of_an_evaluation() -> None:
    thresholds = CollapseThresholds()
    assert {name: getattr(thresholds, name) for name in COLLAPSE} == COLLAPSE
    rng = np.random.default_rng(0)
    seen = set()
    for spread in (0.0, 0.01, 0.019, 0.021, 0.05, 0.2, 1.0):
        for centre in (0.0, 0.5, 0.95):
            actions = np.clip(rng.normal(centre, spread, 400), -1.0, 1.0)
            window = ActionWindow(100)
            for i, action in enumerate(actions.tolist()):
                window.add(action, held=abs(action) < 0.1)
                if i < 99:
                    assert window.verdict == ""
                elif i % 37 == 0:
                    last = collapse_measures(actions[i - 99 : i + 1], rng=rng)
                    assert bool(window.verdict) == ("COLLAPSED" in last.verdicts)
                    seen.add(window.verdict.split(" of ")[0].split(" ")[-1])
    assert len(seen) > 2
    assert ActionWindow(0).verdict == ""


def test_confidence_is_the_distance_in_units_of_the_spread() -> None:
    """Of a linear model the spread is known: 0.05 · |weights · scales| of the market's columns."""
    rng = np.random.default_rng(1)
    weights, scale = rng.normal(size=9), rng.uniform(0.5, 2.0, size=9)
    watch = Confidence(scale.astype(np.float32), market=7)

    def model(rows: np.ndarray) -> np.ndarray:
        return (rows @ weights)[:, None]

    found = watch.spread(model, np.zeros(9, dtype=np.float32))
    expected = 0.05 * float(np.linalg.norm((weights * scale)[:7]))
    assert found == pytest.approx(expected, rel=0.5)  # of 16 draws
    assert watch.spread(model, np.full(9, 5.0, dtype=np.float32)) == pytest.approx(found, rel=1e-5)
    assert Confidence.of(0.3, 0.1) == pytest.approx(3.0)
    assert math.isfinite(Confidence.of(0.3, 0.0))
    many = Confidence(np.ones(4_000, dtype=np.float32), market=4_000)._noise / 0.05
    assert (abs(float(many.mean())), float(many.std())) == pytest.approx((0.0, 1.0), abs=0.01)


@pytest.fixture
def bars() -> Bars:
    return load_market("synthetic:ou?bars=420&seed=7")


def decided(desk: Desk, bars: Bars) -> list[float]:
    desk.warm_up(bars.slice(0, 300))
    return [desk.on_bar(bar).units for bar in bars.slice(300, 420)]


def test_only_sure_orders_are_sent(make_model: MakeModel, bars: Bars, tmp_path: Path) -> None:
    policy = OnnxPolicy(make_model(SimulatorConfig(action_mode="target_long")))
    limits = RiskLimits(max_price_age_s=1e12, max_orders_per_day=1e9, min_confidence=0.0)
    unsure = Desk(policy, AuditLog(tmp_path / "b.db"), limits)
    decided(unsure, bars)
    told = [each.content.get("confidence") for each in unsure.log.entries("decided")]
    enough = float(np.median([each for each in told if each is not None]))
    limits = replace(limits, min_confidence=enough)
    desk = Desk(policy, AuditLog(tmp_path / "a.db"), limits)
    units = decided(desk, bars)
    rows = [each.content for each in desk.log.entries("decided")]
    asked = [row for row in rows if row["asked"] != 0.0]
    assert all(row["confidence"] is not None for row in asked)
    sent = [row for row in asked if row["units"] != 0.0]
    assert 5 < len(sent) < len(asked) - 5
    assert min(row["confidence"] for row in sent) >= enough
    held = [row for row in asked if row["units"] == 0.0]
    assert all("the confidence is" in row["reasons"][0] for row in held)
    assert sum(u != 0.0 for u in units) == len(sent)
    assert replay(policy, AuditLog(tmp_path / "a.db")) == 120


def test_a_collapsed_model_only_reduces(make_model: MakeModel, bars: Bars, tmp_path: Path) -> None:
    layout = observation_layout()
    weights = np.zeros(layout.size)
    weights[layout.names.index("return_1")] = 0.01  # never twice the same, and always nearly 0
    policy = OnnxPolicy(make_model(SimulatorConfig(), layout=layout, weights=weights))
    limits = RiskLimits(max_price_age_s=1e12, collapse_window=50)
    desk = Desk(policy, AuditLog(tmp_path / "a.db"), limits)
    decided(desk, bars)
    assert desk.state.state is State.REDUCE
    assert "collapsed: 100.0% of the last 50 decisions hold" in desk.state.reason
    rows = [each.content["risk"]["state"] for each in desk.log.entries("decided")]
    assert rows.index("REDUCE") == 49
    desk.rearm("looked")
    again = Desk(policy, AuditLog(tmp_path / "a.db"))
    assert again.state.state is State.NORMAL
