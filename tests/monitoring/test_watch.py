"""The watch over desks: alerts in the log and on the channels, over a restart, without a decision
that waits."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from offline_trader.export import OnnxPolicy
from offline_trader.markets import Bars, load_market
from offline_trader.monitoring import (
    AlertRule,
    AlertSettings,
    Book,
    ChannelSettings,
    Delivery,
    TrainingSummary,
    Watch,
    open_channels,
    summarise,
)
from offline_trader.monitoring.signals import SIGNALS, is_collapsed
from offline_trader.serving import AuditLog, Desk, Holdings, RiskLimits, replay
from offline_trader.simulator import SimulatorConfig

MakeModel = Callable[..., Path]
LIMITS = RiskLimits(max_price_age_s=1e12, max_drawdown=0.9, max_daily_loss=0.9)
SETTINGS = AlertSettings(alerts={"drawdown": AlertRule("drawdown", above=0.2, clear=0.15)})


class Clock:
    now = 1.7e9

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def bars() -> Bars:
    return load_market("synthetic:ou?bars=600&seed=7")


@pytest.fixture
def policy(make_model: MakeModel) -> OnnxPolicy:
    return OnnxPolicy(make_model(SimulatorConfig(action_mode="target_long")))


@pytest.fixture
def desk(policy: OnnxPolicy, bars: Bars, tmp_path: Path, clock: Clock) -> Desk:
    log = AuditLog(tmp_path / "desk.db")
    return Desk(policy, log, LIMITS, clock=clock).warm_up(bars.slice(0, 300))


def events(desk: Desk) -> list[tuple[str, str]]:
    return [(each.content["alert"], each.content["event"]) for each in desk.log.entries("alert")]


def settled(watch: Watch, delivery: Delivery) -> None:
    """Until what was sent has its row."""

    async def look() -> None:
        for _ in range(500):
            watch.look()
            if not delivery.waiting:
                await asyncio.sleep(0.05)
                watch.look()
                return
            await asyncio.sleep(0.01)

    asyncio.run(look())


def into(file: Path) -> Delivery:
    return Delivery(open_channels([ChannelSettings("file", file=file)]))


def test_a_drawdown_is_raised_told_and_cleared_in_the_log(
    desk: Desk, policy: OnnxPolicy, bars: Bars, tmp_path: Path, clock: Clock
) -> None:
    file = tmp_path / "alerts.jsonl"
    delivery = into(file)
    watch = Watch({"X": desk}, SETTINGS, delivery, clock=clock)
    for i, cash in enumerate((10_000.0, 7_900.0, 8_400.0, 8_600.0)):
        answer = desk.on_bar(bars[300 + i], holdings=Holdings(cash, 0.0))
        watch.decided("X", answer, 0.002)
        clock.now += 60.0
        settled(watch, delivery)
        if cash == 7_900.0:
            assert watch.firing == [("X", "drawdown")]
            told = watch.exposition()
            labels = 'instrument="X",alert="drawdown",severity="warning"'
            assert f"offline_trader_alert_firing{{{labels}}} 1\n" in told
    assert events(desk) == [
        ("drawdown", "raised"),
        ("drawdown", "delivered"),
        ("drawdown", "cleared"),
        ("drawdown", "delivered"),
    ]
    first = next(desk.log.entries("alert")).content
    assert first["value"] == pytest.approx(0.21)
    assert first["text"].startswith("drawdown is 0.21, raised above 0.2")
    sent = [json.loads(line)["event"] for line in file.read_text().splitlines()]
    assert sent == ["raised", "cleared"]
    assert watch.firing == []
    delivery.close()
    assert replay(policy, desk.log) == 4


def test_a_restart_knows_what_fires_and_sends_what_was_never_delivered(
    desk: Desk, policy: OnnxPolicy, bars: Bars, tmp_path: Path, clock: Clock
) -> None:
    alone = Watch({"X": desk}, SETTINGS, clock=clock)  # killed before anything was delivered
    desk.on_bar(bars[300], holdings=Holdings(10_000.0, 0.0))
    desk.on_bar(bars[301], holdings=Holdings(7_000.0, 0.0))
    alone.look()
    assert events(desk) == [("drawdown", "raised")]
    again = Desk(policy, AuditLog(tmp_path / "desk.db"), clock=clock)
    delivery = into(tmp_path / "alerts.jsonl")
    watch = Watch({"X": again}, SETTINGS, delivery, clock=clock)
    assert watch.firing == [("X", "drawdown")]
    settled(watch, delivery)
    assert events(again) == [("drawdown", "raised"), ("drawdown", "delivered")]
    third = Watch({"X": again}, SETTINGS, delivery, clock=clock)  # and nothing twice
    settled(third, delivery)
    assert len(events(again)) == 2
    delivery.close()
    assert len((tmp_path / "alerts.jsonl").read_text().splitlines()) == 1


def test_an_alert_that_is_not_in_force_any_more_ends(
    desk: Desk, bars: Bars, tmp_path: Path, clock: Clock
) -> None:
    """On the page, which reads the log, it would be raised for good."""
    desk.on_bar(bars[300], holdings=Holdings(10_000.0, 0.0))
    desk.on_bar(bars[301], holdings=Holdings(7_000.0, 0.0))
    Watch({"X": desk}, SETTINGS, clock=clock).look()
    off = AlertSettings(alerts={"drawdown": replace(SETTINGS.alerts["drawdown"], enabled=False)})
    delivery = into(tmp_path / "alerts.jsonl")
    for _ in range(2):
        watch = Watch({"X": desk}, off, delivery, clock=clock)
        settled(watch, delivery)
        assert watch.firing == []
    delivery.close()
    assert events(desk) == [("drawdown", "raised"), ("drawdown", "cleared")]
    assert not (tmp_path / "alerts.jsonl").exists()
    book = Book(tmp_path / "desk.db")
    book.read_on()
    assert book.head["firing"] == []


def test_a_log_that_cannot_be_written_is_told_all_the_same(
    desk: Desk, bars: Bars, tmp_path: Path, clock: Clock
) -> None:
    delivery = into(tmp_path / "alerts.jsonl")
    settings = AlertSettings(alerts={"log-broken": AlertRule("broken", above=0.5)})
    watch = Watch({"X": desk}, settings, delivery, clock=clock)
    with closing(sqlite3.connect(desk.log.name)) as store:
        store.execute("DROP TABLE log")
    with pytest.raises(Exception, match="cannot be written"):
        desk.on_bar(bars[300])
    watch.refused("X")
    settled(watch, delivery)
    delivery.close()
    (line,) = (tmp_path / "alerts.jsonl").read_text().splitlines()
    assert json.loads(line)["alert"] == "log-broken"


def test_every_signal_is_known_once_there_were_decisions(
    desk: Desk, policy: OnnxPolicy, bars: Bars, clock: Clock
) -> None:
    rng = np.random.default_rng(0)
    names = policy.layout.features
    summary = summarise(rng.normal(size=(500, len(names))), np.tanh(rng.normal(size=500)), names)
    watch = Watch({"X": desk}, AlertSettings(), None, lambda _: summary, clock=clock)
    for bar in bars.slice(300, 520):
        watch.decided("X", desk.on_bar(bar), 0.001)
    clock.now += 30.0
    asyncio.run(watch.measure())
    watch.look()
    (health,) = [each.content for each in desk.log.entries("health")]
    assert set(health["signals"]) == set(SIGNALS)
    assert health["latency_s"] == {"p50": 0.001, "p99": 0.001, "max": 0.001}
    assert health["signals"]["silence_s"] == 30.0
    assert health["signals"]["drifted_features"] > 0.9  # real features are no normal noise
    assert set(health["drift"]["columns"]) == set(names)
    told = watch.exposition()
    assert 'decide_seconds_bucket{instrument="X",le="0.0005"} 0\n' in told
    assert 'decide_seconds_bucket{instrument="X",le="0.001"} 220\n' in told
    assert 'decide_seconds_count{instrument="X"} 220\n' in told
    asyncio.run(watch.measure())
    assert len(list(desk.log.entries("health"))) == 1  # without a decision nothing new


@pytest.mark.parametrize("ahead", [0.0, 400 * 86_400.0])
def test_a_desk_that_was_rearmed_has_not_been_silent_since_1970(
    desk: Desk, policy: OnnxPolicy, bars: Bars, clock: Clock, ahead: float
) -> None:
    """What a person sets right tells nobody that decisions have stopped; nor does it hide it."""
    settings = AlertSettings(alerts={"silence": AlertRule("silence_s", above=600.0)})
    watch = Watch({"X": desk}, settings, None, clock=clock)
    clock.now += ahead
    watch.decided("X", desk.on_bar(bars[300]), 0.001)
    clock.now += 30.0 - ahead
    desk.rearm("the clock is right again; A. Person")
    watch.look()
    assert watch._signals["X"]["silence_s"] == (0.0 if ahead else 30.0)
    stamp = bars[300].timestamp.astype("datetime64[ns]").astype(np.int64) / 1e9
    assert watch._signals["X"]["price_age_s"] == desk.state.moment - stamp
    assert watch.firing == []
    clock.now += 700.0
    watch.look()
    assert watch.firing == [("X", "silence")]
    assert Desk(policy, AuditLog(desk.log.name), LIMITS, clock=clock).state == desk.state


def test_drift_is_told_as_soon_as_there_are_enough_decisions(
    desk: Desk, policy: OnnxPolicy, bars: Bars, clock: Clock
) -> None:
    names = policy.layout.features
    summary = summarise(np.zeros((500, len(names))), np.zeros(500), names)
    watch = Watch({"X": desk}, AlertSettings(), None, lambda _: summary, clock=clock)
    found = []
    for i, bar in enumerate(bars.slice(300, 420)):
        watch.decided("X", desk.on_bar(bar), 0.001)
        if i in (0, 50, 99, 110):  # within a minute
            asyncio.run(watch.measure())
            found.append(len(list(desk.log.entries("health"))))
    assert found == [1, 1, 2, 2]
    assert [each.content for each in desk.log.entries("health")][-1]["drift"]["n"] == 100


def test_drift_is_of_the_model_in_force(
    desk: Desk, policy: OnnxPolicy, make_model: MakeModel, bars: Bars, clock: Clock
) -> None:
    rng = np.random.default_rng(0)
    names = desk.model.layout.features
    asked: list[str] = []

    def summary_of(model: OnnxPolicy) -> TrainingSummary:
        asked.append(model.file.sha256)
        return summarise(rng.normal(size=(500, len(names))), rng.normal(size=500), names)

    watch = Watch({"X": desk}, AlertSettings(), None, summary_of, clock=clock)
    weights = np.random.default_rng(5).normal(0.0, 0.2, desk.model.layout.size)
    other = OnnxPolicy(make_model(SimulatorConfig(action_mode="target_long"), weights=weights))
    counts = []
    for i, bar in enumerate(bars.slice(300, 560)):
        if i == 110:
            desk.swap(other, "A. Person tries it")
        watch.decided("X", desk.on_bar(bar), 0.001)
        if i in (105, 110, 150, 230):
            clock.now += 100.0
            asyncio.run(watch.measure())
            drift = [each.content for each in desk.log.entries("health")][-1]["drift"]
            counts.append(None if drift is None else drift["n"])
    assert counts == [106, None, None, 121]
    assert asked == [desk.stated["model_sha256"], other.file.sha256]
    again = Desk([desk.model, policy], AuditLog(desk.log.store.place), LIMITS, clock=clock)
    assert again.decided_in_force == desk.decided_in_force == 150
    later = Watch({"X": again}, AlertSettings(), None, summary_of, clock=clock)
    (bar,) = bars.slice(560, 561)
    later.decided("X", again.on_bar(bar), 0.001)
    asyncio.run(later.measure())
    drift = [each.content for each in again.log.entries("health")][-1]["drift"]
    assert (drift["n"], asked[2:]) == (151, [other.file.sha256])


def test_a_collapse_is_told(
    make_model: MakeModel, bars: Bars, tmp_path: Path, clock: Clock
) -> None:
    layout = OnnxPolicy(make_model()).layout
    dead = OnnxPolicy(make_model(weights=np.zeros(layout.size)))
    desk = Desk(dead, AuditLog(tmp_path / "dead.db"), LIMITS, clock=clock)
    desk.warm_up(bars.slice(0, 300))
    watch = Watch({"X": desk}, AlertSettings(), None, clock=clock)
    for i, bar in enumerate(bars.slice(300, 500)):
        assert is_collapsed(list(desk.recent)) is None, i
        desk.on_bar(bar)
    watch.look()
    assert ("X", "collapse") in watch.firing
    assert ("collapse", "raised") in events(desk)


def test_what_is_counted_over_many_decisions_is_counted_once_for_each(
    desk: Desk, bars: Bars, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A look holds up whoever asks meanwhile, and most desks of a server stand still."""
    counted: list[int] = []

    def noted(recent: Any) -> bool | None:
        counted.append(len(recent))
        return is_collapsed(recent)

    monkeypatch.setattr("offline_trader.monitoring.signals.is_collapsed", noted)
    watch = Watch({"X": desk}, AlertSettings(), None, clock=clock)
    watch.look()
    for bar in bars.slice(300, 302):
        watch.decided("X", desk.on_bar(bar), 0.004)
        for _ in range(3):
            watch.look()
    assert counted == [0, 1, 2]
    assert watch._signals["X"]["latency_p99_ms"] == 4.0


