"""Jobs for worker processes, which import this module by its bare name."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

from offline_trader.errors import DataError
from offline_trader.workers import Report


class Killed:
    """A job whose process vanishes."""

    def __call__(self, report: Report) -> None:
        """Report once, then vanish."""
        report(1.0)
        os.kill(os.getpid(), signal.SIGKILL)


class Refusing:
    """A job that meets a user's mistake."""

    def __call__(self, report: Report) -> None:
        """Report once, then refuse."""
        report(0.5)
        raise DataError("no rows", expected="some", hint="collect first")


class Orderly:
    """A job that goes on until it is interrupted, and then says so in a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __call__(self, report: Report) -> None:
        """Report for ever."""
        self.path.write_text("at work")
        try:
            while True:
                report(1.0)
                time.sleep(0.01)
        except KeyboardInterrupt:
            self.path.write_text("put in order")
            raise


class Doubling:
    """A job with a result."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __call__(self, report: Report) -> tuple[int, int, str | None]:
        """Twice the number, who did it, and with how many threads."""
        return 2 * self.number, os.getpid(), os.environ.get("OMP_NUM_THREADS")


@dataclass(frozen=True)
class Observing:
    """What a worker knows of features of the user's own."""

    name: str

    def __call__(self, report: Report) -> tuple[str, int, float]:
        from offline_trader.features import admitted, compute_features
        from offline_trader.markets import load_market

        known = len(admitted((self.name,)))
        found = compute_features(load_market("synthetic:walk?bars=300&seed=1"), self.name)
        return found.schema.hash, known, float(found.values[-1, 0])
