"""Settings of what learns, a class an algorithm: frozen, checked, no torch needed to read them.

``LearnerConfig(algorithm="iql", expectile=0.8)`` makes an :class:`IQLConfig`. A setting that the
algorithm does not use is refused. An algorithm of one's own adds a class and registers it in
:data:`ALGORITHMS`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from offline_trader.config.variants import Variants
from offline_trader.errors import ConfigError
from offline_trader.learning.settings.checks import not_negative, one_of, positive, share
from offline_trader.registry import Registry

__all__ = [
    "ALGORITHMS",
    "AWACConfig",
    "AgentConfig",
    "CQLConfig",
    "CalQLConfig",
    "IQLConfig",
    "LearnerConfig",
    "SACConfig",
    "TD3PlusBCConfig",
]

ALGORITHMS: Registry[type[AgentConfig]] = Registry("algorithm")


@dataclass(frozen=True)
class AgentConfig(Variants):
    """What the settings of every agent have.

    Attributes:
        algorithm: which one.
        batch_size: transitions of one update.
        gamma: discount per bar.
        reward_scaling: ``standard`` (centred, unit variance), ``scale`` (not centred) or ``none``,
            fitted on the offline data, stored in the saved model.
        device: torch device of networks and data.
    """

    TAG: ClassVar[str] = "algorithm"
    VARIANTS: ClassVar[Registry[Any]] = ALGORITHMS

    algorithm: str = "cql"
    batch_size: int = 256
    gamma: float = 0.99
    reward_scaling: Literal["standard", "scale", "none"] = "standard"
    device: str = "cpu"

    def __post_init__(self) -> None:
        one_of(self, "reward_scaling", ("standard", "scale", "none"))
        positive(self, "batch_size")
        share(self, "gamma")


@dataclass(frozen=True)
class LearnerConfig(AgentConfig):
    """A d3rlpy algorithm, its networks, and how its updates are computed.

    Attributes:
        hidden: units of the hidden layers, the same for actor and critics.
        encoder: what reads the observation: ``mlp``, all of it at once; ``convolution`` or ``gru``,
            features at their last bars (``window:8:builtin``) in their order first.
        layer_norm: LayerNorm in the critics (never in the actor, which is exported).
        tau: target networks move by this share of the difference at every update.
        n_critics: critics of the ensemble.
        actor_lr, critic_lr: Adam learning rates.
        engine: ``fast`` (hand-written updates where they exist) or ``stock`` (d3rlpy's own).
    """

    hidden: tuple[int, ...] = (64, 64)
    encoder: Literal["mlp", "convolution", "gru"] = "mlp"
    layer_norm: bool = False
    tau: float = 0.005
    n_critics: int = 2
    actor_lr: float = 3e-4
    critic_lr: float = 3e-4
    engine: Literal["fast", "stock"] = "fast"

    def __post_init__(self) -> None:
        super().__post_init__()
        one_of(self, "engine", ("fast", "stock"))
        one_of(self, "encoder", ("mlp", "convolution", "gru"))
        if not self.hidden or min(self.hidden) < 1:
            raise ConfigError(f"hidden={self.hidden}", expected="one or more positive layer sizes")
        positive(self, "actor_lr", "critic_lr", "n_critics")
        share(self, "tau")


@ALGORITHMS.named("cql")
@dataclass(frozen=True)
class CQLConfig(LearnerConfig):
    """Conservative Q-learning.

    Attributes:
        temp_lr: Adam learning rate of the temperature; 0 fixes it.
        initial_temperature: of the entropy bonus.
        behaviour_weight: weight of the pull of the actor to the data's actions.
        alpha_lr: of the conservative weight; 0 fixes it.
        conservative_weight: weight of the conservative term.
        alpha_threshold: with ``alpha_lr > 0``: gap at which alpha rests.
        n_action_samples: actions of each of the three kinds in the log-sum-exp.
        soft_q_backup: SAC's target with entropy instead of the mean action's value.
    """

    algorithm: str = "cql"
    temp_lr: float = 3e-4
    initial_temperature: float = 0.1
    behaviour_weight: float = 0.0
    alpha_lr: float = 0.0
    conservative_weight: float = 0.05
    alpha_threshold: float = 10.0
    n_action_samples: int = 10
    soft_q_backup: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        positive(self, "initial_temperature", "n_action_samples")
        not_negative(self, "temp_lr", "alpha_lr", "conservative_weight", "behaviour_weight")


@ALGORITHMS.named("sac")
@dataclass(frozen=True)
class SACConfig(LearnerConfig):
    """Soft actor-critic.

    Attributes:
        temp_lr: Adam learning rate of the temperature; 0 fixes it.
        initial_temperature: of the entropy bonus.
        behaviour_weight: weight of the pull of the actor to the data's actions.
    """

    algorithm: str = "sac"
    temp_lr: float = 3e-4
    initial_temperature: float = 0.1
    behaviour_weight: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        positive(self, "initial_temperature")
        not_negative(self, "temp_lr", "behaviour_weight")


@ALGORITHMS.named("cal_ql")
@dataclass(frozen=True)
class CalQLConfig(CQLConfig):
    """Calibrated Q-learning: CQL whose log-sum-exp is bounded by the return to go."""

    algorithm: str = "cal_ql"


@ALGORITHMS.named("iql")
@dataclass(frozen=True)
class IQLConfig(LearnerConfig):
    """Implicit Q-learning.

    Attributes:
        expectile: of the value function, in (0, 1].
        weight_temp: inverse temperature of the advantage's weight.
        max_weight: largest weight.
    """

    algorithm: str = "iql"
    expectile: float = 0.7
    weight_temp: float = 3.0
    max_weight: float = 100.0

    def __post_init__(self) -> None:
        super().__post_init__()
        positive(self, "weight_temp", "max_weight")
        share(self, "expectile")


@ALGORITHMS.named("awac")
@dataclass(frozen=True)
class AWACConfig(LearnerConfig):
    """Advantage-weighted actor-critic.

    Attributes:
        awac_lambda: temperature of the advantage's weight.
        n_action_samples: actions of the value.
    """

    algorithm: str = "awac"
    awac_lambda: float = 1.0
    n_action_samples: int = 10

    def __post_init__(self) -> None:
        super().__post_init__()
        positive(self, "awac_lambda", "n_action_samples")


@ALGORITHMS.named("td3_plus_bc")
@dataclass(frozen=True)
class TD3PlusBCConfig(LearnerConfig):
    """TD3 with a pull to the data.

    Attributes:
        td3_alpha: weight of the value term.
    """

    algorithm: str = "td3_plus_bc"
    td3_alpha: float = 2.5

    def __post_init__(self) -> None:
        super().__post_init__()
        positive(self, "td3_alpha")
