"""How well a policy does on its own log: what chooses among its states where no validator does.

A saturated policy's gradient comes from the few bars at which it is about to change its mind, so
what the last updates leave is a matter of luck: a threshold may stand where noise has moved it. A
pass over the whole log costs a few updates and ranks the states of a training by what they climb,
over the same bars from the same portfolios. It is no validation: bars that were trained on say
nothing of others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor

from offline_trader.learning.agents import Learner
from offline_trader.learning.settings import DirectConfig
from offline_trader.learning.stages.direct.compiled import engine_for, make_unroll
from offline_trader.learning.stages.direct.foretold_log import foretell
from offline_trader.learning.stages.direct.limits import DrawdownLimit, worst_drawdowns
from offline_trader.learning.stages.direct.market import DirectMarket
from offline_trader.learning.stages.direct.objectives import objective
from offline_trader.learning.stages.direct.unrolling import Batch, Unrolled
from offline_trader.learning.stages.results import Validated
from offline_trader.types import IntArray, Policy

__all__ = ["Depths", "LogJudge", "Replay"]

_LONGER = 4
_TOLERANCE = 0.05
"""Share of the limit by which a policy may exceed it and be kept: the price swings around it."""
_ROWS_AT_ONCE = 16_384
_MOST_SEGMENTS = 1_024


class Replay:
    """Passes over a log, in segments that lie end to end.

    Args:
        market: log and dynamics.
        bars: decisions of a training's window.
        device: of the rows.
        longer: a segment has so many times as many decisions, where a series is that long.

    Attributes:
        decisions: of all segments.
    """

    def __init__(self, market: DirectMarket, bars: int, device: str, longer: int = _LONGER) -> None:
        self._market, self._device = market, device
        lengths = market.log.series[:, 1] - market.log.series[:, 0]
        length = min(longer * bars, int(lengths.max()))
        self._rows = torch.arange(length)[:, None]
        self._first = torch.from_numpy(_segments(market.log.series, length))
        self._width = max(1, _ROWS_AT_ONCE // length)
        self.decisions = length * len(self._first)

    def __call__(self, unroll: Callable[[Batch], Unrolled]) -> list[Unrolled]:
        """What the policy of ``unroll`` does, from portfolios that are the same at every call."""
        with torch.no_grad():
            return [unroll(batch) for batch in self.batches()]

    def batches(self) -> Iterator[Batch]:
        """The segments, the same at every call."""
        generator = torch.Generator().manual_seed(0)
        for part in range(0, len(self._first), self._width):
            yield self._batch(self._first[part : part + self._width], generator)

    def _batch(self, first: Tensor, generator: torch.Generator) -> Batch:
        rows = (first + self._rows).to(self._device)
        return Batch(rows, self._market.random_state(rows[0], generator), None)


class Depths:
    """How deep the log's windows fall under a learner's present policy, wherever they begin.

    A policy holds at a window's first bar what it came to hold: windows begin a quarter of their
    length after a segment did, or more, where series are long enough.

    Args:
        learner: whose policy of the moment it is.
        market: log and dynamics, on the learner's device.
        config: length of a window and engine.

    Attributes:
        apart: windows that fit into the segments end to end, about as many as are independent.
        replay: of the segments.
        unroll: of the policy, rewards as realised.
    """

    def __init__(self, learner: Learner, market: DirectMarket, config: DirectConfig) -> None:
        self.replay = Replay(market, config.bars, learner.config.device)
        nothing = torch.zeros((len(market.log.gains), market.log.gains.shape[1]))
        engine = engine_for(learner, market, config.engine)
        self.unroll = make_unroll(learner, market, nothing.double(), engine)
        self.apart = self.replay.decisions // config.bars
        self._learner, self._bars = learner, config.bars

    def __call__(self) -> Tensor:
        """[n] deepest falls of the log equity."""
        self._learner.engine.flush()
        return torch.cat([self._of(each.climbed) for each in self.replay(self.unroll)])

    def _of(self, rewards: Tensor) -> Tensor:
        bars = self._bars
        first = min(bars // 4, len(rewards) - bars)
        windows = rewards[first:].unfold(0, bars, max(1, bars // 10))  # [starts, B, bars]
        return worst_drawdowns(windows.reshape(-1, bars).T)


class LogJudge:
    """Judges a learner's present policy on the whole log.

    Args:
        learner: whose policy of the moment is judged.
        market: log and dynamics.
        config: the objective, the forecast and the length of the segments.

    Attributes:
        forecast: of the log's gains, out of fold.
        volatility: the same of their size, if the policy sees forecasts.
        surprises: [R, G] what is taken off a reward for a unit carried.
        scale: of the gains: rewards divided by it are of the size of one, whatever the market.
    """

    def __init__(self, learner: Learner, market: DirectMarket, config: DirectConfig) -> None:
        gains = torch.from_numpy(market.log.gains.copy())
        foretold = foretell(market.log, config)
        self.forecast, self.volatility = foretold.forecast, foretold.volatility
        expected = torch.from_numpy(self.forecast.values.copy())
        self.surprises = (gains - expected) * config.forecast_weight
        spread = float(gains.var(dim=0, correction=0).sum().sqrt())
        self.scale = spread if spread > 0.0 else 1.0
        self._learner, self._config = learner, config
        moved = market.to(learner.config.device)
        engine = engine_for(learner, moved, config.engine)
        self._unroll = make_unroll(learner, moved, self.surprises, engine)
        self._moved, self._engine = moved, engine
        self._replay = Replay(moved, config.bars, learner.config.device)

    def limit_check(self) -> Callable[[], bool]:
        """Whether the drawdown limit is kept on the log, by the windows that updates measure."""
        config = self._config
        limit = DrawdownLimit(config.drawdown_limit, config.tail, config.price_rate)
        replay = Replay(self._moved, config.bars, self._learner.config.device, longer=1)
        nothing = torch.zeros_like(self.surprises)
        unroll = make_unroll(self._learner, self._moved, nothing, self._engine)

        def kept() -> bool:
            self._learner.engine.flush()
            windows = torch.cat([each.climbed for each in replay(unroll)], dim=1)
            return float(limit.excess(windows)) <= _TOLERANCE

        return kept

    def __call__(self, policy: Policy) -> Validated:
        """The objective, and what is climbed bar by bar; not of another ``policy``."""
        self._learner.engine.flush()
        found = self._replay(self._unroll)
        climbed, realised = (
            torch.cat([getattr(each, name) for each in found], dim=1)
            for name in ("climbed", "rewards")
        )
        score = float(objective(climbed, self._config, self.scale, realised))
        return Validated({"score": score}, climbed.T.reshape(-1).cpu().numpy())


def _segments(series: IntArray, length: int) -> IntArray:
    """First rows of the segments; at most 1,024 of them, evenly spread."""
    found = np.concatenate([np.arange(first, stop - length + 1, length) for first, stop in series])
    if len(found) > _MOST_SEGMENTS:
        found = found[np.linspace(0, len(found) - 1, _MOST_SEGMENTS).astype(np.int64)]
    return found.astype(np.int64)
