"""Models of stable-baselines3 (and sb3-contrib)."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from offline_trader.envs import LEGACY_ACTIONS, EnvConfig, from_discrete
from offline_trader.errors import ConfigError
from offline_trader.policies.foreign import ForeignPolicy, Graph, PolicyKind
from offline_trader.types import PORTFOLIO_FIELDS, Observations, PortfolioField

__all__ = ["from_stable_baselines"]


def from_stable_baselines(model: Any, name: str = "", made: str = "") -> ForeignPolicy:
    """The model as a policy that is run deterministically.

    Observations go through the model's own ``VecNormalize``, where its environment has one, with
    the statistics that this has when it is asked; a model that was loaded without it decides by
    raw observations. ``Discrete(7)`` actions are the seven legacy ones.

    Raises:
        ConfigError: observations that are no vectors, other actions, a recurrent policy.
    """
    called = name or type(model).__name__
    seen, acts = model.observation_space, model.action_space
    if len(getattr(seen, "shape", None) or ()) != 1:
        raise ConfigError(f"{called} observes {seen}", expected="vectors: Box of shape (O,)")
    if "Recurrent" in type(model).__name__:
        raise ConfigError(
            f"{called} remembers",
            expected="a policy of the observation alone",
            hint="wrap it in a callable object with restart(lanes) that carries its state",
        )
    continuous = getattr(acts, "shape", None) == (1,) and hasattr(acts, "low")
    legacy = getattr(acts, "n", None) == len(LEGACY_ACTIONS)
    if not (continuous or legacy):
        raise ConfigError(
            f"{called} acts in {acts}",
            expected=f"Box(-1, 1, (1,)), or Discrete({len(LEGACY_ACTIONS)}) of DiscreteActions",
        )
    column = seen.shape[0] - len(PORTFOLIO_FIELDS) + PortfolioField.UNREALISED_RETURN

    def decide(observations: Observations) -> Any:
        scales = _normalizer(model)
        shown = observations if scales is None else scales.normalize_obs(observations)
        actions = model.predict(shown, deterministic=True)[0]
        return actions if continuous else from_discrete(actions, observations[:, column])

    graph = (lambda: _graph(model, called)) if continuous else None
    kind: PolicyKind = "stable-baselines3"
    return ForeignPolicy(called, kind, decide, seen.shape[0], graph, made, _trained_in(model))


def _trained_in(model: Any) -> EnvConfig | None:
    """Settings of our environment, if that is the one that the model has."""
    vectorised = model.get_env()
    inner = getattr(getattr(vectorised, "unwrapped", None), "envs", None)
    config = getattr(inner[0].unwrapped, "config", None) if inner else None
    return config if isinstance(config, EnvConfig) else None


def _normalizer(model: Any) -> Any:
    """The ``VecNormalize`` around the model's environment, if it changes observations."""
    found = model.get_vec_normalize_env()
    return found if found is not None and found.norm_obs else None


class _Actor(torch.nn.Module):
    """The policy's mean action behind the clip of ``VecNormalize``."""

    def __init__(self, model: Any, clip: float | None) -> None:
        super().__init__()
        self.policy, self.clip = model.policy, clip
        self.low, self.high = float(model.action_space.low[0]), float(model.action_space.high[0])

    def forward(self, scaled: torch.Tensor) -> torch.Tensor:
        """Actions [B, 1]."""
        if self.clip is not None:
            scaled = scaled.clamp(-self.clip, self.clip)
        policy = self.policy
        if hasattr(policy, "action_net"):  # PPO, A2C, TRPO: the mean of a Gaussian
            latent = policy.mlp_extractor.forward_actor(
                policy.pi_features_extractor(scaled)
                if hasattr(policy, "pi_features_extractor")
                else policy.features_extractor(scaled)
            )
            mean: torch.Tensor = policy.action_net(latent)
            mean = torch.tanh(mean) if policy.squash_output else mean
        elif hasattr(policy.actor, "get_action_dist_params"):  # SAC, TQC: a squashed Gaussian
            mean = torch.tanh(policy.actor.get_action_dist_params(scaled)[0])
        else:  # TD3, DDPG
            mean = policy.actor(scaled)
        if policy.squash_output:
            return self.low + 0.5 * (mean + 1.0) * (self.high - self.low)
        return mean.clamp(self.low, self.high)


def _graph(model: Any, called: str) -> Graph:
    scales, policy = _normalizer(model), model.policy
    if not (hasattr(policy, "action_net") or hasattr(policy, "actor")):
        raise ConfigError(
            f"{called} has a policy of class {type(policy).__name__}",
            expected="an actor: PPO, A2C, TRPO, SAC, TQC, TD3 or DDPG",
        )
    if scales is None:
        return Graph(_Actor(model, None))
    deviation = np.sqrt(np.asarray(scales.obs_rms.var, np.float64) + scales.epsilon)
    mean = np.asarray(scales.obs_rms.mean, np.float64)
    return Graph(_Actor(model, float(scales.clip_obs)), mean, deviation)
