"""S runs side by side, each with bars, rules and a delay of its own, for one policy to decide.

A run is one portfolio on one instrument from its first bar to its last. A policy whose action for
a row depends on that row alone may decide for many bars in one call: the observations of the next
bars are foreseen as if nothing were traded, and are used as far as they come true. What it does
is the same, bit for bit, as deciding bar by bar.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from offline_trader.errors import ConfigError, DataError
from offline_trader.simulator import kernel as k
from offline_trader.simulator.config import SimulatorConfig
from offline_trader.simulator.market_tensor import MarketTensor
from offline_trader.simulator.observed import hold_scale
from offline_trader.types import FloatArray, IntArray, Observations

__all__ = ["LONGEST_WINDOW", "SideBySide", "SideRun"]

LONGEST_WINDOW = 256
"""Bars for which a policy decides in one call at most, a run."""


@dataclass(frozen=True)
class SideRun:
    """One run: the only instrument of ``market`` under ``config``.

    Attributes:
        market: one instrument.
        config: the trading rules.
        delay_bars: bars by which every action comes late; until then nothing is done.
    """

    market: MarketTensor
    config: SimulatorConfig
    delay_bars: int = 0


class SideBySide:
    """The runs on their way from the first bar to the last, and what they left behind.

    Args:
        runs: S of them; markets with the same observation layout.
        longest_window: bars of a run that may be decided in one call; 1: bar by bar.
        observe: keep the observations that were decided on.

    Attributes:
        steps: [S] bars that each run has behind it.
        actions: [S, T] as decided, T of the longest run.
        equity, exposure: [S, T] after each step.
        fill_units, fill_prices: [S, T] of each step's order; 0 where nothing filled.
        seen: [S, T, F + P] float32, or [0, 0, 0].

    Raises:
        DataError: rules that need volume on bars that have none.
    """

    def __init__(
        self, runs: Sequence[SideRun], *, longest_window: int = 1, observe: bool = True
    ) -> None:
        assert all(len(run.market.symbols) == 1 for run in runs), "one instrument at a time"
        for run in runs:
            if run.config.needs_volume and not (run.market.prices[:, 4] > 0.0).any():
                raise DataError(
                    f"{run.market.symbols[0]}: simulator.volume_cap or impact_bps is set, but the "
                    "bars have no volume",
                    expected="bars with volume",
                    hint="set both to 0",
                )
        self.runs = tuple(runs)
        n, length = len(runs), max(len(run.market) for run in runs) - 1
        features, table, starts = _packed([run.market for run in runs])
        width = runs[0].market.layout.size
        instruments = np.stack(
            [run.market.instruments(run.config.borrow_bps_per_year) for run in runs]
        )
        instruments[:, 0, :2] += starts[:, None] - instruments[:, 0, :1]
        scale = hold_scale()
        self._state = np.zeros((n, 2, 1, k.STATE_SIZE * k.L))
        self._state[:, k.NOW, 0, k.EPISODE * k.L] = -1.0
        lanes = (
            np.stack([np.concatenate([run.config.terms(), scale]) for run in runs]),
            features,
            table,
            np.ascontiguousarray(instruments),
            np.array([0, np.iinfo(np.int64).max, 0, 0], dtype=np.int64),
            self._state,
            np.zeros((n, 2, 1, width), dtype=np.float32),
            np.zeros((n, 2, 1)),
            np.zeros((n, 2, 1), dtype=np.bool_),
        )
        shared = (1, 2, 4)
        for s in range(n):
            k.reset_lanes(*(a if i in shared else a[s] for i, a in enumerate(lanes)))
        self._lanes = lanes
        self._longest = longest_window
        self._windows = np.ones(n, dtype=np.int64)
        self._foreseen = np.zeros((n * longest_window, width), dtype=np.float32)
        self._rows = np.zeros(n * longest_window, dtype=np.int64)
        self._delays = np.array([run.delay_bars for run in runs], dtype=np.int64)
        self._first_rows = np.asarray(starts, dtype=np.int64)
        self.steps = np.zeros(n, dtype=np.int64)
        self.actions = np.zeros((n, length))
        self._record = np.zeros((4, n, length))
        self.equity, self.exposure, self.fill_units, self.fill_prices = self._record
        shape = (n, length, width) if observe else (0, 0, 0)
        self.seen: Observations = np.zeros(shape, dtype=np.float32)
        self._waiting = self._advance(np.empty(0))

    @property
    def running(self) -> bool:
        """Whether any run goes on."""
        return self._waiting > 0

    @property
    def waiting(self) -> NDArray[np.bool_]:
        """[S] which runs go on."""
        return np.asarray(self._windows > 0)

    @property
    def observations(self) -> Observations:
        """[R, F + P] what the next actions are to be decided on (a view)."""
        return self._foreseen[: self._waiting]

    @property
    def bars(self) -> IntArray:
        """[R] the bars of those rows, counted from the first of the run that they belong to."""
        return self._rows[: self._waiting] - np.repeat(self._first_rows, self._windows)

    def advance(self, decided: NDArray[np.floating]) -> None:
        """Carry out actions [R] or [R, 1] for the rows of :attr:`observations`.

        Raises:
            ConfigError: another number of actions, or one that is no number.
        """
        actions = np.ascontiguousarray(decided, dtype=np.float64).reshape(-1)
        if actions.size != self._waiting:
            raise ConfigError(
                f"{actions.size} actions for {self._waiting} rows of observations",
                expected="one action a row",
            )
        self._waiting = self._advance(actions)

    def ruined(self, s: int) -> bool:
        """Whether run ``s`` ended in ruin."""
        return bool(self._lanes[-1][s, 0, 0])

    def costs_paid(self, s: int) -> float:
        """Commission, friction and borrow cost of run ``s``, quote currency."""
        return float(self._state[s, k.NOW, 0, k.COSTS * k.L])

    def _advance(self, decided: FloatArray) -> int:
        waiting = k.advance_runs(
            *self._lanes,
            self._delays,
            decided,
            self._foreseen,
            self._rows,
            self._windows,
            self._longest,
            self.steps,
            self.actions,
            self._record,
            self.seen,
        )
        if waiting < 0:
            run = self.runs[-1 - waiting]
            raise ConfigError(
                f"{run.market.symbols[0]}: an action is not a number", expected="-1 to 1"
            )
        return int(waiting)


def _packed(
    markets: Sequence[MarketTensor],
) -> tuple[NDArray[np.float32], FloatArray, IntArray]:
    """Features and tables of the different markets one after another, and each one's first row."""
    distinct = list({id(each): each for each in markets}.values())
    first = np.cumsum([0, *(len(each) for each in distinct)])
    place = {id(each): int(row) for each, row in zip(distinct, first, strict=False)}
    starts = np.array([place[id(each)] for each in markets], dtype=np.int64)
    if len(distinct) == 1:
        return distinct[0].features, distinct[0].table, starts
    features = np.concatenate([each.features for each in distinct])
    features.setflags(write=False)  # as one market's: another type would be compiled anew
    return features, np.concatenate([each.table for each in distinct]), starts
