"""Alerts are raised once, end with hysteresis, and are not told again within the cooldown."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offline_trader.errors import ConfigError
from offline_trader.monitoring import DEFAULT_ALERTS, SIGNALS, AlertRule, AlertState, judge

RULE = AlertRule("drawdown", above=0.2, clear=0.15, for_s=10.0, cooldown_s=100.0)


def walk(rule: AlertRule, values: list[tuple[float, float | None]]) -> list[tuple[float, str]]:
    """(moment, event) of a course of (moment, value); ``quiet`` where nobody is told."""
    state, found = AlertState(), []
    for now, value in values:
        state, event = judge(rule, state, value, now)
        if event is not None:
            found.append((now, event.kind if event.tell else f"{event.kind} quiet"))
    return found


def test_a_value_has_to_stay_beyond_and_to_come_back_beyond_the_clear_level() -> None:
    course: list[tuple[float, float | None]] = [
        (0, 0.1), (1, 0.25), (5, 0.19), (6, 0.21), (15, 0.21), (16, 0.21),
        (20, 0.3), (30, 0.16), (40, 0.15), (41, 0.1),
    ]  # fmt: skip
    assert walk(RULE, course) == [(16, "raised"), (40, "cleared")]


def test_within_the_cooldown_it_is_raised_but_not_told_until_that_is_over() -> None:
    rule = AlertRule("drawdown", above=0.2, cooldown_s=100.0)
    course: list[tuple[float, float | None]] = [
        (0, 0.3), (10, 0.1), (20, 0.3), (30, 0.1), (40, 0.3), (99, 0.3), (100, 0.3), (101, 0.3),
        (110, 0.1), (300, 0.3),
    ]  # fmt: skip
    assert walk(rule, course) == [
        (0, "raised"),
        (10, "cleared"),
        (20, "raised quiet"),
        (30, "cleared quiet"),
        (40, "raised quiet"),
        (100, "raised"),
        (110, "cleared"),
        (300, "raised"),
    ]


def test_what_is_not_known_changes_nothing_and_a_clock_that_goes_back_counts_anew() -> None:
    assert walk(RULE, [(0, 0.3), (5, None), (11, 0.3), (21, 0.3)]) == [(21, "raised")]
    assert walk(RULE, [(1000, 0.3), (0, 0.3), (9, 0.3), (10, 0.3)]) == [(10, "raised")]
    quick = AlertRule("drawdown", above=0.2)
    assert walk(quick, [(1e6, 0.3), (1e6 + 1, 0.1), (0, 0.3)])[-1] == (0, "raised")
    assert walk(quick, [(0, 0.3), (1, None), (2, 0.1)]) == [(0, "raised"), (2, "cleared")]


def test_below_is_the_mirror_of_above() -> None:
    up = [(float(i), x) for i, x in enumerate((0.1, 0.3, 0.17, 0.1, 0.4))]
    rule = AlertRule("equity", below=-0.2, clear=-0.15, cooldown_s=0.0)
    mirrored = AlertRule("equity", above=0.2, clear=0.15, cooldown_s=0.0)
    found = walk(rule, [(now, -x) for now, x in up])
    assert found == walk(mirrored, [*up]) == [(1, "raised"), (3, "cleared"), (4, "raised")]


@given(
    st.lists(st.tuples(st.floats(0.0, 50.0), st.none() | st.floats(0.0, 1.0)), max_size=40),
    st.floats(0.0, 60.0),
    st.floats(0.0, 200.0),
)
def test_raised_and_cleared_take_turns_and_what_is_told_keeps_the_cooldown(
    steps: list[tuple[float, float | None]], for_s: float, cooldown_s: float
) -> None:
    rule = AlertRule("drawdown", above=0.5, clear=0.3, for_s=for_s, cooldown_s=cooldown_s)
    now, state, last_told, open_told = 0.0, AlertState(), None, False
    for pause, value in steps:
        now += pause
        before = state
        state, event = judge(rule, state, value, now)
        if event is None:
            assert state.firing == before.firing
        elif event.kind == "raised":
            assert value is not None
            assert before.firing <= (not before.told)
            assert state.firing
            if event.tell:
                assert last_told is None or now - last_told >= cooldown_s
                last_told, open_told = now, True
        else:
            assert value is not None
            assert value <= 0.3
            assert before.firing
            assert not state.firing
            assert event.tell == open_told
            open_told = False


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"signal": "drawdwn", "above": 1.0}, "drawdwn"),
        ({"signal": "drawdown"}, "no thresholds"),
        ({"signal": "drawdown", "above": 1.0, "below": 0.0}, "two thresholds"),
        ({"signal": "drawdown", "above": 0.2, "clear": 0.3}, "ends at 0.3"),
        ({"signal": "drawdown", "above": 0.2, "for_s": -1.0}, "for_s"),
        ({"signal": "drawdown", "above": 0.2, "for_s": None}, "for_s is None in an alert on draw"),
        ({"signal": "drawdown", "above": 0.2, "cooldown_s": "1h"}, "cooldown_s is '1h'"),
        ({"signal": "drawdown", "above": math.nan}, "above is nan"),
        ({"signal": "drawdown", "above": math.inf}, "above is inf .*\n.*\n.*enabled: false"),
        ({"signal": "drawdown", "above": -math.inf}, "above is -inf .* raised never or always"),
        ({"signal": "drawdown", "above": 0.2, "for_s": math.inf}, "for_s is inf"),
        ({"signal": "drawdown", "below": "0.2"}, "below is '0.2'"),
        ({"signal": "drawdown", "above": 0.2, "clear": "0.1"}, "clear is '0.1'"),
    ],
)
def test_a_rule_that_is_none_is_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        AlertRule(**settings)  # type: ignore[arg-type]


def test_deep_drawdown_and_collapse_are_critical_by_default() -> None:
    drawdown, collapse = DEFAULT_ALERTS["drawdown"], DEFAULT_ALERTS["collapse"]
    assert (drawdown.severity, drawdown.above, drawdown.enabled) == ("critical", 0.2, True)
    assert (collapse.severity, collapse.signal, collapse.enabled) == ("critical", "collapsed", True)
    assert {rule.signal for rule in DEFAULT_ALERTS.values()} <= set(SIGNALS)
