"""Brokers: what a desk needs of one, and one on paper that fills by the simulator's rules.

An adapter for a broker of yours has three methods. :func:`trade` is the loop around them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple, Protocol

from offline_trader.errors import ConfigError, DataError
from offline_trader.markets import Bar, check_bar
from offline_trader.serving import account
from offline_trader.serving.account import FLAT, Fill
from offline_trader.serving.decisions import Holdings, require_bars_per_year
from offline_trader.serving.desk import Answer, Desk
from offline_trader.serving.desk_rows import plain_bar
from offline_trader.simulator import SimulatorConfig
from offline_trader.simulator.config import Terms

__all__ = ["Broker", "BrokerOrder", "PaperBroker", "trade"]


class BrokerOrder(NamedTuple):
    """What is sent.

    Attributes:
        units: signed: bought above 0, sold below.
        limit_price: worst price; None: a market order.
        reference: unique for each order of a desk: its name and the row of its log. A broker that
            knows references refuses one that it has seen.
    """

    units: float
    limit_price: float | None
    reference: str


class Broker(Protocol):
    """What an adapter has to do. An error that it raises stops :func:`trade` before any order."""

    def holdings(self) -> Holdings:
        """Cash, units and average price held now, fills that have come in included."""

    def send(self, order: BrokerOrder) -> None:
        """Hand the order in; returns when the broker has it."""

    def cancel_open(self) -> None:
        """Withdraw what of earlier orders is not filled."""


class PaperBroker:
    """An account that fills by the rules of the simulator, bar by bar.

    Args:
        rules: costs, lots, limits, and when orders fill.
        bars_per_year: for the cost of borrowing, which short positions need.
    """

    def __init__(self, rules: SimulatorConfig, *, bars_per_year: float | None = None) -> None:
        self._terms = Terms(*rules.terms().tolist())
        self._portfolio = account.start(rules)
        require_bars_per_year(bars_per_year)
        self._borrow = rules.borrow_bps_per_year * 1e-4 / (bars_per_year or 1.0)
        if self._borrow and bars_per_year is None and rules.action_mode == "target_long_short":
            raise ConfigError("a paper account with a cost of borrowing", expected="bars_per_year")
        self._last: Bar | None = None
        self._open: BrokerOrder | None = None

    def on_bar(self, bar: Bar) -> Fill:
        """The market goes on to the close of ``bar``: what of the open order was filled.

        The last bar once more changes nothing.

        Raises:
            DataError: a bar that is none, or not later than the one before; nothing has changed.
        """
        bar = plain_bar(bar)
        if self._last is not None and bar == self._last:
            return FLAT
        last = None if self._last is None else self._last.timestamp
        check_bar(bar, last, "the paper broker's bar")
        before, order, self._last = self._last, self._open, bar
        self._open = None
        if before is None:
            return FLAT
        price = before.close if self._terms.at_close else bar.open
        units = 0.0 if order is None or _beyond(order, price) else order.units
        self._portfolio, fill = account.carry(
            self._terms,
            self._portfolio,
            0.0,
            price=price,
            close=bar.close,
            volume=before.volume,
            borrow=self._borrow,
            units=units,
        )
        return fill

    def holdings(self) -> Holdings:
        """What is held at the last close."""
        p = self._portfolio
        return Holdings(p.cash, p.units, p.entry)

    def send(self, order: BrokerOrder) -> None:
        """The order fills when the next bar comes."""
        self._open = order

    def cancel_open(self) -> None:
        """Nothing waits any more."""
        self._open = None


def trade(desk: Desk, broker: Broker, bars: Iterable[Bar], *, name: str = "") -> Iterator[Answer]:
    """Decide on each bar with what the broker holds, and send what the gate lets through.

    A paper broker is shown each bar first. The last bar once more leaves the broker alone: the
    order that was decided on it stands.

    Args:
        name: of the desk, in the references of its orders.

    Raises:
        ConfigError: the broker says nothing of what is held; orders would be those of an account
            that is not the broker's.
    """
    for bar in bars:
        if _is_last(desk, bar):
            yield desk.on_bar(bar)
            continue
        if isinstance(broker, PaperBroker):
            broker.on_bar(bar)
        broker.cancel_open()
        holdings = broker.holdings()
        if holdings is None:
            raise ConfigError(
                "the broker's holdings() returned None",
                expected="Holdings(cash, units, entry_price)",
            )
        answer = desk.on_bar(bar, holdings=holdings)
        if answer.units != 0.0:
            broker.send(BrokerOrder(answer.units, answer.limit_price, f"{name}#{answer.row}"))
        yield answer


def _is_last(desk: Desk, bar: Bar) -> bool:
    """Whether ``bar``, in the numbers that the desk decides on, is the last one once more."""
    try:
        return desk.session.is_last(plain_bar(bar))
    except DataError:  # whoever is shown it refuses it
        return False


def _beyond(order: BrokerOrder, price: float) -> bool:
    return order.limit_price is not None and (price - order.limit_price) * order.units > 0.0
