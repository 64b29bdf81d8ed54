"""What learns: the protocol that the online loop drives, and the registry of who satisfies it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from offline_trader.learning.data import Batch, Preprocessing, Scaler
from offline_trader.learning.settings import AgentConfig
from offline_trader.registry import Registry
from offline_trader.types import BoolArray, Observations, Policy

__all__ = ["AGENTS", "Agent", "MakeAgent", "make_agent"]


class Agent(Protocol):
    """Acts in N lanes and learns from batches of rows.

    An agent may keep a state for every lane (a recurrent network's, an option's). It is the
    agent's own: :meth:`sample` moves it on, :meth:`restart` says where it begins anew, and
    :meth:`state_dict` holds it.
    """

    @property
    def config(self) -> AgentConfig:
        """Its settings; batch size, discount, scaling of rewards and device are read."""
        ...

    @property
    def preprocessing(self) -> Preprocessing:
        """Scales under which rows are stored, and the discount."""
        ...

    @property
    def action_size(self) -> int:
        """A, the numbers in one action."""
        ...

    @property
    def learns_online(self) -> bool:
        """Whether it can learn from rows without return to go and next action."""
        ...

    @property
    def columns(self) -> tuple[tuple[str, int], ...]:
        """(name, width) of what :meth:`noted` adds to every row."""
        ...

    def policy(self) -> Policy:
        """Its deterministic policy as it is now, with states of lanes of its own, if any: a
        :class:`~offline_trader.types.LanePolicy` then."""
        ...

    def sample(self, observations: Observations, generator: torch.Generator) -> Any:
        """Exploring actions [N, A] for raw observations [N, O] of the N lanes, drawn with
        ``generator``."""
        ...

    def noted(self) -> Mapping[str, NDArray[Any]]:
        """What is stored beside the actions of the last :meth:`sample`: [N, w] by name, as their
        log-probability or the states of the lanes."""
        ...

    def restart(self, lanes: BoolArray) -> None:
        """An episode begins in those of the N lanes; all of them before the first step."""
        ...

    def fit_reward_scale(self, rewards: NDArray[np.floating[Any]]) -> None:
        """Scale rewards by the statistics of ``rewards`` [M], unless a scale is stored already."""
        ...

    def set_pace(self, target_entropy: float, rate: float) -> None:
        """From now on aim at ``target_entropy`` (nats an action dimension), if there is something
        that aims at one, and learn with the share ``rate`` of the learning rates."""
        ...

    def update(self, batches: Iterable[Batch], *, train_actor: bool = True) -> None:
        """An update a batch.

        Args:
            batches: drawn as they are asked for.
            train_actor: False: what estimates values alone, if there is such a part.
        """
        ...

    def metrics(self) -> Mapping[str, float]:
        """Mean of every loss since the last call, then forget them."""
        ...

    def snapshot(self) -> dict[str, Any]:
        """What it learned: a policy to come back to."""
        ...

    def restore(self, snapshot: Mapping[str, Any]) -> None:
        """Inverse of :meth:`snapshot`."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """All that the next step and the next update read: tensors, numbers, texts, lists and
        dicts, which ``torch.load(weights_only=True)`` reads."""
        ...

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Inverse of :meth:`state_dict`."""
        ...


class MakeAgent(Protocol):
    """Makes an agent with fresh weights."""

    def __call__(
        self,
        config: Any,
        observation_size: int,
        scaler: Scaler | None = None,
        seed: int = 0,
        *,
        action_size: int = 1,
    ) -> Agent: ...


_D3RLPY = "offline_trader.learning.agents.learner:make_learner"

AGENTS: Registry[MakeAgent] = Registry(
    "agent",
    dict.fromkeys(("cql", "sac", "cal_ql", "iql", "awac", "td3_plus_bc"), _D3RLPY),
)
"""Who makes the agent of an algorithm, by its name in
:data:`~offline_trader.learning.settings.ALGORITHMS`."""


def make_agent(
    config: AgentConfig,
    observation_size: int,
    scaler: Scaler | None = None,
    seed: int = 0,
    *,
    action_size: int = 1,
) -> Agent:
    """The agent that ``config.algorithm`` names, with fresh weights.

    Args:
        config: settings of that algorithm.
        observation_size: O.
        scaler: of raw observations; None: they are used as they are.
        seed: of the first weights and of every draw while training.
        action_size: A.

    Raises:
        ConfigError: an algorithm that nobody registered.
    """
    make = AGENTS[config.algorithm]
    return make(config, observation_size, scaler, seed, action_size=action_size)
