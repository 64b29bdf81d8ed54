"""Replay at other positions in online training, as the transform ``replay``.

What offline training does with logged bars (:mod:`offline_trader.learning.data.replay`) holds of
the bars that lanes trade, too: an order does not move their prices, so a bar that was met in one
portfolio tells what any other would have met there. The settings are the usual ones of replays.

Lanes that draw every step anew (:class:`~offline_trader.learning.stages.lanes.RuledLanes`) have no
bars to come back to. There a reward is linear in the gain of its step, ``r = carried · g + r₀``,
and what a position costs tells ``carried`` and r₀: so each step shows its gain, which is kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from offline_trader.errors import ConfigError
from offline_trader.learning.agents import Agent
from offline_trader.learning.data import Batch, Replayed, Replaying, Transitions, rows_of
from offline_trader.learning.data.transforms import Columns
from offline_trader.learning.settings import ReplayConfig
from offline_trader.learning.stages.direct.bars import BarMarket
from offline_trader.learning.stages.direct.forecast import fit_forecast
from offline_trader.learning.stages.direct.market import Log
from offline_trader.learning.stages.direct.positions import PositionReplay
from offline_trader.learning.stages.lanes import RuledLanes
from offline_trader.simulator import Simulator
from offline_trader.types import FloatArray, IntArray

__all__ = ["LaneReplay", "StepReplay", "lane_replay"]

_MOST_STEPS = 2**24  # as many as single precision can number, and more than a buffer holds
_SMALLEST_SHARE = 1e-3
"""Of the largest position: what a smaller one shows of a gain is lost in the observation's last
digits."""


def lane_replay(agent: Agent, lanes: object) -> Replaying:
    """The transform for ``agent`` on ``lanes``.

    Raises:
        ConfigError: lanes over other bars than an environment's, or rules under which an order
            moves the price.
    """
    if isinstance(lanes, RuledLanes):
        return StepReplay(agent, lanes)
    if not isinstance(lanes, Simulator):
        where = "offline training" if lanes is None else type(lanes).__name__
        raise ConfigError(
            f"the transform replay in {where}",
            expected="online training on an environment's own bars, without goals or curriculum",
            hint="offline training replays by itself: offline.replay.mode",
        )
    return LaneReplay(agent, lanes)


class LaneReplay(Replaying):
    """See the module. Rows of a dataset whose bars the lanes do not have stay as they are.

    Args:
        agent: scales of observations and rewards.
        lanes: bars, rules and portfolios, as they are stepped.
    """

    def __init__(self, agent: Agent, lanes: Simulator) -> None:
        market = BarMarket(lanes.market, lanes.config)
        log, config = market.log, ReplayConfig()
        surprises = config.forecast_weight * (log.gains - fit_forecast(log).values)
        super().__init__(market.replayed(), config, agent.preprocessing, surprises, lanes.seed)
        self._agent, self._lanes = agent, lanes
        self._spread = float(log.gains.sum(axis=1).std())
        self._met: tuple[IntArray, FloatArray] | None = None

    def stored(self, columns: Columns, *, online: bool) -> Columns:
        """The rows with their bar and their account."""
        if not online:
            names = ("observations", "actions", "next_observations", "terminals", "timeouts")
            same = {name: columns[name] for name in (*names, "episode_ids")}
            data = Transitions(**same, rewards=columns["raw_rewards"])
            rows = rows_of(self._market.features, data.observations)
            return self._of_bars(columns, rows, self._market.equity(data))
        n = len(columns["rewards"])
        unseen = (np.full(n, -1), np.full(n, self._lanes.config.initial_cash))  # the first step
        rows, equity = self._met or unseen
        # an instrument's last bar decides nothing and has no row
        self._met = (self._lanes.bar_index - self._lanes.instrument, self._lanes.equity.copy())
        return self._of_bars(columns, rows, equity)

    def sampled(self, batch: Batch) -> Batch:
        """The batch with replays, in the scale that rewards have by now."""
        self.scale_rewards(self._agent.preprocessing)
        return super().sampled(batch)

    def state_dict(self) -> dict[str, Any]:
        """Where the draws stand, and what the lanes decide on next."""
        met = None if self._met is None else [torch.from_numpy(np.array(x)) for x in self._met]
        return {**super().state_dict(), "met": met}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Inverse of :meth:`state_dict`."""
        super().load_state_dict(state)
        met = state["met"]
        self._met = None if met is None else (met[0].numpy().copy(), met[1].numpy().copy())


