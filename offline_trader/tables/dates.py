"""Dates as a user writes them: 2012, 2012-06, 2012-06-30, 2012-06-30T15:30."""

from __future__ import annotations

import re

import numpy as np

from offline_trader.errors import ConfigError

__all__ = ["date_of", "parse_date", "parse_end"]

_FORM = re.compile(r"\d{4}(-\d{2}(-\d{2}([T ]\d{2}:\d{2}(:\d{2}(\.\d{1,9})?)?)?)?)?")


def _parse(text: object) -> np.datetime64:
    """The date in the unit it is written in (year, month, day, minute, …)."""
    plain = str(text).strip().removesuffix("Z")
    try:
        if not _FORM.fullmatch(plain) or not "1678" <= plain[:4] <= "2261":
            raise ValueError
        return np.datetime64(plain)
    except ValueError:
        raise ConfigError(
            f"date {str(text)!r} cannot be read",
            expected="an ISO date in UTC, such as 2012-12-31 or 2012-12-31T15:30",
        ) from None


def date_of(moment: np.datetime64) -> str:
    """The date of ``moment`` alone: to the second, or what of it lies within one, too."""
    second = moment.astype("datetime64[s]")
    return str(second if second == moment else moment)


def parse_date(text: object) -> np.datetime64:
    """First moment (UTC, ns) of a date: of the year of ``2012``, the month of ``2012-06``.

    Raises:
        ConfigError: the text is no ISO date.
    """
    moment: np.datetime64 = _parse(text).astype("datetime64[ns]")
    return moment


def parse_end(text: object) -> np.datetime64:
    """First moment (UTC, ns) after a date: the day, month or year is included as a whole.

    Raises:
        ConfigError: the text is no ISO date.
    """
    moment: np.datetime64 = (_parse(text) + np.timedelta64(1)).astype("datetime64[ns]")
    return moment
