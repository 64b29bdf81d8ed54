"""A desk: limits before every order, everything on disk first, and a restart that goes on."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from offline_trader.cli.main import main
from offline_trader.errors import ConfigError, DataError, RiskHalt, SchemaMismatch
from offline_trader.export import OnnxPolicy
from offline_trader.features import feature_set, name_features
from offline_trader.hashing import file_sha256
from offline_trader.markets import Bar, Bars, SignalBar, load_market, nanoseconds
from offline_trader.serving import (
    Answer,
    AuditLog,
    Desk,
    Hold,
    Holdings,
    RiskLimits,
    Session,
    State,
    daily_report,
    models_named,
    replay,
)
from offline_trader.serving.exchange_hours import hours_of
from offline_trader.serving.gated_session import GatedSession
from offline_trader.serving.row_text import json_text
from offline_trader.simulator import SimulatorConfig

MakeModel = Callable[..., Path]
LIMITS = RiskLimits(max_exposure=0.5, max_orders_per_day=8, max_price_age_s=60.0)


class Clock:
    """The moment of the bar, or what is set."""

    now = 1.7e9

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def bars() -> Bars:
    return load_market("synthetic:ou?bars=420&seed=7")


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def policy(make_model: MakeModel) -> OnnxPolicy:
    return OnnxPolicy(make_model(SimulatorConfig(action_mode="target_long", smoothing_alpha=0.5)))


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "audit.db"


def walk(desk: Desk, bars: Bars, clock: Clock, start: int, stop: int) -> list[Answer]:
    answers = []
    for bar in bars.slice(start, stop):
        clock.now = float(bar.timestamp.astype("datetime64[s]").astype(int)) + 1.0
        answers.append(desk.on_bar(bar))
    return answers


def test_no_order_passes_a_limit_and_the_account_fills_what_was_let_through(
    policy: OnnxPolicy, place: Path, bars: Bars, clock: Clock
) -> None:
    desk = Desk(policy, AuditLog(place), LIMITS, clock=clock).warm_up(bars.slice(0, 300))
    answers = walk(desk, bars, clock, 300, 420)
    cut = [each for each in answers if any("exposure" in reason for reason in each.reasons)]
    assert cut
    assert any("orders today" in reason for each in answers for reason in each.reasons)
    for answer, after in pairwise(answers):
        fill = after.decision.fill.units
        if answer.reasons and answer.units == 0.0:
            assert fill == 0.0
        if answer in cut and answer.units:
            assert fill == pytest.approx(answer.units)
        exposure = answer.decision.portfolio.units + answer.units
        close = answer.decision.order.reference_price if answer.decision.order else 0.0
        assert exposure * close <= 0.5 * answer.decision.portfolio.equity * (1 + 1e-9) or (
            answer.units <= 0.0
        )
    assert desk.log.verify()[0] == 1 + 1 + 120


def test_a_restart_goes_on_as_if_nothing_had_been(
    policy: OnnxPolicy, place: Path, bars: Bars, clock: Clock, tmp_path: Path
) -> None:
    whole = Desk(policy, AuditLog(tmp_path / "whole.db"), LIMITS, clock=clock)
    whole.warm_up(bars.slice(0, 300))
    expected = walk(whole, bars, clock, 300, 400)
    first = Desk(policy, AuditLog(place), LIMITS, clock=clock).warm_up(bars.slice(0, 300))
    found = walk(first, bars, clock, 300, 350)
    first.log.close()
    second = Desk(policy, AuditLog(place), clock=clock)
    assert second.limits == LIMITS
    found += walk(second, bars, clock, 350, 400)
    assert [each.units for each in found] == [each.units for each in expected]
    assert [each.decision.action for each in found] == [each.decision.action for each in expected]
    assert [each.state for each in found] == [each.state for each in expected]
    assert second.log.last == whole.log.last  # the same bytes
    assert replay(policy, AuditLog(place), clock=clock) == 100


def test_a_halt_holds_over_a_restart_until_a_person_lifts_it(
    policy: OnnxPolicy, place: Path, bars: Bars, clock: Clock
) -> None:
    desk = Desk(policy, AuditLog(place), LIMITS, clock=clock).warm_up(bars.slice(0, 300))
    desk.halt("kill switch")
    again = Desk(policy, AuditLog(place), clock=clock)
    assert (again.state.state, again.state.reason) == (State.HALT, "kill switch")
    assert again.stopped == "kill switch"
    assert all(each.units == 0.0 for each in walk(again, bars, clock, 300, 360))
    with pytest.raises(ConfigError, match="no reason"):
        again.rearm("")
    again.rearm("the feed is right again; A. Person")
    assert any(each.units for each in walk(again, bars, clock, 360, 420))
    assert [each.kind for each in again.log.entries("halted", "re-armed")] == ["halted", "re-armed"]
    again.halt("")  # nobody had time to say why
    assert again.stopped == "HALT"


def test_rows_about_the_desk_decide_nothing_and_are_passed_over(
    policy: OnnxPolicy, place: Path, bars: Bars, clock: Clock
) -> None:
    desk = Desk(policy, AuditLog(place), LIMITS, clock=clock).warm_up(bars.slice(0, 300))
    answers = walk(desk, bars, clock, 300, 310)
    desk.record("alert", {"name": "drawdown", "event": "raised"})
    answers += walk(desk, bars, clock, 310, 320)
    with pytest.raises(ValueError, match="decided"):
        desk.record("decided", {})
    again = Desk(policy, AuditLog(place), clock=clock)
    expected = [each.decision.action for each in answers]
    assert [each.action for each in desk.recent] == expected
    assert [each.action for each in again.recent] == expected
    assert again.state == desk.state
    assert replay(policy, AuditLog(place), clock=clock) == 20


def test_what_is_refused_is_logged_and_orders_nothing(
    policy: OnnxPolicy, place: Path, bars: Bars, clock: Clock
) -> None:
    desk = Desk(policy, AuditLog(place), LIMITS, clock=clock).warm_up(bars.slice(0, 300))
    with pytest.raises(DataError, match="close is missing"):
        desk.on_bar(bars[300]._replace(close=float("nan")))
    (row,) = desk.log.entries("refused")
    assert "close is missing" in row.content["why"]
    clock.now = nanoseconds(bars.timestamps[300]) / 1e9 - 3_600.0
    stale = desk.on_bar(bars[300])
    assert stale.units == 0.0
    assert "s old" in stale.reasons[0]
    assert replay(policy, AuditLog(place)) == 1


def test_a_log_that_cannot_be_written_stops_every_order(
    policy: OnnxPolicy, place: Path, bars: Bars, clock: Clock
) -> None:
    desk = Desk(policy, AuditLog(place), LIMITS, clock=clock).warm_up(bars.slice(0, 300))
    walk(desk, bars, clock, 300, 310)
    blocker = sqlite3.connect(place)
    blocker.execute("DROP TABLE log")
    blocker.close()
    with pytest.raises(RiskHalt, match="cannot be written") as caught:
        walk(desk, bars, clock, 310, 311)
    assert caught.value.exit_code == 5
    with pytest.raises(RiskHalt, match="cannot be written"):
        walk(desk, bars, clock, 311, 312)


def test_a_history_with_a_wrong_bar_is_logged_as_far_as_it_was_seen(
    policy: OnnxPolicy, place: Path, bars: Bars, clock: Clock
) -> None:
    desk = Desk(policy, AuditLog(place), LIMITS, clock=clock)
    past = list(bars.slice(0, 300))
    past[200] = past[200]._replace(close=float("nan"))
    with pytest.raises(DataError, match="close is missing"):
        desk.warm_up(past)
    desk.warm_up(bars.slice(200, 300))
    found = walk(desk, bars, clock, 300, 330)
    whole = Desk(policy, AuditLog(place.with_name("w.db")), LIMITS, clock=clock)
    expected = walk(whole.warm_up(bars.slice(0, 300)), bars, clock, 300, 330)
    assert [each.decision.action for each in found] == [each.decision.action for each in expected]
    assert replay(policy, AuditLog(place)) == 30


def test_signals_are_logged_and_replayed(
    make_model: MakeModel, place: Path, bars: Bars, clock: Clock
) -> None:
    features = ("signal:mood",)
    layout = feature_set(features).schema.layout
    weights = np.array([3.0, -0.5, 0.0, 0.0, 0.0, 0.0])
    policy = OnnxPolicy(make_model(layout=layout, weights=weights))
    rng = np.random.default_rng(0)
    mood = np.where(rng.random(len(bars)) < 0.2, np.nan, rng.normal(size=len(bars)))
    seen = replace(bars, signals={"mood": mood})
    desk = Desk(policy, AuditLog(place), LIMITS, features=features, clock=clock)
    answers = walk(desk.warm_up(seen.slice(0, 10)), seen, clock, 10, 60)
    assert sum(each.units != 0.0 for each in answers) > 5
    again = desk.session.on_bar(seen[59])
    assert again.hold is Hold.REPEATED
    assert replay(policy, AuditLog(place), features=features) == 50


def test_a_mistake_of_ours_stops_every_order_until_the_desk_is_opened_anew(
    policy: OnnxPolicy, place: Path, bars: Bars, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bar was seen and is not in the log: what is decided on next could not be replayed."""
    desk = Desk(policy, AuditLog(place), LIMITS, clock=clock).warm_up(bars.slice(0, 300))
    walk(desk, bars, clock, 300, 310)
    with monkeypatch.context() as patched:
        patched.setattr(GatedSession, "_reviewed", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            desk.on_bar(bars[310])
    for bar in bars.slice(310, 312):
        with pytest.raises(RiskHalt, match="ZeroDivisionError"):
            desk.on_bar(bar)
    desk.log.close()
    again = Desk(policy, AuditLog(place), clock=clock)
    assert any(each.units for each in walk(again, bars, clock, 310, 330))
    assert replay(policy, AuditLog(place), clock=clock) == 30


def test_a_second_desk_on_a_log_is_stopped(
    policy: OnnxPolicy, place: Path, bars: Bars, clock: Clock
) -> None:
    one = Desk(policy, AuditLog(place), LIMITS, clock=clock).warm_up(bars.slice(0, 300))
    two = Desk(policy, AuditLog(place), clock=clock)
    walk(one, bars, clock, 300, 301)
    with pytest.raises(RiskHalt, match="somebody else writes"):
        walk(two, bars, clock, 300, 301)
    assert two.broken
    walk(one, bars, clock, 301, 302)
    assert one.log.verify()[0] == 4


def test_a_brokers_holdings_are_replayed_too(
    policy: OnnxPolicy, place: Path, bars: Bars, clock: Clock
) -> None:
    desk = Desk(policy, AuditLog(place), LIMITS, clock=clock).warm_up(bars.slice(0, 300))
    held, cash, orders = 0.0, 10_000.0, 0
    for bar in bars.slice(300, 340):
        clock.now = float(bar.timestamp.astype("datetime64[s]").astype(int)) + 1.0
        answer = desk.on_bar(bar, holdings=Holdings(cash, held, bar.close if held else 0.0))
        held, cash = held + answer.units, cash - answer.units * bar.close
        orders += answer.units != 0.0
    assert orders > 5
    assert replay(policy, AuditLog(place)) == 40


@pytest.mark.parametrize("key", ["action", "units", "now", "close"])
def test_a_log_that_was_changed_with_its_hashes_is_found_by_replaying(
    key: str, policy: OnnxPolicy, place: Path, bars: Bars, clock: Clock, tmp_path: Path
) -> None:
    desk = Desk(policy, AuditLog(place), LIMITS, clock=clock).warm_up(bars.slice(0, 300))
    walk(desk, bars, clock, 300, 340)
    forged = AuditLog(tmp_path / "forged.db")
    for each in desk.log.entries():
        content: dict[str, Any] = dict(each.content)
        if each.number == 25:
            if key == "close":
                content["bar"] = [*content["bar"][:4], content["bar"][4] * 1.0001, 1000.0]
                content["bar"][2] *= 1.01
            else:
                content[key] = (content[key] or 0.0) + 1e5
        forged.append(each.kind, content)
    forged.verify()
    with pytest.raises(DataError, match=r"forged.db row 2[56] "):
        replay(policy, forged)


def rewritten(log: AuditLog, place: Path, change: Callable[[dict[str, Any]], object]) -> AuditLog:
    """The same rows, each changed, with a chain of their own."""
    found = AuditLog(place)
    for each in log.entries():
        content = json.loads(json_text(each.content))
        change(content)
        found.append(each.kind, content)
    return found


def test_a_log_of_other_words_is_gone_on_with(
    policy: OnnxPolicy, place: Path, bars: Bars, clock: Clock, tmp_path: Path
) -> None:
    """An older version explained the same decisions in words of its own."""
    limits = replace(LIMITS, max_daily_loss=0.001)
    desk = Desk(policy, AuditLog(place), limits, clock=clock).warm_up(bars.slice(0, 252))
    desk.put_shadow(policy, "drill")
    walk(desk, bars, clock, 252, 300)
    desk.rearm("a person")
    clock.now -= 600.0
    assert "the clock went back" in desk.on_bar(bars[300]).reasons[0]
    words = 0

    def other_words(row: dict[str, Any]) -> None:
        nonlocal words
        risk, shadow = row.get("risk", {}), row.get("shadow", {})
        words += bool(row.get("because")) + len(row.get("reasons", [])) + bool(risk.get("reason"))
        row.update({key: "so" for key in ("because",) if row.get(key)})
        row.update({key: ["so", "it", "was"] for key in ("reasons",) if row.get(key)})
        risk.update({key: "so" for key in ("reason",) if risk.get(key)})
        shadow.update({key: "so" for key in ("because",) if shadow.get(key)})

    older = rewritten(desk.log, tmp_path / "older.db", other_words)
    assert words > 20
    again = Desk(policy, older, clock=clock)
    assert again.state == desk.state
    found, expected = (walk(each, bars, clock, 301, 320) for each in (again, desk))
    assert [each.units for each in found] == [each.units for each in expected]
    assert replay(policy, AuditLog(tmp_path / "older.db")) == 68


def test_a_log_of_before_a_setting_is_gone_on_with(
    policy: OnnxPolicy, place: Path, bars: Bars, clock: Clock, tmp_path: Path
) -> None:
    """An older version knew neither the limit nor the rule, whose defaults change nothing."""
    desk = Desk(policy, AuditLog(place), LIMITS, clock=clock).warm_up(bars.slice(0, 300))
    walk(desk, bars, clock, 300, 310)

    def without(row: dict[str, Any]) -> None:
        for settings, key in (("limits", "price_collar"), ("rules", "lot_size")):
            row.get(settings, {}).pop(key, None)

    older = rewritten(desk.log, tmp_path / "older.db", without)
    assert Desk(policy, older, LIMITS, clock=clock).state == desk.state
    with pytest.raises(ConfigError, match="max_exposure"):
        Desk(policy, older, replace(LIMITS, max_exposure=0.4), clock=clock)


def test_a_log_of_something_else_is_refused(
    policy: OnnxPolicy, make_model: MakeModel, place: Path, clock: Clock
) -> None:
    Desk(policy, AuditLog(place), LIMITS, clock=clock)
    with pytest.raises(ConfigError, match="is of model_sha256"):
        Desk(OnnxPolicy(make_model()), AuditLog(place), clock=clock)
    with pytest.raises(ConfigError, match="is of limits"):
        Desk(policy, AuditLog(place), RiskLimits(), clock=clock)
    other = AuditLog(place.with_name("other.db"))
    with pytest.raises(DataError, match="has no rows"):
        replay(policy, other)
    other.append("note", {})
    with pytest.raises(DataError, match="does not begin with a desk"):
        Desk(policy, other, clock=clock)


@pytest.fixture
def other_policy(make_model: MakeModel) -> OnnxPolicy:
    """Of the same rules and columns, with other weights."""
    rules = SimulatorConfig(action_mode="target_long", smoothing_alpha=0.5)
    return OnnxPolicy(make_model(rules, seed=1))


def test_a_swapped_model_decides_from_the_next_bar_on_and_is_rolled_back(
    policy: OnnxPolicy, other_policy: OnnxPolicy, place: Path, bars: Bars, clock: Clock
) -> None:
    desk = Desk(policy, AuditLog(place), LIMITS, clock=clock).warm_up(bars.slice(0, 300))
    walk(desk, bars, clock, 300, 320)
    found = desk.swap(other_policy, "better")
    assert found.observations == 20
    assert 0.0 < found.mean <= found.largest <= 2.0
    swapped = walk(desk, bars, clock, 320, 340)
    desk.roll_back("worse")
    back = walk(desk, bars, clock, 340, 360)
    hashes = policy.file.sha256, other_policy.file.sha256
    for answers, model, sha256 in (
        (swapped, other_policy, hashes[1]),
        (back, policy, hashes[0]),
    ):
        for answer in answers:
            seen = answer.decision.observation
            assert seen is not None
            assert answer.decision.action == float(model(seen[None])[0, 0])
            assert answer.model_sha256 == sha256
    assert models_named(desk.log) == set(hashes)
    again = Desk([policy, other_policy], AuditLog(place), LIMITS, clock=clock)
    assert (again.model_sha256, again.state) == (hashes[0], desk.state)
    assert replay([policy, other_policy], AuditLog(place)) == 60
    with pytest.raises(ConfigError, match="which is not given"):
        replay(policy, AuditLog(place))


def test_a_model_that_does_not_fit_does_not_decide(
    policy: OnnxPolicy, other_policy: OnnxPolicy, make_model: MakeModel, place: Path, bars: Bars,
    clock: Clock,
) -> None:  # fmt: skip
    desk = Desk(policy, AuditLog(place), LIMITS, clock=clock).warm_up(bars.slice(0, 300))
    walk(desk, bars, clock, 300, 320)
    rows = desk.log.last
    with pytest.raises(ConfigError, match="no reason"):
        desk.swap(other_policy, " ")
    with pytest.raises(ConfigError, match="the actions differ by up to"):
        desk.swap(other_policy, "why", max_difference=1e-3)
    with pytest.raises(ConfigError, match="other trading rules"):
        desk.swap(OnnxPolicy(make_model(SimulatorConfig())), "why")
    layout = feature_set(("signal:mood",)).schema.layout
    with pytest.raises(SchemaMismatch, match="reads observation layout"):
        desk.swap(OnnxPolicy(make_model(layout=layout)), "why")
    with pytest.raises(ConfigError, match="no model was in force before"):
        desk.roll_back("why")
    assert desk.model_sha256 == policy.file.sha256
    refused = list(desk.log.entries(after=rows[0]))
    assert {each.kind for each in refused} == {"model refused"}
    told = [each.content for each in refused]
    assert [each["asked"] for each in told] == ["swap", "swap", "swap", "swap", "roll back"]
    assert [each["model_sha256"] for each in told[:2]] == [other_policy.file.sha256] * 2
    assert "differ by up to" in told[1]["why"]
    assert told[4]["model_sha256"] is None
    desk.swap(policy, "the same", max_difference=0.0)
    with pytest.raises(SchemaMismatch):
        desk.put_shadow(OnnxPolicy(make_model(layout=layout)), "why")
    assert list(desk.log.entries())[-1].content["asked"] == "shadow"
    assert replay(policy, AuditLog(place)) == 20


def test_a_shadow_sees_every_bar_and_orders_nothing(
    policy: OnnxPolicy, other_policy: OnnxPolicy, place: Path, bars: Bars, clock: Clock
) -> None:
    alone = Desk(policy, AuditLog(place.with_name("a.db")), LIMITS, clock=clock)
    expected = walk(alone.warm_up(bars.slice(0, 300)), bars, clock, 300, 360)
    desk = Desk(policy, AuditLog(place), LIMITS, clock=clock).warm_up(bars.slice(0, 300))
    clock.now -= 600.0
    desk.put_shadow(other_policy, "to compare")
    found = walk(desk, bars, clock, 300, 360)
    assert [each.units for each in found] == [each.units for each in expected]
    own = Session(other_policy, SimulatorConfig(action_mode="target_long", smoothing_alpha=0.5))
    own.warm_up(bars.slice(0, 300))
    decisions = [own.on_bar(bar) for bar in bars.slice(300, 360)]
    told = [each.content["shadow"] for each in desk.log.entries("decided")]
    assert [each["action"] for each in told] == [each.action for each in decisions]
    assert [each["equity"] for each in told] == [each.portfolio.equity for each in decisions]
    desk.put_shadow(None, "seen enough")
    walk(desk, bars, clock, 360, 362)
    assert "shadow" not in list(desk.log.entries("decided"))[-1].content
    assert replay([policy, other_policy], AuditLog(place)) == 62
    *_, last, whole = daily_report(AuditLog(place))
    assert (last.shadow_equity, whole.shadow_equity) == (None, None)
    assert daily_report(AuditLog(place))[0].shadow_equity is not None


def test_orders_with_a_limit_price_fill_within_it(
    policy: OnnxPolicy, place: Path, bars: Bars, clock: Clock
) -> None:
    gaps = 1.0 + np.random.default_rng(0).normal(0.0, 1e-3, len(bars))  # between close and open
    opens = bars.open * gaps
    high, low = np.maximum(bars.high, opens), np.minimum(bars.low, opens)
    bars = replace(bars, open=opens, high=high, low=low)
    limits = replace(LIMITS, max_orders_per_day=1e9, price_collar=1e-3)
    desk = Desk(policy, AuditLog(place), limits, clock=clock).warm_up(bars.slice(0, 300))
    answers = walk(desk, bars, clock, 300, 420)
    filled = missed = 0
    for (answer, after), bar in zip(pairwise(answers), bars.slice(301, 420), strict=True):
        if answer.limit_price is None:
            assert answer.units == 0.0
            continue
        close, fill = answer.decision.order.reference_price, after.decision.fill  # type: ignore[union-attr]
        sign = 1.0 if answer.units > 0.0 else -1.0
        assert answer.limit_price == close * (1.0 + sign * 1e-3)
        if (bar.open - answer.limit_price) * sign > 0.0:
            assert fill.units == 0.0
            missed += 1
        else:
            assert fill.units == pytest.approx(answer.units, rel=1e-2)
            filled += 1
    assert min(filled, missed) >= 5
    assert replay(policy, AuditLog(place)) == 120


def test_a_bar_of_a_later_year_does_not_shut_out_those_that_follow(
    policy: OnnxPolicy, place: Path, bars: Bars, clock: Clock
) -> None:
    desk = Desk(policy, AuditLog(place), LIMITS, clock=clock)
    wrong = bars[300]._replace(timestamp=np.datetime64("2099-01-01", "ns"))
    with pytest.raises(DataError, match="a bar of 2099-01-01T00:00:00 came at 2023-11-14"):
        desk.warm_up([*bars.slice(0, 300), wrong])
    assert desk.session.bars_seen == 300
    walk(desk, bars, clock, 300, 310)
    with pytest.raises(DataError, match="came at"):
        desk.on_bar(wrong)
    (answer,) = walk(desk, bars, clock, 310, 311)
    assert answer.decision.action is not None
    (refused,) = desk.log.entries("refused")
    assert refused.content["bar"][0].startswith("2099")
    assert replay(policy, AuditLog(place)) == 11
    ahead = bars[311]  # a clock that is an hour behind, or a zone that is wrong
    clock.now -= 7_200.0
    assert desk.on_bar(ahead).units == 0.0


def test_a_log_of_other_limits_names_those_that_differ(
    policy: OnnxPolicy, place: Path, clock: Clock
) -> None:
    Desk(policy, AuditLog(place), LIMITS, clock=clock)
    with pytest.raises(ConfigError) as refused:
        Desk(policy, AuditLog(place), replace(LIMITS, max_exposure=0.4), clock=clock)
    assert refused.value.found.endswith("is of limits max_exposure=0.5")
    assert refused.value.expected == "max_exposure=0.4"


def test_a_calendar_that_changes_leaves_the_log_as_it_is(
    policy: OnnxPolicy, place: Path, bars: Bars, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A newer release knows other holidays and later years; what was decided stays decided."""
    pytest.importorskip("exchange_calendars")
    limits = replace(LIMITS, calendar="XNYS", open_only=True, max_price_age_s=1e12)
    desk = Desk(policy, AuditLog(place), limits, clock=clock).warm_up(bars.slice(0, 300))
    moments = ("2024-07-02T15:00", "2024-07-03T15:00", "2024-07-03T19:00", "2090-01-02T15:00")
    for i, moment in enumerate(moments):
        clock.now = datetime.fromisoformat(f"{moment}+00:00").timestamp()
        desk.on_bar(bars[300 + i])
    assert "does not reach this moment" in desk.stopped
    told = [each.content["hours"][0] for each in desk.log.entries("decided")]
    assert told == ["2024-07-02", "2024-07-03", "2024-07-05", None]
    always = hours_of("24/7")
    monkeypatch.setattr("offline_trader.serving.risk_limits.hours_of", lambda code: always)
    assert replay(policy, AuditLog(place)) == 4
    assert Desk(policy, AuditLog(place), clock=clock).state == desk.state


class Told(Holdings):
    """A broker's own kind of it."""


@pytest.mark.parametrize(
    "kind",
    [np.float32, Fraction, lambda x: Decimal(repr(x)), round],
    ids=["float32", "fraction", "decimal", "whole"],
)
def test_numbers_of_every_kind_are_decided_on_as_the_log_gives_them_back(
    kind: Callable[[float], Any], policy: OnnxPolicy, place: Path, bars: Bars, clock: Clock
) -> None:
    def other(bar: Bar) -> Bar:
        made = Bar(bar.timestamp, *map(kind, bar[1:]))
        return SignalBar.with_signals(made, {"mood": kind(0.3)})

    desk = Desk(policy, AuditLog(place), LIMITS, clock=clock)
    desk.warm_up(map(other, bars.slice(0, 300)))
    orders = 0
    for bar in bars.slice(300, 330):
        clock.now = nanoseconds(bar.timestamp) / 1e9 + 1.0
        held = Told(kind(1e21), kind(3.3), kind(bar.close)) if orders else None
        orders += desk.on_bar(other(bar), holdings=held).units != 0.0
    assert orders > 0
    desk.log.close()
    again = Desk(policy, AuditLog(place), clock=clock)
    assert again.session.portfolio == desk.session.portfolio
    assert replay(policy, AuditLog(place), clock=clock) == 30


def test_what_is_no_bar_and_what_no_broker_holds_is_refused_and_leaves_the_desk_whole(
    policy: OnnxPolicy, place: Path, bars: Bars, clock: Clock
) -> None:
    desk = Desk(policy, AuditLog(place), LIMITS, clock=clock).warm_up(bars.slice(0, 300))
    good = bars[300]
    clock.now = nanoseconds(good.timestamp) / 1e9 + 1.0
    wrong = (
        good._replace(high=10**400, close=10**400),
        good._replace(volume=10**5_000),
        good._replace(open=None),  # type: ignore[arg-type]
        good._replace(close="100"),  # type: ignore[arg-type]
        good._replace(timestamp=datetime(2000, 1, 1)),  # type: ignore[arg-type]
        SignalBar.with_signals(good, {"mood": float("inf")}),
        tuple(good),
        None,
    )
    for bar in wrong:
        with pytest.raises(DataError) as caught:
            desk.on_bar(bar)  # type: ignore[arg-type]
        assert caught.value.expected
    unheld = ((1.0, 2.0), (10**400, 0, 0), (10**5_000, 0, 0), ("1", 0, 0), (None, None, None), 5)
    for held in unheld:
        with pytest.raises(ConfigError, match="holdings of"):
            desk.on_bar(good, holdings=held)  # type: ignore[arg-type]
    assert len(list(desk.log.entries("refused"))) == len(wrong) + len(unheld)
    assert desk.broken == ""
    assert desk.on_bar(good).decision.action is not None
    assert replay(policy, AuditLog(place), clock=clock) == 1


def test_a_price_near_0_that_stands_for_none_leaves_the_account_numbers(
    make_model: MakeModel, place: Path, bars: Bars, clock: Clock
) -> None:
    rules = SimulatorConfig(action_mode="target_long", lot_size=0.5)
    policy = OnnxPolicy(make_model(rules))
    desk = Desk(policy, AuditLog(place), LIMITS, clock=clock).warm_up(bars.slice(0, 300))
    walk(desk, bars, clock, 300, 310)
    for i, least in zip(range(310, 330), [1e-310, 5e-324] * 10, strict=True):
        clock.now = nanoseconds(bars.timestamps[i]) / 1e9 + 1.0
        answer = desk.on_bar(bars[i]._replace(open=least, low=least))
        assert np.isfinite(answer.decision.portfolio).all()
    if desk.session.portfolio.units == 0.0:
        desk.session.amend(1.0)
    with pytest.raises(DataError, match="worth no number"):
        desk.on_bar(bars[330]._replace(high=1.7e308))
    desk.log.close()
    assert replay(policy, AuditLog(place), clock=clock) == 30


def test_a_stopped_desk_takes_no_history(
    policy: OnnxPolicy, place: Path, bars: Bars, clock: Clock
) -> None:
    """A part of it would be lost, and what follows would be in the log without it."""
    desk = Desk(policy, AuditLog(place), LIMITS, clock=clock).warm_up(bars.slice(0, 100))
    desk.stop(DataError("the disk was full"))
    with pytest.raises(RiskHalt, match="the disk was full"):
        desk.warm_up(bars.slice(200, 300))
    assert desk.session.bars_seen == 100


def test_a_log_of_features_of_ones_own_is_replayed_where_their_file_is_named(
    make_model: MakeModel,
    tmp_path: Path,
    bars: Bars,
    clock: Clock,
    capsys: pytest.CaptureFixture[str],
) -> None:
    file = tmp_path / "own_bodies.py"
    file.write_text("def bodies(bars):\n    return bars['close'] / bars['open'] - 1.0\n")
    name = name_features(f"{file}:bodies")
    layout = feature_set((name,)).schema.layout
    audited = {"name": name, "sha256": file_sha256(file), "features": layout.features, "window": 1}
    counts = dict.fromkeys(("bars", "comparisons", "bars_cut"), 600)
    model = make_model(
        layout=layout,
        weights=np.array([90.0, -0.5, 0.0, 0.0, 0.0, 0.0]),
        features=[name],
        own_features=[audited | counts],
    )
    desk = Desk(OnnxPolicy(model), AuditLog(tmp_path / "own.db"), LIMITS, clock=clock)
    assert sum(each.units != 0.0 for each in walk(desk, bars, clock, 10, 60)) > 5
    desk.log.close()
    place = [str(tmp_path / "own.db"), str(model)]
    with pytest.raises(SystemExit) as stop:
        main(["audit-log", "replay", *place, "--features", f"{file}:bodies"])
    assert stop.value.code == 0
    assert "50 decisions, each the same again" in capsys.readouterr().out


def test_ruin_is_counted_from_what_the_broker_holds_where_bars_came_before_it(
    policy: OnnxPolicy, place: Path, bars: Bars, clock: Clock
) -> None:
    desk = Desk(policy, AuditLog(place), LIMITS, clock=clock).warm_up(bars.slice(0, 300))
    walk(desk, bars, clock, 300, 302)  # of an account of 10,000
    held = Holdings(400.0, 0.0)
    for i in (302, 303):
        clock.now = nanoseconds(bars.timestamps[i]) / 1e9 + 1.0
        answer = desk.on_bar(bars[i], holdings=held)
        assert answer.decision.hold is not Hold.RUINED
        desk.rearm("A. Person: the account is another")
    clock.now = nanoseconds(bars.timestamps[304]) / 1e9 + 1.0
    ruined = desk.on_bar(bars[304], holdings=Holdings(19.0, 0.0))
    assert ruined.decision.hold is Hold.RUINED
    desk.log.close()
    assert replay(policy, AuditLog(place), clock=clock) == 5
