"""Days and sessions of an exchange, from ``exchange-calendars``."""

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
        """Whether a session has begun and not ended."""
        place = bisect_right(self._opens, moment) - 1
        return place >= 0 and moment < self._closes[place]

    def next_open(self, moment: float) -> str:
        """When it opens again, in words."""
        place = bisect_left(self._opens, moment)
        if place == len(self._opens):
            return "after the end of its calendar"
        return datetime.fromtimestamp(self._opens[place], UTC).isoformat(timespec="minutes")


@lru_cache(maxsize=16)
def hours_of(code: str) -> ExchangeHours:
    """The exchange's sessions, read once.

    Raises:
        ConfigError: as :class:`ExchangeHours`.
    """
    return ExchangeHours(code)
