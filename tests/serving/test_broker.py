"""A paper broker fills as the simulator does; the report says what fills cost, by hand."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from decimal import Decimal
from pathlib import Path

import pytest

from offline_trader.cli.main import main
from offline_trader.errors import ConfigError, DataError
from offline_trader.export import OnnxPolicy
from offline_trader.markets import Bar, Bars, load_market
from offline_trader.serving import (
    AuditLog,
    BrokerOrder,
    Desk,
    Holdings,
    PaperBroker,
    RiskLimits,
    daily_report,
    replay,
    trade,
)
from offline_trader.simulator import SimulatorConfig

MakeModel = Callable[..., Path]
LIMITS = RiskLimits(
    max_price_age_s=1e12, max_orders_per_day=1e9, max_drawdown=1.0, price_collar=0.002
)
RULES = {
    "long": SimulatorConfig(action_mode="target_long", commission_bps=3.0),
    "short, lots": SimulatorConfig(
        action_mode="target_long_short", borrow_bps_per_year=300.0, lot_size=0.5, impact_bps=20.0
    ),
    "at the close": SimulatorConfig(fill="close", commission_bps=3.0, min_notional=50.0),
}


@pytest.fixture
def bars() -> Bars:
    return load_market("synthetic:ou?bars=420&seed=7")


@pytest.mark.parametrize("rules", RULES.values(), ids=RULES)
def test_a_paper_broker_is_the_desks_own_account_to_the_bit(
    rules: SimulatorConfig, make_model: MakeModel, bars: Bars, tmp_path: Path
) -> None:
    """With a limit price the own account, too, trades units that were sized at the close."""
    policy = OnnxPolicy(make_model(rules))
    year = bars.periods_per_year
    own = Desk(policy, AuditLog(tmp_path / "own.db"), LIMITS, bars_per_year=year)
    own.warm_up(bars.slice(0, 300))
    traded = Desk(policy, AuditLog(tmp_path / "traded.db"), LIMITS, bars_per_year=year)
    traded.warm_up(bars.slice(0, 300))
    broker = PaperBroker(rules, bars_per_year=year)
    answers = list(trade(traded, broker, bars.slice(300, 420), name="OU"))
    orders = 0
    for bar, answer in zip(bars.slice(300, 420), answers, strict=True):
        expected = own.on_bar(bar)
        assert (answer.units, answer.limit_price) == (expected.units, expected.limit_price)
        found, alone = answer.decision.portfolio, expected.decision.portfolio
        assert (found.cash, found.units, found.equity) == (alone.cash, alone.units, alone.equity)
        orders += answer.units != 0.0
    assert orders > 20
    assert replay(policy, AuditLog(tmp_path / "traded.db"), bars_per_year=year) == 120
    (*_, whole) = daily_report(AuditLog(tmp_path / "traded.db"))
    (*_, same) = daily_report(AuditLog(tmp_path / "own.db"))
    assert whole.orders == same.orders == orders
    if not rules.borrow_bps_per_year:  # which is paid, and is no cost of a fill
        assert whole.realised == pytest.approx(same.realised)


class Half:
    """A broker that fills half of every order, half a percent worse than the close."""

    def __init__(self) -> None:
        self.cash, self.units, self.sent = 10_000.0, 0.0, 0
        self.close = 0.0

    def holdings(self) -> Holdings:
        return Holdings(self.cash, self.units, self.close if self.units else 0.0)

    def send(self, order: BrokerOrder) -> None:
        assert order.reference == f"#{order.reference[1:]}"
        sign = 1.0 if order.units > 0.0 else -1.0
        self.cash -= 0.5 * order.units * self.close * (1.0 + sign * 0.005)
        self.units += 0.5 * order.units
        self.sent += 1

    def cancel_open(self) -> None:
        pass


def test_the_report_says_what_fills_cost(
    make_model: MakeModel, bars: Bars, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rules = SimulatorConfig(
        action_mode="target_long", half_spread_bps=0.0, slippage_bps=0.0, commission_bps=10.0
    )
    policy = OnnxPolicy(make_model(rules))
    limits = replace(LIMITS, price_collar=None, max_daily_loss=1.0)
    log = AuditLog(tmp_path / "a.db")
    desk = Desk(policy, log, limits).warm_up(bars.slice(0, 300))
    broker = Half()
    closes: list[Bar] = []
    units: list[float] = []

    def fed() -> Iterator[Bar]:
        for bar in bars.slice(300, 420):
            broker.close = bar.close
            closes.append(bar)
            yield bar

    for answer in trade(desk, broker, fed()):
        units.append(answer.units)
    *days, whole = daily_report(log)
    assert sum(day.orders for day in days) == whole.orders == broker.sent
    assert sum(day.decisions for day in days) == whole.decisions == 120
    notional = sum(abs(u) * bar.close for u, bar in zip(units[:-1], closes, strict=False))
    assert whole.ordered == pytest.approx(notional)
    assert whole.filled == pytest.approx(0.5)
    assert whole.realised == pytest.approx(0.5 * 50.0)
    missed = sum(
        0.5 * u * (after.close - bar.close)
        for u, bar, after in zip(units, closes, closes[1:], strict=False)
    )
    assert whole.missed == pytest.approx(missed / notional * 1e4)
    simulated = sum(
        u * (after.open - bar.close) + abs(u) * after.open * 10e-4
        for u, bar, after in zip(units, closes, closes[1:], strict=False)
    )
    assert whole.simulated == pytest.approx(simulated / notional * 1e4, rel=0.05)  # cash has limits
    for words in (["--json"], []):
        with pytest.raises(SystemExit) as stop:
            main(["audit-log", "report", str(tmp_path / "a.db"), *words])
        assert stop.value.code == 0
        out = capsys.readouterr().out
        if words:
            assert json.loads(out)["logs"][0]["days"] == [asdict(day) for day in (*days, whole)]
        else:
            assert out.splitlines()[-1].split()[:3] == ["all", "120", str(broker.sent)]


def test_a_day_without_a_price_that_was_believed_is_not_the_sum_of_all(
    make_model: MakeModel, bars: Bars, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    policy = OnnxPolicy(make_model())
    desk = Desk(policy, AuditLog(tmp_path / "a.db"), RiskLimits(max_price_age_s=60.0))
    desk.warm_up(bars.slice(0, 300))
    for bar in bars.slice(300, 303):
        desk.on_bar(bar)
    with pytest.raises(SystemExit):
        main(["audit-log", "report", str(tmp_path / "a.db")])
    days = [line.split()[:2] for line in capsys.readouterr().out.splitlines()[2:]]
    assert days == [["unknown", "3"], ["all", "3"]]


def test_a_log_without_a_desk_has_no_report(tmp_path: Path) -> None:
    log = AuditLog(tmp_path / "a.db")
    log.append("note", {})
    with pytest.raises(DataError, match="does not begin with a desk"):
        daily_report(log)
    with pytest.raises(ConfigError, match="cost of borrowing"):
        PaperBroker(RULES["short, lots"])


def test_a_broker_that_does_not_say_what_is_held_is_sent_nothing(
    make_model: MakeModel, bars: Bars, tmp_path: Path
) -> None:
    """The desk would else decide on an account of its own, for which the broker would fill."""

    class Silent(Half):
        def holdings(self) -> Holdings:
            return None  # type: ignore[return-value]

    desk = Desk(OnnxPolicy(make_model(RULES["long"])), AuditLog(tmp_path / "a.db"), LIMITS)
    broker = Silent()
    with pytest.raises(ConfigError, match=r"holdings\(\) returned None"):
        list(trade(desk.warm_up(bars.slice(0, 300)), broker, bars.slice(300, 400)))
    assert broker.sent == 0


def test_a_bar_that_comes_again_leaves_the_order_where_it_is(
    make_model: MakeModel, bars: Bars, tmp_path: Path
) -> None:
    """It filled at the open of the bar on which it was decided, or was withdrawn for good."""
    policy = OnnxPolicy(make_model(RULES["long"]))

    def traded(name: str, times: int) -> tuple[list[float], Holdings]:
        desk = Desk(policy, AuditLog(tmp_path / name), LIMITS).warm_up(bars.slice(0, 300))
        broker = PaperBroker(RULES["long"])
        fed = (bar for bar in bars.slice(300, 360) for _ in range(times))
        answers = list(trade(desk, broker, fed))
        assert all(each.units == 0.0 for i, each in enumerate(answers) if i % times)
        return [each.units for each in answers[::times]], broker.holdings()

    assert traded("twice.db", 2) == traded("once.db", 1)


class Patient(Half):
    """Keeps the order that it was sent until it is withdrawn."""

    open: BrokerOrder | None = None

    def send(self, order: BrokerOrder) -> None:
        self.open = order

    def cancel_open(self) -> None:
        self.open = None


def in_decimals(bar: Bar) -> Bar:
    return Bar(bar.timestamp, *(Decimal(repr(x)) for x in bar[1:]))  # type: ignore[arg-type]


def test_a_bar_in_decimals_that_comes_again_is_the_last_one(
    make_model: MakeModel, bars: Bars, tmp_path: Path
) -> None:
    """It was taken for another one: its order was withdrawn, and the desk does not ask twice."""
    policy, told = OnnxPolicy(make_model(RULES["long"])), in_decimals(bars[300])
    desk = Desk(policy, AuditLog(tmp_path / "a.db"), LIMITS).warm_up(bars.slice(0, 300))
    broker = Patient()
    first, again = trade(desk, broker, [told, told])
    assert (first.units != 0.0, again.units) == (True, 0.0)
    assert broker.open is not None
    on_paper = Desk(policy, AuditLog(tmp_path / "b.db"), LIMITS).warm_up(bars.slice(0, 300))
    plain = Desk(policy, AuditLog(tmp_path / "c.db"), LIMITS).warm_up(bars.slice(0, 300))
    some = list(bars.slice(300, 320))
    found = trade(on_paper, PaperBroker(RULES["long"]), map(in_decimals, some))
    expected = trade(plain, PaperBroker(RULES["long"]), some)
    assert [each.units for each in found] == [each.units for each in expected]


@pytest.mark.parametrize("broker", [Patient(), PaperBroker(RULES["long"])], ids=["live", "paper"])
def test_what_is_no_bar_is_refused(
    broker: Patient | PaperBroker, make_model: MakeModel, bars: Bars, tmp_path: Path
) -> None:
    policy = OnnxPolicy(make_model(RULES["long"]))
    desk = Desk(policy, AuditLog(tmp_path / "a.db"), LIMITS).warm_up(bars.slice(0, 300))
    with pytest.raises(DataError, match="None as a bar"):
        list(trade(desk, broker, [bars[300], None]))  # type: ignore[list-item]
    assert desk.broken == ""


def test_a_bar_that_is_none_leaves_a_paper_account_as_it_was(bars: Bars) -> None:
    broker = PaperBroker(RULES["long"])
    broker.on_bar(bars[300])
    broker.send(BrokerOrder(10.0, None, "#1"))
    for wrong in (bars[301]._replace(close=float("nan")), bars[299]):
        with pytest.raises(DataError, match="paper broker"):
            broker.on_bar(wrong)
    assert broker.on_bar(bars[300]).units == 0.0
    assert broker.on_bar(bars[301]).units == 10.0
