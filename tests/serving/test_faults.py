"""Whatever breaks, nothing is ordered that should not be, and no acknowledged row is lost."""

from __future__ import annotations

import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from offline_trader.errors import DataError, RiskHalt
from offline_trader.export import OnnxPolicy
from offline_trader.markets import Bars, load_market
from offline_trader.serving import AuditLog, Desk, Hold, RiskLimits, replay
from offline_trader.simulator import SimulatorConfig

MakeModel = Callable[..., Path]
HOUR = 3_600.0
LIMITS = RiskLimits(max_exposure=0.5, max_price_age_s=5.0, max_orders_per_day=1e9)


class Market:
    """A desk that trades, bar by bar, one second after each bar's time stamp."""

    def __init__(self, policy: OnnxPolicy, place: Path) -> None:
        self.bars: Bars = load_market("synthetic:ou?bars=420&seed=7")
        self.policy, self.place, self.now = policy, place, 1.7e9
        self.late = 1.0
        self.desk = self.opened()
        self.desk.warm_up(self.bars.slice(0, 300))
        self.next = 300

    def opened(self) -> Desk:
        return Desk(self.policy, AuditLog(self.place), LIMITS, clock=lambda: self.now)

    def step(self) -> float:
        bar = self.bars[self.next]
        self.next += 1
        self.now = float(bar.timestamp.astype("datetime64[s]").astype(int)) + self.late
        return self.desk.on_bar(bar).units

    def orders(self, bars: int) -> int:
        return sum(self.step() != 0.0 for _ in range(bars))


@pytest.fixture
def market(make_model: MakeModel, tmp_path: Path) -> Market:
    folder = tmp_path / "store"
    folder.mkdir()
    policy = OnnxPolicy(make_model(SimulatorConfig(action_mode="target_long")))
    found = Market(policy, folder / "audit.db")
    assert found.orders(20) > 10
    return found


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """No file of this process grows beyond ``size`` bytes, as on a disk that is full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_stops_orders_and_loses_no_row(market: Market) -> None:
    last = market.desk.log.last
    size = max(each.stat().st_size for each in market.place.parent.iterdir())
    with largest_file(size), pytest.raises(RiskHalt, match="cannot be written"):
        market.orders(50)
    rows = market.desk.log.last
    assert rows[0] >= last[0]
    with pytest.raises(RiskHalt):  # there is room again, and a person has not looked
        market.step()
    market.desk.log.close()
    again = market.opened()
    assert again.log.verify() == rows
    assert replay(market.policy, AuditLog(market.place)) == rows[0] - 2
    market.desk = again
    market.next -= 2
    assert market.orders(20) > 5


@pytest.mark.parametrize("how", ["deleted", "replaced", "folder gone"])
def test_a_store_that_is_taken_away_is_noticed(how: str, market: Market) -> None:
    if how == "deleted":
        market.place.unlink()
    elif how == "replaced":
        market.place.rename(market.place.with_name("old.db"))
        market.place.write_bytes(b"")
    else:
        market.place.parent.rename(market.place.parent.with_name("moved"))
    for _ in range(3):
        with pytest.raises(RiskHalt, match="taken away or replaced"):
            market.step()


def test_a_clock_that_goes_back_by_an_hour_orders_nothing_until_it_has_caught_up(
    market: Market,
) -> None:
    market.late = 1.0 - 2.0 * HOUR  # hourly bars: an hour before the last decision
    assert market.orders(1) == 0
    told = list(market.desk.log.entries("decided"))[-1].content
    assert told["asked"] != 0.0 or told["hold"] is not None
    assert any("went back" in reason or "s old" in reason for reason in told["reasons"])
    market.late = 1.0
    assert market.orders(20) > 5


def test_a_pause_of_ten_seconds_makes_the_price_stale(market: Market) -> None:
    market.late = 11.0
    assert market.orders(10) == 0
    market.late = 1.0
    assert market.orders(10) > 3


def test_a_bar_without_a_price_orders_nothing_and_is_logged(market: Market) -> None:
    good = market.bars[market.next]
    for wrong in (
        good._replace(close=float("nan")),
        good._replace(open=float("inf")),
        good._replace(high=0.0),
    ):
        with pytest.raises(DataError):
            market.desk.on_bar(wrong)
    refused = list(market.desk.log.entries("refused"))
    assert len(refused) == 3
    assert market.orders(20) > 5
    again = market.desk.on_bar(market.bars[market.next - 1])
    assert (again.units, again.decision.hold) == (0.0, Hold.REPEATED)
    assert replay(market.policy, AuditLog(market.place)) == 41


def test_a_model_file_that_becomes_garbage_harms_nobody_and_is_refused(market: Market) -> None:
    path = market.policy.path
    path.write_bytes(b"\x00" * 1_000)
    assert market.orders(20) > 5  # what decides was read and checked before
    with pytest.raises(DataError, match=path.name):
        OnnxPolicy(path)
