"""Fills of a broker's file as round trips: first in, first out."""

from __future__ import annotations

from collections import defaultdict, deque
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from offline_trader.errors import DataError
from offline_trader.evaluation.imported.profits import (
    NET,
    PLAIN,
    Costs,
    ProfitIs,
    costs_of,
    tell_gross,
    unused_money,
)
from offline_trader.evaluation.judging import TradeRow
from offline_trader.tables.fills import read_fills
from offline_trader.tables.sheet import Sheet
from offline_trader.tables.trade_words import counted
from offline_trader.types import FloatArray, IntArray

__all__ = ["RoundTrip", "match_lots", "trades_of_fills"]

TimeArray: TypeAlias = np.ndarray[tuple[int], np.dtype[np.datetime64]]

_DUST = 1e-9


@dataclass(frozen=True)
class RoundTrip:
    """What one closing fill closed.

    Attributes:
        opened, closed: rows of the first lot it closed and of the fill itself.
        units: closed, above 0.
        direction: 1 for a long position, −1 for a short one.
        entry_price: mean over the lots, by units.
        costs: of the closing and, by units, of the opening fills.
    """

    opened: int
    closed: int
    units: float
    direction: int
    entry_price: float
    costs: float


def match_lots(
    units: FloatArray, prices: FloatArray, costs: FloatArray, symbols: list[str]
) -> tuple[list[RoundTrip], int]:
    """Round trips of fills [R] in time order, and the number of lots that are still open.

    A fill against the position closes the oldest lots first; what is left of it opens a position
    the other way. Its costs are shared by units.
    """
    lots: defaultdict[str, deque[list[float]]] = defaultdict(deque)
    trips: list[RoundTrip] = []
    for row, (asked, price, cost, symbol) in enumerate(
        zip(units.tolist(), prices.tolist(), costs.tolist(), symbols, strict=True)
    ):
        mine, left = lots[symbol], abs(asked)
        side = 1 if asked > 0.0 else -1
        per_unit = cost / left if left > 0.0 else 0.0
        closed, value, paid, first = 0.0, 0.0, 0.0, -1
        while left > _DUST * abs(asked) and mine and mine[0][1] * side < 0:
            lot = mine[0]
            part = min(left, lot[2])
            first = int(lot[0]) if first < 0 else first
            closed, left = closed + part, left - part
            value, paid = value + part * lot[3], paid + part * (lot[4] + per_unit)
            lot[2] -= part
            if lot[2] <= _DUST * lot[5]:
                mine.popleft()
        if closed > 0.0:
            trips.append(RoundTrip(first, row, closed, -side, value / closed, paid))
        if left > _DUST * abs(asked):
            mine.append([row, side, left, price, per_unit, left])
    return trips, sum(len(mine) for mine in lots.values())


def trades_of_fills(
    sheet: Sheet, label: str, profit_is: ProfitIs
) -> tuple[tuple[TradeRow, ...], tuple[str, ...]]:
    """Round trips of a file of fills in the order of their exits, and what was decided.

    The profit is that of the prices less costs; where the file states the profit of closing fills,
    it is that, since a unit may be worth more than one.

    Raises:
        DataError: no price, nothing that was closed, or a row that is wrong (named).
    """
    fills = read_fills(sheet)
    rows, notes = fills.sheet, list(fills.notes)
    if fills.price is None:
        raise DataError(
            f"{sheet.table.source}: fills without a price among {sheet.listed}",
            expected="a column such as `price`",
        )
    read = rows.times(fills.time)
    times = read.utc
    notes += read.notes
    prices = rows.quantities(fills.price)[0]
    bad = np.flatnonzero(~np.isfinite(prices))
    if bad.size:
        raise DataError(
            f"{rows.place(int(bad[0]))}: {rows.names[fills.price]} is missing",
            expected="a price in every row that was filled",
        )
    costs = costs_of(rows, fills.units * prices)
    order = np.argsort(times, kind="stable")
    if len(times) > 1 and times[0] > times[-1]:
        order = np.argsort(times[::-1], kind="stable")
        order = len(times) - 1 - order  # newest first: rows of one time are turned round, too
    names = [label] * len(rows) if fills.symbols is None else fills.symbols
    trips, still = match_lots(
        fills.units[order], prices[order], costs.amounts[order], [names[i] for i in order.tolist()]
    )
    if not trips:
        raise DataError(
            f"{sheet.table.source}: {counted(len(rows), 'fill')}, and none closes a position",
            expected="sales of what was bought before, or purchases of what was sold short",
        )
    notes.append(
        f"{counted(len(rows), 'fill')} are {counted(len(trips), 'round trip')}, first in, first out"
    )
    if still:
        notes.append(f"{counted(still, 'lot')} left out, still open")
    opened = order[[trip.opened for trip in trips]]
    closed = order[[trip.closed for trip in trips]]
    profit, more = _profits(rows, trips, prices[closed], closed, costs, names, profit_is)
    notes += [*more, *unused_money(rows)]
    return _rows(trips, times, prices, opened, closed, names, profit), tuple(notes)


def _profits(
    rows: Sheet, trips: list[RoundTrip], exit_prices: FloatArray, closed: IntArray, costs: Costs,
    names: list[str], profit_is: ProfitIs,
) -> tuple[FloatArray, list[str]]:  # fmt: skip
    """[K] net profits, as stated where the file states them, and what was decided."""
    paid = np.array([trip.costs for trip in trips])
    moves = np.array([
        (price - trip.entry_price) * trip.units * trip.direction
        for price, trip in zip(exit_prices.tolist(), trips, strict=True)
    ])  # fmt: skip
    listed = ", ".join(costs.names) or "no costs, since the file names none that are money"
    stated = rows.headings.find((*NET, *PLAIN), ("", "money"), rows.holds_money)
    values = np.zeros(len(trips)) if stated is None else np.nan_to_num(rows.numbers(stated)[closed])
    if stated is None or not values.any():
        return moves - paid, [
            f"profits are (exit − entry price) · units, one unit being one of the instrument, "
            f"less {listed}"
        ]
    name = rows.names[stated]
    if not paid.any():
        return values, [f"profits are those of `{name}`"]
    shared = Costs(paid, costs.names, costs.with_minus, costs.has_swap)
    symbols = [names[i] for i in closed.tolist()]
    is_gross, why = tell_gross(values, shared, moves, symbols, profit_is)
    if is_gross:
        return values - paid, [f"`{name}` is read as gross, {why}: {listed} are taken off"]
    return values, [f"`{name}` is read as net, {why}: {listed} are not taken off again"]


def _rows(
    trips: list[RoundTrip], times: TimeArray, prices: FloatArray, opened: IntArray,
    closed: IntArray, names: list[str], profit: FloatArray,
) -> tuple[TradeRow, ...]:  # fmt: skip
    begun, ended = (
        np.datetime_as_string(times[at].astype("datetime64[s]")) for at in (opened, closed)
    )
    days = times[closed].astype("datetime64[D]") - times[opened].astype("datetime64[D]")
    return tuple(
        TradeRow(
            instrument=names[int(closed[k])],
            entry_time=str(begun[k]),
            exit_time=str(ended[k]),
            direction=trip.direction,
            entry_price=trip.entry_price,
            exit_price=float(prices[closed[k]]),
            net_profit=float(profit[k]),
            bars=int(days[k].astype(np.int64)),
        )
        for k, trip in enumerate(trips)
    )
