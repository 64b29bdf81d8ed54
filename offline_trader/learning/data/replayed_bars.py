"""Logged bars that the simulator plays again, for counterfactual replay."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from offline_trader.learning.data.replay import Replayed
from offline_trader.learning.data.transitions import Transitions
from offline_trader.simulator import MarketTensor, Simulator, SimulatorConfig
from offline_trader.types import FloatArray, IntArray, PortfolioField

__all__ = ["BarReplay"]

_LONGEST_HOLD = 60


class BarReplay:
    """See :class:`~offline_trader.learning.data.replay.ReplayMarket`: the simulator itself.

    Args:
        tensor: bars and features.
        rules: trading rules.
        bars: [R] market row of each decision: every bar but the last of an instrument.
    """

    def __init__(self, tensor: MarketTensor, rules: SimulatorConfig, bars: IntArray) -> None:
        self._tensor, self._rules, self._bars = tensor, rules, bars
        self._lanes: dict[int, Simulator] = {}
        now, after = tensor.table[bars], tensor.table[bars + 1]
        self._price = now[:, 1] if rules.fill == "close" else after[:, 0]
        self._spread = float(np.log(after[:, 1] / now[:, 1]).std())
        self.features: NDArray[np.float32] = tensor.features[bars]
        low = -1.0 if rules.action_mode == "target_long_short" else 0.0
        # repeated orders reach an exposure of 1, whatever the share of cash that one buys for
        most = 1.0 if rules.action_mode == "order" else rules.max_position_pct
        self.positions = (low * most, most)

    def equity(self, data: Transitions) -> FloatArray:
        """[M] quote currency: an episode begins with the initial cash, rewards are log growth."""
        grown = np.cumsum(data.rewards, dtype=np.float64) - data.rewards
        starts = np.append(True, data.ends[:-1])
        before = np.repeat(grown[starts], np.diff(np.append(np.flatnonzero(starts), len(data))))
        return np.asarray(self._rules.initial_cash * np.exp(grown - before))

    def keeping(self, position: FloatArray, actions: FloatArray) -> FloatArray:
        """[n] the position as a target weight; an order that was logged."""
        if self._rules.action_mode == "order":
            return actions
        return position / self._rules.max_position_pct

    def moved(
        self, rows: IntArray, seen: FloatArray, position: FloatArray, drawn: FloatArray
    ) -> FloatArray:
        """[n, P] a position of the logged side keeps return and age; another one has been held for
        up to 60 bars, with a return of the size that bars make over as many."""
        moved = seen.copy()
        moved[:, PortfolioField.EXPOSURE] = position
        held = np.floor(1.0 + _LONGEST_HOLD * drawn[:, 0])
        gain = self._spread * np.sqrt(held) * ndtri(np.clip(drawn[:, 1], 1e-12, 1.0 - 1e-12))
        opened = position != 0.0
        same = opened & (np.sign(position) == np.sign(seen[:, PortfolioField.EXPOSURE]))
        for column, fresh in (
            (PortfolioField.UNREALISED_RETURN, gain),
            (PortfolioField.HOLD_TIME, np.log1p(held) / np.log(253.0)),
        ):
            moved[:, column] = np.where(same, seen[:, column], np.where(opened, fresh, 0.0))
        if self._rules.smoothing_alpha < 1.0:
            low = 0.0 if self._rules.action_mode == "target_long" else -1.0
            anywhere = low + (1.0 - low) * (2.0 * drawn[:, 2] - 1.0)
            column = PortfolioField.SMOOTHED_ACTION
            moved[:, column] = np.where(drawn[:, 2] < 0.5, seen[:, column], anywhere)
        return moved

    def replay(
        self, rows: IntArray, seen: FloatArray, equity: FloatArray, actions: FloatArray
    ) -> Replayed:
        """The next bar from each portfolio, by one call of the simulator."""
        n = len(rows)
        if n not in self._lanes:
            self._lanes[n] = Simulator(self._tensor, self._rules, n, auto_reset=False)
        lanes = self._lanes[n]
        lanes.place(self._bars[rows], seen, equity)
        worth = lanes.equity
        result = lanes.step(actions)
        width = self._tensor.features.shape[1]
        carried = lanes.units * self._price[rows] / worth
        if self._rules.fill == "close":
            gains = carried[:, None]
        else:
            gains = np.stack([seen[:, PortfolioField.EXPOSURE], carried], axis=1)
        return Replayed(
            result.rewards.copy(),
            gains,
            result.observations[:, width:].astype(np.float64),
            result.terminated.copy(),
        )
