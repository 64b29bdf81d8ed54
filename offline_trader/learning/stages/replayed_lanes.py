"""Replay at other positions in online training, as the transform ``replay``.

What offline training does with logged bars (:mod:`offline_trader.learning.data.replay`) holds of
the bars that lanes trade, too: an order does not move their prices, so a bar that was met in one
portfolio tells what any other would have met there. The settings are the usual ones of replays.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from offline_trader.errors import ConfigError
from offline_trader.learning.agents import Agent
from offline_trader.learning.data import Batch, Replaying, Transitions, rows_of
from offline_trader.learning.data.transforms import Columns
from offline_trader.learning.settings import ReplayConfig
from offline_trader.learning.stages.direct.bars import BarMarket
from offline_trader.learning.stages.direct.forecast import fit_forecast
from offline_trader.simulator import Simulator
from offline_trader.types import FloatArray, IntArray

__all__ = ["LaneReplay", "lane_replay"]


def lane_replay(agent: Agent, lanes: object) -> LaneReplay:
    """The transform for ``agent`` on ``lanes``.

    Raises:
        ConfigError: lanes over other bars than an environment's, or rules under which an order
            moves the price.
    """
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
