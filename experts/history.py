"""A trade log as an expert: what was done at a bar is done again, in the simulator.

Without market impact the prices do not depend on the actions, so a log can be replayed on the
same bars exactly, and with noise it is one more behaviour to learn from.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from offline_trader.envs.discrete import LEGACY_ACTIONS, from_discrete
from offline_trader.errors import ConfigError, DataError
from offline_trader.experts.fill_log import actions_of_fills
from offline_trader.experts.interface import Columns, Expert, ExpertParams
from offline_trader.experts.log_files import TradeLog, read_log
from offline_trader.tables.names import plain
from offline_trader.types import BoolArray, FloatArray, IntArray

if TYPE_CHECKING:
    from offline_trader.simulator import MarketTensor, SimulatorConfig

__all__ = ["HistoryParams", "Replay", "history_expert", "replay"]

LogKind: TypeAlias = Literal["auto", "actions", "weights", "fills", "legacy"]
_KINDS = ("auto", "actions", "weights", "fills", "legacy")
_COLUMNS = ("log_value", "log_given", "log_if_winning", "log_keep", "log_move")
_ADD = LEGACY_ACTIONS.index("ADD_TO_WINNER")
_LISTED = 5


@dataclass(frozen=True)
class HistoryParams(ExpertParams):
    """Attributes:
    path: a table: CSV, Parquet, Feather.
    kind: what its rows say; ``auto``: told by the columns (``docs/experts-and-datasets.md``).
    tz: time zone of times that carry none; empty: UTC.
    capital: fills: the cash that the account began with; 0: the simulator's.
    unmatched: largest share of rows, of those within the bars' range, that may match no bar.
    """

    path: str
    kind: LogKind = "auto"
    tz: str = ""
    capital: float = 0.0
    unmatched: float = 0.05

    def __post_init__(self) -> None:
        self.require(self.kind in _KINDS, f"kind = {self.kind!r}", ", ".join(_KINDS))
        self.require(self.capital >= 0.0, f"capital = {self.capital}", "an amount, or 0")
        self.require(0.0 <= self.unmatched <= 1.0, f"unmatched = {self.unmatched}", "a share")


@dataclass(frozen=True)
class Replay:
    """A log laid over a market.

    Attributes:
        table: [S, 5] value, whether the log says anything at the bar, whether only while in
            profit, the factor of the exposure that keeps the position, and the price of the next
            fill ÷ the close, by which the exposure moves until then (fills; else 1).
        notes: what a reader should know: rows outside, rows that match no bar, clipped orders.
        matched: rows of the log that found their bar.
    """

    table: FloatArray
    notes: tuple[str, ...]
    matched: int


def history_expert(path: str, **params: object) -> Expert:
    """The expert that repeats the log at ``path``.

    Raises:
        DataError: a file that is no log.
        ConfigError: a setting out of range, or columns that tell no kind.
    """
    settings = HistoryParams(path, **params)  # type: ignore[arg-type]
    log = read_log(path, settings.kind, settings.tz or None)
    return Expert(
        name=f"log:{path}",
        summary=f"repeats {len(log.times):,} rows of {log.kind} from {path}",
        decide=_decide_weights if log.kind == "weights" else _decide,
        params=settings,
        space="target" if log.kind == "weights" else "action",
        row_columns=_COLUMNS,
        row_table=lambda market, config, given: replay(market, config, given).table,
        sha256=log.sha256,
    )


def _decide(features: Columns, portfolio: Columns, params: HistoryParams) -> FloatArray:
    """The log's action where it has one; else the action that keeps the position."""
    given = features["log_given"] > 0.0
    given &= (features["log_if_winning"] == 0.0) | (portfolio["unrealised_return"] > 0.0)
    exposure, move = portfolio["exposure"], features["log_move"]
    moved = exposure * move / np.maximum(1.0 - exposure + exposure * move, 1e-12)
    kept = np.where(move == 1.0, exposure, moved) * features["log_keep"]
    return np.where(given, features["log_value"], kept)


def _decide_weights(features: Columns, portfolio: Columns, params: HistoryParams) -> FloatArray:
    """The log's target weight where it has one; else the present weight."""
    return np.where(features["log_given"] > 0.0, features["log_value"], portfolio["exposure"])


