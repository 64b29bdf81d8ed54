"""What the server takes, as shapes that pydantic checks, and how it tells what it gives."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Annotated

import numpy as np
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from offline_trader.errors import DataError
from offline_trader.markets import Bar, SignalBar
from offline_trader.serving.decisions import Holdings
from offline_trader.serving.desk import Answer, Desk
from offline_trader.serving.http_answers import AnswerTold, DeskTold, OrderTold
from offline_trader.serving.risk import State

__all__ = [
    "BarBody",
    "BatchBody",
    "DecideBody",
    "HoldingsBody",
    "LoadBody",
    "ReasonBody",
    "ShadowBody",
    "SwapBody",
    "WarmUpBody",
    "exposition",
    "told",
    "told_desk",
]

_Number = Annotated[float, Field(allow_inf_nan=False, strict=True)]
"""``true`` and ``"100.5"`` are none: a price of 1 would be made of the first."""


def _dated(told: object) -> object:
    """``20181203`` would be taken for seconds since 1970, as would any number."""
    if isinstance(told, str) and told[4:5] == "-":
        return told
    raise ValueError("a time is written as 2018-12-03T00:00:00Z")


_Time = Annotated[datetime, BeforeValidator(_dated)]
_LONGEST = 10_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class _Request(_Body):
    """A request to one desk; where there is one only, it need not be named."""

    instrument: Annotated[str, Field(max_length=100)] | None = None


class BarBody(_Body):
    """One bar; ``time`` with its zone, as ``2018-12-03T00:00:00Z``, a signal without value null."""

    time: _Time
    open: _Number
    high: _Number
    low: _Number
    close: _Number
    volume: _Number = 0.0
    signals: Annotated[dict[str, _Number | None], Field(default_factory=dict)]

    def bar(self) -> Bar:
        """The bar.

        Raises:
            DataError: a time without a zone, or one outside of the years 1900 to 2200.
        """
        if self.time.tzinfo is None:
            raise DataError(
                f"time {self.time.isoformat()} names no zone",
                expected="a time such as 2018-12-03T00:00:00Z",
            )
        if not 1900 < self.time.year < 2200:  # nanoseconds since 1970 end in 2262
            raise DataError(f"time {self.time.isoformat()}", expected="a year of 1901 to 2199")
        since = self.time - _EPOCH
        seconds = since.days * 86_400 + since.seconds
        moment = np.datetime64(seconds * 1_000_000_000 + since.microseconds * 1_000, "ns")
        bar = Bar(moment, self.open, self.high, self.low, self.close, self.volume)
        if not self.signals:
            return bar
        signals = {name: np.nan if x is None else x for name, x in self.signals.items()}
        return SignalBar.with_signals(bar, signals)


class HoldingsBody(_Body):
    """What the broker holds now."""

    cash: _Number
    units: _Number
    entry_price: _Number = 0.0

    def holdings(self) -> Holdings:
        """The same."""
        return Holdings(self.cash, self.units, self.entry_price)


class DecideBody(_Request):
    """A bar to decide on, or several to catch up with, oldest first."""

    bars: Annotated[list[BarBody], Field(min_length=1, max_length=_LONGEST)]
    holdings: HoldingsBody | None = None


class BatchBody(_Body):
    """Several requests to decide, of one instrument or of many."""

    requests: Annotated[list[DecideBody], Field(min_length=1, max_length=1_000)]


class WarmUpBody(_Request):
    """Past bars for the features, oldest first."""

    bars: Annotated[list[BarBody], Field(min_length=1, max_length=_LONGEST)]


class ReasonBody(_Request):
    """Why a person halts or re-arms."""

    reason: Annotated[str, Field(min_length=1, max_length=1_000)]


class LoadBody(_Body):
    """A file in the folder of models."""

    file: Annotated[str, Field(min_length=1, max_length=255)]


class SwapBody(_Request):
    """A loaded model that is to decide; refused if it differs by more than is said here."""

    model_sha256: Annotated[str, Field(min_length=8, max_length=64)]
    reason: Annotated[str, Field(min_length=1, max_length=1_000)]
    max_difference: Annotated[_Number, Field(ge=0.0)] | None = None


class ShadowBody(_Request):
    """A loaded model that sees the bars and orders nothing; null: nobody does any more."""

    model_sha256: Annotated[str, Field(min_length=8, max_length=64)] | None
    reason: Annotated[str, Field(min_length=1, max_length=1_000)]


def told(answer: Answer) -> AnswerTold:
    """The JSON form of a desk's answer."""
    decision, p = answer.decision, answer.decision.portfolio
    order: OrderTold | None = None
    if answer.units != 0.0:
        made = decision.order
        assert made is not None
        order = {
            "side": "buy" if answer.units > 0.0 else "sell",
            "units": abs(answer.units),
            "type": "market" if answer.limit_price is None else "limit",
            "limit_price": answer.limit_price,
            "fill": made.fill,
            "reference_price": made.reference_price,
        }
    found: AnswerTold = {
        "time": f"{decision.timestamp}Z",
        "action": decision.action,
        "executed": decision.executed,
        "order": order,
        "hold": None if decision.hold is None else str(decision.hold),
        "because": decision.because,
        "reasons": list(answer.reasons),
        "risk_state": str(answer.state.state),
        "portfolio": {"cash": p.cash, "units": p.units, "equity": p.equity},
        "row": answer.row,
        "model_sha256": answer.model_sha256,
    }
    if decision.option is not None:
        found["option"] = decision.option.name
    return found


