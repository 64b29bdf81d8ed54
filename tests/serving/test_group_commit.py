"""The disk holds up nobody who need not wait; no answer leaves before its row is there."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from offline_trader.errors import DataError, RiskHalt
from offline_trader.export import OnnxPolicy
from offline_trader.markets import Bars, load_market
from offline_trader.serving import AuditLog, Commits, Desk, RiskLimits, replay
from offline_trader.serving.group_commit import GroupCommit
from offline_trader.serving.one_turn import Turn
from offline_trader.serving.store import Row, SqliteStore
from offline_trader.simulator import SimulatorConfig

LIMITS = RiskLimits(max_exposure=0.5, max_price_age_s=1e12)


class SlowStore(SqliteStore):
    """A disk that writes when it is told to; or fails."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.may, self.fails = threading.Event(), False
        self.may.set()
        self.batches: list[int] = []

    def start(self, rows: Sequence[Row]) -> Callable[[], None] | None:
        self.batches.append(len(rows))
        return super().start(rows)

    def _end(self, rows: Sequence[Row]) -> None:
        assert self.may.wait(10.0)
        if self.fails:
            raise DataError("disk full")
        super()._end(rows)


@pytest.fixture
def store(tmp_path: Path) -> SlowStore:
    return SlowStore(tmp_path / "audit.db")


@pytest.fixture
def bars() -> Bars:
    return load_market("synthetic:ou?bars=340&seed=7")


@pytest.fixture
def model(make_model: Callable[..., Path]) -> OnnxPolicy:
    return OnnxPolicy(make_model(SimulatorConfig(action_mode="target_long")))


@pytest.fixture
def desk(model: OnnxPolicy, store: SlowStore, bars: Bars) -> Desk:
    return Desk(model, AuditLog(Commits(store)), LIMITS).warm_up(bars.slice(0, 300))


def test_bars_are_decided_on_while_the_disk_works(
    desk: Desk, store: SlowStore, bars: Bars, model: OnnxPolicy
) -> None:
    desk.on_bar(bars[300])
    store.may.clear()
    made = [desk.decide(bars[301])]
    desk.start_commit()
    for bar in bars.slice(302, 305):
        made.append(desk.decide(bar))
        desk.start_commit()  # would not return otherwise
    assert AuditLog(store.path).last[0] == 3
    store.may.set()
    desk.commit()
    assert [each.row for each in made] == [4, 5, 6, 7]
    assert store.batches[-2:] == [1, 3]
    assert AuditLog(store.path).verify()[0] == 7
    desk.log.close()
    assert replay(model, AuditLog(store.path)) == 5


def test_what_follows_a_lost_batch_is_lost_with_it(
    desk: Desk, store: SlowStore, bars: Bars, model: OnnxPolicy
) -> None:
    """Its rows would continue a chain that is not there."""
    desk.on_bar(bars[300])
    store.may.clear()
    store.fails = True
    desk.decide(bars[301])
    desk.start_commit()
    desk.decide(bars[302])
    store.may.set()
    with pytest.raises(RiskHalt, match="disk full"):
        desk.commit()
    store.fails = False
    for _ in range(2):
        with pytest.raises(RiskHalt, match="disk full"):
            desk.on_bar(bars[303])
    desk.commit()
    assert AuditLog(store.path).verify()[0] == 3
    again = Desk(model, AuditLog(store.path), LIMITS)
    assert again.on_bar(bars[301]).row == 4


def test_a_halt_waits_for_what_is_on_its_way(desk: Desk, store: SlowStore, bars: Bars) -> None:
    desk.decide(bars[300])
    desk.start_commit()
    desk.halt("drill")
    kinds = [each.kind for each in AuditLog(store.path).entries()]
    assert kinds[-2:] == ["decided", "halted"]
    assert AuditLog(store.path).verify()[0] == len(kinds)


def test_several_wait_together_and_the_next_ones_are_decided_meanwhile(
    model: OnnxPolicy, store: SlowStore, bars: Bars
) -> None:
    commits = Commits(store)
    desks = [
        Desk(model, AuditLog(commits, name), LIMITS).warm_up(bars.slice(0, 300)) for name in "ABC"
    ]
    group = GroupCommit(commits, desks, Turn())
    on_disk: list[tuple[str, RiskHalt | None]] = []

    def noted(name: str, halt: RiskHalt | None) -> None:
        on_disk.append((name, halt))

    async def talk(fails: bool) -> None:
        async def until(what: Callable[[], Any]) -> None:
            for _ in range(1_000):
                if what():
                    return
                await asyncio.sleep(0.005)
            raise AssertionError("it does not come to it")

        on_disk.clear()
        store.may.clear()
        store.fails = fails
        for name, desk in zip("AB", desks, strict=False):
            desk.decide(bars[300 + fails])
            group.when_durable(partial(noted, name))
        await asyncio.sleep(0.02)
        desks[2].decide(bars[300 + fails])
        group.when_durable(partial(noted, "C"))
        await asyncio.sleep(0.02)
        assert not on_disk
        store.may.set()
        await until(lambda: len(on_disk) == 3)

    asyncio.run(talk(fails=False))
    assert on_disk == [("A", None), ("B", None), ("C", None)]
    assert store.batches[-2:] == [2, 1]
    asyncio.run(talk(fails=True))
    assert [name for name, _ in on_disk] == ["A", "B", "C"]
    assert all(isinstance(halt, RiskHalt) for _, halt in on_disk)
    assert all("disk full" in desk.broken for desk in desks)
    for name in "ABC":
        assert AuditLog(store.path, name).verify()[0] == 3


