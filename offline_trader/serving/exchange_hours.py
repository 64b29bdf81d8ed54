"""Days and sessions of an exchange, from ``exchange-calendars``; some close at noon."""

from __future__ import annotations

import warnings
from bisect import bisect_left, bisect_right
from datetime import UTC, datetime
from functools import lru_cache

from offline_trader.errors import ConfigError

__all__ = ["ExchangeHours", "hours_of"]


class ExchangeHours:
    """Sessions of one exchange, from the beginning of its calendar to a year after today.

    Args:
        code: such as ``XNYS``.

    Raises:
        ConfigError: an unknown code, or ``exchange-calendars`` is not installed.
    """

    def __init__(self, code: str) -> None:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)
                import exchange_calendars as calendars
        except ImportError as error:
            raise ConfigError(
                "exchange-calendars is not installed",
                expected="the environment of requirements-serve.lock, or the extra `serve`",
                hint="pip install 'offline-trader[serve]'",
            ) from error
        try:
            with warnings.catch_warnings():  # of its own code, to its own makers
                warnings.simplefilter("ignore", DeprecationWarning)
                found = calendars.get_calendar(code)
        except calendars.errors.InvalidCalendarName as error:
            raise ConfigError(
                f"limits.calendar is {code!r}",
                expected="the code of an exchange, such as XNYS, XLON, XETR or 24/7",
            ) from error
        self.code = code
        self._names = [session.date().isoformat() for session in found.sessions]
        self._opens = [moment.timestamp() for moment in found.opens]
        self._closes = [moment.timestamp() for moment in found.closes]
        breaks = zip(found.break_starts, found.break_ends, strict=True)
        known = [(a.timestamp(), b.timestamp()) for a, b in breaks if a == a and b == b]  # no NaT
        self._breaks, self._ends = [a for a, _ in known], [b for _, b in known]

    def day(self, moment: float) -> str | None:
        """The session that counts a moment (seconds since 1970): the one that closes next; ISO.

        A decision after the close is of the next session, where its order fills. None: the
        calendar does not reach there.
        """
        if not self._opens or moment < self._opens[0]:
            return None
        place = bisect_left(self._closes, moment)
        return self._names[place] if place < len(self._names) else None

    def is_open(self, moment: float) -> bool:
        """Whether a session has begun and not ended, and is not in its break."""
        place = bisect_right(self._opens, moment) - 1
        return place >= 0 and moment < self._closes[place] and self._break_end(moment) is None

    def next_open(self, moment: float) -> str:
        """When it opens again, in words."""
        opens = self._break_end(moment)
        if opens is None:
            place = bisect_left(self._opens, moment)
            if place == len(self._opens):
                return "after the end of its calendar"
            opens = self._opens[place]
        return datetime.fromtimestamp(opens, UTC).isoformat(timespec="minutes")

    def _break_end(self, moment: float) -> float | None:
        """When the break of a session ends; None: there is none at this moment."""
        place = bisect_right(self._breaks, moment) - 1
        return self._ends[place] if place >= 0 and moment < self._ends[place] else None


@lru_cache(maxsize=16)
def hours_of(code: str) -> ExchangeHours:
    """The exchange's sessions, read once.

    Raises:
        ConfigError: as :class:`ExchangeHours`.
    """
    return ExchangeHours(code)