def replay(market: MarketTensor, config: SimulatorConfig, params: HistoryParams) -> Replay:
    """The log over the bars of ``market``, instrument by instrument.

    A row belongs to the last bar that is not later than it, if it is not a bar's length later.
    An action, weight or legacy action is decided at its bar; a fill happens within its bar, so it
    was decided one bar before (fills at the next open) or at it (fills at the close).

    Raises:
        DataError: no row within the bars, or more than ``params.unmatched`` match none.
        ConfigError: legacy actions in another mode than ``order``.
    """
    log = read_log(params.path, params.kind, params.tz or None)
    if log.kind == "legacy" and config.action_mode != "order":
        raise ConfigError(
            f"{params.path} holds legacy actions, action_mode is {config.action_mode!r}",
            expected="action_mode = order",
        )
    table = np.zeros((len(market.prices), len(_COLUMNS)))
    table[:, 4] = 1.0
    targets = config.action_mode != "order"
    if targets:
        table[:, 3] = 1.0 / config.max_position_pct
    counts, notes = _Counts(), []
    for k, symbol in enumerate(market.symbols):
        mine = _rows_of(log, symbol, len(market.symbols))
        start, stop = int(market.start[k]), int(market.stop[k])
        lag = 1 if log.kind == "fills" and config.fill == "next_open" else 0
        stamps = market.timestamps[start:stop]
        bars, inside = _bars_of(log.times[mine], stamps)
        decided = bars - lag
        matched = inside & (decided >= 0)
        counts.strays += mine[inside & (bars < 0)].tolist()
        counts.matched += int(matched.sum())
        # a fill at the open of the first bar was decided before it
        before = (log.times[mine] < stamps[0]) | (inside & (bars == 0) & (decided < 0))
        known = stamps[0] if market.known_from is None else market.known_from[k]
        counts.early += mine[before & (log.times[mine] >= known)].tolist()
        counts.outside += int((~inside & ~before).sum())
        counts.outside += int((before & (log.times[mine] < known)).sum())
        counts.first = stamps[0] if counts.first is None else min(counts.first, stamps[0])
        part = table[start:stop]
        if log.kind == "fills" and targets and lag:
            part[:-1, 4] = market.prices[start + 1 : stop, 0] / market.prices[start : stop - 1, 3]
        held = float(log.values[mine[before]].sum()) if log.kind == "fills" else 0.0
        notes += _fill(part, log, mine[matched], decided[matched], market, k, config, params, held)
    notes += _inexact(log, config)
    return Replay(table, (*_judged(log, counts, params), *notes), counts.matched)


@dataclass
class _Counts:
    """Rows of a log by where they lie."""

    matched: int = 0
    outside: int = 0
    early: list[int] = field(default_factory=list)
    strays: list[int] = field(default_factory=list)
    first: np.datetime64 | None = None


def _inexact(log: TradeLog, config: SimulatorConfig) -> list[str]:
    """Why a replay is not what was logged, where that follows from the settings."""
    notes = []
    if log.kind != "fills" and config.action_mode != "order" and config.rebalance_threshold == 0.0:
        notes.append(
            "between the log's rows the present weight is kept; prices that move overnight make "
            "that a small trade now and then, so there are more trades than rows: "
            "env.simulator.rebalance_threshold=0.01 makes holds of them"
        )
    changed = [
        name for name, changes in (
            ("smoothing_alpha", config.smoothing_alpha < 1.0), ("lot_size", config.lot_size > 0.0),
            ("volume_cap", config.volume_cap > 0.0), ("impact_bps", config.impact_bps > 0.0),
        ) if changes
    ]  # fmt: skip
    if changed:
        notes.append(f"the replay is not exact: env.simulator.{', '.join(changed)} changes orders")
    return notes


