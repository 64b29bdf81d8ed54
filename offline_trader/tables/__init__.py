"""Tables that people have: files to columns, numbers, times, whatever they hold."""

from __future__ import annotations

from offline_trader.tables.contents import LIMIT_VARIABLE, label
from offline_trader.tables.dates import date_of, parse_date, parse_end
from offline_trader.tables.layout import HeaderTest, is_number
from offline_trader.tables.names import SYMBOL_NAMES, TIME_NAMES, find_name, is_percent, plain
from offline_trader.tables.numbers import MISSING, DecimalSign, decimal_sign, parse_numbers
from offline_trader.tables.reading import read_frame, read_table
from offline_trader.tables.table import Table
from offline_trader.tables.times import Times, is_clock, parse_times
from offline_trader.tables.zones import is_zone

__all__ = [
    "LIMIT_VARIABLE",
    "MISSING",
    "SYMBOL_NAMES",
    "TIME_NAMES",
    "DecimalSign",
    "HeaderTest",
    "Table",
    "Times",
    "date_of",
    "decimal_sign",
    "find_name",
    "is_clock",
    "is_number",
    "is_percent",
    "is_zone",
    "label",
    "parse_date",
    "parse_end",
    "parse_numbers",
    "parse_times",
    "plain",
    "read_frame",
    "read_table",
]
