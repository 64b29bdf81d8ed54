"""The option that runs on one account, of a model that chooses among options.

The model takes and answers a state (:mod:`offline_trader.export.option_model`) and keeps none of
its own, so that one model serves many accounts. A bar without a decision leaves the state as it is.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from offline_trader.types import Observations

__all__ = ["Choices", "RunningOption", "choices_of"]

_State = NDArray[np.float32]


class RunningOption(NamedTuple):
    """What runs after a decision.

    Attributes:
        name: of the option.
        state: the model's state for the next bar; as many numbers as the file has columns of it.
    """

    name: str
    state: tuple[float, ...]


@runtime_checkable
class _Chooser(Protocol):
    """A model that chooses, as :class:`~offline_trader.export.OnnxOptions` does."""

    names: tuple[str, ...]

    def decide(
        self, observations: Observations, state: _State | None = None
    ) -> tuple[_State, _State, _State]:
        """Actions [1, 1], next states [1, S], which options might have begun [1, K]."""


class Choices:
    """The choices of one account, one after another; nothing runs at first.

    Args:
        model: chooses.

    Attributes:
        running: after the last decision; None: there was none.
    """

    def __init__(self, model: _Chooser) -> None:
        self._model = model
        self._state: _State | None = None
        self.running: RunningOption | None = None

    def __call__(self, observations: Observations, /) -> _State:
        """Action [1, 1] for the account's observation [1, O].

        Raises:
            DataError: as the model; the state is as it was.
        """
        action, self._state, _available = self._model.decide(observations, self._state)
        state = tuple(self._state[0].tolist())
        self.running = RunningOption(self._model.names[int(state[0])], state)
        return action


def choices_of(model: object) -> Choices | None:
    """What keeps the account's option; None for a model that chooses among none."""
    return Choices(model) if isinstance(model, _Chooser) else None
