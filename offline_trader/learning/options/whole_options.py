"""Steps of lanes as whole options: the rows that SMDP Q-learning learns from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from offline_trader.errors import ConfigError
from offline_trader.learning.data import Batch, Columns
from offline_trader.types import BoolArray

if TYPE_CHECKING:
    from offline_trader.learning.options.agent import OptionsAgent

__all__ = ["WholeOptions"]


class WholeOptions:
    """A transform that stores one row an option: from where it began to where the next one does.

    The row's reward is ``R = Σ γⁱ r_i``, ``bars`` its k. It is stored with the step at which the
    next option begins, or at which the episode is terminated; what a truncation cuts off is not
    learned from, for it is not known what the option would have come to.

    Args:
        agent: whose options they are.
        lanes: not read.

    Raises:
        ConfigError: an agent without options.
    """

    columns: tuple[tuple[str, int], ...] = ()

    def __init__(self, agent: OptionsAgent, lanes: Any = None) -> None:
        if not hasattr(agent, "rows"):
            raise ConfigError(
                "the transform whole_options without options", expected="agent=options"
            )
        self._agent = agent
        self._open: dict[str, Any] = {}

    def stored(self, columns: Columns, *, online: bool) -> Columns:
        """The options that came to their end with this step, [n] rows, n ≥ 0."""
        now = {name: np.array(values) for name, values in columns.items()}
        begins: BoolArray = now["age_bars"] == 0.0
        count = len(begins)
        if not self._open:
            self._open = {name: np.zeros_like(values) for name, values in now.items()}
            self._open["bars"] = np.zeros(count, np.float32)
            self._open["rewards"] = np.zeros(count)
        past = self._open
        done = begins & (past["bars"] > 0.0)
        rows = [_picked({**past, "next_observations": now["observations"]}, done)]
        for name in past:
            if name in ("rewards", "bars"):
                past[name] = np.where(begins, 0.0, past[name]).astype(past[name].dtype)
            else:
                past[name][begins] = now[name][begins]
        past["rewards"] += self._agent.preprocessing.gamma ** past["bars"] * now["rewards"]
        past["bars"] += 1.0
        over = now["terminals"].astype(bool)
        ended = {"next_observations": now["next_observations"], "terminals": now["terminals"]}
        rows.append(_picked({**past, **ended}, over))
        past["bars"][over | now["timeouts"].astype(bool)] = 0.0
        whole = {name: np.concatenate([row[name] for row in rows]) for name in rows[0]}
        whole["raw_rewards"] = whole["rewards"]
        self._agent.rows += len(whole["rewards"])
        return whole

    def sampled(self, batch: Batch) -> Batch:
        """As it is."""
        return batch

    def metrics(self) -> Mapping[str, float]:
        """Nothing."""
        return {}

    def state_dict(self) -> dict[str, Any]:
        """The options that have not come to their end."""
        return {name: torch.from_numpy(values.copy()) for name, values in self._open.items()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Inverse of :meth:`state_dict`."""
        self._open = {name: values.numpy().copy() for name, values in state.items()}


def _picked(columns: Columns, rows: BoolArray) -> dict[str, Any]:
    return {name: np.array(values)[rows] for name, values in columns.items()}
