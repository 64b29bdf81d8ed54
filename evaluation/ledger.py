"""The trial ledger: every configuration and seed that was evaluated in a project directory.

The more configurations are tried, the better the best of them looks by luck alone; the deflated
Sharpe ratio needs their number and the spread of their ratios. The ledger is a JSONL file, one
trial a line. Writers only append, each line in one ``write`` to a file opened for appending, so
any number of processes may record at once; a trial that is recorded again (the same
configuration, seed and data) replaces its earlier line when the file is read and is not counted
twice. Each line begins on a fresh one, so a line cut short by a crash spoils no other.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from offline_trader.errors import DataError
from offline_trader.types import FloatArray, digest

__all__ = ["LEDGER_FOLDER", "LEDGER_NAME", "Trial", "TrialLedger", "trial_key"]

LEDGER_NAME = "trials.jsonl"
LEDGER_FOLDER = Path("runs")
"""Where the commands keep it, below the folder they are run in."""
MIN_BARS = 30
"""Trials on fewer bars count, but their ratios are not in the spread."""


def trial_key(config: Mapping[str, Any], seed: int, data_hash: str) -> str:
    """SHA-256 that makes a trial: what was evaluated, with which seed, on which data."""
    return digest({"config": dict(config), "seed": seed, "data": data_hash})


@dataclass(frozen=True)
class Trial:
    """One evaluated configuration and seed.

    Attributes:
        key: :func:`trial_key`.
        name: what a person calls it.
        seed: its seed.
        data_hash: the data it was evaluated on.
        sharpe: Sharpe ratio a bar; None where it is not defined.
        n_bars: bars evaluated.
        recorded: UTC time of the record.
        periods_per_year: bars a year; None in lines of before it was recorded.
    """

    key: str
    name: str
    seed: int
    data_hash: str
    sharpe: float | None
    n_bars: int
    recorded: str
    periods_per_year: float | None = None


class TrialLedger:
    """The ledger of one project directory.

    Args:
        directory: where ``trials.jsonl`` lies or will lie.
    """

    def __init__(self, directory: Path | str) -> None:
        self.path = Path(directory) / LEDGER_NAME

    def record(
        self,
        config: Mapping[str, Any],
        *,
        seed: int,
        data_hash: str,
        sharpe: float | None,
        n_bars: int,
        periods_per_year: float | None = None,
        name: str = "",
    ) -> Trial:
        """Counts a trial; one that is there already is brought up to date.

        Args:
            config: resolved configuration (JSON-able) of what was evaluated, training included.
            seed: training or policy seed.
            data_hash: hash of the evaluated bars.
            sharpe: Sharpe ratio a bar.
            n_bars: bars evaluated.
            periods_per_year: bars a year.
            name: for people.

        Raises:
            DataError: the ledger cannot be written.
        """
        defined = sharpe is not None and math.isfinite(sharpe)
        trial = Trial(
            key=trial_key(config, seed, data_hash),
            name=name,
            seed=seed,
            data_hash=data_hash,
            sharpe=sharpe if defined else None,
            n_bars=n_bars,
            recorded=datetime.now(UTC).isoformat(timespec="seconds"),
            periods_per_year=periods_per_year,
        )
        line = "\n" + json.dumps(asdict(trial), sort_keys=True) + "\n"
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
            try:
                os.write(descriptor, line.encode())
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise DataError(f"{self.path} cannot be written: {error.strerror}") from error
        return trial

    def trials(self, data_hash: str | None = None) -> tuple[Trial, ...]:
        """Distinct trials in the order of their first record; of one data set if told.

        Raises:
            DataError: the file cannot be read.
        """
        try:
            text = self.path.read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            return ()
        except OSError as error:
            raise DataError(f"{self.path} cannot be read: {error.strerror}") from error
        found: dict[str, Trial] = {}
        for line in text.splitlines():
            trial = _parsed(line)
            if trial is not None and data_hash in (None, trial.data_hash):
                found[trial.key] = trial
        return tuple(found.values())

    def count(self, data_hash: str | None = None) -> int:
        """N of the deflated Sharpe ratio."""
        return len(self.trials(data_hash))

    def sharpes(
        self, data_hash: str | None = None, periods_per_year: float | None = None
    ) -> FloatArray:
        """[N] Sharpe ratio a bar of each trial; NaN where it was not defined, or measured on
        fewer than 30 bars: such a one varies by its length, not by what was tried.

        With ``periods_per_year`` they are those of a bar of that length (× √ of the ratio of bars
        a year), so that hourly, daily and monthly trials have one spread.
        """
        trials = self.trials(data_hash)
        values = [
            math.nan if trial.sharpe is None or trial.n_bars < MIN_BARS else trial.sharpe
            for trial in trials
        ]
        if periods_per_year is not None:
            years = [trial.periods_per_year or periods_per_year for trial in trials]
            scales = [math.sqrt(each / periods_per_year) for each in years]
            values = [value * scale for value, scale in zip(values, scales, strict=True)]
        return np.array(values, dtype=np.float64)


def _parsed(line: str) -> Trial | None:
    """The trial of a line; None for an empty one, one that was cut short, or no trial."""
    try:
        payload = json.loads(line)
        trial = Trial(**payload)
    except (json.JSONDecodeError, TypeError):
        return None
    number = trial.sharpe is None or (
        isinstance(trial.sharpe, int | float) and not isinstance(trial.sharpe, bool)
    )
    years = trial.periods_per_year
    spacing = years is None or (isinstance(years, int | float) and years > 0)
    bars = isinstance(trial.n_bars, int)
    return trial if isinstance(trial.key, str) and number and spacing and bars else None
