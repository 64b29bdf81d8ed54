"""A policy in production: a bar comes, a decision goes.

One :class:`Session` is one instrument. At every bar it carries its account from the last close to
this one, computes the features with the code of training, asks the model, and says what order the
action comes to. Fed with the bars of a market, it has the observations, actions, fills and equity
of ``offline-trader evaluate`` over that market.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from copy import copy, deepcopy
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from offline_trader.errors import ConfigError, DataError, OfflineTraderError, SchemaMismatch
from offline_trader.features import FeatureSet, feature_stream
from offline_trader.markets import Bar, Bars, check_bar
from offline_trader.serving import account
from offline_trader.serving.account import FLAT, Fill, Hold, Portfolio
from offline_trader.serving.decisions import (
    Decision,
    Holdings,
    Order,
    in_words,
    require_bars_per_year,
    require_countable,
    require_possible,
    require_span,
)
from offline_trader.serving.model_rules import (
    Decider,
    features_of,
    opened,
    pursuit_of,
    stated_rules,
)
from offline_trader.serving.running_option import choices_of
from offline_trader.simulator import SimulatorConfig
from offline_trader.simulator.config import Terms
from offline_trader.types import FloatArray

if TYPE_CHECKING:
    from offline_trader.export import OnnxPolicy

__all__ = ["Session"]


class Session:
    """Decisions of one model for one instrument, bar by bar.

    Args:
        model: the exported policy, or the path of its file.
        rules: the trading rules; by default those that the model states.
        features: names of the feature sets, or the set; by default those that the model states.
            Features of the user's own have to be named first
            (:func:`offline_trader.features.name_features`): a model imports no code.
        bars_per_year: of the instrument, for the cost of borrowing; by default that of the bars
            given to :meth:`warm_up`.
        max_gap: longest time between two bars; after a longer one the decision is to hold.
            None: the bars that come are taken for all that there are, as in training.
        max_age: longest time from a bar's time stamp to the moment given with it.
        goal: of a model that takes one, what it is asked for; by default that which the model
            states. Its horizons follow one another from the first decision on.

    Raises:
        ConfigError: no rules and none stated, an unknown feature set, a goal for a model that
            takes none, bars a year that are no number above 0, or a time that is none.
        SchemaMismatch: the model reads other columns than the features have.
        DataError: the model cannot be opened, or states rules that are none.
    """

    def __init__(
        self,
        model: OnnxPolicy | Decider | Path | str,
        rules: SimulatorConfig | None = None,
        *,
        features: FeatureSet | str | Sequence[str] | None = None,
        bars_per_year: float | None = None,
        max_gap: np.timedelta64 | None = None,
        max_age: np.timedelta64 | None = None,
        goal: float | None = None,
    ) -> None:
        require_bars_per_year(bars_per_year)
        require_span("max_gap", max_gap)
        require_span("max_age", max_age)
        self.model = opened(model)
        self._pursuit, self._choices = pursuit_of(self.model, goal), choices_of(self.model)
        self.rules = rules or stated_rules(self.model)
        self.features = features_of(self.model, features)
        self._terms = Terms(*self.rules.terms().tolist())
        self._stream = feature_stream(self.features)
        self._bars_per_year = bars_per_year
        self._max_gap, self._max_age = max_gap, max_age
        self._portfolio = account.start(self.rules)
        self._ruin_equity, self._ruined = self._terms.ruin_equity, False
        self._observation = np.zeros((1, self.model.layout.size), dtype=np.float32)
        self._width = len(self.model.layout.features)
        self._last: Bar | None = None
        self._seen = 0
        self._pending: float | None = None
        self._amended: float | None = None
        self._limit_price: float | None = None
        self._account_runs = self._holdings_came = False

    @property
    def portfolio(self) -> Portfolio:
        """At the last close."""
        return self._portfolio

    @property
    def goal(self) -> float | None:
        """What the model is asked for; None: it takes no goal."""
        return None if self._pursuit is None else self._pursuit.goal

    @property
    def bars_seen(self) -> int:
        """Bars that the features know."""
        return self._seen

    def warm_up(self, bars: Bars | Iterable[Bar]) -> Session:
        """Show the features past bars, oldest first; nothing is decided. Returns the session.

        Averages after Wilder remember their first bar: a history that begins elsewhere than that
        of training gives features within 1e-6 of training's after 253 bars, 1e-9 after 500.

        Raises:
            ConfigError: something has been decided already.
            DataError: a bar that is none, or not later than the one before; those before it
                have been seen.
        """
        if self._account_runs:
            raise ConfigError("a session is warmed up before its first decision")
        if isinstance(bars, Bars) and self._bars_per_year is None:
            self._bars_per_year = bars.periods_per_year
        for bar in bars:
            self._require_next(bar)
            self._features_after(bar)
        return self

    def on_bar(
        self,
        bar: Bar,
        *,
        holdings: Holdings | None = None,
        now: np.datetime64 | None = None,
    ) -> Decision:
        """The decision at the close of ``bar``.

        Args:
            bar: the next one. The last one once more is answered with a hold and changes nothing.
            holdings: what the broker says is held now; None: the session's own account fills its
                order by the rules of the simulator.
            now: the moment of the decision, for ``max_age``.

        Raises:
            DataError: a bar that is none (a price that is missing, not finite or not above 0, a
                high below the close …), or one that comes after a later one, or the last one with
                other prices. The session is as it was; the message says what is wrong.
            ConfigError: holdings that cannot be, or a short position without ``bars_per_year``.
        """
        if self.is_last(bar):
            return self._held(bar, Hold.REPEATED, "this bar was decided on already", FLAT)
        self._require_next(bar)
        borrow = self._borrow()
        if holdings is not None:
            require_possible(holdings, bar.close)
        else:
            require_countable(bar, max(abs(self._portfolio.units), abs(self._amended or 0.0)))
        before = self._last
        row = self._features_after(bar)
        fill = self._settle(before, bar, holdings, borrow)
        hold = self._reason_to_hold(before, bar, now)
        if self._pursuit is not None and (hold is None or self._pursuit.horizons is not None):
            self._pursuit.mark(np.array([self._portfolio.equity]))
        if hold is not None:
            return self._held(bar, *hold, fill)
        if isinstance(row, str):
            return self._held(bar, Hold.NO_FEATURES, row, fill)
        return self._decide(bar, row, fill)

    def is_last(self, bar: Bar) -> bool:
        """Whether ``bar`` is the last one once more."""
        return self._last is not None and _same(bar, self._last)

    def amend(self, units: float, *, limit_price: float | None = None) -> None:
        """Of the last decision's order only ``units`` (signed; 0: nothing) were sent.

        The own account fills these, within what cash and the rules' limits allow, and nothing at
        an open beyond the limit price. The smoother moves by the action that was decided.
        """
        self._amended, self._limit_price = units, limit_price

    def twin(self, model: Decider) -> Session:
        """Another session that has seen the same bars, whose account begins as this one is now.

        Raises:
            SchemaMismatch: ``model`` reads other columns.
        """
        other = copy(self)
        other._stream = deepcopy(self._stream)
        other._observation = self._observation.copy()
        other._pending, other._amended, other._limit_price = None, None, None
        other.swap(model)
        return other

    def swap(self, model: Decider) -> None:
        """From the next bar on ``model`` decides; features and account go on.

        Raises:
            SchemaMismatch: it reads other columns.
        """
        if model.layout.hash != self.model.layout.hash:
            raise SchemaMismatch(
                f"the model reads layout {model.layout.hash[:12]}",
                expected=f"{self.model.layout.hash[:12]}, that of the one before",
            )
        self.model = model
        self._pursuit, self._choices = pursuit_of(model, None), choices_of(model)

    def _decide(self, bar: Bar, row: FloatArray, fill: Fill) -> Decision:
        observation = self._observation
        with np.errstate(over="ignore"):  # what single precision cannot hold is no feature, below
            observation[0, : self._width] = row
        account.observe(self._portfolio, observation[0, self._width :])
        try:
            action = float((self._pursuit or self._choices or self.model)(observation)[0, 0])
        except DataError as error:
            known = np.isfinite(observation).all()
            return self._held(bar, Hold.NO_ACTION if known else Hold.NO_FEATURES, error.found, fill)
        if not math.isfinite(action):
            return self._held(bar, Hold.NO_ACTION, f"the model answers {action}", fill)
        self._pending = action
        p, close = self._portfolio, bar.close
        planned = account.plan(self._terms, p, action, close, bar.volume)
        order, because = None, ""
        if planned.hold is None:
            order = Order(planned.units, close, self.rules.fill)
        else:
            because = in_words(planned.hold, planned.executed, p, self.rules)
        return Decision(
            bar.timestamp, action, planned.executed, order, planned.hold, because, p, fill,
            observation[0].copy(), None if self._choices is None else self._choices.running,
        )  # fmt: skip

    def _held(self, bar: Bar, hold: Hold, because: str, fill: Fill) -> Decision:
        """A decision without the model. After a repeated bar the order that is out stays."""
        if hold is not Hold.REPEATED:
            self._pending = None
        return Decision(bar.timestamp, None, None, None, hold, because, self._portfolio, fill, None)

    def _require_next(self, bar: Bar) -> None:
        last = None if self._last is None else self._last.timestamp
        check_bar(bar, last, f"bar {self._seen}")

    def _features_after(self, bar: Bar) -> FloatArray | str:
        """[F] after ``bar``, or why there are none."""
        self._last = bar
        self._seen += 1
        try:
            return self._stream.update(bar)
        except OfflineTraderError as error:  # a function of the user's own may fail, too
            return error.found
        except ArithmeticError as error:  # a price so small that its share of another is 0
            return f"the bar's ratios are no numbers ({error})"

    def _settle(
        self, before: Bar | None, bar: Bar, holdings: Holdings | None, borrow: float
    ) -> Fill:
        """Carry the account from the last close to this one; what was filled on the way."""
        p, action, amended = self._portfolio, self._pending, self._amended
        if self._limit_price is not None and not self._terms.at_close and amended is not None:
            beyond = (bar.open - self._limit_price) * amended > 0.0
            amended = 0.0 if beyond else amended
        self._amended = self._limit_price = None
        begins, self._account_runs = not self._account_runs, True
        if holdings is not None:
            cash, units, entry = holdings
            equity = cash + units * bar.close
            if not self._holdings_came:  # of another account than the bars before were of
                self._ruin_equity, self._ruined = self.rules.ruin_fraction * equity, False
                self._holdings_came = True
            if begins:  # what the broker holds now, and not the rules' initial cash, is the start
                p = p._replace(equity=equity, peak=equity)
            self._portfolio = account.adopt(
                self._terms, p, action, cash=cash, units=units, entry=entry, close=bar.close
            )
            return FLAT
        if begins:
            return FLAT
        assert before is not None
        self._portfolio, fill = account.carry(
            self._terms,
            p,
            action,
            price=before.close if self._terms.at_close else bar.open,
            close=bar.close,
            volume=before.volume,
            borrow=borrow,
            units=amended,
        )
        return fill

    def _reason_to_hold(
        self, before: Bar | None, bar: Bar, now: np.datetime64 | None
    ) -> tuple[Hold, str] | None:
        if self._portfolio.equity <= self._ruin_equity:
            self._ruined = True
        if self._ruined:
            return Hold.RUINED, f"equity fell to {self._ruin_equity:.6g} or below"
        if self._seen <= self.features.warmup:
            needed = self.features.warmup + 1
            return Hold.WARMING_UP, f"{self._seen} of {needed} bars that the features need"
        if self._max_gap is not None and before is not None:
            gap = bar.timestamp - before.timestamp
            if gap > self._max_gap:
                return (
                    Hold.GAP,
                    f"{_span(gap)} after the bar before, {_span(self._max_gap)} at most",
                )
        if self._max_age is not None and now is not None:
            age = now - bar.timestamp
            if age > self._max_age:
                return Hold.STALE, f"the bar is {_span(age)} old, {_span(self._max_age)} at most"
        return None

    def _borrow(self) -> float:
        """Cost of a short position a bar, as a fraction."""
        yearly = self.rules.borrow_bps_per_year
        if self.rules.action_mode != "target_long_short" or yearly == 0.0:
            return 0.0
        if self._bars_per_year is None:
            raise ConfigError(
                "the session does not know how many bars a year has, so a short position has no "
                "cost",
                expected="bars_per_year, or warm_up with Bars",
                hint="give bars_per_year, such as 252 for daily bars",
            )
        return yearly * 1e-4 / self._bars_per_year


def _same(bar: Bar, last: Bar) -> bool:
    """Whether a bar is the last one once more, signals included (NaN is as good as NaN)."""
    if bar.close != last.close or bar != last or bar.signals.keys() != last.signals.keys():
        return False
    pairs = ((bar.signals[name], last.signals[name]) for name in bar.signals)
    return all(a == b or (math.isnan(a) and math.isnan(b)) for a, b in pairs)


def _span(span: np.timedelta64) -> str:
    return str(span.astype("timedelta64[s]").item())
