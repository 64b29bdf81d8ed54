"""What the online loop steps: anything with the simulator's calls."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray

from offline_trader.goals import GoalTask
from offline_trader.types import BoolArray, FloatArray, Observations, Policy

if TYPE_CHECKING:
    from offline_trader.learning.stages.direct import Log, PositionMarket

__all__ = [
    "AimedLanes",
    "GainLanes",
    "LaneStep",
    "Lanes",
    "ResumableLanes",
    "RuledLanes",
    "StagedLanes",
    "as_arrays",
    "as_tensors",
]


class LaneStep(Protocol):
    """One step of N lanes; where an episode ended, the observation is the next one's first.

    Attributes:
        observations: [N, F + P] float32.
        rewards: [N] float64.
        terminated, truncated: [N] bool, which episodes ended in ruin, which by the end of data.
    """

    @property
    def observations(self) -> Observations: ...
    @property
    def rewards(self) -> FloatArray: ...
    @property
    def terminated(self) -> BoolArray: ...
    @property
    def truncated(self) -> BoolArray: ...


class Lanes(Protocol):
    """N environments in step, with same-step reset, as the simulator has them.

    They may have ``traded`` ([N] bool, who traded in the last step) and ``endogenous`` (columns of
    the observation that the actions move), which are read where they are there.
    """

    @property
    def final_observations(self) -> Observations:
        """[N, O]; the rows of lanes that ended at the last step are what they saw last."""
        ...

    def reset(self) -> Observations:
        """[N, O] first observations."""
        ...

    def step(self, actions: NDArray[np.float32]) -> LaneStep:
        """One step under actions [N, A]."""
        ...


@runtime_checkable
class ResumableLanes(Protocol):
    """Lanes whose state can be saved."""

    def state_dict(self) -> Mapping[str, Any]:
        """All that the next step depends on: arrays and numbers."""
        ...

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Inverse of :meth:`state_dict`."""


@runtime_checkable
class AimedLanes(Protocol):
    """Lanes whose observations end with progress and goal, and whose episodes are horizons."""

    @property
    def task(self) -> GoalTask:
        """What is asked for."""
        ...

    @property
    def achieved_column(self) -> int:
        """Column of the observation that holds what is achieved."""
        ...

    @property
    def goal_column(self) -> int:
        """Column of the observation that holds the goal, its last."""
        ...


@runtime_checkable
class GainLanes(Protocol):
    """Lanes whose every step is new, and that tell what of a reward came from the price."""

    @property
    def endogenous(self) -> tuple[int, ...]:
        """Columns of the observation that the actions move."""

    def gains(self) -> tuple[FloatArray, FloatArray]:
        """[N] how much of the last step's gain is in its reward, 0 where it cannot be told, and
        [N] the gain of a unit."""


@runtime_checkable
class RuledLanes(Protocol):
    """Lanes whose every step is new, whose price no order moves, and what a position costs in them
    is known. The last column of an observation is the position.

    Attributes:
        seed: of what they draw.
    """

    @property
    def seed(self) -> int: ...

    def ruled(self, log: Log) -> PositionMarket:
        """``log`` under their rules, in the unit of their rewards."""


@runtime_checkable
class StagedLanes(Protocol):
    """Lanes whose markets change in the course of a training."""

    def measures(self) -> Mapping[str, float]:
        """What they are like now, for the log."""

    def examine(self, policy: Policy) -> Mapping[str, Any]:
        """Examine ``policy``, change what depends on it, and say so: figures and texts."""


def as_tensors(value: Any) -> Any:
    """Arrays as tensors, which ``torch.load(weights_only=True)`` reads."""
    if isinstance(value, Mapping):
        return {key: as_tensors(item) for key, item in value.items()}
    return torch.from_numpy(value.copy()) if isinstance(value, np.ndarray) else value


def as_arrays(value: Any) -> Any:
    """Inverse of :func:`as_tensors`."""
    if isinstance(value, Mapping):
        return {key: as_arrays(item) for key, item in value.items()}
    return value.numpy() if isinstance(value, torch.Tensor) else value
