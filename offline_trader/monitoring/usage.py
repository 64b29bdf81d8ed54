"""How much of each limit is used, as a row of a desk's log tells it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

__all__ = ["limits_used"]


def limits_used(
    limits: Mapping[str, Any], point: Mapping[str, Any], told: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """Of each limit its name, unit, the value, and the limit.

    Args:
        limits: of the desk, by name.
        point: the decision, as the page has it.
        told: its row. Where all desks together have limits, they are there, too, with what the
            other desks held at that moment.
    """
    risk, equity = told["risk"], point["equity"]
    used: tuple[tuple[str, str, float], ...] = (
        ("max_exposure", "share", abs(point["exposure"])),
        ("max_position_notional", "money", abs(point["units"] * point["close"])),
        ("max_daily_loss", "share", _loss(equity, risk["day_equity"])),
        ("max_drawdown", "share", _loss(equity, risk["peak"])),
        ("max_orders_per_day", "count", float(risk["orders_today"])),
        ("max_equal_actions", "count", float(risk["equal_actions"])),
        ("max_price_age_s", "seconds", float(told["now"]) - point["time"]),
    )
    own = [
        {"name": name, "unit": unit, "used": value, "limit": float(limits[name])}
        for name, unit, value in used
        if limits.get(name) is not None
    ]
    return [*own, *_of_the_book(told.get("book", {}), point)]


def _of_the_book(book: Mapping[str, Any], point: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The desk's position counts as the largest that the order can lead to, as the book has it."""
    held = max(abs(point["units"]), abs(point["units"] + point["ordered"])) * point["close"]
    for name, limit, before in book.get("used", ()):
        if name == "max_orders_per_day":
            unit, used = "count", float(before) + (point["ordered"] != 0.0)
        else:
            total = float(book["total"])
            unit, used = "share", (float(before) + held) / total if total > 0.0 else 0.0
        yield {"name": f"book.{name}", "unit": unit, "used": used, "limit": float(limit)}


def _loss(equity: float, start: float) -> float:
    return max(0.0, 1.0 - equity / start) if start > 0.0 else 0.0