def told_desk(name: str, desk: Desk) -> DeskTold:
    """The JSON form of where a desk stands."""
    p, state = desk.session.portfolio, desk.state
    return {
        "instrument": name,
        "bars_seen": desk.session.bars_seen,
        "risk_state": str(state.state),
        "reason": state.reason,
        "broken": desk.broken,
        "portfolio": {"cash": p.cash, "units": p.units, "equity": p.equity},
    }


def exposition(
    desks: Mapping[str, Desk],
    counts: Mapping[str, Mapping[str, float]],
    turned_away: Mapping[int, int],
) -> str:
    """Prometheus' text format: counts of each desk since the start, and where it stands.

    Args:
        desks: by instrument.
        counts: of each of them.
        turned_away: requests of no desk, by status.
    """
    worst = {state: i for i, state in enumerate(State)}
    rows: list[tuple[str, str, str, Callable[[str, Desk], float]]] = [
        ("decisions_total", "counter", "bars decided on", lambda n, d: counts[n]["decisions"]),
        ("orders_total", "counter", "orders let through", lambda n, d: counts[n]["orders"]),
        ("refused_total", "counter", "bars refused", lambda n, d: counts[n]["refused"]),
        ("decide_seconds_total", "counter", "time taken", lambda n, d: counts[n]["seconds"]),
        ("risk_state", "gauge", "0 NORMAL, 1 REDUCE, 2 HALT", lambda n, d: worst[d.state.state]),
        ("broken", "gauge", "1: the log cannot be written", lambda n, d: bool(d.broken)),
        ("equity", "gauge", "quote currency", lambda n, d: d.session.portfolio.equity),
        ("exposure", "gauge", "of equity", lambda n, d: d.session.portfolio.exposure),
        ("drawdown", "gauge", "in [-1, 0]", lambda n, d: d.session.portfolio.drawdown),
    ]
    lines = []
    for name, kind, help_text, value in rows:
        lines.append(f"# HELP offline_trader_{name} {help_text}")
        lines.append(f"# TYPE offline_trader_{name} {kind}")
        for instrument, desk in desks.items():
            label = instrument.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
            shown = float(value(instrument, desk))
            lines.append(f'offline_trader_{name}{{instrument="{label}"}} {shown:.17g}')
    name = "offline_trader_turned_away_total"
    lines += [f"# HELP {name} requests not let through", f"# TYPE {name} counter"]
    lines += [f'{name}{{status="{status}"}} {n}' for status, n in turned_away.items()]
    return "\n".join(lines) + "\n"
