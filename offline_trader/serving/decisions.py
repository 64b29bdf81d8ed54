"""What a session says at a bar, what it may be told is held, and why it holds, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from offline_trader.errors import ConfigError, DataError
from offline_trader.markets import Bar, nanoseconds
from offline_trader.serving.account import Fill, Hold, Portfolio
from offline_trader.serving.running_option import RunningOption
from offline_trader.simulator import SimulatorConfig
from offline_trader.types import Observations

if TYPE_CHECKING:
    from offline_trader.simulator.config import Fill as FillRule

__all__ = [
    "Decision",
    "Holdings",
    "Order",
    "in_words",
    "require_bars_per_year",
    "require_begun",
    "require_countable",
    "require_possible",
    "require_span",
]

_AHEAD_S = 86_400.0
_COUNTABLE = 1e300


class Order(NamedTuple):
    """What a decision asks the market for.

    Attributes:
        units: signed: bought above 0, sold below.
        reference_price: the close that they were sized at; the paper account sizes at the fill.
        fill: when the simulator fills it: at the open of the next bar, or at this close.
    """

    units: float
    reference_price: float
    fill: FillRule

    @property
    def side(self) -> str:
        """``buy`` or ``sell``."""
        return "buy" if self.units > 0.0 else "sell"

    @property
    def notional(self) -> float:
        """Value at the reference price, quote currency, not negative."""
        return abs(self.units) * self.reference_price


class Holdings(NamedTuple):
    """What a broker says is held.

    Attributes:
        cash: quote currency, not negative.
        units: signed.
        entry_price: average price of the open position; 0 when flat.
    """

    cash: float
    units: float
    entry_price: float = 0.0


class Decision(NamedTuple):
    """What a session says at a bar.

    Attributes:
        timestamp: of the bar.
        action: the model's answer in [−1, 1]; None: it was not asked.
        executed: the action after smoothing; None with it.
        order: what to do; None: hold.
        hold: why there is no order; None with one.
        because: the same in words with numbers; empty with an order.
        portfolio: at this close, before the order.
        fill: what the order before came to between the last bar and this one.
        observation: [F + P] float32 that the model decided on; None: it was not asked.
        option: of a model that chooses among options, what runs now; None: it was not asked.
    """

    timestamp: np.datetime64
    action: float | None
    executed: float | None
    order: Order | None
    hold: Hold | None
    because: str
    portfolio: Portfolio
    fill: Fill
    observation: Observations | None
    option: RunningOption | None = None


def require_possible(holdings: Holdings, close: float) -> None:
    """Nothing if a broker's account can be so.

    Args:
        holdings: what it says.
        close: price that they are valued at; an equity beyond numbers would stay the highest one.

    Raises:
        ConfigError: it cannot.
    """
    cash, units, entry = holdings
    try:
        good = 0.0 <= cash < np.inf and abs(cash + units * close) < np.inf
        good = good and (0.0 < entry < np.inf or units == 0.0)
    except TypeError:  # a text, or nothing at all
        good = False
    if not good:
        raise ConfigError(
            f"holdings of {cash!r} in cash and {units!r} units bought at {entry!r}",
            expected="cash of 0 or more, units whose value is a number, and their average price",
        )


def require_countable(bar: Bar, units: float) -> None:
    """Nothing if what is held, or ordered, is worth a number at every price of a bar.

    Args:
        bar: the next one.
        units: of the account's own position, or of its order.

    Raises:
        DataError: it is not; the account's value would be none from then on.
    """
    if not abs(units) * bar.high < _COUNTABLE:
        raise DataError(
            f"a bar of up to {bar.high:.6g}, where {units:.6g} units are worth no number",
            expected="prices of the instrument that the bars before were of",
            hint="look at the feed, and at the units of its prices",
        )


def require_bars_per_year(count: float | None) -> None:
    """Nothing if a year can have so many bars, or nobody says how many.

    Raises:
        ConfigError: it cannot; the cost of borrowing would be none, or a gain.
    """
    if count is None or (isinstance(count, int | float) and 0.0 < count < np.inf):
        return
    raise ConfigError(f"bars_per_year is {count!r}", expected="a number above 0, or None")


def require_span(name: str, span: np.timedelta64 | None) -> None:
    """Nothing if a span is one, or there is none.

    Raises:
        ConfigError: it is something else; no bar could be compared with it.
    """
    try:
        good = isinstance(span, np.timedelta64) and span > np.timedelta64(0, "ns")
    except TypeError:  # months and years have no length
        good = False
    if span is None or good:
        return
    raise ConfigError(
        f"{name} is {span!r}", expected="a time above 0 such as numpy.timedelta64(3, 'h'), or None"
    )


def require_begun(bar: Bar, now: float) -> None:
    """Nothing if a bar is of the present, or at most a day ahead of it.

    A session takes no bar from before its last one, so one time stamp of a later year would shut
    out every bar until then.

    Args:
        now: seconds since 1970.

    Raises:
        DataError: it is not.
    """
    if nanoseconds(bar.timestamp) / 1e9 > now + _AHEAD_S:
        times = bar.timestamp.astype("datetime64[s]"), np.datetime64(int(now), "s")
        raise DataError(
            "a bar of {} came at {} (UTC)".format(*times),
            expected="a bar whose time has come",
            hint="look at the time stamps of the feed, and at the clock of this machine",
        )


def in_words(hold: Hold, executed: float, p: Portfolio, rules: SimulatorConfig) -> str:
    """Why an action comes to nothing, with the numbers that decided it."""
    if hold is Hold.HOLD_ZONE:
        return f"|{executed:.4g}| is below {rules.hold_threshold:.4g}"
    if hold is Hold.AT_TARGET:
        return f"a target of {executed:.4g} is what is held ({p.exposure:.4g} of equity)"
    if hold is Hold.NOTHING_HELD:
        return f"{executed:.4g} sells, and nothing is held"
    if hold is Hold.NO_CASH:
        return f"{executed:.4g} buys, and {p.cash:.6g} in cash do not suffice"
    if hold is Hold.NO_ACTION:
        return f"{executed:.4g} comes to more units than are counted, at such a price"
    if hold is Hold.NO_VOLUME:
        return "nothing was traded at this bar, and fills depend on volume"
    if hold is Hold.BELOW_LOT:
        return f"less than a lot of {rules.lot_size:.6g}"
    return f"worth less than {rules.min_notional:.6g}"
