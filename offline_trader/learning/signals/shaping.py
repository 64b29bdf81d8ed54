"""Potential-based shaping as a transform of sampled batches; the formula is ``estimators``'.

Rows are stored unshaped. Whenever a batch is drawn the shaping is made anew from the present
weight and one potential, so that no two rows of a batch were shaped by two potentials. That of
novelty changes, but between batches alone.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from offline_trader.errors import ConfigError
from offline_trader.learning.agents import Agent
from offline_trader.learning.data import Batch, Columns
from offline_trader.learning.estimators import shaping_reward
from offline_trader.learning.settings import ShapingConfig
from offline_trader.learning.signals.novelty import Novelty
from offline_trader.learning.signals.potentials import HandMade, LearnedPotential, Potential
from offline_trader.types import PortfolioField

__all__ = ["Shaping", "make_shaping"]

_BINS = 21
_EXPOSURE = PortfolioField.EXPOSURE.name.lower()


def make_shaping(agent: Agent, lanes: Any, config: ShapingConfig, seed: int) -> Shaping:
    """The transform that ``config`` asks for.

    Args:
        agent: whose scales and discount it uses.
        lanes: whose market says what the columns of an observation are.
        config: settings.
        seed: of the learned potential.

    Raises:
        ConfigError: a potential on observations that lack what it reads.
    """
    names = _column_names(lanes)
    made: list[Potential] = []
    for name in config.potentials:
        if name == "learned":
            size = len(agent.preprocessing.mean)
            made.append(LearnedPotential(size, config.updates, seed, agent.config.device))
        elif name == "novelty":
            made.append(Novelty(names, agent.preprocessing, config.interval))
        else:
            made.append(HandMade(name, names, agent.preprocessing))
    bars = getattr(getattr(lanes, "market", None), "periods_per_year", None)
    year = 252.0 if bars is None else float(np.mean(bars))
    place = names.index(_EXPOSURE) if _EXPOSURE in names else None
    return Shaping(config, agent, made, year, exposure=place)


def _column_names(lanes: Any) -> tuple[str, ...]:
    market = getattr(lanes, "market", None)
    layout = getattr(market, "layout", None)
    return tuple(layout.names if layout is not None else getattr(market, "observation_names", ()))


class Shaping:
    """Adds ``w · (γᵏΦ(s') − Φ(s))`` to the scaled rewards of sampled batches.

    Args:
        config: weight, and how it moves.
        agent: scales of rewards and discount are read when they are needed.
        potentials: Φ is their sum.
        bars_per_year: of the Sharpe ratio that lowers the weight.
        exposure: column of an observation that says what orders came to; None: what was asked for
            is counted, of which a policy that does nothing may ask for much.

    Attributes:
        weight: w of the next batch.
    """

    columns: tuple[tuple[str, int], ...] = ()

    def __init__(
        self,
        config: ShapingConfig,
        agent: Agent,
        potentials: Sequence[Potential],
        bars_per_year: float = 252.0,
        *,
        exposure: int | None = None,
    ) -> None:
        self._config, self._agent = config, agent
        self._potentials = tuple(potentials)
        self._exposure = exposure
        self._root = math.sqrt(bars_per_year)
        self.weight = config.weight
        self._bins = np.zeros(_BINS, np.int64)
        self._steps, self._sum, self._squares = 0, 0.0, 0.0
        self._size, self._batches = 0.0, 0

    def stored(self, columns: Columns, *, online: bool) -> Columns:
        """Unchanged. Offline data fit the learned potential, steps of the lanes move the weight,
        and what they led to is counted."""
        if online:
            done = columns["actions"]
            if self._exposure is not None:
                done = columns["next_observations"][:, self._exposure]
            self._watch(done, columns["raw_rewards"])
            for each in self._potentials:
                if isinstance(each, Novelty):
                    each.met(columns["next_observations"])
            return columns
        for each in self._potentials:
            if isinstance(each, LearnedPotential) and not each.fitted:
                each.fit(columns, self._agent.preprocessing)
        return columns

    def _watch(self, done: NDArray[Any], rewards: NDArray[Any]) -> None:
        if not self._config.adaptive:
            return
        places = np.clip(((done + 1.0) * (_BINS / 2.0)).astype(np.int64), 0, _BINS - 1)
        self._bins += np.bincount(places.ravel(), minlength=_BINS)
        self._steps += len(rewards)
        self._sum += float(rewards.sum())
        self._squares += float(np.square(rewards).sum())
        if self._steps >= self._config.interval:
            self._adapt()

    def _adapt(self) -> None:
        config = self._config
        shares = self._bins[self._bins > 0] / self._bins.sum()
        entropy = float(-(shares * np.log(shares)).sum())
        mean = self._sum / self._steps
        variance = self._squares / self._steps - mean**2
        sharpe = self._root * mean / math.sqrt(variance) if variance > 0.0 else 0.0
        move = config.step * ((entropy < config.low_entropy) - (sharpe > config.high_sharpe))
        self.weight = min(config.largest_weight, max(0.0, self.weight + move))
        self._bins[:] = 0
        self._steps, self._sum, self._squares = 0, 0.0, 0.0

    def sampled(self, batch: Batch) -> Batch:
        """The batch with shaped rewards."""
        gamma = self._agent.preprocessing.gamma
        before, after = (self._value(batch[name]) for name in ("observations", "next_observations"))
        terminals, bars = batch["terminals"][:, 0], batch["intervals"][:, 0]
        added = self.weight * shaping_reward(before, after, terminals, gamma, bars)
        batch["rewards"].add_(added[:, None])
        self._size += float(added.abs().mean())
        self._batches += 1
        return batch

    def _value(self, scaled: Tensor) -> Tensor:
        """[B] Φ in the unit of the scaled rewards."""
        reward = self._agent.preprocessing.reward
        unit = 1.0 if reward is None else 1.0 / reward.scale
        total: Any = 0.0
        for each in self._potentials:
            if isinstance(each, LearnedPotential) and not each.fitted:
                raise ConfigError(
                    "shaping.potentials: learned, without offline data to fit it to",
                    expected="a dataset, and online.offline_share above 0",
                )
            total = total + each(scaled) * (unit if each.in_returns else 1.0)
        found: Tensor = total
        return found

    def metrics(self) -> Mapping[str, float]:
        """Mean size of what was added since the last call, and the weight."""
        size = self._size / max(1, self._batches)
        self._size, self._batches = 0.0, 0
        return {"shaping": size, "shaping_weight": self.weight}

    def state_dict(self) -> dict[str, Any]:
        """Weight, what moves it, the potentials that learn."""
        return {
            "weight": self.weight,
            "bins": self._bins.tolist(),
            "sums": [self._steps, self._sum, self._squares, self._size, self._batches],
            "learned": [each.state_dict() for each in self._learning()],
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Inverse of :meth:`state_dict`."""
        self.weight = float(state["weight"])
        self._bins = np.array(state["bins"], np.int64)
        self._steps, self._sum, self._squares, self._size, self._batches = state["sums"]
        for each, saved in zip(self._learning(), state["learned"], strict=True):
            each.load_state_dict(saved)

    def _learning(self) -> list[LearnedPotential | Novelty]:
        kinds = LearnedPotential | Novelty
        return [each for each in self._potentials if isinstance(each, kinds)]
