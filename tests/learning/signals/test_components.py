"""Components of a reward: their formulas, causality, and that doing nothing does not pay."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from offline_trader.errors import ConfigError
from offline_trader.features import compute_features
from offline_trader.learning.settings.objectives import COMPONENTS
from offline_trader.learning.signals import ComponentState, ObjectiveColumns, components_of
from offline_trader.markets import BarRange, Bars, load_market
from offline_trader.simulator import MarketTensor, Simulator, SimulatorConfig
from offline_trader.types import BoolArray, FloatArray

RULES = SimulatorConfig(action_mode="target_long_short")
_AT = {name: i for i, name in enumerate(COMPONENTS)}


def steps(t: int = 300, n: int = 3, seed: int = 0) -> tuple[FloatArray, BoolArray]:
    """Facts [T, N, 7] of lanes that are told at random, and where episodes begin."""
    rng = np.random.default_rng(seed)
    facts = np.stack(
        [
            0.02 * rng.standard_normal((t, n)),
            rng.uniform(-1, 1, (t, n)),
            rng.uniform(-1, 1, (t, n)),
            -rng.uniform(0, 0.4, (t, n)),
            0.02 * rng.standard_normal((t, n)),
            rng.integers(0, 40, (t, n)).astype(np.float64),
            rng.integers(0, 40, (t, n)).astype(np.float64),
        ],
        axis=2,
    )
    return facts, rng.random((t, n)) < 0.01


def plain(facts: FloatArray, begins: BoolArray) -> FloatArray:
    """The formulas of ``docs/objectives.md`` in plain numpy, a lane after another."""
    out = np.zeros((*facts.shape[:2], len(COMPONENTS)))
    visits: dict[tuple[int, int], int] = {}
    n_lanes = facts.shape[1]
    past: list[list[float]] = [[] for _ in range(n_lanes)]
    traded, average = np.zeros(n_lanes), np.zeros(n_lanes)
    first, second, open_growth = np.zeros((3, n_lanes))

    def cell(exposure: float, held: float) -> tuple[int, int]:
        return min(20, int((exposure + 1) * 10.5)), min(7, int(np.log2(1 + held)))

    for t in range(len(facts)):
        for n in range(n_lanes):
            r, before, after, fallen, g, held, held_after = facts[t, n]
            if begins[t, n]:
                past[n], traded[n], average[n], first[n], second[n] = [], 0.0, 0.0, 0.0, 0.0
                open_growth[n] = 0.0
            x, lost = np.expm1(r), 0.0
            open_growth[n] += r
            if before == 0:
                open_growth[n] = r
            elif np.sign(before) != np.sign(after):
                lost, open_growth[n] = min(0.0, np.expm1(open_growth[n])), 0.0
            past[n].append(x)
            recent = np.array(past[n][-60:])
            known = len(recent) >= 20
            var95 = -np.sort(recent)[int(np.ceil(0.05 * len(recent))) - 1] if known else 0.0
            trade = abs(after - (before + x) / (1 + x)) > 0.01
            traded[n] += (trade - traded[n]) / 20
            carried = after / (1 + g * (1 - after))
            here = cell(after, held_after)
            visits[here] = visits.get(here, 0) + 1
            variance, ratio = second[n] - first[n] ** 2, 0.0
            if variance > 1e-12:
                ratio = second[n] * (x - first[n]) - 0.5 * first[n] * (x * x - second[n])
                ratio = np.clip(ratio / variance**1.5, -3, 3)
            out[t, n] = (
                x + 0.5 * lost,
                -(np.expm1(10 * min(0.2, max(0, -fallen - 0.05))) + max(0, var95 - 0.02)
                  + max(0, abs(after) - 0.95) + (recent.std() if known else 0.0)),
                min(1, traded[n] / 0.05) - 1,
                (carried - average[n]) * g,
                (here != cell(before, held)) / np.sqrt(visits[here]),
                min(0, ratio) if before == after == 0 else ratio,
            )  # fmt: skip
            average[n] += (carried - average[n]) / 60
            first[n] += (x - first[n]) / 60
            second[n] += (x * x - second[n]) / 60
    return out


def test_components_are_their_formulas() -> None:
    """Against plain numpy, over episodes that begin anew."""
    facts, begins = steps()
    np.testing.assert_allclose(components_of(facts, begins), plain(facts, begins), atol=1e-11)


def test_golden_numbers() -> None:
    """Worked out by hand: a loss of 1 % at a drawdown of 15 % and an exposure of 1; then the close
    of the position, 1.99 % below where it began."""
    facts = np.array(
        [
            [[np.log(0.99), 1.0, 1.0, -0.15, -0.01, 3.0, 4.0]],
            [[np.log(0.99), 1.0, 0.0, -0.15, -0.01, 4.0, 0.0]],
        ]
    )
    found = components_of(facts, np.array([[True], [False]]))[:, 0]
    # (e − 1) for 10 % beyond 5 %, 5 % beyond 95 % of exposure; no trade: −1; 1 · −1 % of timing
    wanted = [-0.01, -(np.e - 1 + 0.05), -1.0, -0.01, 0.0, 0.0]
    np.testing.assert_allclose(found[0], wanted, atol=1e-12)
    np.testing.assert_allclose(found[1, 0], -0.01 - 0.5 * (1.0 - 0.99**2), atol=1e-12)


def test_losses_weigh_more_and_nothing_is_not_the_best_of_all() -> None:
    """Positions of 20 bars that earn .05 standard deviations a bar: worth more than idling, and
    less than what they earn. Losses bar by bar would be worth less than nothing."""
    rng = np.random.default_rng(0)
    growth = 0.01 * (0.05 + rng.standard_normal((20_000, 1)))
    place = np.arange(20_000) % 20
    before, after = (place > 0)[:, None] * 0.5, (place < 19)[:, None] * 0.5
    nothing = np.zeros_like(growth)
    columns = [growth, before, after, nothing, nothing, nothing, nothing]
    facts = np.stack(columns, axis=2)
    found = components_of(facts, np.zeros((20_000, 1), bool))[:, 0, _AT["profit"]]
    x = np.expm1(growth)
    assert 0.0 < found.mean() < x.mean()
    assert np.where(x < 0.0, 1.5 * x, x).mean() < 0.0


def test_no_later_step_changes_an_earlier_component() -> None:
    """Rows up to t are what they were when the rows after it are others, or are not there."""
    facts, begins = steps()
    known = components_of(facts, begins)
    for t in (1, 70, 299):
        other = facts.copy()
        other[t:] = np.random.default_rng(t).standard_normal(other[t:].shape)
        np.testing.assert_array_equal(components_of(other, begins)[:t], known[:t])
        np.testing.assert_array_equal(components_of(facts[:t], begins[:t]), known[:t])


def test_steps_one_by_one_are_steps_at_once() -> None:
    """And a state that was saved goes on."""
    facts, begins = steps(120)
    state = ComponentState(3)
    found = [state.advance(facts[t : t + 1], begins[t : t + 1]) for t in range(60)]
    other = ComponentState(3)
    other.load_state_dict(state.state_dict())
    found += [other.advance(facts[t : t + 1], begins[t : t + 1]) for t in range(60, 120)]
    np.testing.assert_array_equal(np.concatenate(found), components_of(facts, begins))


def walked(bars: Bars, actions: FloatArray, rules: SimulatorConfig = RULES) -> FloatArray:
    """[T, 1, K] components of a lane over all bars under ``actions`` [T]."""
    features = compute_features(bars)
    market = MarketTensor.from_bars([bars], [features], [BarRange(features.warmup, len(bars))])
    lanes = Simulator(market, rules, 1)
    places, state = ObjectiveColumns(market.layout.names), ComponentState(1)
    seen, found = np.array(lanes.reset(seed=0)), []
    begins = np.ones((1, 1), bool)
    for action in actions:
        done = lanes.step(np.array([[action]]))
        ended = bool(done.terminated[0] | done.truncated[0])
        after = np.array(lanes.final_observations if ended else done.observations)
        row: dict[str, Any] = {
            "observations": seen,
            "next_observations": after,
            "raw_rewards": done.rewards,
        }
        found.append(state.advance(places.facts(row)[None], begins)[0])
        seen, begins = after, np.zeros((1, 1), bool)
        if ended:
            break
    return np.stack(found)


@pytest.fixture(scope="module")
def bars() -> Bars:
    return load_market("synthetic:walk?bars=460&seed=3")


def test_no_later_bar_changes_an_earlier_component(bars: Bars) -> None:
    """In the simulator, under the same actions, with all bars after one of them shifted."""
    actions = np.random.default_rng(0).uniform(-1, 1, 200)
    known = walked(bars, actions)
    cut = len(bars) - 60
    later = np.where(np.arange(len(bars)) >= cut, 1.3, 1.0)
    prices = {name: getattr(bars, name) * later for name in ("open", "high", "low", "close")}
    other = walked(replace(bars, **prices), actions)
    same = len(known) - 60
    np.testing.assert_array_equal(other[:same], known[:same])
    assert not np.array_equal(other[same:], known[same:])


def test_doing_nothing_does_not_pay(bars: Bars) -> None:
    """No component is above 0 in a lane that never trades, and idleness costs a unit a bar."""
    found = walked(bars, np.zeros(200))[:, 0]
    assert found.max() <= 0.0
    np.testing.assert_array_equal(found[:, _AT["activity"]], -1.0)
    # to stay flat after a loss pays nothing for steadiness either
    left = walked(bars, np.where(np.arange(200) < 40, 1.0, 0.0))[60:, 0]
    assert left[:, [_AT["profit"], _AT["exploration"], _AT["consistency"]]].max() <= 0.0


def test_a_trade_is_told_from_a_position_that_drifts(bars: Bars) -> None:
    """A position that is held for long is idle; one order a bar is not, and pays no more than one
    in 20."""
    rules = replace(RULES, action_mode="order")
    held = walked(bars, np.where(np.arange(150) == 0, 1.0, 0.0), rules)[:, 0, _AT["activity"]]
    assert held[0] == 0.0
    assert np.all(np.diff(held) < 0.0)
    assert held[-1] < -0.99
    busy = walked(bars, np.resize([0.5, -0.5], 150), rules)[:, 0, _AT["activity"]]
    np.testing.assert_allclose(busy, 0.0, atol=1e-12)


def test_observations_without_a_portfolio_are_refused() -> None:
    """M1 and M3 as arrays have no drawdown."""
    with pytest.raises(ConfigError, match="without return_1, exposure, drawdown, hold_time"):
        ObjectiveColumns(("forecast", "position"))
