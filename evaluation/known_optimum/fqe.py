"""Fitted Q evaluation (Le et al. 2019): a policy's value from data alone. A filter, no verdict.

Off-policy evaluation is at its most confident where the data never went: on M1 with narrow data
it ranked a contrarian policy far above its true value. It is therefore only ever reported with
its rank correlation on a market whose true values are known, for the same kind of data.

    Q_{k+1} = argmin_Q Σ (Q(s, a) − r − γ(1 − terminal)·Q_k(s', π(s')))²

Truncations bootstrap, terminations do not. The number of effective Bellman iterations, updates ×
τ of the moving target, is at least 5/(1 − γ): with fewer, the value has not travelled through
the horizon.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import spearmanr

from offline_trader.errors import ConfigError, DataError
from offline_trader.types import FloatArray, Observations

if TYPE_CHECKING:
    import torch

    from offline_trader.learning.data import Transitions

__all__ = ["FqeConfig", "FqeResult", "RankCheck", "fitted_q_evaluation", "rank_check"]

EvaluatedPolicy = Callable[[Observations], NDArray[Any]]
"""Actions [N, A] (or [N]) in [−1, 1] for observations [N, O]."""


@dataclass(frozen=True)
class FqeConfig:
    """Settings.

    Attributes:
        gamma: discount.
        hidden: units of the two hidden layers.
        batch_size: transitions a step.
        learning_rate: of Adam.
        tau: share of the network that the target takes over at each step.
        iterations: effective Bellman iterations; 0: ``5/(1 − γ)``.
    """

    gamma: float = 0.97
    hidden: int = 64
    batch_size: int = 256
    learning_rate: float = 1e-3
    tau: float = 0.05
    iterations: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.gamma < 1 or not 0 < self.tau <= 1 or not self.learning_rate > 0:
            raise ConfigError(
                f"gamma {self.gamma}, tau {self.tau}, learning rate {self.learning_rate}",
                expected="gamma in [0, 1), tau in (0, 1], a positive learning rate",
            )
        if self.hidden < 1 or self.batch_size < 1:
            raise ConfigError(
                f"hidden {self.hidden}, batch_size {self.batch_size}", expected="1 or more"
            )
        if self.iterations and not self.least_iterations <= self.iterations < math.inf:
            raise ConfigError(
                f"{self.iterations} effective Bellman iterations at gamma {self.gamma}",
                expected=f"at least 5/(1 − γ) = {self.least_iterations:.0f}",
            )

    @property
    def least_iterations(self) -> float:
        """5/(1 − γ)."""
        return 5.0 / (1.0 - self.gamma)

    @property
    def updates(self) -> int:
        """Gradient steps."""
        return math.ceil((self.iterations or self.least_iterations) / self.tau)


@dataclass(frozen=True)
class FqeResult:
    """What fitted Q evaluation says of one policy.

    Attributes:
        value: mean Q over the data's states under the policy's actions, discounted reward.
        value_a_step: (1 − γ)·value, comparable with rewards.
        bellman_error: root mean squared temporal difference at the end.
        updates: gradient steps.
        iterations: effective Bellman iterations.
    """

    value: float
    value_a_step: float
    bellman_error: float
    updates: int
    iterations: float


def fitted_q_evaluation(
    transitions: Transitions,
    policy: EvaluatedPolicy,
    config: FqeConfig | None = None,
    *,
    seed: int = 0,
) -> FqeResult:
    """Value of a deterministic policy, estimated from the transitions of others.

    Args:
        transitions: the data.
        policy: its actions at the data's next states are asked for once.
        config: settings.
        seed: of initial weights and batches; torch's global generator is left alone.

    Raises:
        DataError: no transition, or actions of another shape or that are no numbers.
    """
    import torch

    config = config or FqeConfig()
    if len(transitions) == 0:
        raise DataError("no transitions", expected="at least one")
    width = transitions.action_size
    actions_here = _asked(policy, transitions.observations, width)
    actions_next = _asked(policy, transitions.next_observations, width)
    scale = _Scale.of(transitions)
    here = torch.from_numpy(scale.inputs(transitions.observations, transitions.actions))
    following = torch.from_numpy(scale.inputs(transitions.next_observations, actions_next))
    rewards = torch.from_numpy(np.array(transitions.rewards, dtype=np.float32)) / scale.reward
    carry = config.gamma * (1.0 - torch.from_numpy(transitions.terminals.astype(np.float32)))
    generator = torch.Generator().manual_seed(seed)
    network, error = _fit(here, following, rewards, carry, config, generator)
    with torch.no_grad():
        inputs = torch.from_numpy(scale.inputs(transitions.observations, actions_here))
        value = float(network(inputs).mean()) * scale.reward
    return FqeResult(
        value=value,
        value_a_step=(1.0 - config.gamma) * value,
        bellman_error=error * scale.reward,
        updates=config.updates,
        iterations=config.updates * config.tau,
    )


def _fit(
    here: torch.Tensor,
    following: torch.Tensor,
    rewards: torch.Tensor,
    carry: torch.Tensor,
    config: FqeConfig,
    generator: torch.Generator,
) -> tuple[torch.nn.Sequential, float]:
    """The fitted network and the root mean squared temporal difference of its last tenth."""
    import torch

    network = _network(here.shape[1], config.hidden, generator)
    target = _network(here.shape[1], config.hidden, generator)
    target.load_state_dict(network.state_dict())
    optimiser = torch.optim.Adam(network.parameters(), lr=config.learning_rate)
    own: list[torch.Tensor] = list(network.parameters())
    moving: list[torch.Tensor] = list(target.parameters())
    recent: list[float] = []
    for update in range(config.updates):
        rows = torch.randint(len(here), (config.batch_size,), generator=generator)
        with torch.no_grad():
            goal = rewards[rows] + carry[rows] * target(following[rows])[:, 0]
        loss = torch.nn.functional.mse_loss(network(here[rows])[:, 0], goal)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        with torch.no_grad():
            torch._foreach_lerp_(moving, own, config.tau)
        if update >= 0.9 * config.updates:
            recent.append(float(loss.detach()))
    return network, math.sqrt(float(np.mean(recent)))


def _network(inputs: int, hidden: int, generator: torch.Generator) -> torch.nn.Sequential:
    """A small Q function whose weights come from ``generator``."""
    import torch

    with torch.random.fork_rng(devices=[]):
        layers = torch.nn.Sequential(
            torch.nn.Linear(inputs, hidden),
            torch.nn.ReLU(),
            torch.nn.Linear(hidden, hidden),
            torch.nn.ReLU(),
            torch.nn.Linear(hidden, 1),
        )
    for layer in layers:
        if isinstance(layer, torch.nn.Linear):
            bound = 1.0 / math.sqrt(layer.in_features)
            with torch.no_grad():
                layer.weight.uniform_(-bound, bound, generator=generator)
                layer.bias.uniform_(-bound, bound, generator=generator)
    return layers


@dataclass(frozen=True)
class _Scale:
    """Standardisation of inputs and size of rewards, from the data."""

    mean: FloatArray
    deviation: FloatArray
    reward: float

    @classmethod
    def of(cls, transitions: Transitions) -> _Scale:
        seen = transitions.observations.astype(np.float64)
        deviation = seen.std(axis=0)
        spread = float(np.std(transitions.rewards))
        return cls(seen.mean(axis=0), np.where(deviation > 0, deviation, 1.0), spread or 1.0)

    def inputs(self, observations: Observations, actions: NDArray[Any]) -> Observations:
        """[M, O + A] float32; actions as they are."""
        seen = (observations - self.mean) / self.deviation
        return np.concatenate([seen, actions], axis=1).astype(np.float32)


def _asked(policy: EvaluatedPolicy, observations: Observations, width: int) -> NDArray[Any]:
    found = np.asarray(policy(observations))
    if found.ndim == 1:
        found = found[:, None]
    if found.shape != (len(observations), width):
        raise DataError(
            f"actions of shape {found.shape}", expected=f"[{len(observations)}, {width}]"
        )
    if not np.isfinite(found).all():
        row = int(np.flatnonzero(~np.isfinite(found).all(axis=1))[0])
        raise DataError(f"the action of transition {row} is {found[row, 0]}", expected="a number")
    return np.asarray(np.clip(found, -1.0, 1.0))


@dataclass(frozen=True)
class RankCheck:
    """Fitted Q evaluation beside the truth.

    Attributes:
        names: of the policies.
        estimated: value a step by fitted Q evaluation, in the data's reward.
        true: their true values (scores, or anything that ranks them).
        rank_correlation: Spearman's, of the two; None where one of them is the same for all.
    """

    names: tuple[str, ...]
    estimated: tuple[float, ...]
    true: tuple[float, ...]
    rank_correlation: float | None


def rank_check(
    transitions: Transitions,
    policies: Mapping[str, EvaluatedPolicy],
    true_values: Sequence[float],
    config: FqeConfig | None = None,
    *,
    seed: int = 0,
) -> RankCheck:
    """How well fitted Q evaluation ranks policies whose true values are known.

    Args:
        transitions: data of a known-optimum market.
        policies: at least three, by name.
        true_values: theirs, in the same order, such as scores.

    Raises:
        ConfigError: fewer than three policies, or another number of values.
    """
    if len(policies) < 3 or len(policies) != len(true_values):
        raise ConfigError(
            f"{len(policies)} policies and {len(true_values)} true values",
            expected="as many of one as of the other, three or more",
        )
    estimated = tuple(
        fitted_q_evaluation(transitions, policy, config, seed=seed).value_a_step
        for policy in policies.values()
    )
    return RankCheck(
        names=tuple(policies),
        estimated=estimated,
        true=tuple(float(value) for value in true_values),
        rank_correlation=_rank_correlation(estimated, true_values),
    )


def _rank_correlation(estimated: Sequence[float], true_values: Sequence[float]) -> float | None:
    if min(np.ptp(estimated), np.ptp(true_values)) == 0:
        return None
    return float(spearmanr(estimated, true_values).statistic)
