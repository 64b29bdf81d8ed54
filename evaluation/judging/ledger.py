"""The trial ledger: every configuration and seed that was evaluated in a project directory.

The more configurations are tried, the better the best of them looks by luck alone; the deflated
Sharpe ratio needs their number and the spread of their ratios. The ledger is a JSONL file, one
trial a line, appended under a lock; a trial that is recorded again (the same configuration, seed
and data) replaces its earlier line when the file is read and is not counted twice. A line that is
no trial, or an absurd one, is left out and named.

Which trials count: N of the deflated ratio is the number of configurations *from which the one at
hand was selected*, and the variance is that of their ratios (Bailey & López de Prado, "The deflated
Sharpe ratio: correcting for selection bias, backtest overfitting and non-normality", J. of
Portfolio Management 40(5), 2014). What was tried on another market was never a candidate for this
one, and its ratios spread by the markets they ran on, so it would raise the hurdle without having
been a chance to be lucky. Hence by default the trials on the market at hand count, whatever their
range of dates; whoever picks the best market of several has selected among all, and counts all.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from offline_trader.codec import Facts, from_json, parse_json, to_json
from offline_trader.errors import DataError
from offline_trader.locks import locked
from offline_trader.types import FloatArray, digest

__all__ = ["LEDGER_FOLDER", "LEDGER_NAME", "CountedTrials", "Trial", "TrialLedger", "trial_key"]

LEDGER_NAME = "trials.jsonl"
LEDGER_FOLDER = Path("runs")
"""Where the commands keep it, below the folder they are run in."""
MIN_BARS = 30
"""Trials on fewer bars count, but their ratios are not in the spread."""
MAX_SHARPE = 100.0
"""A ratio a bar beyond this is that of a series that hardly varies, or no ratio at all."""
_LOCK_WAIT_S = 60.0
_LINES_NAMED = 3
_MOST_BARS_A_YEAR = 366 * 86_400 * 1_000  # a bar each millisecond


def trial_key(config: Mapping[str, Any], seed: int, data_hash: str) -> str:
    """SHA-256 that makes a trial: what was evaluated, with which seed, on which data."""
    return digest({"config": dict(config), "seed": seed, "data": data_hash})


@dataclass(frozen=True)
class Trial(Facts):
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
        markets: names of its instruments; empty where they are not known.
    """

    key: str
    name: str
    seed: int
    data_hash: str
    sharpe: float | None
    n_bars: int
    recorded: str
    periods_per_year: float | None = None
    markets: tuple[str, ...] = ()


