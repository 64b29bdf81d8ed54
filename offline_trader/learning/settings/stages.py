"""Settings of the learning stages: frozen, checked, no torch needed to read them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from offline_trader.errors import ConfigError

__all__ = [
    "ALGORITHMS",
    "Algorithm",
    "CloneConfig",
    "LearnerConfig",
    "OfflineConfig",
    "OnlineConfig",
]

Algorithm = Literal["cql", "sac", "cal_ql", "iql", "awac", "td3_plus_bc"]
ALGORITHMS: tuple[str, ...] = get_args(Algorithm)


@dataclass(frozen=True)
class LearnerConfig:
    """A d3rlpy algorithm, its networks, and how its updates are computed.

    Attributes:
        algorithm: which of d3rlpy's algorithms.
        hidden: units of the hidden layers, the same for actor and critics.
        layer_norm: LayerNorm in the critics (never in the actor, which is exported).
        batch_size: transitions of one update.
        gamma: discount per bar.
        tau: target networks move by this share of the difference at every update.
        n_critics: critics of the ensemble.
        actor_lr, critic_lr, temp_lr, alpha_lr: Adam learning rates; ``temp_lr = 0`` fixes the
            temperature, ``alpha_lr = 0`` the conservative weight.
        initial_temperature: of SAC's entropy bonus.
        conservative_weight: CQL, Cal-QL: weight of the conservative term.
        alpha_threshold: CQL, Cal-QL with ``alpha_lr > 0``: gap at which alpha rests.
        n_action_samples: CQL, Cal-QL: actions of each of the three kinds in the log-sum-exp.
        soft_q_backup: CQL, Cal-QL: SAC's target with entropy instead of the mean action's value.
        behaviour_weight: SAC, CQL, Cal-QL: weight of the pull of the actor to the data's actions.
        expectile, weight_temp, max_weight: IQL.
        awac_lambda: AWAC's temperature.
        td3_alpha: TD3+BC's weight of the value term.
        reward_scaling: ``standard`` (centred, unit variance), ``scale`` (not centred) or ``none``,
            fitted on the offline data, stored in the saved model.
        engine: ``fast`` (hand-written updates where they exist) or ``stock`` (d3rlpy's own).
        device: torch device of networks and data.
    """

    algorithm: Algorithm = "cql"
    hidden: tuple[int, ...] = (64, 64)
    layer_norm: bool = False
    batch_size: int = 256
    gamma: float = 0.99
    tau: float = 0.005
    n_critics: int = 2
    actor_lr: float = 3e-4
    critic_lr: float = 3e-4
    temp_lr: float = 3e-4
    alpha_lr: float = 0.0
    initial_temperature: float = 0.1
    conservative_weight: float = 0.05
    alpha_threshold: float = 10.0
    n_action_samples: int = 10
    soft_q_backup: bool = False
    behaviour_weight: float = 0.0
    expectile: float = 0.7
    weight_temp: float = 3.0
    max_weight: float = 100.0
    awac_lambda: float = 1.0
    td3_alpha: float = 2.5
    reward_scaling: Literal["standard", "scale", "none"] = "standard"
    engine: Literal["fast", "stock"] = "fast"
    device: str = "cpu"

    def __post_init__(self) -> None:
        _one_of(self, "algorithm", ALGORITHMS)
        _one_of(self, "engine", ("fast", "stock"))
        _one_of(self, "reward_scaling", ("standard", "scale", "none"))
        if not self.hidden or min(self.hidden) < 1:
            raise ConfigError(f"hidden={self.hidden}", expected="one or more positive layer sizes")
        _positive(self, "batch_size", "actor_lr", "critic_lr", "initial_temperature", "n_critics")
        _positive(self, "n_action_samples", "weight_temp", "max_weight", "awac_lambda", "td3_alpha")
        _not_negative(self, "temp_lr", "alpha_lr", "conservative_weight", "behaviour_weight")
        _share(self, "gamma", "tau", "expectile")


@dataclass(frozen=True)
class CloneConfig:
    """Behaviour cloning of the dataset's actions into the actor.

    Attributes:
        updates: gradient steps.
        batch_size: transitions a step.
        learning_rate: of Adam.
        entropy_weight: imitation's weight of the entropy bonus.
        l2_weight: imitation's weight of half the squared norm of the parameters.
        action_clip: actions are clipped to [-clip, clip] before atanh: ±1 has no finite preimage.
        min_std: floor of the actor's standard deviation before the squash while cloning; without
            it the likelihood of repeated equal actions has no bound.
        fit: ``likelihood`` of the actions before the squash, or ``mean`` for the deterministic
            action: the mean of noisy actions, which atanh would exaggerate.
        holdout: share of the episodes kept apart to measure the clone.
        log_interval, checkpoint_interval: steps between rows of metrics, between checkpoints.
    """

    updates: int = 3_000
    batch_size: int = 256
    learning_rate: float = 1e-3
    entropy_weight: float = 1e-3
    l2_weight: float = 0.0
    action_clip: float = 0.99
    min_std: float = 0.1
    fit: Literal["likelihood", "mean"] = "likelihood"
    holdout: float = 0.1
    log_interval: int = 500
    checkpoint_interval: int = 1_000

    def __post_init__(self) -> None:
        _positive(self, "batch_size", "learning_rate", "log_interval", "checkpoint_interval")
        _positive(self, "min_std", "action_clip")
        _not_negative(self, "updates", "entropy_weight", "l2_weight")
        if self.action_clip >= 1.0:
            raise ConfigError(
                f"action_clip={self.action_clip}", expected="below 1, which has no atanh"
            )
        if self.fit not in ("likelihood", "mean"):
            raise ConfigError(f"fit={self.fit!r}", expected="likelihood or mean")
        if not 0.0 <= self.holdout < 1.0:
            raise ConfigError(f"holdout={self.holdout}", expected="in [0, 1)")


@dataclass(frozen=True)
class OfflineConfig:
    """Offline training from a warm start.

    Attributes:
        critic_updates: first, updates of the critics alone, which fits them to the warm policy.
        updates: then, updates of critics and actor.
        n_steps: rewards summed before bootstrapping, 1 or more.
        evaluate_interval: updates between validations (and at the end); 0 validates only the end.
        log_interval, checkpoint_interval: updates between rows of metrics, between checkpoints.
    """

    critic_updates: int = 1_000
    updates: int = 5_000
    n_steps: int = 1
    evaluate_interval: int = 1_000
    log_interval: int = 500
    checkpoint_interval: int = 1_000

    def __post_init__(self) -> None:
        _positive(self, "n_steps", "log_interval", "checkpoint_interval")
        _not_negative(self, "critic_updates", "updates", "evaluate_interval")


@dataclass(frozen=True)
class OnlineConfig:
    """Online SAC over N lanes.

    Attributes:
        steps: environment steps, summed over the lanes.
        update_ratio: updates per environment step (0.25: one update every four steps).
        offline_share: share of every batch that is drawn from the offline data (RLPD: half).
        buffer_size: transitions that the ring buffer holds.
        warmup_steps: environment steps with the warm policy before the first update.
        critic_updates: updates of the critics alone at the start of updating.
        evaluate_interval, log_interval, checkpoint_interval: environment steps between them.
    """

    steps: int = 20_000
    update_ratio: float = 0.25
    offline_share: float = 0.5
    buffer_size: int = 100_000
    warmup_steps: int = 1_000
    critic_updates: int = 500
    evaluate_interval: int = 5_000
    log_interval: int = 1_000
    checkpoint_interval: int = 5_000

    def __post_init__(self) -> None:
        _positive(self, "buffer_size", "log_interval", "checkpoint_interval")
        _not_negative(self, "steps", "update_ratio", "warmup_steps", "critic_updates")
        _not_negative(self, "evaluate_interval")
        if not 0.0 <= self.offline_share < 1.0:
            raise ConfigError(f"offline_share={self.offline_share}", expected="in [0, 1)")


def _one_of(config: object, name: str, allowed: tuple[str, ...]) -> None:
    value = getattr(config, name)
    if value not in allowed:
        raise ConfigError(f"{name}={value!r}", expected=f"one of {', '.join(allowed)}")


def _positive(config: object, *names: str) -> None:
    for name in names:
        if not getattr(config, name) > 0:
            raise ConfigError(f"{name}={getattr(config, name)}", expected="above 0")


def _not_negative(config: object, *names: str) -> None:
    for name in names:
        if not getattr(config, name) >= 0:
            raise ConfigError(f"{name}={getattr(config, name)}", expected="0 or more")


def _share(config: object, *names: str) -> None:
    for name in names:
        if not 0.0 < getattr(config, name) <= 1.0:
            raise ConfigError(f"{name}={getattr(config, name)}", expected="in (0, 1]")
