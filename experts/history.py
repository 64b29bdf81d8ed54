"""A trade log as an expert: what was done at a bar is done again, in the simulator.

Without market impact the prices do not depend on the actions, so a log can be replayed on the
same bars exactly, and with noise it is one more behaviour to learn from.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from offline_trader.envs.discrete import LEGACY_ACTIONS, from_discrete
from offline_trader.errors import ConfigError, DataError
from offline_trader.experts.fill_log import actions_of_fills
from offline_trader.experts.interface import Columns, Expert, ExpertParams
from offline_trader.experts.log_files import TradeLog, read_log
from offline_trader.types import BoolArray, FloatArray, IntArray

if TYPE_CHECKING:
    from offline_trader.simulator import MarketTensor, SimulatorConfig

__all__ = ["HistoryParams", "Replay", "history_expert", "replay"]

LogKind: TypeAlias = Literal["auto", "actions", "weights", "fills", "legacy"]
_KINDS = ("auto", "actions", "weights", "fills", "legacy")
_COLUMNS = ("log_value", "log_given", "log_if_winning", "log_keep")
_ADD = LEGACY_ACTIONS.index("ADD_TO_WINNER")
_LISTED = 5


@dataclass(frozen=True)
class HistoryParams(ExpertParams):
    """Attributes:
    path: CSV or Parquet file.
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
        table: [S, 4] value, whether the log says anything at the bar, whether only while in
            profit, and the factor of the present exposure that keeps the position.
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
    kept = portfolio["exposure"] * features["log_keep"]
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
    if config.action_mode != "order":
        table[:, 3] = 1.0 / config.max_position_pct
    counts, notes = np.zeros(3, dtype=np.int64), []
    strays: list[int] = []
    for k, symbol in enumerate(market.symbols):
        mine = _rows_of(log, symbol, len(market.symbols))
        start, stop = int(market.start[k]), int(market.stop[k])
        lag = 1 if log.kind == "fills" and config.fill == "next_open" else 0
        bars, inside = _bars_of(log.times[mine], market.timestamps[start:stop])
        decided = bars - lag
        matched = inside & (decided >= 0)
        strays += mine[inside & (bars < 0)].tolist()
        counts += [int(matched.sum()), int((inside & (bars < 0)).sum()), int((~inside).sum())]
        part = table[start:stop]
        notes += _fill(part, log, mine[matched], decided[matched], market, k, config, params)
    return Replay(table, (*_judged(log, counts, strays, params), *notes), int(counts[0]))


def _rows_of(log: TradeLog, symbol: str, n_instruments: int) -> IntArray:
    """Rows of the log that speak of ``symbol``."""
    if log.symbols is None:
        if n_instruments > 1:
            raise DataError(
                f"{log.source}: no column of symbols, and the market has {n_instruments}",
                expected="a column `symbol`, or one instrument",
            )
        return np.arange(len(log.times), dtype=np.int64)
    names = np.char.lower(log.symbols.astype(str))
    if n_instruments == 1 and len(set(names.tolist())) == 1:
        return np.arange(len(log.times), dtype=np.int64)
    return np.flatnonzero(names == symbol.lower()).astype(np.int64)


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
) -> list[str]:  # fmt: skip
    """Write the matched rows of one instrument into its part of the table; notes."""
    if rows.size == 0:
        return []
    values = log.values[rows]
    if log.kind == "fills":
        bars, inverse = np.unique(decided, return_inverse=True)
        units = np.bincount(inverse, weights=values).astype(np.float64)
        prices = market.prices[int(market.start[k]) : int(market.stop[k])]
        actions, notes = actions_of_fills(units, bars, prices, config, params.capital)
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


def _judged(
    log: TradeLog, counts: IntArray, strays: list[int], params: HistoryParams
) -> tuple[str, ...]:
    matched, unmatched, outside = (int(n) for n in counts)
    notes = [f"{log.source}: {matched:,} of {len(log.times):,} rows ({log.kind}) found their bar"]
    if outside:
        notes.append(f"{log.source}: {outside:,} rows lie before or after the bars")
    if unmatched:
        listed = ", ".join(f"{log.locate(i)} ({log.times[i]})" for i in strays[:_LISTED])
        more = f" and {unmatched - _LISTED:,} more" if unmatched > _LISTED else ""
        text = f"{log.source}: {unmatched:,} rows match no bar: {listed}{more}"
        if unmatched > params.unmatched * (matched + unmatched):
            raise DataError(
                text,
                expected=f"at most {params.unmatched:.0%} of the rows within the bars' range",
                hint="is the time zone right (tz=…)? Allow more with unmatched=0.2",
            )
        notes.append(text)
    if matched == 0:
        raise DataError(
            f"{log.source}: no row matches a bar",
            expected="times within the collected range",
            hint="compare the dates of the log with those of the market",
        )
    return tuple(notes)