def _rows_of(log: TradeLog, symbol: str, n_instruments: int) -> IntArray:
    """Rows of the log that speak of ``symbol``."""
    if log.symbols is None:
        if n_instruments > 1:
            raise DataError(
                f"{log.source}: no column of symbols, and the market has {n_instruments}",
                expected="a column `symbol`, or one instrument",
            )
        return np.arange(len(log.times), dtype=np.int64)
    names = np.array([plain(name) for name in log.symbols.tolist()])
    if n_instruments == 1 and len(set(names.tolist())) == 1:
        return np.arange(len(log.times), dtype=np.int64)
    return np.flatnonzero(names == plain(symbol)).astype(np.int64)


def _bars_of(
    times: NDArray[np.datetime64], stamps: NDArray[np.datetime64]
) -> tuple[IntArray, BoolArray]:
    """Bar [R] of each time, −1 where it matches none; whether it lies within the bars' range."""
    length = np.median(np.diff(stamps).astype(np.int64)) if len(stamps) > 1 else 0
    bars = np.searchsorted(stamps, times, side="right").astype(np.int64) - 1
    late = (times - stamps[np.maximum(bars, 0)]).astype(np.int64)
    inside = (bars >= 0) & ((bars < len(stamps) - 1) | (late < length))
    return np.where(inside & (late < length), bars, -1), np.asarray(inside)


def _fill(
    table: FloatArray, log: TradeLog, rows: IntArray, decided: IntArray,
    market: MarketTensor, k: int, config: SimulatorConfig, params: HistoryParams,
    held_before: float,
) -> list[str]:  # fmt: skip
    """Write the matched rows of one instrument into its part of the table; notes."""
    if rows.size == 0:
        return []
    values = log.values[rows]
    if log.kind == "fills":
        bars, inverse = np.unique(decided, return_inverse=True)
        units = np.bincount(inverse, weights=values).astype(np.float64)
        prices = market.prices[int(market.start[k]) : int(market.stop[k])]
        short = config.action_mode == "target_long_short"
        borrow = config.borrow_bps_per_year * 1e-4 / market.periods_per_year[k] if short else 0.0
        actions, notes = actions_of_fills(
            units, bars, prices, config, params.capital, borrow, held_before
        )
        table[bars, 0], table[bars, 1] = actions, 1.0
        return [f"{market.symbols[k]}: {note}" for note in notes]
    if log.kind == "legacy":
        codes = values.astype(np.int64)
        table[decided, 0] = from_discrete(codes, np.ones(len(codes)))
        table[decided, 2] = codes == _ADD
    else:
        table[decided, 0] = values
    table[decided, 1] = 1.0
    return []


def _judged(log: TradeLog, counts: _Counts, params: HistoryParams) -> tuple[str, ...]:
    matched, unmatched, early = counts.matched, len(counts.strays), len(counts.early)
    notes = [
        *log.notes,
        f"{log.source}: {matched:,} of {len(log.times):,} rows ({log.kind}) found their bar",
    ]
    if counts.outside:
        notes.append(f"{log.source}: {counts.outside:,} rows lie before or after the bars")
    warm_up = (
        f"{log.source}: {early:,} rows from {log.locate(min(counts.early, default=0))} on lie on "
        f"bars before {str(counts.first)[:10]}, where the replay begins: the features' warm-up, or "
        "bars before the start of the range"
    )
    if early:
        notes.append(warm_up)
    if unmatched:
        listed = ", ".join(f"{log.locate(i)} ({log.times[i]})" for i in counts.strays[:_LISTED])
        more = f" and {unmatched - _LISTED:,} more" if unmatched > _LISTED else ""
        text = f"{log.source}: {unmatched:,} rows match no bar: {listed}{more}"
        if unmatched > params.unmatched * (matched + unmatched):
            raise DataError(
                text,
                expected=f"at most {params.unmatched:.0%} of the rows within the bars' range",
                hint="is the time zone right (tz=…)? Allow more with unmatched=0.2",
            )
        notes.append(text)
    if matched == 0 and early:
        raise DataError(
            warm_up,
            expected="rows of the log on bars that can be traded",
            hint="take prices that begin earlier than the log, by the 253 bars that the features "
            "need",
        )
    if matched == 0:
        raise DataError(
            f"{log.source}: no row matches a bar",
            expected="times within the collected range",
            hint="compare the dates of the log with those of the market; its symbols, too",
        )
    return tuple(notes)
