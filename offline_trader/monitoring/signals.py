"""What is watched: numbers that say how a desk does, by name."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Iterator, Mapping, Reversible, Sequence
from dataclasses import dataclass, field
from itertools import islice, takewhile
from typing import TYPE_CHECKING

import numpy as np

from offline_trader.monitoring.drift import DriftReport
from offline_trader.serving import Decision, Hold, State
from offline_trader.serving.model_watch import ActionWindow

if TYPE_CHECKING:
    from offline_trader.serving import Desk

__all__ = ["SIGNALS", "WINDOW", "Seen", "is_collapsed", "signals_of"]

SIGNALS: Mapping[str, str] = {
    "drawdown": "fall from the highest equity, as a share of it",
    "daily_loss": "loss since the day's first equity, as a share of it",
    "exposure": "|position value| / equity",
    "equity": "equity, quote currency",
    "risk_state": "0 NORMAL, 1 REDUCE, 2 HALT",
    "broken": "1: the desk cannot write its log, or found it changed",
    "orders_today": "orders let through today",
    "equal_actions": "equal actions in a row",
    "collapsed": "1: the actions of the last 200 decisions are those of a collapsed policy",
    "no_action": "decisions in a row without an action: no features, or no answer of the model",
    "refusals": "bars in a row that were refused",
    "price_age_s": "age of the price at the last decision, seconds",
    "silence_s": "time since the last decision, seconds",
    "latency_p99_ms": "99th percentile of the time of the last 1,000 decisions, milliseconds",
    "drifted_features": "share of the features whose distribution is another than in training",
    "action_psi": "population stability index of the actions against those on the training's bars",
}

WINDOW = 200
"""Decisions by whose actions a collapse is told."""
_LATENCIES = 1_000


@dataclass
class Seen:
    """What a server saw of one desk.

    Attributes:
        decisions: since the start.
        seconds: that the last decisions took.
        refusals: bars in a row that were refused.
        drift: the last comparison with training.
    """

    decisions: int = 0
    seconds: deque[float] = field(default_factory=lambda: deque(maxlen=_LATENCIES))
    refusals: int = 0
    drift: DriftReport | None = None
    _counted: int = -1
    _of_many: dict[str, float] = field(default_factory=dict)

    def decided(self, seconds: float) -> None:
        """A decision, that took so long."""
        self.decisions += 1
        self.seconds.append(seconds)
        self.refusals = 0

    def of_many(self, desk: Desk) -> Mapping[str, float]:
        """The signals that are counted over many decisions, again only after a further one.

        A look at a desk that stands still would else hold up the decisions of the others.
        """
        if self._counted != self.decisions:
            self._counted, self._of_many = self.decisions, {}
            collapsed = is_collapsed(desk.recent)
            if collapsed is not None:
                self._of_many["collapsed"] = float(collapsed)
            if self.seconds:
                self._of_many["latency_p99_ms"] = 1e3 * _p99(self.seconds)
        return self._of_many


def signals_of(desk: Desk, seen: Seen, now: float | None = None) -> dict[str, float]:
    """The signals that are known at the moment ``now`` (seconds since 1970)."""
    p, risk = desk.session.portfolio, desk.state
    found = {
        "drawdown": abs(p.drawdown),
        "exposure": abs(p.exposure),
        "equity": p.equity,
        "risk_state": float(tuple(State).index(risk.state)),
        "broken": float(bool(desk.broken)),
        "orders_today": float(risk.orders_today),
        "equal_actions": float(risk.equal_actions),
        "refusals": float(seen.refusals),
    }
    if risk.day_equity > 0.0:
        found["daily_loss"] = 1.0 - p.equity / risk.day_equity
    last = next(_newest_first(desk.recent), None)
    if last is not None:
        found["no_action"] = float(_without_action(desk.recent))
        stamp = last.timestamp.astype("datetime64[ns]").astype(np.int64) / 1e9
        found["price_age_s"] = risk.moment - float(stamp)
        found["silence_s"] = (time.time() if now is None else now) - risk.moment
    found |= seen.of_many(desk)
    if seen.drift is not None:
        found["drifted_features"] = seen.drift.drifted
        found["action_psi"] = seen.drift.action.psi
    return found


def is_collapsed(decisions: Reversible[Decision]) -> bool | None:
    """Whether the last decisions are those of a collapsed policy; None: there are too few.

    The rules are those of ``evaluate``: nearly all hold, fewer than 1.5 effective actions (e to the
    entropy of 21 equal bins), or actions that hardly differ.
    """
    asked = list(islice((d for d in reversed(decisions) if d.action is not None), WINDOW))
    if len(asked) < WINDOW:
        return None
    window = ActionWindow.of(
        [each.action or 0.0 for each in asked], [each.order is None for each in asked]
    )
    return bool(window.verdict)


def _newest_first(decisions: Reversible[Decision]) -> Iterator[Decision]:
    """Without bars that came again."""
    return (each for each in reversed(decisions) if each.hold is not Hold.REPEATED)


def _without_action(decisions: Reversible[Decision]) -> int:
    mute = (Hold.NO_ACTION, Hold.NO_FEATURES)
    return sum(1 for _ in takewhile(lambda each: each.hold in mute, _newest_first(decisions)))


def _p99(seconds: Sequence[float]) -> float:
    """The least of them that 99 % do not exceed."""
    rank = math.ceil(0.99 * len(seconds)) - 1
    values = np.fromiter(seconds, np.float64, len(seconds))
    return float(np.partition(values, rank)[rank])