def test_a_slow_disk_is_waited_for_beside_the_loop(
    desk: Desk, store: SlowStore, bars: Bars, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a disk that hangs leaves nobody an answer, not even on whether the server lives."""
    in_the_loop: list[bool] = []
    end, pauses = store._end, iter((0.06, 0.0, 0.0))

    def noted(rows: Sequence[Row]) -> None:
        in_the_loop.append(threading.current_thread() is threading.main_thread())
        time.sleep(next(pauses))
        end(rows)

    monkeypatch.setattr(store, "_end", noted)
    group = GroupCommit(desk.log.commits, [desk], Turn())

    async def alone(bar: int, hangs: bool = False) -> None:
        told = asyncio.get_running_loop().create_future()
        desk.decide(bars[bar])
        group.when_durable(told.set_result)
        if hangs:
            await asyncio.sleep(0.01)  # the loop goes on
            assert not told.done()
            store.may.set()
        assert await asyncio.wait_for(told, 10.0) is None

    async def talk() -> None:
        await alone(300)
        store.may.clear()
        await alone(301, hangs=True)
        await alone(302)

    asyncio.run(talk())
    assert in_the_loop == [True, False, True]
    assert AuditLog(store.path).verify()[0] == 5


async def both_told(desk: Desk, bars: Bars) -> list[RiskHalt | None]:
    """Two decisions at once, and what those who wait for them are told."""
    group = GroupCommit(desk.log.commits, [desk], Turn())
    told: list[RiskHalt | None] = []
    for bar in bars:
        desk.decide(bar)
        group.when_durable(told.append)
    for _ in range(200):
        await asyncio.sleep(0.005)
        if told:
            break
    return told


def test_without_another_thread_rows_are_on_disk_before_anybody_is_told(
    desk: Desk, store: SlowStore, bars: Bars
) -> None:
    def none_left(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    for first in (300, 302):
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(threading.Thread, "start", none_left)
            assert asyncio.run(both_told(desk, bars.slice(first, first + 2))) == [None, None]
        assert AuditLog(store.path).verify()[0] == first - 296
    assert asyncio.run(both_told(desk, bars.slice(304, 306))) == [None, None]
    desk.log.close()
    assert AuditLog(store.path).verify()[0] == 8


@pytest.mark.parametrize("threads", [True, False])
def test_who_is_halted_is_told_why_and_what_to_do(
    threads: bool, desk: Desk, store: SlowStore, bars: Bars, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(rows: Sequence[Row]) -> None:
        raise DataError("disk full", expected="space", hint="look at the disk")

    def none_left(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(store, "_end", full)
    if not threads:
        monkeypatch.setattr(threading.Thread, "start", none_left)
    told = asyncio.run(both_told(desk, bars.slice(300, 302)))
    assert len(told) == 2
    for halt in told:
        assert halt is not None
        assert "disk full" in halt.found
        assert (halt.expected, halt.hint) == ("space", "look at the disk")
    with pytest.raises(DataError, match=r"(?s)were lost: disk full.*look at the disk"):
        desk.log.stage("bar", {})


def test_what_cannot_be_sent_off_is_told_to_all_who_wait(
    desk: Desk, bars: Bars, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever it was, and whoever counted it."""

    def refused(_: object) -> None:
        raise DataError("no way")

    monkeypatch.setattr(desk.log.commits, "start", refused)
    told = asyncio.run(both_told(desk, bars.slice(300, 302)))
    assert ["no way" in str(halt) for halt in told] == [True, True]


def test_a_mistake_of_ours_leaves_nobody_waiting(
    desk: Desk, bars: Bars, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(rows: Sequence[Row]) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(desk.log.store, "start", broken)

    async def talk() -> list[RiskHalt | None]:
        group = GroupCommit(desk.log.commits, [desk], Turn())
        told: list[RiskHalt | None] = []
        for bar in bars.slice(300, 302):
            desk.decide(bar)
            group.when_durable(told.append)
        for _ in range(5):
            await asyncio.sleep(0)
        return told

    told = asyncio.run(talk())
    assert [str(halt).count("made a mistake") for halt in told] == [1, 1]
    with pytest.raises(RiskHalt):
        desk.decide(bars[302])
