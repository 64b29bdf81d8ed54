"""Round trips: hand-made cases and a plain loop as the independent reference."""

from __future__ import annotations

from collections import deque

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from offline_trader.errors import DataError
from offline_trader.evaluation.measures import Fills, fifo_lots, round_trips, trade_measures


def _fills(*rows: tuple[int, float, float, float]) -> Fills:
    bar, units, price, cost = zip(*rows, strict=True)
    return Fills(np.array(bar), np.array(units), np.array(price), np.array(cost))


def test_one_long_trip_in_two_entries_and_two_exits() -> None:
    trips = round_trips(
        _fills((1, 10, 100.0, 1.0), (3, 10, 110.0, 1.0), (5, -5, 120.0, 1.0), (9, -15, 130.0, 2.0))
    )
    assert len(trips) == 1
    assert trips.entry_bar[0] == 1
    assert trips.exit_bar[0] == 9
    assert trips.duration_bars[0] == 8
    assert trips.entry_price[0] == pytest.approx(105.0)
    assert trips.exit_price[0] == pytest.approx(127.5)
    assert trips.net_profit[0] == pytest.approx(20 * 22.5 - 5.0)


def test_a_reversal_ends_one_trip_and_begins_the_next() -> None:
    trips = round_trips(_fills((0, 2, 10.0, 0.0), (4, -6, 12.0, 3.0), (6, 4, 11.0, 0.0)))
    assert trips.direction.tolist() == [1, -1]
    assert trips.costs.tolist() == pytest.approx([1.0, 2.0])
    assert trips.net_profit.tolist() == pytest.approx([4.0 - 1.0, 4.0 - 2.0])
    assert trips.exit_bar.tolist() == [4, 6]


def test_what_is_open_at_the_end_does_not_count() -> None:
    trips = round_trips(_fills((0, 1, 10.0, 0.0), (1, -1, 11.0, 0.0), (2, 1, 12.0, 0.0)))
    assert len(trips) == 1
    assert len(round_trips(_fills((0, 1, 10.0, 0.0)))) == 0
    assert len(round_trips(Fills.from_bars(np.zeros(5), np.ones(5), 0.0))) == 0


def _loop(fills: Fills) -> list[tuple[int, int, int, float]]:
    """(entry, exit, direction, net profit) unit by unit: an independent, slow reference."""
    trips, position, profit, entry = [], 0, 0.0, 0
    for bar, units, price, cost in zip(
        fills.bar, fills.units, fills.price, fills.cost, strict=True
    ):
        step = 1 if units > 0 else -1
        for _ in range(round(abs(units))):
            if position == 0:
                entry, profit = int(bar), 0.0
            direction = step if position == 0 else int(np.sign(position))
            position += step
            profit -= step * price + cost / abs(units)
            if position == 0:
                trips.append((entry, int(bar), direction, profit))
    return trips


@pytest.mark.parametrize("seed", range(20))
def test_equals_a_plain_loop(seed: int) -> None:
    rng = np.random.default_rng(seed)
    units = np.diff(rng.integers(-4, 5, 200), prepend=0).astype(np.float64)
    units = units[units != 0]
    m = units.size
    bars = np.sort(rng.integers(0, 500, m))
    fills = Fills(bars, units, rng.uniform(5, 15, m), rng.uniform(0, 0.1, m))
    trips, expected = round_trips(fills), _loop(fills)
    assert len(trips) == len(expected) > 5
    got = list(zip(trips.entry_bar, trips.exit_bar, trips.direction, strict=True))
    assert got == [row[:3] for row in expected]
    assert trips.net_profit == pytest.approx([row[3] for row in expected], abs=1e-9)


def _fifo(fills: Fills) -> tuple[list[tuple[int, int, int, float, float]], float]:
    """(entry, exit, direction, units, net profit) with a queue, and units · price spent on what is
    left open: an independent, slow reference."""
    queue: deque[list[float]] = deque()  # bar, signed units, price, cost a unit, borrow so far
    lots = []
    assert fills.borrow is not None
    for bar, units, price, cost, owed in zip(
        fills.bar, fills.units, fills.price, fills.cost, fills.borrow, strict=True
    ):
        left, fee = float(units), float(cost) / abs(float(units))
        while queue and left * queue[0][1] < 0:
            first = queue[0]
            part = min(abs(left), abs(first[1]))
            side = 1 if first[1] > 0 else -1
            profit = side * (price - first[2]) * part - part * (fee + first[3])
            profit -= part * (owed - first[4]) if side < 0 else 0.0
            lots.append((int(first[0]), int(bar), side, part, float(profit)))
            first[1] -= side * part
            left += side * part
            if abs(first[1]) < 1e-9:
                queue.popleft()
            left = 0.0 if abs(left) < 1e-9 else left
        if left:
            queue.append([bar, left, price, fee, owed])
    return lots, sum(each[1] for each in queue)


