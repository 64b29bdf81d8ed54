"""A session behind the risk gate: what a desk does at a bar, without its log.

Everything here follows from models, bars, moments and what the book left, so that a log of those is
enough to come to the same decisions again, to the bit.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from offline_trader.errors import ConfigError, DataError, OfflineTraderError
from offline_trader.markets import Bar
from offline_trader.serving.decisions import Decision, Holdings
from offline_trader.serving.desk_rows import decided, seconds_of
from offline_trader.serving.model_swap import Comparison, compared, require_alike, require_near
from offline_trader.serving.model_watch import ActionWindow, Confidence
from offline_trader.serving.risk import (
    Proposal,
    RiskState,
    Verdict,
    limit_price,
    review,
)
from offline_trader.serving.risk_book import Caps
from offline_trader.serving.risk_limits import Hours, RiskLimits
from offline_trader.serving.session import Session
from offline_trader.types import Observations

if TYPE_CHECKING:
    from offline_trader.export import OnnxPolicy

__all__ = ["GatedSession", "Step"]

_RECORDED = 256
"""Observations that a new model is compared on."""

AskBook = Callable[[float, float], Caps | None]
"""What the book leaves, by the equity and the moment; None: there is no book."""


class Step(NamedTuple):
    """What came of a bar.

    Attributes:
        bar: that was decided on.
        now: the moment.
        holdings: as the broker said; None: nobody did.
        decision: the session's.
        verdict: the gate's.
        limit_price: of the order; None: it is a market order, or none.
        state: of the gate afterwards.
        caps: what the book left; None: there is no book.
        hours: as given.
        confidence: of the action; None: it was not asked for.
        shadow: what another model would have done; None: there is none.
    """

    bar: Bar
    now: float
    holdings: Holdings | None
    decision: Decision
    verdict: Verdict
    limit_price: float | None
    state: RiskState
    caps: Caps | None
    hours: Hours | None
    confidence: float | None
    shadow: dict[str, Any] | None

    def row(self) -> dict[str, Any]:
        """What the log has to know; it is asked for when rows are written, after the decision."""
        row = decided(self.bar, self.now, self.holdings, self.decision, self.verdict, self.state)
        if self.caps is not None:
            values = [list(each) for each in self.caps.values]
            row["book"] = {"values": values, "barred": self.caps.barred}
            if self.caps.used:  # a log of before lacks it, and is taken again as it is
                used = [list(each) for each in self.caps.used]
                row["book"] |= {"used": used, "total": self.caps.total}
        if self.hours is not None:
            row["hours"] = list(self.hours)
        if self.confidence is not None:
            row["confidence"] = self.confidence
        if self.limit_price is not None:
            row["limit_price"] = self.limit_price
        if self.shadow is not None:
            row["shadow"] = self.shadow
        return row


class GatedSession:
    """The models, the account and the gate of one desk.

    Args:
        session: with the first model.
        policy: the same.
        limits: of the gate.

    Attributes:
        state: of the gate.
        models: in force one after the other; the last one decides.
        shadow: a session of another model that sees the same bars and orders nothing.
    """

    def __init__(self, session: Session, policy: OnnxPolicy, limits: RiskLimits) -> None:
        self.session, self.limits = session, limits
        self.models = [policy]
        self.state = RiskState()
        self.shadow: Session | None = None
        self.shadow_sha256 = ""
        self._window = ActionWindow(limits.collapse_window)
        self._recorded = deque[Observations](maxlen=_RECORDED)
        self._confidence = self._confidence_of(policy)

    @property
    def model(self) -> OnnxPolicy:
        """In force."""
        return self.models[-1]

    def on_bar(
        self,
        bar: Bar,
        holdings: Holdings | None,
        now: float,
        book: AskBook,
        hours: Hours | None = None,
    ) -> Step:
        """The decision at a bar and what of it may be ordered.

        Args:
            hours: what an exchange's calendar says of ``now``; None: there is none, or it is asked.

        Raises:
            DataError, ConfigError: as :meth:`Session.on_bar`; nothing has changed.
        """
        decision = self.session.on_bar(bar, holdings=holdings)
        shadow = self._in_shadow(bar)
        caps = book(decision.portfolio.equity, now)
        confidence = self._looked_at(decision)
        verdict = self._reviewed(decision, bar, now, caps, confidence, hours)
        price = limit_price(self.limits, verdict.units, bar.close)
        if price is not None or verdict.units != _asked(decision):
            self.session.amend(verdict.units, limit_price=price)
        return Step(
            bar,
            now,
            holdings,
            decision,
            verdict,
            price,
            self.state,
            caps,
            hours,
            confidence,
            shadow,
        )

    def compare(self, model: OnnxPolicy, max_difference: float | None = None) -> Comparison:
        """``model``, warmed and compared with the one in force on what was decided last.

        Raises:
            SchemaMismatch, ConfigError: it cannot take the place, or differs by more than allowed.
            DataError: it answers no finite action.
        """
        rules = self.session.rules
        require_alike(self.model, model, rules)
        found = compared(self.model, model, list(self._recorded), rules.hold_threshold)
        require_near(found, max_difference)
        return found

    def put(self, model: OnnxPolicy, *, back: bool) -> None:
        """``model`` decides from now on; ``back``: it is the one before."""
        self.session.swap(model)
        if back:
            self.models.pop()
        else:
            self.models.append(model)
        self._confidence = self._confidence_of(model)

    def rearm(self, state: RiskState) -> None:
        """A person has looked: ``state`` holds, and the actions are judged anew."""
        self.state = state
        self._window = ActionWindow(self.limits.collapse_window)

    def put_shadow(self, model: OnnxPolicy | None) -> None:
        """``model`` sees what comes from now on; it begins with the account of now. None: none.

        Raises:
            SchemaMismatch, ConfigError: it reads other columns, or has other rules.
        """
        if model is not None:
            require_alike(self.model, model, self.session.rules)
        self.shadow = None if model is None else self.session.twin(model)
        self.shadow_sha256 = "" if model is None else model.file.sha256

    def _reviewed(
        self,
        decision: Decision,
        bar: Bar,
        now: float,
        caps: Caps | None,
        confidence: float | None,
        hours: Hours | None,
    ) -> Verdict:
        p, rules = decision.portfolio, self.session.rules
        self.state, verdict = review(
            self.limits,
            self.state,
            Proposal(
                units=_asked(decision),
                price=bar.close,
                bar_time=seconds_of(bar),
                now=now,
                held=p.units,
                equity=p.equity,
                action=decision.action,
                lot=rules.lot_size,
                min_notional=rules.smallest_order,
                collapsed=self._window.verdict,
                confidence=confidence,
                caps=() if caps is None else caps.values,
                barred="" if caps is None else caps.barred,
                hours=hours,
            ),
        )
        return verdict

    def _looked_at(self, decision: Decision) -> float | None:
        """Take note of the action; how sure it is, where that is asked for."""
        if decision.action is None or decision.observation is None:
            return None
        self._recorded.append(decision.observation)
        self._window.add(decision.action, held=decision.order is None)
        if self._confidence is None or decision.order is None:
            return None
        rules, executed = self.session.rules, decision.executed or 0.0
        scale = rules.smoothing_alpha
        if rules.action_mode == "order":
            distance = abs(executed) - rules.hold_threshold
        else:
            scale *= rules.max_position_pct
            target = executed * rules.max_position_pct
            distance = abs(target - decision.portfolio.exposure) - rules.rebalance_threshold
        try:
            spread = self._confidence.spread(self.model, decision.observation)
        except DataError:
            return 0.0
        return Confidence.of(max(distance, 0.0), scale * spread)

    def _in_shadow(self, bar: Bar) -> dict[str, Any] | None:
        if self.shadow is None:
            return None
        try:
            found = self.shadow.on_bar(bar)
        except OfflineTraderError as error:  # what trades goes on
            return {"model_sha256": self.shadow_sha256, "because": error.found}
        return {
            "model_sha256": self.shadow_sha256,
            "action": found.action,
            "asked": _asked(found),
            "units": found.portfolio.units,
            "equity": found.portfolio.equity,
        }

    def _confidence_of(self, policy: OnnxPolicy) -> Confidence | None:
        if self.limits.min_confidence is None:
            return None
        if policy.task is not None:
            raise ConfigError(
                f"{policy.path.name} takes a goal, and limits.min_confidence is set",
                expected="a model without a goal, or no minimum of confidence",
            )
        if policy.keeps_state:
            raise ConfigError(
                f"{policy.path.name} chooses among options, and limits.min_confidence is set",
                expected="a model without options, or no minimum of confidence",
            )
        scale = np.asarray(policy.scaler["scale"], dtype=np.float32)
        if policy.preference is not None:  # its weights are not noisy
            scale = scale[: policy.layout.size]
        if scale.shape != (policy.layout.size,):
            raise ConfigError(
                f"{policy.path.name} states no scale of its columns",
                expected="one for each, from which the noise of limits.min_confidence is made",
            )
        return Confidence(scale, len(policy.layout.features))


def _asked(decision: Decision) -> float:
    return 0.0 if decision.order is None else decision.order.units
