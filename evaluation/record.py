"""What one evaluation found, as plain data: written as JSON, read back, compared, reported.

:class:`Evaluation` is made by :func:`~offline_trader.evaluation.evaluate.evaluate` from a policy or
by :mod:`~offline_trader.evaluation.imported` from somebody else's results. The report draws
whatever is there; a part that is ``None`` or empty was not evaluated, and the report says so.
"""

from __future__ import annotations

import dataclasses
import json
import math
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from offline_trader.errors import DataError
from offline_trader.runs import atomic_write
from offline_trader.types import FloatArray

__all__ = [
    "ActionMap",
    "Comparator",
    "CostPoint",
    "Curve",
    "Evaluation",
    "GateRow",
    "InstrumentRow",
    "RegimeRow",
    "Robustness",
    "ScoreRow",
    "TradeRow",
    "WindowRow",
    "above_zero",
]

FORMAT = "offline-trader evaluation 1"
_T = TypeVar("_T")


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

    @property
    def seconds(self) -> FloatArray:
        """[T + 1] float64 seconds since 1970 (UTC)."""
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
        value, interval: a seed's is its Sharpe ratio.
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
        verdicts: COLLAPSED, STATE-BLIND, SATURATED, as they apply.
        comparators: buy-and-hold and the source experts.
        spa_p_value: of the hypothesis that at least one comparator is as good as the policy.
        trades: closed position round trips, from flat to flat.
        lots: the best and the worst closed FIFO lots.
        instruments, regimes, robustness, action_map: see their classes.
        gates, windows, seeds, oracle, known_optimum: attached where they were evaluated.
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
    oracle: tuple[ScoreRow, ...] = ()
    known_optimum: tuple[ScoreRow, ...] = ()
    notes: tuple[str, ...] = ()
    trials_counted: str = ""

    @property
    def joins_windows(self) -> bool:
        """Whether it is a walk-forward's test ranges as one, each with a policy of its own; a
        policy may have the windows of a walk beside its own range."""
        return bool(self.windows) and self.collapse is None

    def to_dict(self) -> dict[str, Any]:
        """JSON form; NaN becomes null. :meth:`from_dict` is its inverse."""
        payload = _plain(self)
        assert isinstance(payload, dict)
        return {"format": FORMAT, **payload}

    @classmethod
    def from_dict(cls, payload: Mapping[str, Any]) -> Evaluation:
        """Evaluation from :meth:`to_dict`'s form.

        Raises:
            DataError: another format, or a field is missing or unknown.
        """
        if payload.get("format") != FORMAT:
            raise DataError(
                f"an evaluation of format {payload.get('format')!r}",
                expected=repr(FORMAT),
                hint="run `offline-trader evaluate` again",
            )
        return _build(cls, {k: v for k, v in payload.items() if k != "format"})

    def save(self, path: Path) -> None:
        """Writes the JSON form atomically."""
        text = json.dumps(self.to_dict(), allow_nan=False, separators=(",", ":"))
        atomic_write(path, (text + "\n").encode())

    @classmethod
    def load(cls, path: Path) -> Evaluation:
        """Reads what :meth:`save` wrote.

        Raises:
            DataError: the file is missing, broken or of another format.
        """
        try:
            payload = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError as error:
            raise DataError(
                f"no evaluation {path}", hint="run `offline-trader evaluate`"
            ) from error
        except json.JSONDecodeError as error:
            raise DataError(f"{path} is broken JSON at line {error.lineno}") from error
        if not isinstance(payload, dict):
            raise DataError(f"{path} holds no JSON object")
        return cls.from_dict(payload)


def _plain(value: object) -> object:
    """JSON-able copy of dataclasses, arrays and containers."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: _plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, np.ndarray):
        return _plain(value.tolist())
    if isinstance(value, np.generic):
        return _plain(value.item())
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _build(cls: type[_T], payload: Mapping[str, Any]) -> _T:
    """A dataclass from its JSON form, by the types of its fields."""
    hints = typing.get_type_hints(cls)
    fields = dataclasses.fields(cls)  # type: ignore[arg-type]
    unknown = set(payload) - {f.name for f in fields}
    if unknown:
        raise DataError(f"{cls.__name__} has unknown fields {', '.join(sorted(unknown))}")
    try:
        return cls(**{name: _convert(hints[name], item) for name, item in payload.items()})
    except TypeError as error:
        raise DataError(f"{cls.__name__} cannot be read: {error}") from error


def _convert(hint: Any, value: Any) -> Any:
    if value is None:
        return None
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return _convert(next(arg for arg in args if arg is not type(None)), value)
    if origin is np.ndarray:
        return np.array(value, dtype=np.float64)  # None becomes NaN
    if origin is tuple:
        if len(args) == 2 and args[1] is Ellipsis:
            return tuple(_convert(args[0], item) for item in value)
        return tuple(_convert(arg, item) for arg, item in zip(args, value, strict=True))
    if origin is dict:
        return {key: _convert(args[1], item) for key, item in value.items()}
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return _build(hint, value)
    return value