@given(
    st.lists(st.tuples(st.integers(-30, 30), st.integers(0, 3)), min_size=1, max_size=60),
    st.integers(1, 13),
    st.booleans(),
    st.integers(0, 2**31),
)
@settings(max_examples=300, deadline=None)
def test_fifo_lots_equal_a_queue_and_earn_what_the_account_earns(
    path: list[tuple[int, int]], split: int, ends_flat: bool, seed: int
) -> None:
    """Positions of both signs, flips, partial exits, fractions of units, borrow."""
    rng = np.random.default_rng(seed)
    position = np.array([units for units, _ in path]) / split
    position = np.append(position, 0.0) if ends_flat else position
    stay = np.array([bars for _, bars in path] + [1] * ends_flat)
    units = np.diff(position, prepend=0.0)
    traded = np.abs(units) > 1e-12
    bar = np.cumsum(stay)[traded]
    units = units[traded]
    m = units.size
    fills = Fills(
        bar, units, rng.uniform(5, 15, m), rng.uniform(0, 0.5, m), np.cumsum(rng.uniform(0, 0.2, m))
    )
    found, (expected, left) = fifo_lots(fills), _fifo(fills)
    rows = zip(found.entry_bar, found.exit_bar, found.direction, strict=True)
    assert list(rows) == [row[:3] for row in expected]
    assert found.units == pytest.approx([row[3] for row in expected], rel=1e-9)
    assert found.net_profit == pytest.approx([row[4] for row in expected], rel=1e-9, abs=1e-9)
    assert left == pytest.approx(position[-1] if len(position) else 0.0, abs=1e-9)
    if ends_flat:
        assert fills.borrow is not None
        held = np.cumsum(units)[:-1]
        paid = np.sum(np.maximum(-held, 0.0) * np.diff(fills.borrow)) if m else 0.0
        account = -np.sum(units * fills.price) - fills.cost.sum() - paid
        for trades in (found, round_trips(fills)):
            assert trades.net_profit.sum() == pytest.approx(account, rel=1e-9, abs=1e-9)


def test_a_sale_of_three_purchases_closes_three_lots() -> None:
    fills = _fills((0, 2, 10.0, 0.0), (1, 3, 11.0, 3.0), (2, 1, 12.0, 0.0), (7, -5.5, 12.0, 5.5))
    lots = fifo_lots(fills)
    assert lots.entry_bar.tolist() == [0, 1, 2]
    assert lots.units.tolist() == pytest.approx([2.0, 3.0, 0.5])
    assert lots.duration_bars.tolist() == [7, 6, 5]
    assert lots.net_profit.tolist() == pytest.approx([4.0 - 2.0, 3.0 - 3.0 - 3.0, -0.5])
    assert len(round_trips(fills)) == 0


def test_a_short_lot_pays_for_the_bars_that_it_was_short() -> None:
    fills = Fills(
        np.array([0, 4, 9]),
        np.array([-2.0, -1.0, 3.0]),
        np.full(3, 10.0),
        np.zeros(3),
        np.array([0.0, 0.4, 0.9]),
    )
    assert fifo_lots(fills).net_profit.tolist() == pytest.approx([-1.8, -0.5])
    assert round_trips(fills).net_profit.tolist() == pytest.approx([-2.3])
    assert round_trips(fills).costs.tolist() == pytest.approx([2.3])


def test_rounding_leaves_no_ghost_position() -> None:
    units = np.array([0.1, 0.2, -0.3, 1.0, -1.0])
    trips = round_trips(Fills(np.arange(5), units, np.full(5, 10.0), np.zeros(5)))
    assert len(trips) == 2


def test_measures() -> None:
    units = np.array([1.0, -1.0, 1.0, -1.0, 0.0, 0.0, 0.0, 0.0])
    price = np.array([10.0, 12.0, 10.0, 9.0, 1.0, 1.0, 1.0, 1.0])
    fills = Fills.from_bars(units, price, 0.0)
    weight = np.array([0.5, 0, -0.5, 0, 0, 0, 0, 0])
    found = trade_measures(fills, weight, np.full(8, 20.5), periods_per_year=4.0)
    assert found.trades == 2
    assert found.win_rate == 0.5
    assert found.payoff_ratio == pytest.approx(2.0)
    assert found.profit_factor == pytest.approx(2.0)
    assert found.mean_duration_bars == pytest.approx(1.0)
    assert found.exposure == pytest.approx(0.25)
    assert found.mean_exposure == pytest.approx(0.125)
    assert found.turnover == pytest.approx(41.0 / 20.5 / 2.0)
    nothing = trade_measures(Fills.from_bars(np.zeros(3), 1.0, 0.0), np.zeros(3), np.ones(3), 252.0)
    assert nothing.win_rate is None
    assert nothing.turnover == 0.0


def test_refuses_disorder() -> None:
    with pytest.raises(DataError, match="fill 1 is earlier"):
        _fills((3, 1, 1.0, 0.0), (2, 1, 1.0, 0.0))
    with pytest.raises(DataError, match="fill 0: price"):
        _fills((3, 1, -1.0, 0.0))
