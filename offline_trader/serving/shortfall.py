"""Implementation shortfall: what fills cost beside the price that was decided at, day by day.

For an order of ``q`` units decided at the close ``c``, of which ``f`` were filled for ``e`` each,
all costs included, until the next close ``c'``::

    realised  = f (e − c)          what the fills cost
    missed    = (q − f) (c' − c)   what was not filled and the market took away
    simulated = s (e_s − c)        the same of the fill by the simulator's rules

(A. F. Perold, "The implementation shortfall: paper versus reality", Journal of Portfolio Management
14(3), 1988.) All in basis points of the ordered notional ``|q| c``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import groupby, pairwise
from typing import Any, NamedTuple

from offline_trader.config import from_dict
from offline_trader.errors import DataError
from offline_trader.serving import account
from offline_trader.serving.account import Portfolio
from offline_trader.serving.audit_log import AuditLog, Entry
from offline_trader.serving.desk_rows import bar_of
from offline_trader.simulator import SimulatorConfig
from offline_trader.simulator.config import Terms

__all__ = ["Day", "daily_report"]


@dataclass(frozen=True)
class Day:
    """One day of a desk; costs in basis points of what was ordered, None without orders.

    Attributes:
        day: of the exchange or the zone, ISO; empty: all days.
        decisions: bars decided on.
        orders: let through.
        ordered: their notional at the prices decided at, quote currency.
        filled: share of the ordered units that was filled until the next bar.
        realised: cost of the fills.
        missed: what was not filled and the market took away.
        simulated: cost of the fills by the simulator's rules.
        equity: at the last decision.
        shadow_equity: of the model in the shadow; None: there was none.
    """

    day: str
    decisions: int
    orders: int
    ordered: float
    filled: float | None
    realised: float | None
    missed: float | None
    simulated: float | None
    equity: float
    shadow_equity: float | None


class _Order(NamedTuple):
    notional: float
    units: float
    filled: float
    realised: float
    missed: float
    simulated: float


def daily_report(log: AuditLog) -> list[Day]:
    """The days of a desk's log, and all of them together at the end.

    An order counts on the day it was decided; the one that is out at the end does not count.
    Where a broker's holdings came with the bars, its fills are what they changed by: money paid in
    or out between two bars looks like a cost.

    Raises:
        DataError: no log of a desk, or a row that cannot be read.
    """
    opening = next(log.entries("opened"), None)
    if opening is None:
        raise DataError(f"{log.name} does not begin with a desk", expected="the log of a desk")
    rules = from_dict(SimulatorConfig, opening.content.get("rules", {}))
    terms = Terms(*rules.terms().tolist())
    rows = [entry for entry in log.entries("decided") if entry.content["hold"] != "repeated bar"]
    try:
        orders = {a.number: _order(terms, a.content, b.content) for a, b in pairwise(rows)}
        days = [
            _day(day, list(part), orders)
            for day, part in groupby(rows, key=lambda row: str(row.content["risk"]["day"]))
        ]
        return [*days, _day("", rows, orders)] if rows else []
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise DataError(f"{log.name} cannot be read: {error}", expected="a desk's log") from error


def _day(day: str, rows: list[Entry], orders: Mapping[int, _Order | None]) -> Day:
    found = [order for row in rows if (order := orders.get(row.number)) is not None]
    notional = sum(each.notional for each in found)
    units = sum(abs(each.units) for each in found)

    def points(costs: Iterable[float]) -> float | None:
        return sum(costs) / notional * 1e4 if notional > 0.0 else None

    last = rows[-1].content
    return Day(
        day=day,
        decisions=len(rows),
        orders=sum(row.content["units"] != 0.0 for row in rows),
        ordered=notional,
        filled=sum(abs(each.filled) for each in found) / units if units > 0.0 else None,
        realised=points(each.realised for each in found),
        missed=points(each.missed for each in found),
        simulated=points(each.simulated for each in found),
        equity=float(last["portfolio"]["equity"]),
        shadow_equity=last.get("shadow", {}).get("equity"),
    )


def _order(terms: Terms, told: Mapping[str, Any], after: Mapping[str, Any]) -> _Order | None:
    """What the order of a row came to until the next one; None: there was no order."""
    units = float(told["units"])
    if units == 0.0:
        return None
    bar, later = bar_of(told["bar"]), bar_of(after["bar"])
    filled, paid = _realised(told, after)
    held = told["portfolio"]
    cash, equity = float(held["cash"]), float(held["equity"])
    _, fill = account.carry(
        terms,
        Portfolio(cash, float(held["units"]), equity, equity, entry=bar.close),
        0.0,
        price=bar.close if terms.at_close else later.open,
        close=later.close,
        volume=bar.volume,
        borrow=0.0,
        units=units,
    )
    return _Order(
        notional=abs(units) * bar.close,
        units=units,
        filled=filled,
        realised=paid - filled * bar.close,
        missed=(units - filled) * (later.close - bar.close),
        simulated=fill.units * (fill.price - bar.close) + fill.commission,
    )


def _realised(told: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[float, float]:
    """Signed units filled, and signed money paid for them, all costs included."""
    if after["holdings"] is None:
        units, price, commission = map(float, after["fill"])
        return units, units * price + commission
    cash, units, _ = map(float, after["holdings"])
    before = told["portfolio"]
    return units - float(before["units"]), float(before["cash"]) - cash
