"""The risk gate: what may never happen, over many histories, and each limit by hand."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from offline_trader.errors import ConfigError
from offline_trader.serving.risk import (
    Proposal,
    RiskState,
    State,
    halted,
    rearmed,
    review,
)
from offline_trader.serving.risk_limits import RiskLimits

DAY = 86_400.0
LOOSE = RiskLimits(max_exposure=1.0, max_orders_per_day=5)
NOW = Proposal(units=10.0, price=100.0, bar_time=DAY, now=DAY + 1.0, held=0.0, equity=10_000.0)


@pytest.mark.parametrize(
    ("limits", "change", "units", "reason"),
    [
        ({}, {}, 10.0, ""),
        ({}, {"units": 150.0}, 100.0, "the largest exposure"),
        ({"max_exposure": 0.0}, {}, 0.0, "the largest exposure"),
        ({"max_order_notional": 400.0}, {"units": -10.0}, -4.0, "the largest order"),
        ({"max_position_notional": 1_500.0}, {"held": 10.0}, 5.0, "the largest position"),
        ({"max_position_notional": 500.0}, {"held": 10.0}, 0.0, "the largest position"),
        ({"max_position_notional": 500.0}, {"held": 10.0, "units": -12.0}, -12.0, ""),
        ({"max_position_notional": 500.0}, {"held": 10.0, "units": -20.0}, -15.0, "position"),
        ({}, {"caps": ((300.0, "all desks"),)}, 3.0, "all desks"),
        ({}, {"caps": ((300.0, "all desks"),), "held": 10.0, "units": -5.0}, -5.0, ""),
        ({}, {"caps": ((math.nan, "all desks"),)}, 0.0, "a limit of the book is no number"),
        ({}, {"barred": "25 orders of all desks today"}, 0.0, "25 orders of all desks"),
        ({"min_confidence": 2.0}, {"confidence": 2.0}, 10.0, ""),
        ({"min_confidence": 2.0}, {"confidence": 1.99}, 0.0, "the confidence is 1.99"),
        ({"min_confidence": 2.0}, {"confidence": math.nan}, 0.0, "the confidence is nan"),
        ({"min_confidence": 2.0}, {}, 0.0, "the confidence is unknown"),
        ({}, {"collapsed": "99% hold"}, 0.0, "the model has collapsed: 99% hold"),
        ({"max_order_notional": 450.0}, {"lot": 2.0}, 4.0, "the largest order"),
        ({"max_order_notional": 450.0}, {"min_notional": 500.0}, 0.0, "the largest order"),
        ({"max_orders_per_day": 0}, {}, 0.0, "0 orders today"),
        ({"max_price_age_s": 0.5}, {}, 0.0, "1 s old"),
        ({}, {"now": DAY - 1.0}, 0.0, "-1 s old"),
        ({}, {"price": math.nan}, 0.0, "a number of the proposal is none"),
        ({}, {"price": 0.0}, 0.0, "a number of the proposal is none"),
        ({}, {"units": math.inf}, 0.0, "a number of the proposal is none"),
        ({}, {"equity": math.nan}, 0.0, "a number of the proposal is none"),
    ],
)
def test_each_limit(
    limits: dict[str, Any], change: dict[str, Any], units: float, reason: str
) -> None:
    _, verdict = review(replace(LOOSE, **limits), RiskState(), NOW._replace(**change))
    assert verdict.units == units
    assert reason in "; ".join(verdict.reasons)
    assert bool(reason) == bool(verdict.reasons)


def test_a_price_that_jumps_is_believed_when_the_next_one_agrees() -> None:
    state, _ = review(LOOSE, RiskState(), NOW._replace(units=0.0))
    jumped = NOW._replace(price=130.0, bar_time=DAY + 60, now=DAY + 60)
    state, verdict = review(LOOSE, state, jumped)
    assert verdict.units == 0.0
    assert "moved by 30.00%" in verdict.reasons[0]
    again = jumped._replace(price=131.0, bar_time=DAY + 120, now=DAY + 120)
    _, verdict = review(LOOSE, state, again)
    assert verdict.units == 10.0


def test_a_clock_that_goes_back_and_an_order_twice_are_refused() -> None:
    state, verdict = review(LOOSE, RiskState(), NOW)
    assert verdict.units == 10.0
    _, verdict = review(LOOSE, state, NOW)
    assert "let through already" in verdict.reasons[0]
    earlier = NOW._replace(bar_time=DAY + 0.5, now=DAY + 0.5)
    _, verdict = review(LOOSE, state, earlier)
    assert "the clock went back by 0.5 s: nothing is ordered until" in verdict.reasons[0]


def test_a_clock_that_ran_ahead_is_believed_again_once_a_person_has_looked() -> None:
    """Else a clock that was a year ahead for a moment shuts out every order for a year."""
    ahead = NOW._replace(now=NOW.now + 400 * 86_400)
    state, verdict = review(LOOSE, RiskState(), ahead)
    later = NOW._replace(bar_time=NOW.bar_time + 60, now=NOW.now + 60)
    state, verdict = review(LOOSE, state, later)
    assert verdict.units == 0.0
    until = np.datetime64(int(ahead.now), "s").astype(str).replace("T", " ")
    assert f"until it has passed {until} (UTC)" in verdict.reasons[0]
    assert "re-arm" in verdict.reasons[0]
    again = later._replace(bar_time=later.bar_time + 60, now=later.now + 60)
    _, verdict = review(LOOSE, rearmed(state, "the clock is right again", later.now), again)
    assert verdict.units == 10.0


def test_orders_are_counted_by_the_days_of_the_zone() -> None:
    limits = RiskLimits(max_orders_per_day=1, day_zone="America/New_York")
    noon = 17 * 3_600.0 + DAY  # in New York
    state, first = review(limits, RiskState(), NOW._replace(bar_time=noon, now=noon))
    midnight = noon + 8 * 3_600  # of the next day in UTC, and not there
    state, second = review(limits, state, NOW._replace(bar_time=midnight, now=midnight))
    assert (first.units, second.units) == (10.0, 0.0)
    next_day = noon + 13 * 3_600
    _, third = review(limits, state, NOW._replace(bar_time=next_day, now=next_day))
    assert third.units == 10.0


def test_losses_and_a_frozen_output_make_the_state_worse() -> None:
    def after(equities: list[float], limits: RiskLimits, action: float | None = None) -> RiskState:
        state = RiskState()
        for i, equity in enumerate(equities):
            at = DAY + 60.0 * i
            asked = NOW._replace(units=0.0, equity=equity, bar_time=at, now=at, action=action)
            state, _ = review(limits, state, asked)
        return state

    daily = after([100.0, 94.0], LOOSE)
    assert (daily.state, daily.reason) == (
        State.REDUCE, "the day's loss is 6.00%, 5.00% are allowed"
    )  # fmt: skip
    assert after([100.0, 96.0], LOOSE).state is State.NORMAL
    fallen = after([100.0, 79.0, 100.0], LOOSE)
    assert fallen.state is State.HALT  # which the recovery does not lift
    assert after([0.0], LOOSE).state is State.HALT
    frozen = after([100.0] * 4, replace(LOOSE, max_equal_actions=3), action=0.5)
    assert (frozen.state, frozen.reason) == (State.REDUCE, "4 equal actions in a row")


def test_reduce_leads_to_zero_and_never_through_it() -> None:
    state = replace(RiskState(), state=State.REDUCE, reason="why")
    for held, units, allowed in (
        (5.0, -8.0, -5.0),
        (5.0, 1.0, 0.0),
        (0.0, 1.0, 0.0),
        (-5.0, 3.0, 3.0),
    ):
        _, verdict = review(LOOSE, state, NOW._replace(held=held, units=units))
        assert verdict.units == allowed


def test_a_person_brings_it_back_with_a_reason() -> None:
    state = halted(RiskState(), "kill switch")
    _, verdict = review(LOOSE, state, NOW)
    assert verdict.reasons == ("halted: kill switch",)
    with pytest.raises(ConfigError, match="no reason"):
        rearmed(state, " ", NOW.now)
    back = rearmed(state, "looked at it", NOW.now)
    _, verdict = review(LOOSE, back, NOW)
    assert (back.state, verdict.units) == (State.NORMAL, 10.0)


@pytest.mark.parametrize(
    "wrong",
    [{"max_drawdown": -1.0}, {"max_exposure": math.nan}, {"max_exposure": math.inf},
     {"day_zone": "Nowhere"}, {"price_collar": 1.0}, {"collapse_window": 10**9},
     {"max_price_age_s": None}, {"max_exposure": None}, {"collapse_window": None},
     {"max_orders_per_day": "100"}, {"max_drawdown": True}, {"day_zone": None}, {"day_zone": 1},
     {"calendar": 5}, {"open_only": "no", "calendar": "24/7"}, {"min_confidence": math.nan}],
)  # fmt: skip
def test_limits_that_are_none_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=f"limits.{next(iter(wrong))}"):
        RiskLimits(**wrong)


odd = st.sampled_from([math.nan, math.inf, -math.inf, 0.0, -1.0])
numbers = st.floats(-1e6, 1e6) | odd


class Histories(RuleBasedStateMachine):
    """Any proposals, with fills of what is let through, at any times."""

    limits = RiskLimits(
        max_exposure=0.8, max_order_notional=5_000.0, max_orders_per_day=4, max_drawdown=0.3
    )

    def __init__(self) -> None:
        super().__init__()
        self.state = RiskState()
        self.moment, self.held, self.cash, self.price = DAY, 0.0, 10_000.0, 100.0
        self.by_day: dict[str, int] = {}

    def propose(self, asked: Proposal) -> None:
        before = self.state
        self.state, verdict = review(self.limits, before, asked)
        order = ("NORMAL", "REDUCE", "HALT")
        assert order.index(self.state.state) >= order.index(before.state)
        if asked.collapsed:
            assert self.state.state is not State.NORMAL
        units = verdict.units
        if units == 0.0:
            return
        assert math.copysign(1.0, units) == math.copysign(1.0, asked.units)
        assert abs(units) <= abs(asked.units)
        assert self.state.state is not State.HALT
        assert not asked.barred
        assert asked.bar_time > before.ordered_at
        assert 0.0 <= asked.now - asked.bar_time <= self.limits.max_price_age_s
        assert asked.now >= before.moment
        if before.price > 0.0:
            assert abs(asked.price / before.price - 1.0) <= self.limits.max_price_move
        after = asked.held + units
        slack = 1.0 + 1e-12
        assert abs(units) * asked.price <= 5_000.0 * slack
        grows = abs(after) > abs(asked.held) or after * asked.held < 0.0
        if grows:
            for cap in (0.8 * asked.equity, *(cap for cap, _ in asked.caps)):
                assert abs(after) * asked.price <= cap * slack + 1e-6
        if self.state.state is State.REDUCE:
            assert abs(after) <= abs(asked.held)
            assert after * asked.held >= 0.0
        self.by_day[self.state.day] = self.by_day.get(self.state.day, 0) + 1
        assert self.by_day[self.state.day] <= 4
        if (asked.held, asked.price) == (self.held, self.price):
            self.cash -= units * asked.price
            self.held = after

    @rule(units=st.floats(-300.0, 300.0), move=st.floats(0.9, 1.1), step=st.floats(1.0, 40_000.0))
    def usual(self, units: float, move: float, step: float) -> None:
        self.moment += step
        self.price *= move
        equity = self.cash + self.held * self.price
        self.propose(
            Proposal(units, self.price, self.moment, self.moment, self.held, equity, units)
        )

    @rule(
        units=st.floats(-300.0, 300.0),
        cap=st.floats(0.0, 10_000.0) | st.sampled_from([math.nan, -1.0]),
        barred=st.sampled_from(["", "", "the book"]),
        collapsed=st.sampled_from(["", "", "", "98% hold"]),
    )
    def with_a_book(self, units: float, cap: float, barred: str, collapsed: str) -> None:
        self.moment += 60.0
        equity = self.cash + self.held * self.price
        asked = Proposal(units, self.price, self.moment, self.moment, self.held, equity)
        self.propose(asked._replace(caps=((cap, "the book"),), barred=barred, collapsed=collapsed))

    @rule()
    def kill_switch(self) -> None:
        self.state = halted(self.state, "test")

    @rule(units=numbers, price=numbers, bar=numbers, now=numbers, held=numbers, equity=numbers)
    def anything(self, **values: float) -> None:
        self.propose(
            Proposal(
                values["units"], values["price"], self.moment + values["bar"],
                self.moment + values["now"], values["held"], values["equity"],
            )
        )  # fmt: skip

    @rule(looked=st.sampled_from([False, False, True]))
    def person(self, looked: bool) -> None:
        if not looked:
            return
        self.state = rearmed(self.state, "test", self.moment)
        self.by_day.clear()

    @invariant()
    def the_reason_is_known(self) -> None:
        assert (self.state.state is State.NORMAL) == (self.state.reason == "")


TestHistories = Histories.TestCase
TestHistories.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


@settings(max_examples=200, deadline=None)
@given(units=st.floats(-1e4, 1e4), held=st.floats(-1e3, 1e3), lot=st.sampled_from([0.0, 0.5, 7.0]))
def test_what_is_cut_comes_in_lots_or_closes(units: float, held: float, lot: float) -> None:
    asked = NOW._replace(units=units, held=held, lot=lot)
    _, verdict = review(replace(LOOSE, max_order_notional=1_234.5), RiskState(), asked)
    if lot and verdict.reasons and verdict.units:
        lots = verdict.units / lot
        assert verdict.units == -held or lots == pytest.approx(round(lots), abs=1e-9)