@dataclass(frozen=True)
class CountedTrials:
    """The trials that one result is held against.

    Attributes:
        trials: those that count, in the order of their first record.
        markets: the markets that they were counted for; empty: all of the project count.
        elsewhere: how many were left out because they ran on other markets.
        unknown: how many of those that count have no market in the ledger.
        damaged: lines of the file that were left out, each with the reason.
    """

    trials: tuple[Trial, ...]
    markets: tuple[str, ...] = ()
    elsewhere: int = 0
    unknown: int = 0
    damaged: tuple[str, ...] = ()

    @property
    def count(self) -> int:
        """N of the deflated Sharpe ratio."""
        return len(self.trials)

    def sharpes(self, periods_per_year: float | None = None) -> FloatArray:
        """[N] Sharpe ratio a bar of each trial; NaN where it was not defined, or measured on
        fewer than 30 bars: such a one varies by its length, not by what was tried.

        With ``periods_per_year`` they are those of a bar of that length (× √ of the ratio of bars
        a year), so that hourly, daily and monthly trials have one spread.
        """
        values = [
            math.nan if trial.sharpe is None or trial.n_bars < MIN_BARS else trial.sharpe
            for trial in self.trials
        ]
        if periods_per_year is not None:
            years = [trial.periods_per_year or periods_per_year for trial in self.trials]
            scales = [math.sqrt(each / periods_per_year) for each in years]
            values = [value * scale for value, scale in zip(values, scales, strict=True)]
        return np.array(values, dtype=np.float64)

    @property
    def described(self) -> str:
        """Which were counted: ``on sp500; 13 on other markets are not``."""
        if not self.markets:
            return "of the whole project"
        parts = [f"on {', '.join(self.markets)}"]
        if self.unknown:
            parts.append(f"{self.unknown:,} of them without a known market")
        if self.elsewhere:
            parts.append(f"{self.elsewhere:,} on other markets not counted")
        return "; ".join(parts)


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
        markets: Sequence[str] = (),
    ) -> Trial:
        """Counts a trial; one that is there already is brought up to date.

        Args:
            config: resolved configuration (JSON-able) of what was evaluated, training included.
            seed: training or policy seed.
            data_hash: hash of the evaluated bars.
            sharpe: Sharpe ratio a bar; stored as undefined beyond 100, where returns hardly vary.
            n_bars: bars evaluated.
            periods_per_year: bars a year.
            name: for people.
            markets: names of the instruments.

        Raises:
            DataError: the ledger cannot be written.
        """
        defined = sharpe is not None and abs(sharpe) <= MAX_SHARPE
        trial = Trial(
            key=trial_key(config, seed, data_hash),
            name=name,
            seed=seed,
            data_hash=data_hash,
            sharpe=sharpe if defined else None,
            n_bars=n_bars,
            recorded=datetime.now(UTC).isoformat(timespec="seconds"),
            periods_per_year=periods_per_year,
            markets=tuple(markets),
        )
        try:
            self._append(to_json(trial, sort_keys=True).encode())
        except OSError as error:
            raise DataError(
                f"{self.path} cannot be written: {error.strerror or error}",
                expected="a folder that can be written and has room",
            ) from error
        return trial

    def _append(self, line: bytes) -> None:
        """Add a line of its own; where that fails the file is as it was."""
        lock = self.path.with_name(f".{LEDGER_NAME}.lock")
        with (
            locked(lock, f"the trial ledger {self.path}", wait_s=_LOCK_WAIT_S),
            self.path.open("ab", buffering=0) as file,
        ):
            size = file.seek(0, os.SEEK_END)
            try:
                # What a crash cut short ends here, and spoils no other.
                written = (b"" if self._ends_with_newline() else b"\n") + line + b"\n"
                while written:
                    written = written[file.write(written) :]
                os.fsync(file.fileno())
            except BaseException:
                file.truncate(size)
                raise

    def _ends_with_newline(self) -> bool:
        with self.path.open("rb") as file:
            if file.seek(0, os.SEEK_END) == 0:
                return True
            file.seek(-1, os.SEEK_END)
            return file.read() == b"\n"

    def counted(self, markets: Sequence[str] | None = None, data_hash: str = "") -> CountedTrials:
        """The trials that a result on ``markets`` is held against.

        Args:
            markets: trials that share one of them, or whose markets are not known, count. None, or
                none of them: all trials of the project.
            data_hash: trials on exactly these bars count, too.

        Raises:
            DataError: the file cannot be read.
        """
        found, damaged = self._read()
        if not markets:
            return CountedTrials(found, damaged=damaged)
        wanted = set(markets)
        chosen = tuple(
            trial
            for trial in found
            if not trial.markets or wanted & set(trial.markets) or trial.data_hash == data_hash
        )
        return CountedTrials(
            chosen,
            markets=tuple(markets),
            elsewhere=len(found) - len(chosen),
            unknown=sum(not trial.markets for trial in chosen),
            damaged=damaged,
        )

    def trials(self, data_hash: str | None = None) -> tuple[Trial, ...]:
        """Distinct trials in the order of their first record; of one data set if told.

        Raises:
            DataError: the file cannot be read.
        """
        found, _ = self._read()
        return tuple(trial for trial in found if data_hash in (None, trial.data_hash))

    def count(self, data_hash: str | None = None) -> int:
        """How many distinct trials there are; on one data set if told."""
        return len(self.trials(data_hash))

    def _read(self) -> tuple[tuple[Trial, ...], tuple[str, ...]]:
        """Distinct trials, and what was left out, each line with the reason."""
        try:
            lines = self.path.read_bytes().split(b"\n")
        except FileNotFoundError:
            return (), ()
        except OSError as error:
            raise DataError(f"{self.path} cannot be read: {error.strerror or error}") from error
        found: dict[str, Trial] = {}
        damaged: list[str] = []
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                trial = _parsed(line)
            except (ValueError, DataError) as error:
                reason = error.found if isinstance(error, DataError) else error
                damaged.append(f"line {number}: {reason}")
            else:
                found[trial.key] = trial
        return tuple(found.values()), self._named(damaged)

    def _named(self, damaged: Sequence[str]) -> tuple[str, ...]:
        """A sentence for each line that was left out; one for all after the first few."""
        named = [f"{self.path} {each}; it is not counted." for each in damaged[:_LINES_NAMED]]
        further = len(damaged) - _LINES_NAMED
        if further > 0:
            named.append(f"{self.path}: {further:,} further lines are no trials; not counted.")
        return tuple(named)


def _parsed(line: bytes) -> Trial:
    """The trial of a line; keys that a later version may add are passed over.

    Raises:
        ValueError, DataError: it was cut short, is no trial, or an absurd one; says why.
    """
    payload = parse_json(line)
    if not isinstance(payload, dict):
        raise ValueError("no trial")
    trial = from_json(Trial, payload, "the trial")
    sharpe, years = trial.sharpe, trial.periods_per_year
    if sharpe is not None and abs(sharpe) > MAX_SHARPE:
        raise ValueError(f"a Sharpe ratio of {float(sharpe):.3g} a bar")
    if trial.n_bars < 1 or not (years is None or 0 < years <= _MOST_BARS_A_YEAR):
        raise ValueError(f"{trial.n_bars} bars, {years} a year")
    return trial