class StepReplay(Replaying):
    """See the module, of lanes without bars. Rows that show no gain, as they held next to nothing,
    and rows of a dataset stay as they are.

    Args:
        agent: scales of observations and rewards.
        lanes: what a position costs.
    """

    def __init__(self, agent: Agent, lanes: RuledLanes) -> None:
        self._met = _MetSteps(lanes, len(agent.preprocessing.mean) - 1)
        self._sums = np.zeros(3)  # of rewards: how many, their sum, the sum of their squares
        super().__init__(self._met, ReplayConfig(), agent.preprocessing, None, lanes.seed)
        self._agent = agent

    def stored(self, columns: Columns, *, online: bool) -> Columns:
        """The rows with the number of their step, whose gain is kept."""
        n = len(columns["rewards"])
        rows = np.full(n, -1)
        if online:
            position = np.asarray(columns["observations"], np.float64)[:, self._width :]
            actions = np.asarray(columns["actions"], np.float64)[:, 0]
            rewards = np.asarray(columns["rewards"], np.float64)
            gains = self._met.shown(position, actions, rewards)
            told = np.isfinite(gains)
            self._sums += [n, rewards.sum(), np.square(rewards).sum()]
            rows[told] = self._met.keep(gains[told])
        return self._of_bars(columns, rows, np.ones(n))

    def sampled(self, batch: Batch) -> Batch:
        """The batch with replays, in the scale that rewards have by now."""
        self.scale_rewards(self._agent.preprocessing)
        self._centre, square = self._sums[1:] / max(1.0, self._sums[0])
        self._spread = float(np.sqrt(max(0.0, square - self._centre**2)))
        return super().sampled(batch)

    def state_dict(self) -> dict[str, Any]:
        """Where the draws stand, and the gains that were met."""
        sums = torch.from_numpy(self._sums.copy())
        return {**super().state_dict(), "sums": sums, "met": self._met.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Inverse of :meth:`state_dict`."""
        super().load_state_dict(state)
        self._sums = state["sums"].numpy().copy()
        self._met.load_state_dict(state["met"])


class _MetSteps:
    """The steps that were met, as decisions that can be taken again from any position: a
    :class:`~offline_trader.learning.data.ReplayMarket` that grows."""

    def __init__(self, lanes: RuledLanes, n_features: int) -> None:
        self._lanes, self._gains, self._count = lanes, np.zeros(1_024), 0
        rules = self._of(np.zeros(1))
        self.features, self.positions = np.zeros((0, n_features), np.float32), rules.positions
        self.keeping, self.moved, self.equity = rules.keeping, rules.moved, rules.equity

    def _of(self, gains: FloatArray) -> PositionReplay:
        """The rules over ``gains`` [n]."""
        n = len(gains)
        log = Log(np.zeros((n, 0), np.float32), gains[:, None], np.array([[0, n]]))
        return self._lanes.ruled(log).replayed()

    def shown(self, position: FloatArray, actions: FloatArray, rewards: FloatArray) -> FloatArray:
        """[n] gains of a unit that ``rewards`` [n] show, after ``actions`` [n] from positions
        [n, 1]; NaN where they show none."""
        n = len(rewards)
        without = self._of(np.zeros(n)).replay(np.arange(n), position, np.ones(n), actions)
        told = np.abs(without.seen[:, 0]) >= _SMALLEST_SHARE * self.positions[1]
        return (rewards - without.rewards) / np.where(told, without.carried[:, 0], np.nan)

    def keep(self, gains: FloatArray) -> IntArray:
        """[n] the numbers of further steps, whose gains are these."""
        rows = (self._count + np.arange(len(gains))) % _MOST_STEPS
        while len(self._gains) <= rows.max(initial=0):
            self._gains = np.concatenate([self._gains, np.zeros_like(self._gains)])
        self._gains[rows] = gains
        self._count += len(gains)
        return rows

    def replay(
        self, rows: IntArray, seen: FloatArray, equity: FloatArray, actions: FloatArray
    ) -> Replayed:
        """See :class:`~offline_trader.learning.data.ReplayMarket`."""
        return self._of(self._gains[rows]).replay(np.arange(len(rows)), seen, equity, actions)

    def state_dict(self) -> dict[str, Any]:
        """The gains."""
        kept = self._gains[: min(self._count, _MOST_STEPS)]
        return {"count": self._count, "gains": torch.from_numpy(kept.copy())}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Inverse of :meth:`state_dict`."""
        self._gains, self._count = np.zeros(1_024), 0
        self.keep(state["gains"].numpy())
        self._count = int(state["count"])
