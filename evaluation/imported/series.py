"""Returns, equity and profits of a file over time: which column, in which unit, at which times."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np

from offline_trader.errors import ConfigError, DataError
from offline_trader.tables.headings import Unit
from offline_trader.tables.names import TIME_NAMES
from offline_trader.tables.sheet import Sheet
from offline_trader.types import FloatArray, IntArray

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "Series",
    "SeriesKind",
    "SeriesRequest",
    "read_series",
    "stamp",
    "tell_series",
    "unit_by_size",
]

SeriesKind: TypeAlias = Literal["returns", "equity", "profits"]
TimeArray: TypeAlias = np.ndarray[tuple[int], np.dtype[np.datetime64]]

LOG_RETURNS = (
    "logreturn", "logreturns", "logret", "logrets", "lret", "dailylogreturn", "dailylogreturns",
    "logr", "continuousreturn", "cclogreturn", "strategylogreturn", "strategylogreturns",
)  # fmt: skip
RETURNS = (
    "returns", "return", "ret", "rets", "dailyreturn", "dailyreturns", "strategyreturn",
    "strategyreturns", "portfolioreturn", "portfolioreturns", "netreturn", "netreturns",
    "simplereturn", "simplereturns", "strategy", "algorithmreturns", "algorithmperiodreturn",
    "pctchange", "performance", "monthlyreturn", "monthlyreturns", "weeklyreturn", "dailyret",
    "periodreturn", "portfolio1return", "fundreturn", "totalreturnmonthly", "roi", "dailyroi",
    "dailypnl", "dailypl", "dailyprofit", "pnl", "pl", "profit", "profitloss", "gain", "netpnl",
    "netprofit", "change", "dailychange", "rendite", "rendement", "performancedaily", "perf",
)  # fmt: skip
_RETURN_ONLY_IN_PERCENT = frozenset(
    ("dailypnl", "dailypl", "dailyprofit", "pnl", "pl", "profit", "profitloss", "gain", "netpnl",
     "netprofit", "change", "dailychange")
)  # fmt: skip
CUMULATIVE = (
    "cumulativereturn", "cumulativereturns", "cumreturn", "cumreturns", "cumret", "cumrets",
    "cumulativeperformance", "cumperf", "algorithmcumulativereturn",
)  # fmt: skip
EQUITY = (
    "equity", "equitycurve", "portfoliovalue", "accountvalue", "networth", "nav", "balance",
    "value", "totalvalue", "capital", "totalequity", "portfolio", "account", "aum", "wealth",
    "accountbalance", "endingbalance", "netliquidation", "netliquidationvalue", "netliq",
    "liquidationvalue", "accountequity", "strategyequity", "totalassets", "endingvalue",
    "portfolioequity", "portfolio1balance", "growthof10000", "endingportfoliovalue", "kapital",
    "netassetvalue", "totalaccountvalue", "fundvalue", "equityvalue", "cumulativewealth",
)  # fmt: skip
PROFITS = (
    "dailypnl", "dailypl", "dailyprofit", "dailyprofitloss", "dailynetpnl", "netpnl", "netpl",
    "netprofit", "pnl", "profit", "profitloss", "pl", "totalpnl", "pnltotal", "gainloss", "gain",
    "realizedpnl", "realisedpnl", "dailyreturn", "marktomarketpnl", "mtmpnl", "mtm", "result",
)  # fmt: skip
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_MONTH_FORMS = (
    (re.compile(r"(?:19|20|21)\d{2}(?:0[1-9]|1[0-2])"), "%Y%m"),
    (re.compile(r"\d{4}-\d{1,2}"), "%Y-%m"),
    (re.compile(r"\d{4}/\d{1,2}"), "%Y/%m"),
    (re.compile(r"\d{1,2}/\d{4}"), "%m/%Y"),
    (re.compile(r"[A-Za-z]{3} \d{4}"), "%b %Y"),
    (re.compile(r"[A-Za-z]{3}-\d{4}"), "%b-%Y"),
    (re.compile(r"[A-Za-z]{3}-\d{2}"), "%b-%y"),
    (re.compile(r"[A-Za-z]{4,9} \d{4}"), "%B %Y"),
)
_DRAWDOWN = re.compile(r"drawdown|underwater|^(?:max|maximum|current|rel|relative)?dd$")
_LARGEST_SHARE, _SMALLEST_PERCENT = 0.02, 0.1  # median |return| of bars written as …


@dataclass(frozen=True)
class SeriesRequest:
    """How a series is to be read.

    Attributes:
        column: its name; empty: told.
        percent: True, False, or None: by the name of the column and the signs in its cells.
        log_returns: the returns are logarithmic.
        capital: money at the start, which profits of each bar are added to; None: not said.
    """

    column: str = ""
    percent: bool | None = None
    log_returns: bool = False
    capital: float | None = None


@dataclass(frozen=True)
class Series:
    """Values of a result over time.

    Attributes:
        kind: ``returns`` simple ones, ``equity``, or ``profits`` in money.
        times: [T] datetime64[ns] UTC, ascending.
        values: [T] finite.
        notes: what was decided.
    """

    kind: SeriesKind
    times: TimeArray
    values: FloatArray
    notes: tuple[str, ...]


def stamp(time: np.datetime64) -> str:
    """A time as messages show it: midnight as the date alone."""
    day = time.astype("datetime64[D]")
    return str(day if day == time else time.astype("datetime64[s]"))


def tell_series(sheet: Sheet, request: SeriesRequest) -> SeriesKind | None:
    """The kind of series by the name of the column asked for, else of the columns there are.

    Equity says more than returns, since it fixes the scale. A lone column of another name is told
    by its values: some below 0 are returns, all far above 0 and moving slowly are equity.

    Raises:
        ConfigError: the lone column holds drawdowns, which tell no returns.
    """
    if is_month_table(sheet):
        return "returns"
    only = None if not request.column else _column_named(sheet, request.column)
    kinds: tuple[SeriesKind, ...] = ("equity", "returns", "profits")  # equity fixes the scale
    found = {kind: _column(sheet, kind, only) for kind in kinds}
    for kind in found:
        if found[kind] is not None:
            return kind
    lone = only if only is not None else _lone_column(sheet)
    if lone is None:
        return None
    heading = sheet.headings.all[lone]
    if _DRAWDOWN.search(heading.key):
        raise ConfigError(
            f"{sheet.table.source}: `{heading.name}` holds drawdowns, which tell no returns",
            expected="a column such as `returns` or `equity`",
        )
    return _kind_of_values(sheet, lone)


def is_month_table(sheet: Sheet) -> bool:
    """True for a table of years by months: Year, Jan, …, Dec."""
    keys = [heading.key[:3] for heading in sheet.headings.all]
    return sheet.headings.all[0].key in ("year", "years") and all(m in keys for m in _MONTHS)


def read_series(sheet: Sheet, kind: SeriesKind, request: SeriesRequest) -> Series:
    """The series in the columns of a file.

    Raises:
        DataError: a value that is no number, times out of order or twice (with the row).
        ConfigError: the column is not there, cannot be told, or its unit cannot.
    """
    if is_month_table(sheet) and not request.column:
        sheet = _stack_months(sheet)
    times, at = _times(sheet)
    i = _chosen(sheet, kind, request, at)
    heading = sheet.headings.all[i]
    name = heading.name if heading.name.strip() else "the column without a name"
    notes = list(sheet.table.notes)
    sheet.headings.used.add(i)
    values, remarks = _values(sheet, i, kind, request)
    notes += remarks
    rows = np.arange(len(sheet))
    # the first return of a series made by pct_change is empty, and nothing else may be
    if kind == "returns" and len(values) and np.isnan(values[0]):
        times, values, rows = times[1:], values[1:], rows[1:]
    if len(values) < 2:
        raise DataError(
            f"{sheet.table.source} has {len(values)} row{'s' * (len(values) != 1)}",
            expected="2 or more",
        )
    if len(times) > 2 and bool((np.diff(times) < np.timedelta64(0)).all()):
        times, values, rows = times[::-1], values[::-1], rows[::-1]
        notes.append("the newest rows stand first in the file: they were turned round")
    _require_numbers(sheet, times, values, rows, name, kind)
    _require_order(sheet, times, rows)
    if kind == "returns" and (request.log_returns or heading.key in LOG_RETURNS):
        notes.append(f"`{name}` is read as log returns")
        values = np.expm1(np.minimum(values, 700.0))
    if kind == "equity" and heading.key in CUMULATIVE:
        if heading.unit == "" and _is_growth(values):
            notes.append(f"`{name}` is read as growth since the start: it begins near 1")
        else:
            notes.append(f"`{name}` is read as returns since the start: equity is 1 + it")
            values = 1.0 + values
    others = [
        sheet.names[j] for j in range(len(sheet.names))
        if j not in sheet.headings.used and sheet.holds_numbers(j)
    ]  # fmt: skip
    known = sheet.headings.places((*EQUITY, *RETURNS, *PROFITS, *LOG_RETURNS, *CUMULATIVE))
    if others:
        listed = ", ".join(others[:8]) + (", …" if len(others) > 8 else "")
        notes.append(f"`{name}` is read as {kind}; not used: {listed}")
    elif i not in known:
        notes.append(f"`{name}` is read as {kind}")
    return Series(kind, times, values, tuple(notes))


def _is_growth(values: FloatArray) -> bool:
    """Whether returns since the start are written as 1 + return: so pandas users call
    ``(1 + r).cumprod()``, which begins near 1 where a return begins near 0."""
    return bool(abs(values[0] - 1.0) < 0.25 and values.min() > 0.0)


def _column_named(sheet: Sheet, column: str) -> int:
    names = sheet.names
    if column not in names:
        raise ConfigError(
            f"{sheet.table.source} has no column {column!r}", expected=f"one of {sheet.listed}"
        )
    return names.index(column)


def _column(sheet: Sheet, kind: str, only: int | None) -> int | None:
    """Position of the column of a kind, by name and unit; of ``only`` where that is given."""
    headings = sheet.headings
    shares: tuple[Unit, ...] = ("percent", "pct", "bps")
    bare: tuple[Unit, ...] = ("",)
    money: tuple[Unit, ...] = ("money",)
    if kind == "equity":
        found = headings.places(EQUITY, (*bare, *money)) + headings.places(CUMULATIVE)
    elif kind == "returns":
        keys = [key for key in RETURNS if key not in _RETURN_ONLY_IN_PERCENT]
        found = headings.places(LOG_RETURNS) + headings.places(keys, ("", *shares))
        found += headings.places(RETURNS, shares)
        found += [i for i in headings.places(RETURNS) if i not in found and sheet.in_percent(i)]
    else:
        found = headings.places(PROFITS, money) + headings.places(
            [key for key in PROFITS if key != "dailyreturn"], bare
        )
        found = [i for i in found if not sheet.in_percent(i)]
    if only is not None:
        return only if only in found else None
    return found[0] if found else None


def _lone_column(sheet: Sheet) -> int | None:
    """The one column that is no time and holds numbers."""
    others = [i for i in range(len(sheet.names)) if i not in _time_places(sheet)]
    return others[0] if len(others) == 1 and sheet.holds_numbers(others[0]) else None


def _kind_of_values(sheet: Sheet, i: int) -> SeriesKind | None:
    values = sheet.numbers(i)
    values = values[np.isfinite(values)]
    if len(values) < 2:
        return None
    if (values < 0.0).any():
        return "returns" if np.median(np.abs(values)) < _SMALLEST_PERCENT else None
    steps = np.abs(np.diff(values)) / np.maximum(values[:-1], 1e-300)
    return "equity" if np.median(values) >= 0.5 and np.median(steps) < 0.2 else None


def _chosen(sheet: Sheet, kind: SeriesKind, request: SeriesRequest, at: list[int]) -> int:
    if request.column:
        return _column_named(sheet, request.column)
    found = _column(sheet, kind, None)
    if found is not None and found not in at:
        return found
    others = [i for i in range(len(sheet.names)) if i not in at]
    if len(others) == 1:
        return others[0]
    raise ConfigError(
        f"{sheet.table.source}: no column of {kind} among "
        f"{', '.join(sheet.names[i] for i in others) or 'none'}",
        hint="name the column: --column NAME",
    )


def _time_places(sheet: Sheet) -> list[int]:
    """Positions of the columns that together are a row's time: one, or date and clock, or year
    and month."""
    from pandas.api.types import is_datetime64_any_dtype

    headings = sheet.headings
    year, month = headings.places(("year",)), headings.places(("month",))
    stamps = headings.places(TIME_NAMES)
    if not stamps and year and month:
        return [year[0], month[0]]
    if stamps:
        clocks = headings.places(("time", "clock"))
        if headings.all[stamps[0]].key == "date" and clocks:
            return [stamps[0], clocks[0]]
        return stamps[:1]
    typed = [i for i in range(len(sheet.names)) if is_datetime64_any_dtype(sheet.cells(i))]
    if len(typed) == 1:
        return typed  # whatever it is called, its values are times
    if sheet.headings.all[0].key == "" or not sheet.table.header:
        return [0]  # an index without a name, as pandas writes it, or a file without names
    return []


def _times(sheet: Sheet) -> tuple[TimeArray, list[int]]:
    at = _time_places(sheet)
    if not at:
        raise DataError(
            f"{sheet.table.source}: no column of times among {sheet.listed}",
            expected="a column such as `date` or `timestamp`",
            hint="rename the column that holds the times to `date`",
        )
    sheet.headings.used.update(at)
    if len(at) == 1:
        months = _month_ends(sheet, at[0])
        return (sheet.times(at[0]).utc if months is None else months), at
    first, second = (sheet.words(i) for i in at)
    if sheet.headings.all[at[0]].key == "year":
        joined = [f"{y}-{_month_number(m)}" for y, m in zip(first, second, strict=True)]
    else:
        joined = [f"{day} {clock}".strip() for day, clock in zip(first, second, strict=True)]
    wide = sheet.beside(["time"], [_text(joined)])
    found = wide.headings.places(("time",))[-1]
    months = _month_ends(wide, found)
    return (wide.times(found).utc if months is None else months), at


def _text(values: list[str]) -> pd.Series:
    import pandas as pd

    return pd.Series(values, dtype="str")


def _month_number(text: str) -> str:
    lowered = text.strip().lower()
    if lowered[:3] in _MONTHS and lowered.isalpha():
        return f"{_MONTHS.index(lowered[:3]) + 1:02d}"
    return lowered.zfill(2)


def _month_ends(sheet: Sheet, i: int) -> TimeArray | None:
    """Last days of months written as 192607, 2020-01 or Jan 2020; None where they are no months."""
    import pandas as pd

    texts = sheet.words(i)
    for pattern, form in _MONTH_FORMS:
        if all(pattern.fullmatch(text) for text in texts):
            days = pd.to_datetime(pd.Series(texts), format=form, errors="coerce")
            if not days.isna().any():
                ends = days + pd.offsets.MonthEnd(0)
                return np.asarray(ends.to_numpy("datetime64[ns]"))
    return None


def _stack_months(sheet: Sheet) -> Sheet:
    """A table of years by months as one row a month; months at the start and the end that are
    empty are left out."""
    import pandas as pd

    from offline_trader.tables.table import Table

    keys = [heading.key[:3] for heading in sheet.headings.all]
    places = [keys.index(month) for month in _MONTHS]
    years = sheet.words(0)
    times, cells, rows = [], [], []
    for row in range(len(sheet)):
        for month, place in enumerate(places):
            times.append(f"{years[row]}-{month + 1:02d}")
            cells.append(sheet.cells(place).iloc[row])
            rows.append(int(sheet.table.rows[row]))
    order = np.argsort(np.array(times), kind="stable")
    frame = pd.DataFrame({"date": times, "returns": cells}).iloc[order].reset_index(drop=True)
    table = Table(
        sheet.table.source, frame, ("date", "returns"), np.array(rows, dtype=np.int64)[order],
        notes=(*sheet.table.notes, "a table of years by months is read as returns of months"),
    )  # fmt: skip
    whole = Sheet(table, sheet.tz)
    given = np.flatnonzero(whole.filled(1))
    if not given.size:
        raise DataError(f"{sheet.table.source} has no returns", expected="returns of months")
    return whole.take(np.arange(given[0], given[-1] + 1))


def _values(
    sheet: Sheet, i: int, kind: SeriesKind, request: SeriesRequest
) -> tuple[FloatArray, list[str]]:
    heading = sheet.headings.all[i]
    if kind == "profits" or (kind == "equity" and heading.key not in CUMULATIVE):
        return sheet.numbers(i), []
    percent, notes = request.percent, []
    if percent is None:
        percent = heading.unit == "percent"
        if percent:
            notes.append(f"`{heading.name}` is read as per cent, as its name says")
    if heading.unit == "bps" and request.percent is None:
        return sheet.numbers(i) / 1e4, [f"`{heading.name}` is read as basis points"]
    values = sheet.numbers(i, percent)
    if heading.unit == "pct" and request.percent is None:
        written = values[np.isfinite(values)]
        if not sheet.in_percent(i) and written.size:
            percent, remark = unit_by_size(sheet, heading.name, written)
            values = values / 100.0 if percent else values
            notes.append(remark)
    return values, notes


def unit_by_size(sheet: Sheet, name: str, written: FloatArray) -> tuple[bool, str]:
    """Whether numbers under a name such as ``return_pct`` are per cent; programs write both.

    Args:
        sheet: for messages.
        name: of the column.
        written: [N] its finite numbers, one or more.

    Returns:
        True for per cent; and a note.

    Raises:
        ConfigError: they may be either.
    """
    usual = float(np.median(np.abs(written)))
    if (written <= -1.0).any() or usual >= _SMALLEST_PERCENT:
        return True, f"`{name}` is read as per cent: its values are too large for shares"
    if usual <= _LARGEST_SHARE:
        return False, (
            f"`{name}` is read as shares (0.01 is 1 %), since half of its values are below "
            f"{_LARGEST_SHARE}; if they are per cent: --percent"
        )
    raise ConfigError(
        f"{sheet.table.source}: `{name}` may be per cent or shares; half of its values are below "
        f"{usual:g}",
        expected="the unit: --percent, or --no-percent where 0.01 is 1 %",
    )


def _require_numbers(
    sheet: Sheet, times: TimeArray, values: FloatArray, rows: IntArray, name: str, kind: SeriesKind
) -> None:
    bad = np.flatnonzero(~np.isfinite(values))
    if bad.size:
        row = int(bad[0])
        raise DataError(
            f"{sheet.place(int(rows[row]))}: {name} at {stamp(times[row])} is {values[row]}",
            expected="a number in every row"
            + (" (the first return may be empty)" if kind == "returns" else ""),
            hint="leave such rows out"
            + ("" if kind == "equity" else f", or write 0 for a bar without {kind}"),
        )


def _require_order(sheet: Sheet, times: TimeArray, rows: IntArray) -> None:
    late = np.flatnonzero(np.diff(times) <= np.timedelta64(0))
    if not late.size:
        return
    before, after = times[late[0]], times[late[0] + 1]
    twice = before == after
    raise DataError(
        f"{sheet.place(int(rows[late[0] + 1]))}: {stamp(after)} follows {stamp(before)}",
        expected="ascending times, each once",
        hint="leave one of the rows of that time out" if twice else "sort the rows by time",
    )