def test_a_lively_policy_has_not_collapsed(desk: Desk, bars: Bars) -> None:
    for bar in bars.slice(300, 520):
        desk.on_bar(bar)
    assert is_collapsed(list(desk.recent)) is False


def test_a_mistake_of_the_watch_does_not_end_it(
    desk: Desk, bars: Bars, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    watch = Watch({"X": desk}, SETTINGS, every_s=0.001, clock=clock)
    calls: list[int] = []

    def broken(*_: object) -> None:
        calls.append(1)
        raise ZeroDivisionError

    monkeypatch.setattr(watch, "look", broken)

    async def some_time() -> Any:
        task = asyncio.ensure_future(watch.run())
        await asyncio.sleep(0.1)
        task.cancel()

    asyncio.run(some_time())
    assert len(calls) > 2


def test_a_desk_that_cannot_be_looked_at_leaves_the_others_watched(
    desk: Desk, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    watch = Watch({"BAD": desk, "GOOD": desk}, SETTINGS, every_s=0.001, clock=clock)
    looked: list[str] = []

    def broken(names: list[str]) -> None:
        looked.extend(names)
        if names == ["BAD"]:
            raise ZeroDivisionError

    monkeypatch.setattr(watch, "look", broken)

    async def some_time() -> Any:
        task = asyncio.ensure_future(watch.run())
        await asyncio.sleep(0.05)
        task.cancel()

    asyncio.run(some_time())
    assert looked[:4] == ["BAD", "GOOD", "BAD", "GOOD"]
