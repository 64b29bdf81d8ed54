"""Limits over all desks: by hand, over random books, and through desks of one store."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from offline_trader.errors import ConfigError
from offline_trader.export import OnnxPolicy
from offline_trader.markets import load_market
from offline_trader.serving import (
    AuditLog,
    BookLimits,
    Commits,
    Desk,
    Holdings,
    RiskLimits,
    open_book,
    open_store,
    replay,
)
from offline_trader.serving.risk_book import Closes, Standing, caps_for, correlated
from offline_trader.serving.row_text import json_text
from offline_trader.simulator import SimulatorConfig

MakeModel = Callable[..., Path]


def closes(seed: int, of: Closes | None = None, weight: float = 0.0, bars: int = 61) -> Closes:
    """A walk, as far as ``weight`` says that of another."""
    own = np.random.default_rng(seed).normal(size=bars) * 0.01
    if of is not None:
        common = np.diff(np.log([close for _, close in of]), prepend=0.0)
        own = weight * common + math.sqrt(1.0 - weight * weight) * own
        own[0] = 0.0
    return tuple(zip(map(float, range(bars)), np.exp(np.cumsum(own)).tolist(), strict=True))


A = closes(1)
ALIKE, OPPOSITE, APART = closes(2, A, 0.95), closes(3, A, -0.95), closes(4)


def test_returns_that_move_together_belong_together() -> None:
    limits = BookLimits()
    assert correlated(A, ALIKE, limits)
    assert correlated(A, OPPOSITE, limits)
    assert not correlated(A, APART, limits)
    assert correlated(A, APART[:15], limits)  # too few to know
    assert correlated(A, tuple((time + 1_000.0, close) for time, close in APART), limits)
    first, second = (np.diff(np.log([close for _, close in each])) for each in (A, ALIKE))
    found = float(np.corrcoef(first, second)[0, 1])
    assert correlated(A, ALIKE, BookLimits(correlation=found - 1e-9))
    assert not correlated(A, ALIKE, BookLimits(correlation=found + 1e-9))


def test_what_is_left_to_a_desk() -> None:
    own = Standing(equity=100.0, closes=A)
    others = [
        Standing(30.0, 100.0, "d", 2, ALIKE),
        Standing(20.0, 100.0, "d", 1, APART),
        Standing(10.0, 100.0, "c", 9, closes(5, APART, 0.95)),
    ]
    limits = BookLimits(max_gross=0.5, max_concentration=0.25, max_group=0.2)
    left = {
        name.split(" of ")[-1]: value for value, name in caps_for(limits, own, others, "d").values
    }
    assert left == pytest.approx(
        {"all desks": 140.0, "one instrument": 100.0, "correlated instruments": 50.0}
    )
    caps = caps_for(limits, own, others, "d")
    held = [("max_gross", 0.5, 60.0), ("max_concentration", 0.25, 0.0), ("max_group", 0.2, 30.0)]
    assert (caps.used, caps.total) == (tuple(held), 400.0)
    orders = BookLimits(max_orders_per_day=4)
    assert caps_for(orders, own, others, "d").used == (("max_orders_per_day", 4, 3.0),)
    assert caps_for(orders, own._replace(day="d", orders=1), others, "d").barred
    assert not caps_for(orders, own, others, "d").barred
    bridge = [*others, Standing(5.0, 0.0, "d", 0, closes(6, A, 0.8))]
    chained = caps_for(BookLimits(max_group=0.2, correlation=0.5), own, bridge, "d").values[0][0]
    assert chained <= 0.2 * 400.0 - 30.0


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.tuples(st.floats(0.0, 1e6), st.floats(-1e3, 1e6)), max_size=5),
    st.floats(0.0, 3.0),
    st.floats(0.0, 1.0),
)
def test_no_cap_is_negative_or_beyond_the_limit(
    book: list[tuple[float, float]], gross: float, share: float
) -> None:
    others = [Standing(value, equity) for value, equity in book]
    own = Standing(equity=1_000.0)
    total = 1_000.0 + sum(max(equity, 0.0) for _, equity in book)
    limits = BookLimits(max_gross=gross, max_concentration=share, max_group=gross)
    for value, _ in caps_for(limits, own, others, "").values:
        assert 0.0 <= value <= max(gross, share) * total * (1.0 + 1e-12)


def test_limits_that_are_none_are_refused() -> None:
    for wrong in (
        {"max_gross": -1.0},
        {"correlation": math.nan},
        {"correlation_bars": 5},
        {"correlation": None},
        {"correlation_bars": None},
        {"max_group": "half"},
    ):
        with pytest.raises(ConfigError, match=f"book.{next(iter(wrong))}"):
            BookLimits(**wrong)
    assert not BookLimits().any


def test_desks_of_a_store_keep_to_the_book_over_a_restart(
    make_model: MakeModel, tmp_path: Path
) -> None:
    """Twice the same market, so one group: what both hold never passes its share."""
    policy = OnnxPolicy(make_model(SimulatorConfig(action_mode="target_long")))
    bars = load_market("synthetic:ou?bars=420&seed=7")
    limits = RiskLimits(max_price_age_s=1e12, max_orders_per_day=1e9, max_drawdown=1.0)
    cut = 0

    def opened() -> list[Desk]:
        store = open_store(tmp_path / "audit.db")
        book = open_book(store, BookLimits(max_group=0.3))
        commits = Commits(store)
        return [Desk(policy, AuditLog(commits, name), limits, book=book) for name in "AB"]

    desks = opened()
    for desk in desks:
        desk.warm_up(bars.slice(0, 300))
    for i, bar in enumerate(bars.slice(300, 420)):
        if i == 60:
            desks = opened()
        for which, desk in enumerate(desks):
            answer = desk.on_bar(bar)
            p = answer.decision.portfolio
            other = desks[1 - which].session.portfolio
            if answer.units > 0.0:
                whole = p.equity + other.equity
                held = abs(p.units + answer.units) * bar.close
                assert held <= 0.3 * whole * (1.0 + 1e-9)
                cut += any("correlated" in reason for reason in answer.reasons)
    assert cut > 5
    older = AuditLog(tmp_path / "older.db")  # of before it was said what is used of a limit
    for each in AuditLog(tmp_path / "audit.db", "A").entries():
        content = json.loads(json_text(each.content))
        assert each.kind != "decided" or content["book"].pop("used")[0][:2] == ["max_group", 0.3]
        assert each.kind != "decided" or content["book"].pop("total") > 0.0
        older.append(each.kind, content)
    assert replay(policy, older) == 120
    for name in "AB":
        assert replay(policy, AuditLog(tmp_path / "audit.db", name)) == 120


def test_a_bar_that_comes_again_frees_no_room_of_the_order_that_is_out(
    make_model: MakeModel, tmp_path: Path
) -> None:
    policy = OnnxPolicy(make_model(SimulatorConfig(action_mode="target_long")))
    bars = load_market("synthetic:ou?bars=420&seed=7")
    limits = RiskLimits(max_price_age_s=1e12, max_orders_per_day=1e9)
    commits = Commits(open_store(tmp_path / "audit.db"))
    book = open_book(commits.store, BookLimits(max_gross=0.3))
    first, second = (Desk(policy, AuditLog(commits, n), limits, book=book) for n in "AB")
    for desk in (first, second):
        desk.warm_up(bars.slice(0, 300))
    flat = Holdings(10_000.0, 0.0)
    second.on_bar(bars[300], holdings=flat)  # its equity counts from now on
    bought = first.on_bar(bars[300], holdings=flat)
    assert first.on_bar(bars[300]).units == 0.0  # sent again after a lost answer
    other = second.on_bar(bars[301], holdings=flat)  # nothing of its first order was filled
    out = (bought.units * bars[300].close, other.units * bars[301].close)
    assert min(out) > 0.0
    assert sum(out) <= 0.3 * 20_000.0 * (1.0 + 1e-9)


def test_what_the_book_leaves_can_be_read_again_where_sums_are_beyond_numbers() -> None:
    rich = Standing(1.7e308, 1.7e308)
    caps = caps_for(BookLimits(max_gross=2.0, max_group=0.5), rich, [rich, rich], "")
    told = json.loads(json_text({"values": caps.values, "used": caps.used, "total": caps.total}))
    assert all(isinstance(x, float) for x in (told["total"], *(cap for cap, _ in told["values"])))
    assert all(isinstance(held, float) for *_, held in told["used"])
