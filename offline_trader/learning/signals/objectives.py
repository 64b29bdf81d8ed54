"""Several objectives as a transform: every stored row gets the vector of its components."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from offline_trader.errors import ConfigError
from offline_trader.learning.data import Batch, Columns
from offline_trader.learning.settings.objectives import COMPONENTS, ObjectivesConfig
from offline_trader.learning.signals.components import ComponentState
from offline_trader.types import BoolArray, FloatArray, PortfolioField

__all__ = ["ObjectiveColumns", "Objectives", "Watched", "make_objectives"]


class Watched(Protocol):
    """What hears of the steps of the lanes: an agent that keeps to a limit."""

    def watch(self, drawdowns: FloatArray, growth: FloatArray) -> None:
        """[N] equity ÷ peak − 1 after a step, and the log change of equity in it."""
        ...


class ObjectiveColumns:
    """Where an observation holds what the components are of.

    Args:
        names: of an observation's columns.

    Raises:
        ConfigError: one of them is missing.
    """

    def __init__(self, names: tuple[str, ...]) -> None:
        fields = [PortfolioField.EXPOSURE, PortfolioField.DRAWDOWN, PortfolioField.HOLD_TIME]
        wanted = ["return_1", *(each.name.lower() for each in fields)]
        lacking = [name for name in wanted if name not in names]
        if lacking:
            raise ConfigError(
                f"objectives of observations without {', '.join(lacking)}",
                expected="bars, with the built-in features: the components are of the portfolio "
                "and of the market's last return",
                hint="online.objectives.preference=none",
            )
        self._return, self._exposure, self._drawdown, self._held = map(names.index, wanted)

    def facts(self, columns: Columns) -> FloatArray:
        """[n, 7] of rows, columns :data:`~.components.FACTS_OF_A_STEP`."""
        before = np.asarray(columns["observations"], np.float64)
        after = np.asarray(columns["next_observations"], np.float64)
        return np.stack(
            [
                np.asarray(columns["raw_rewards"], np.float64),
                before[:, self._exposure],
                after[:, self._exposure],
                after[:, self._drawdown],
                np.expm1(after[:, self._return]),
                np.expm1(before[:, self._held] * np.log(253.0)),
                np.expm1(after[:, self._held] * np.log(253.0)),
            ],
            axis=1,
        )


def make_objectives(agent: Any, lanes: Any, config: ObjectivesConfig) -> Objectives:
    """The transform for lanes over bars.

    Raises:
        ConfigError: lanes whose observations lack what a component is of.
    """
    parts = getattr(lanes, "simulators", None)  # of a course
    market = getattr(parts[0] if parts else lanes, "market", None)
    layout = getattr(market, "layout", None)
    names = tuple(layout.names if layout is not None else getattr(market, "observation_names", ()))
    return Objectives(ObjectiveColumns(names), agent if config.limit != "none" else None)


class Objectives:
    """Adds the column ``objectives`` [K]: components, divided by the root of their mean square.

    Args:
        places: of what they are of.
        watched: hears of every step of the lanes; None: nobody.
    """

    columns: tuple[tuple[str, int], ...] = (("objectives", len(COMPONENTS)),)

    def __init__(self, places: ObjectiveColumns, watched: Watched | None = None) -> None:
        self._places, self._watched = places, watched
        self._state = ComponentState(0)
        self._begins: BoolArray = np.zeros(0, np.bool_)
        self._squares: FloatArray = np.zeros(len(COMPONENTS))
        self._rows = 0
        self._sums: FloatArray = np.zeros(len(COMPONENTS))
        self._steps = 0

    @property
    def scales(self) -> FloatArray:
        """[K] by which components are divided: roots of their mean squares over the offline data
        and the lanes' steps so far; 1 of one that was always 0."""
        found = np.sqrt(self._squares / max(1, self._rows))
        return np.where(found > 0.0, found, 1.0)

    def stored(self, columns: Columns, *, online: bool) -> Columns:
        """The columns with the components, raw."""
        facts = self._places.facts(columns)
        if online:
            found = self._step(facts, columns)
        else:
            ids = np.asarray(columns["episode_ids"])
            begins = np.append(True, np.diff(ids) != 0)
            found = ComponentState(1).advance(facts[:, None], begins[:, None])[:, 0]
        self._squares += np.square(found).sum(axis=0)
        self._rows += len(found)
        return {**columns, "objectives": found.astype(np.float32)}

    def _step(self, facts: FloatArray, columns: Columns) -> FloatArray:
        if self._state.lanes != len(facts):
            self._state = ComponentState(len(facts))
            self._begins = np.ones(len(facts), np.bool_)
        found = self._state.advance(facts[None], self._begins[None])[0]
        ended = np.asarray(columns["terminals"], bool) | np.asarray(columns["timeouts"], bool)
        self._begins = ended.reshape(-1)
        self._sums += found.sum(axis=0)
        self._steps += len(found)
        if self._watched is not None:
            self._watched.watch(facts[:, 3], facts[:, 0])
        return np.asarray(found)

    def sampled(self, batch: Batch) -> Batch:
        """The batch with scaled components: all its rows by the scales of now, so that a head stays
        of the size of one while what the lanes do changes."""
        batch["objectives"].div_(torch.from_numpy(self.scales).to(batch.matrix))
        return batch

    def metrics(self) -> Mapping[str, float]:
        """Means of the components of the lanes' steps since the last call, in their own units."""
        means = self._sums / max(1, self._steps)
        self._sums, self._steps = np.zeros(len(COMPONENTS)), 0
        return {f"objective_{name}": float(x) for name, x in zip(COMPONENTS, means, strict=True)}

    def state_dict(self) -> dict[str, Any]:
        """All that the next step and the next batch read."""
        arrays: dict[str, NDArray[Any]] = {
            **self._state.state_dict(),
            "begins": self._begins,
            "squares": self._squares,
            "sums": self._sums,
        }
        return {
            "arrays": {name: torch.from_numpy(each.copy()) for name, each in arrays.items()},
            "counts": [self._rows, self._steps],
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Inverse of :meth:`state_dict`."""
        arrays = {name: each.numpy().copy() for name, each in state["arrays"].items()}
        self._state = ComponentState(len(arrays["begins"]))
        self._state.load_state_dict(arrays)
        self._begins, self._squares = arrays["begins"], arrays["squares"]
        self._sums = arrays["sums"]
        self._rows, self._steps = state["counts"]
