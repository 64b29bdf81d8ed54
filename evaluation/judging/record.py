"""What one evaluation found, as plain data: written as JSON, read back, compared, reported.

:class:`Evaluation` is made by :func:`~offline_trader.evaluation.judging.evaluate` from a policy
or by :mod:`~offline_trader.evaluation.imported` from somebody else's results. The report draws
whatever is there; a part that is ``None`` or empty was not evaluated, and the report says so.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from offline_trader.codec import (
    LARGEST,
    from_json,
    plain,
    read_object,
    require_moderate,
    to_json,
)
from offline_trader.errors import DataError
from offline_trader.evaluation.measures import verdicts_of
from offline_trader.runs import atomic_write
from offline_trader.types import FloatArray

__all__ = [
    "ActionMap",
    "Comparator",
    "CostPoint",
    "Curve",
    "Evaluation",
    "GateRow",
    "GoalPoint",
    "GoalSweep",
    "InstrumentRow",
    "OptionRow",
    "OptionUse",
    "PreferencePoint",
    "PreferenceSweep",
    "RegimeRow",
    "Robustness",
    "ScoreRow",
    "TradeRow",
    "WindowRow",
    "above_zero",
]

FORMAT = "offline-trader evaluation 1"
_ISO = re.compile(r"\d{4}-\d\d-\d\d(T\d\d:\d\d(:\d\d(\.\d{1,9})?)?)?Z?", re.ASCII)
_FARTHEST_S = 9e9  # 1684 to 2255, what nanoseconds in 64 bits reach
_SMALLEST = 1e-50
"""No price or equity is smaller: ratios of them would be no floats."""


@dataclass(frozen=True)
class Curve:
    """Equity and what led to it. T bars, so T + 1 marks: the start and the close of every bar.

    Attributes:
        timestamps: T + 1 ISO timestamps (UTC).
        equity: [T + 1] float64, quote currency.
        close: [T + 1] float64 price of the instrument; None for several instruments or imports.
        exposure: [T + 1] float64 position value / equity; None where unknown.
        actions: [T] float64 in [-1, 1]; None where unknown.
        fill_units: [T + 1] signed units filled in the bar that ends at the mark, 0 for none; None
            for several instruments or imports.
        fill_price: [T + 1] their average price; NaN for none.
    """

    timestamps: tuple[str, ...]
    equity: FloatArray
    close: FloatArray | None = None
    exposure: FloatArray | None = None
    actions: FloatArray | None = None
    fill_units: FloatArray | None = None
    fill_price: FloatArray | None = None

    @property
    def returns(self) -> FloatArray:
        """[T] simple returns."""
        return np.asarray(self.equity[1:] / self.equity[:-1] - 1.0)

    @cached_property
    def seconds(self) -> FloatArray:
        """[T + 1] float64 seconds since 1970 (UTC)."""
        stamps = np.array(self.timestamps)
        if any(stamp.endswith("Z") for stamp in self.timestamps):
            stamps = np.array([stamp.removesuffix("Z") for stamp in self.timestamps])
        return stamps.astype("datetime64[ms]").astype(np.float64) / 1e3


@dataclass(frozen=True)
class Comparator:
    """What the policy is measured against on the same bars with the same costs.

    Attributes:
        name: ``buy_and_hold`` or an expert's name.
        role: ``benchmark`` or ``expert``.
        equity: [T + 1] float64.
        measures: performance measures by name.
        sharpe_difference: the policy's annualised Sharpe ratio minus this one's.
        sharpe_difference_interval: its bootstrap interval, or None.
        spa_p_value: Hansen's test that the policy is no better than this one, or None.
    """

    name: str
    role: str
    equity: FloatArray
    measures: dict[str, float | None]
    sharpe_difference: float | None = None
    sharpe_difference_interval: tuple[float, float] | None = None
    spa_p_value: float | None = None


@dataclass(frozen=True)
class TradeRow:
    """One closed position round trip or FIFO lot; prices are averages over its fills, profit is net
    of costs."""

    instrument: str
    entry_time: str
    exit_time: str
    direction: int
    entry_price: float
    exit_price: float
    net_profit: float
    bars: int


@dataclass(frozen=True)
class InstrumentRow:
    """One instrument of the evaluation: its data's hash and the policy's measures on it."""

    symbol: str
    sha256: str
    measures: dict[str, float | None]


@dataclass(frozen=True)
class RegimeRow:
    """Measures on the bars that the causal detector assigned to one regime.

    Attributes:
        sharpe, mean_return, benchmark_mean_return: None with ``note`` where n is too small.
    """

    name: str
    n: int
    share: float
    sharpe: float | None
    mean_return: float | None
    benchmark_mean_return: float | None
    note: str = ""


@dataclass(frozen=True)
class CostPoint:
    """The policy run again at another cost per side (commission + half-spread + slippage)."""

    cost_bps: float
    cagr: float | None
    sharpe: float | None
    benchmark_cagr: float | None
    trades: int


@dataclass(frozen=True)
class Robustness:
    """What is left of the result when something is worse than assumed.

    Attributes:
        costs: sweep over costs per side, ascending.
        break_even_bps: cost per side at which the CAGR is that of cash (interpolated); None: not
            reached within the sweep or never positive; ``break_even_note`` says which.
        delay: measures with every action executed one bar later; None: not run.
        noise_bps: standard deviation of the price noise per bar.
        noise: Sharpe ratio under each draw of the noise.
    """

    costs: tuple[CostPoint, ...]
    break_even_bps: float | None
    break_even_note: str
    delay: dict[str, float | None] | None = None
    noise_bps: float = 0.0
    noise: tuple[float | None, ...] = ()


@dataclass(frozen=True)
class ActionMap:
    """Mean action by decile of single observed columns.

    Attributes:
        columns: C names.
        mean_action: [C, 10] float64; NaN where a decile is empty (a column with few values).
        histogram: [21] shares of equal bins on [-1, 1].
    """

    columns: tuple[str, ...]
    mean_action: FloatArray
    histogram: FloatArray


def above_zero(sharpe: float | None, n: int) -> bool | None:
    """Whether a window of ``n`` bars has a positive Sharpe ratio: not where its returns do not vary
    (a policy that never traded); None where one bar cannot have one."""
    return sharpe is not None and sharpe > 0.0 if n > 1 else None


@dataclass(frozen=True)
class WindowRow:
    """One walk-forward window."""

    name: str
    start: str
    end: str
    n: int
    sharpe: float | None
    sharpe_interval: tuple[float, float] | None
    total_return: float | None
    benchmark_return: float | None
    max_drawdown: float | None
    trades: int | None = None

    @property
    def above_zero(self) -> bool | None:
        """:func:`above_zero` of the window."""
        return above_zero(self.sharpe, self.n)


@dataclass(frozen=True)
class ScoreRow:
    """One score with its interval: a seed, a known-optimum market, an oracle capture.

    Attributes:
        value, interval: a seed's is its Sharpe ratio, a training stage's the net log growth a
            year that it added on the validation range.
        note: what a reader must know of it.
        unit: of the value, where the section's own (Sharpe ratio, score, share) is not meant.
        summary: it summarises the other rows (interquartile mean).
        measures, intervals: further measures of it by name.
    """

    name: str
    value: float | None
    interval: tuple[float, float] | None = None
    note: str = ""
    unit: str = ""
    summary: bool = False
    measures: dict[str, float | None] = field(default_factory=dict)
    intervals: dict[str, tuple[float, float]] = field(default_factory=dict)


@dataclass(frozen=True)
class GateRow:
    """One gate: ``verdict`` is ``pass``, ``fail`` or ``not evaluable``."""

    name: str
    verdict: str
    value: float | None
    interval: tuple[float, float] | None
    n: int | None
    threshold: str
    reason: str = ""
    unit: str = ""
    definition: str = ""

    @property
    def explained(self) -> str:
        """What it measures in which unit, and what was found beside the value."""
        meaning = f"{self.definition} ({self.unit})" if self.unit else self.definition
        return "; ".join(text for text in (meaning, self.reason) if text)


@dataclass(frozen=True)
class GoalPoint:
    """What a policy achieved that was asked for one goal over the whole range.

    Attributes:
        goal: what was asked for.
        achieved: mean of what came out: of an exposure bar by bar, of an outcome by horizon.
        low, high: its 10th and 90th percentile.
        success: share of the bars, or horizons, on which the goal was reached.
        reward: mean reward of a bar, or horizon.
        growth: net log growth of the account, a year.
        n: bars or horizons.
    """

    goal: float
    achieved: float
    low: float
    high: float
    success: float
    reward: float
    growth: float
    n: int


@dataclass(frozen=True)
class GoalSweep:
    """Desired beside achieved, for a policy that takes a goal.

    Attributes:
        kind, horizon: of the goal; see :class:`offline_trader.goals.GoalTask`.
        default: what the policy was asked for in the rest of the evaluation.
        points: in order of the goal.
        ninetieth: 90th percentile of what was achieved, over all goals.
        chosen: how the policy's default goal was chosen; empty: not known.
    """

    kind: str
    horizon: int
    default: float
    points: tuple[GoalPoint, ...]
    ninetieth: float
    chosen: str = ""


@dataclass(frozen=True)
class OptionRow:
    """What a policy did with one option.

    Attributes:
        name: of the option.
        bars: decisions on which it ran.
        starts: times that it began.
        share: of all decisions.
        duration: mean bars from its beginning to the next option's; None where it never began.
        chosen: share of the choices in which it might have begun that were for it; None: none.
        regimes: share of the decisions in each regime on which it ran; None: no such bars.
    """

    name: str
    bars: int
    starts: int
    share: float
    duration: float | None
    chosen: float | None
    regimes: tuple[float | None, ...]


@dataclass(frozen=True)
class OptionUse:
    """Which options a policy chose, when and for how long.

    Attributes:
        rows: one an option.
        regimes: names of the regimes.
        switches: share of the decisions in each regime at which an option began; None: no such
            bars.
        timeline: [D] number of the option that ran, of the first instrument.
        instrument: its name.
    """

    rows: tuple[OptionRow, ...]
    regimes: tuple[str, ...]
    switches: tuple[float | None, ...]
    timeline: FloatArray
    instrument: str


@dataclass(frozen=True)
class PreferencePoint:
    """What a policy came to under one preference over the whole range.

    Attributes:
        name: ``default``, an objective alone, or empty of weights that were drawn.
        weights: [K] of the objectives.
        growth: net log growth of the account, a year.
        drawdown: its largest, a positive fraction.
        on_front: no other preference has more growth without more drawdown, or less drawdown
            without less growth.
    """

    name: str
    weights: tuple[float, ...]
    growth: float
    drawdown: float
    on_front: bool


@dataclass(frozen=True)
class PreferenceSweep:
    """Growth against drawdown, for a policy that takes weights of its objectives.

    Attributes:
        names: K objectives.
        points: the default first.
        chosen: how the default was chosen; empty: not known.
    """

    names: tuple[str, ...]
    points: tuple[PreferencePoint, ...]
    chosen: str = ""


@dataclass(frozen=True)
class Evaluation:
    """One policy, expert or imported result over one range of bars.

    Attributes:
        name: what was evaluated.
        kind: ``policy``, ``expert`` or ``imported``.
        fingerprint: SHA-256 of the ONNX file or of the imported data; empty for a live policy.
        data_hash: SHA-256 over the instruments' bars.
        start, end: ISO timestamps of the first and last mark.
        n_bars: T, number of returns.
        periods_per_year: bars a year.
        trials: configurations and seeds that the result is held against, this included.
        trials_counted: which ones they are; empty where no ledger counted them.
        simulator: rules and costs; empty for imported results.
        curve: the equal-weight portfolio over all instruments.
        measures: performance measures by name; None where not defined.
        intervals: 95 % bootstrap intervals of some measures.
        statistics: PSR, DSR, MinTRL, MinBTL … by name.
        collapse: collapse measures by name, those of the actor's hidden layers among them; None
            for results without actions.
        verdicts: COLLAPSED (of a person's rule inactive or rare), STATE-BLIND, SATURATED, as they
            apply.
        comparators: buy-and-hold and the source experts.
        spa_p_value: of the hypothesis that at least one comparator is as good as the policy.
        trades: closed position round trips, from flat to flat.
        lots: the best and the worst closed FIFO lots.
        instruments, regimes, robustness, action_map: see their classes.
        goals: desired beside achieved; None for a policy that takes no goal.
        options: which options were chosen, when; None for a policy that chooses among none.
        preferences: growth against drawdown; None for a policy that takes no preference.
        gates, windows, seeds, stages, oracle, known_optimum: attached where they were evaluated.
        notes: what a reader must know (short range, missing parts).
    """

    name: str
    kind: str
    fingerprint: str
    data_hash: str
    start: str
    end: str
    n_bars: int
    periods_per_year: float
    trials: int
    simulator: dict[str, Any]
    curve: Curve
    measures: dict[str, float | None]
    intervals: dict[str, tuple[float, float]] = field(default_factory=dict)
    statistics: dict[str, float | None] = field(default_factory=dict)
    collapse: dict[str, float | None] | None = None
    verdicts: tuple[str, ...] = ()
    comparators: tuple[Comparator, ...] = ()
    spa_p_value: float | None = None
    instruments: tuple[InstrumentRow, ...] = ()
    trades: tuple[TradeRow, ...] = ()
    lots: tuple[TradeRow, ...] = ()
    regimes: tuple[RegimeRow, ...] = ()
    robustness: Robustness | None = None
    action_map: ActionMap | None = None
    gates: tuple[GateRow, ...] = ()
    windows: tuple[WindowRow, ...] = ()
    seeds: tuple[ScoreRow, ...] = ()
    stages: tuple[ScoreRow, ...] = ()
    oracle: tuple[ScoreRow, ...] = ()
    known_optimum: tuple[ScoreRow, ...] = ()
    notes: tuple[str, ...] = ()
    trials_counted: str = ""
    market: tuple[str, ...] = ()
    goals: GoalSweep | None = None
    options: OptionUse | None = None
    preferences: PreferenceSweep | None = None

    @property
    def verdict_reasons(self) -> dict[str, str]:
        """Each collapse verdict with the rules that fired; empty where the actions are not known,
        and for an evaluation that was stored with other verdicts the names alone."""
        if self.collapse is None:
            return {}
        found = verdicts_of(self.collapse, learned=self.kind == "policy")
        return {verdict: found.get(verdict, "") for verdict in self.verdicts}

    @property
    def joins_windows(self) -> bool:
        """Whether it is a walk-forward's test ranges as one, each with a policy of its own; a
        policy may have the windows of a walk beside its own range."""
        return bool(self.windows) and self.collapse is None

    def to_dict(self) -> dict[str, Any]:
        """JSON form; NaN becomes null. :meth:`from_dict` is its inverse."""
        return {"format": FORMAT, **plain(self)}

    @classmethod
    def from_dict(cls, payload: Mapping[str, Any]) -> Evaluation:
        """Evaluation from :meth:`to_dict`'s form.

        Raises:
            DataError: another format, or a field that is missing, unknown, of another type, or
                does not fit the others.
        """
        return cls._from_json(payload, "the evaluation")

    @classmethod
    def _from_json(cls, payload: Mapping[str, Any], where: str) -> Evaluation:
        if payload.get("format") != FORMAT:
            raise DataError(
                f"{where} is of format {payload.get('format')!r}",
                expected=repr(FORMAT),
                hint="run `offline-trader evaluate` again",
            )
        require_moderate(payload, where)
        found = from_json(cls, {k: v for k, v in payload.items() if k != "format"}, where)
        _require_consistent(found, where)
        return found

    def save(self, path: Path) -> None:
        """Writes the JSON form atomically."""
        text = to_json(self.to_dict(), separators=(",", ":"))
        atomic_write(path, (text + "\n").encode())

    @classmethod
    def load(cls, path: Path) -> Evaluation:
        """Reads what :meth:`save` wrote.

        Raises:
            DataError: the file is missing, broken or of another format.
        """
        hint = "run `offline-trader evaluate` or `judge`"
        return cls._from_json(
            read_object(path, what="the evaluation.json of an evaluation", hint=hint), str(path)
        )


def _require_consistent(found: Evaluation, where: str) -> None:
    """Nothing if the parts fit together, as those of every evaluation that was saved do.

    Raises:
        DataError: lengths that differ, times that are none, an equity or a number of bars that
            cannot be; names the field.
    """
    curve, marks = found.curve, len(found.curve.timestamps)
    if marks < 2 or found.n_bars != marks - 1:
        raise DataError(f"{where}: {marks} timestamps and n_bars {found.n_bars}", expected="n + 1")
    wrong = next((each for each in curve.timestamps if not _ISO.fullmatch(each)), None)
    if wrong is not None:
        raise DataError(
            f"{where}: curve.timestamps holds {wrong[:40]!r}", expected="ISO times, UTC"
        )
    try:
        seconds = curve.seconds
    except ValueError as error:
        raise DataError(f"{where}: curve.timestamps: {error}", expected="ISO times") from error
    if not (np.abs(seconds) < _FARTHEST_S).all():
        raise DataError(f"{where}: curve.timestamps has one that is no date of trading")
    if not (np.diff(seconds) > 0).all():
        raise DataError(f"{where}: curve.timestamps are not in order of time")
    lengths = {"equity": marks, "close": marks, "exposure": marks, "actions": marks - 1}
    lengths |= {"fill_units": marks, "fill_price": marks}
    shapes: dict[str, tuple[FloatArray | None, tuple[int, ...]]] = {
        f"curve.{name}": (getattr(curve, name), (n,)) for name, n in lengths.items()
    }
    for each in found.comparators:
        shapes[f"comparator {each.name}: equity"] = (each.equity, (marks,))
    if found.action_map is not None:
        columns = len(found.action_map.columns)
        shapes["action_map.mean_action"] = (found.action_map.mean_action, (columns, 10))
        shapes["action_map.histogram"] = (found.action_map.histogram, (21,))
    for name, (values, shape) in shapes.items():
        if values is not None and values.shape != shape:
            raise DataError(f"{where}: {name} has shape {values.shape}", expected=str(shape))
        if name.endswith("equity") and not (np.abs(np.asarray(values)) >= _SMALLEST).all():
            raise DataError(f"{where}: {name} has a value that is missing or 0")
    if curve.close is not None and not (curve.close >= _SMALLEST).all():
        raise DataError(f"{where}: curve.close has a value that is no price")
    if not 0 < found.periods_per_year <= LARGEST:
        raise DataError(f"{where}: periods_per_year {found.periods_per_year}", expected="above 0")
    if found.trials < 1 or found.kind not in ("policy", "expert", "imported"):
        raise DataError(f"{where}: {found.trials} trials of kind {found.kind!r}")
    for name, value in found.simulator.items():
        if type(value) not in (str, int, float, bool, type(None)) or (
            name.endswith("_bps") and type(value) not in (int, float)
        ):
            raise DataError(f"{where}: simulator.{name} is {value!r}", expected="a rule")
