"""Days are sessions: after the close comes the next one, over week-ends and holidays."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

import pytest

from offline_trader.errors import ConfigError
from offline_trader.serving import RiskLimits, RiskState
from offline_trader.serving.exchange_hours import hours_of
from offline_trader.serving.risk import Proposal, review

pytest.importorskip("exchange_calendars")


def at(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


@pytest.mark.parametrize(
    ("moment", "day", "is_open"),
    [
        ("2024-07-02T14:30+00:00", "2024-07-02", True),
        ("2024-07-02T20:00+00:00", "2024-07-02", False),  # the close itself
        ("2024-07-02T20:01+00:00", "2024-07-03", False),
        ("2024-07-03T16:59+00:00", "2024-07-03", True),
        ("2024-07-03T17:01+00:00", "2024-07-05", False),  # an early close, then a holiday
        ("2024-07-04T15:00+00:00", "2024-07-05", False),
        ("2024-07-05T20:30+00:00", "2024-07-08", False),  # a week-end
        ("1980-01-02T15:00+00:00", None, False),
        ("2090-01-02T15:00+00:00", None, False),
    ],
)
def test_a_moment_has_its_session(moment: str, day: str | None, is_open: bool) -> None:
    hours = hours_of("XNYS")
    assert (hours.day(at(moment)), hours.is_open(at(moment))) == (day, is_open)


def ask(moment: float) -> Proposal:
    return Proposal(10.0, 100.0, moment, moment, 0.0, 10_000.0)


def test_orders_are_counted_by_sessions_and_refused_while_it_is_closed() -> None:
    limits = RiskLimits(max_orders_per_day=1, calendar="XNYS")
    friday = at("2024-07-05T15:00+00:00")
    state, first = review(limits, RiskState(), ask(friday))
    state, second = review(limits, state, ask(friday + 3_600.0))
    state, evening = review(limits, state, ask(at("2024-07-05T20:30+00:00")))  # Monday's
    _, monday = review(limits, state, ask(at("2024-07-08T15:00+00:00")))
    assert [each.units for each in (first, second, evening, monday)] == [10.0, 0.0, 10.0, 0.0]
    closed = replace(limits, open_only=True)
    _, verdict = review(closed, RiskState(), ask(at("2024-07-06T15:00+00:00")))
    assert verdict.reasons == ("XNYS is closed, it opens 2024-07-08T13:30+00:00",)
    _, verdict = review(closed, RiskState(), ask(at("2024-07-08T13:31+00:00")))
    assert verdict.units == 10.0
    _, verdict = review(limits, RiskState(), ask(at("2090-01-02T15:00+00:00")))
    assert "does not reach this moment" in verdict.reasons[0]


def test_an_unknown_exchange_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"limits\.calendar is 'NOWHERE'"):
        RiskLimits(calendar="NOWHERE")
    with pytest.raises(ConfigError, match="open_only without"):
        RiskLimits(open_only=True)


def test_an_exchange_is_closed_at_noon_where_it_has_a_break() -> None:
    hours = hours_of("XTKS")  # from 9:00 to 11:30 and on from 12:30 in Tokyo, nine hours ahead
    moments = [at(f"2024-07-02T{time}+00:00") for time in ("02:29", "02:30", "03:29", "03:30")]
    assert [hours.is_open(each) for each in moments] == [True, False, False, True]
    assert hours.next_open(moments[1]) == "2024-07-02T03:30+00:00"
    assert {hours.day(each) for each in moments} == {"2024-07-02"}
    limits = RiskLimits(calendar="XTKS", open_only=True)
    _, verdict = review(limits, RiskState(), ask(at("2024-07-02T03:00+00:00")))
    assert verdict.reasons == ("XTKS is closed, it opens 2024-07-02T03:30+00:00",)
