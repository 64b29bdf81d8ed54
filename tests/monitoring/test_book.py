"""A book says what the log says, part by part, and never writes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from offline_trader.errors import ConfigError, DataError
from offline_trader.export import OnnxPolicy
from offline_trader.markets import Bars, load_market
from offline_trader.monitoring import Book, find_books
from offline_trader.serving import (
    AuditLog,
    BookLimits,
    Commits,
    Desk,
    RiskLimits,
    open_book,
    open_store,
)
from offline_trader.simulator import SimulatorConfig

MakeModel = Callable[..., Path]
LIMITS = RiskLimits(max_exposure=0.5, max_price_age_s=1e12)


@pytest.fixture
def bars() -> Bars:
    return load_market("synthetic:ou?bars=420&seed=7")


@pytest.fixture
def desk(make_model: MakeModel, bars: Bars, tmp_path: Path) -> Desk:
    policy = OnnxPolicy(make_model(SimulatorConfig(action_mode="target_long")))
    log = AuditLog(tmp_path / "OU.db")
    return Desk(policy, log, LIMITS).warm_up(bars.slice(0, 300))


def test_a_book_follows_the_log_as_it_grows(desk: Desk, bars: Bars) -> None:
    book = Book(desk.log.name)
    assert book.read_on()
    assert not book.read_on()
    assert (book.head["decisions"], book.head["model"]) == (0, desk.stated["model_sha256"])
    answers = [desk.on_bar(bar) for bar in bars.slice(300, 360)]
    desk.on_bar(bars[359])  # once more
    assert book.read_on()
    points = book.points_after(0)
    assert [p["action"] for p in points] == [each.decision.action for each in answers]
    assert [p["ordered"] for p in points] == [each.units for each in answers]
    assert [p["equity"] for p in points] == [each.decision.portfolio.equity for each in answers]
    assert [p["row"] for p in points] == [each.row for each in answers]
    exposures = [each.decision.portfolio.exposure for each in answers]
    assert [p["exposure"] for p in points] == pytest.approx(exposures)
    head = book.head
    assert head["orders"] == sum(each.units != 0.0 for each in answers)
    used = {each["name"]: each for each in head["limits"]}
    assert used["max_exposure"]["used"] == pytest.approx(abs(exposures[-1]))
    assert used["max_exposure"]["limit"] == 0.5
    assert used["max_orders_per_day"]["used"] == desk.state.orders_today
    assert used["max_equal_actions"]["used"] == desk.state.equal_actions
    assert "max_order_notional" not in used
    assert book.points_after(points[-2]["row"]) == points[-1:]


def test_limits_of_all_desks_are_shown_with_what_all_use_of_them(
    make_model: MakeModel, bars: Bars, tmp_path: Path
) -> None:
    policy = OnnxPolicy(make_model(SimulatorConfig(action_mode="target_long")))
    whole = BookLimits(
        max_gross=0.3, max_concentration=0.2, max_group=0.25, max_orders_per_day=1_000
    )
    commits = Commits(open_store(tmp_path / "audit.db"))
    book = open_book(commits.store, whole)
    desks = {
        name: Desk(policy, AuditLog(commits, name), LIMITS, book=book, clock=lambda: 1.7e9)
        for name in "AB"
    }
    shown = {each.instrument: each for each in find_books(tmp_path / "audit.db")}
    orders, held, seen = 0, {"A": 0.0, "B": 0.0}, 0.0
    for desk in desks.values():
        desk.warm_up(bars.slice(0, 300))
    for bar in bars.slice(300, 330):
        for name, desk in desks.items():
            answer = desk.on_bar(bar)
            units = answer.decision.portfolio.units
            held[name] = max(abs(units), abs(units + answer.units)) * bar.close
            orders += answer.units != 0.0
            if bar.timestamp == bars[300].timestamp and name == "A":
                continue  # nobody knows of the other desk yet
            shown[name].read_on()
            total = sum(each.session.portfolio.equity for each in desks.values())
            used = {each["name"]: each for each in shown[name].head["limits"]}
            for key, limit, expected in (
                ("max_gross", 0.3, sum(held.values()) / total),
                ("max_concentration", 0.2, held[name] / total),
                ("max_group", 0.25, sum(held.values()) / total),  # the same market twice
            ):
                told = used[f"book.{key}"]
                assert (told["unit"], told["limit"]) == ("share", limit)
                assert told["used"] == pytest.approx(expected)
                seen = max(seen, told["used"] / limit)
    assert 0.9 < seen < 1.2  # an order keeps to the limit, prices move on
    assert orders > 10
    assert used["book.max_orders_per_day"]["used"] == orders
    assert "book.max_gross" not in _used_without_a_book(policy, bars, tmp_path)


def _used_without_a_book(policy: OnnxPolicy, bars: Bars, folder: Path) -> set[str]:
    desk = Desk(policy, AuditLog(folder / "alone.db"), LIMITS).warm_up(bars.slice(0, 300))
    desk.on_bar(bars[300])
    alone = Book(desk.log.name)
    alone.read_on()
    return {each["name"] for each in alone.head["limits"]}


def test_halts_refusals_and_alerts_are_events(desk: Desk, bars: Bars) -> None:
    book = Book(desk.log.name)
    desk.on_bar(bars[300])
    with pytest.raises(DataError):
        desk.on_bar(bars[299])
    desk.halt("<b>drill</b>")
    alert = {
        "alert": "drawdown", "instrument": "OU", "severity": "critical", "text": "deep", "time": "",
        "event": "raised", "value": 0.3, "threshold": 0.2, "told": True, "now": 5.0,
    }  # fmt: skip
    desk.record("alert", alert)
    book.read_on()
    assert (book.head["state"], book.head["reason"]) == ("HALT", "<b>drill</b>")
    assert [each["what"] for each in book.head["events"]] == ["refused", "halted", "drawdown"]
    assert [each["alert"] for each in book.head["firing"]] == ["drawdown"]
    sent = {"alert": "drawdown", "event": "undelivered", "channel": "mail", "reason": "no", "of": 5}
    desk.record("alert", {**sent, "now": 6.0, "tries": 1})
    desk.record("alert", alert | {"event": "cleared"})
    desk.rearm("A. Person")
    book.read_on()
    assert (book.head["state"], book.head["firing"]) == ("NORMAL", [])
    words = [each["words"] for each in book.head["events"]][-3:]
    assert words == ["undelivered by mail (no)", "cleared: deep", "A. Person"]


def test_the_model_in_force_is_not_the_one_in_the_shadow(
    desk: Desk, make_model: MakeModel, bars: Bars
) -> None:
    rules, size = SimulatorConfig(action_mode="target_long"), desk.model.layout.size
    other, third = (
        OnnxPolicy(make_model(rules, weights=np.random.default_rng(i).normal(0.0, 0.2, size)))
        for i in (5, 6)
    )
    desk.on_bar(bars[300])
    book = Book(desk.log.name)
    desk.swap(other, "A. Person")
    desk.put_shadow(third, "A. Person")
    book.read_on()
    assert (book.head["model"], book.head["shadow"]) == (other.file.sha256, third.file.sha256)
    desk.put_shadow(None, "enough")
    desk.roll_back("worse")
    book.read_on()
    assert (book.head["model"], book.head["shadow"]) == (desk.stated["model_sha256"], "")
    what = [each["what"] for each in book.head["events"]]
    assert what == ["swapped", "in the shadow", "in the shadow", "rolled back"]
    desk.record("loaded", {"file": "x.onnx", "model_sha256": third.file.sha256, "now": 5.0})
    with pytest.raises(ConfigError):
        desk.swap(third, "")
    book.read_on()
    events = list(book.head["events"])[-2:]
    assert [each["what"] for each in events] == ["loaded", "swap refused"]
    assert all(third.file.sha256[:12] in each["words"] for each in events)
    assert book.head["refused"] == 0  # these are bars


def test_a_book_only_reads(desk: Desk, bars: Bars, tmp_path: Path) -> None:
    desk.on_bar(bars[300])
    before = desk.log.last
    book = Book(desk.log.name)
    book.read_on()
    assert book._store is not None
    with pytest.raises(Exception, match="readonly"):
        book._store.execute("INSERT INTO log VALUES ('', 99, 'x', '{}', '')")
    assert desk.log.last == before
    assert [(each.place, each.desk) for each in find_books(tmp_path)] == [(tmp_path / "OU.db", "")]
    two = Desk(desk.model, AuditLog(desk.log.commits, "TWO"), LIMITS)
    found = find_books(tmp_path / "OU.db")
    assert sorted(each.instrument for each in found) == ["OU", "TWO"]
    second = next(each for each in found if each.desk == "TWO")
    second.read_on()
    assert second.head["model"] == two.model_sha256


def test_what_is_no_log_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no audit log"):
        find_books(tmp_path)
    missing = tmp_path / "missing.db"
    with pytest.raises(DataError, match=r"missing\.db"):
        Book(missing).read_on()
    assert not missing.exists()
    noise = tmp_path / "noise.db"
    noise.write_bytes(b"x" * 5_000)
    with pytest.raises(DataError, match=r"noise\.db"):
        Book(noise).read_on()
    strange = AuditLog(tmp_path / "strange.db")
    strange.append("decided", {"hold": None})
    with pytest.raises(DataError, match="row 1 cannot be read"):
        Book(strange.name).read_on()
