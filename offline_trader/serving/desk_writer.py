"""A desk's way into its log: what cannot be written there stops the desk."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from offline_trader.errors import DataError, RiskHalt
from offline_trader.serving.audit_log import AuditLog, Content

__all__ = ["DeskWriter"]


class DeskWriter:
    """Rows of one desk.

    Args:
        log: that they go to.
        stopped: called when it cannot be written.

    Attributes:
        broken: why nothing can be ordered until the desk is opened anew; empty: it can.
    """

    def __init__(self, log: AuditLog, stopped: Callable[[], None]) -> None:
        self._log, self._stopped = log, stopped
        self.broken = ""

    def require_whole(self) -> None:
        """Nothing if the log could be written so far.

        Raises:
            RiskHalt: it could not.
        """
        if self.broken:
            raise RiskHalt(self.broken, hint="open the desk anew on its log")

    def stage(self, kind: str, content: Content) -> int:
        """Number of a row that is on disk after :meth:`commit`.

        Raises:
            RiskHalt: the log cannot be written.
        """
        try:
            return self._log.stage(kind, content)
        except DataError as error:
            raise self.stop(error) from error

    def write(self, kind: str, content: Mapping[str, Any]) -> int:
        """Number of a row that is on disk.

        Raises:
            RiskHalt: the log cannot be written.
        """
        number = self.stage(kind, content)
        self.commit()
        return number

    def commit(self) -> None:
        """What was staged is on disk, of this desk and of the others of the store.

        Raises:
            RiskHalt: the log cannot be written.
        """
        try:
            self._log.commit()
        except DataError as error:
            raise self.stop(error) from error

    def start_commit(self) -> None:
        """What was staged goes to the disk, which is not waited for; :meth:`commit` does.

        Raises:
            RiskHalt: what was sent off before is not on disk.
        """
        try:
            self._log.commits.start()
        except DataError as error:
            raise self.stop(error) from error

    def stop(self, error: DataError) -> RiskHalt:
        """The log cannot be written: no order until the desk is opened anew."""
        self.broken = f"the audit log cannot be written: {error.found}"
        self._stopped()
        return RiskHalt(self.broken, expected=error.expected, hint=error.hint)
