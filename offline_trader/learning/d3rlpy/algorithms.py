"""The one module that touches d3rlpy's internals.

Its private neighbours: :mod:`offline_trader.learning.d3rlpy.model_file` (its files, read without
running anything), :mod:`offline_trader.learning.d3rlpy.objectives` (the two actor and critic losses
that differ from d3rlpy 2.6), :mod:`offline_trader.learning.d3rlpy.device_update` (its update
without waiting for the device) and :mod:`offline_trader.learning.d3rlpy.transfer` (weights from one
algorithm to another). An ``algo`` here is a ``d3rlpy.algos`` object with its networks built.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from offline_trader.errors import ConfigError, DataError
from offline_trader.learning.d3rlpy.model_file import read_model_file
from offline_trader.learning.data import Preprocessing, RewardScale, Scaler
from offline_trader.learning.engines import without_dynamo
from offline_trader.learning.settings import LearnerConfig
from offline_trader.networks import import_d3rlpy, make_encoder_factory

__all__ = [
    "action_size",
    "actor_of",
    "actor_output",
    "algorithm_of",
    "build_algo",
    "critic_update",
    "deterministic_actions",
    "full_update",
    "greedy_actions",
    "load_algo",
    "load_moments",
    "load_state",
    "minibatch",
    "preprocessing",
    "save_algo",
    "set_behaviour_weight",
    "set_pace",
    "set_reward_scale",
    "settings_of",
    "state",
    "windows_of",
]

_CONFIGS = {
    "cql": "CQLConfig",
    "sac": "SACConfig",
    "cal_ql": "CalQLConfig",
    "iql": "IQLConfig",
    "awac": "AWACConfig",
    "td3_plus_bc": "TD3PlusBCConfig",
}
_COMMON = {
    "batch_size": "batch_size",
    "gamma": "gamma",
    "tau": "tau",
    "n_critics": "n_critics",
    "actor_lr": "actor_learning_rate",
    "critic_lr": "critic_learning_rate",
}
_OWN = {
    "temp_lr": "temp_learning_rate",
    "alpha_lr": "alpha_learning_rate",
    "alpha_threshold": "alpha_threshold",
    "initial_temperature": "initial_temperature",
    "conservative_weight": "conservative_weight",
    "n_action_samples": "n_action_samples",
    "soft_q_backup": "soft_q_backup",
    "expectile": "expectile",
    "weight_temp": "weight_temp",
    "max_weight": "max_weight",
    "awac_lambda": "lam",
    "td3_alpha": "alpha",
}
"""Our names of an algorithm's settings and d3rlpy's, of all algorithms and of single ones."""


@without_dynamo()
def build_algo(
    config: LearnerConfig,
    observation_size: int,
    scaler: Scaler | None = None,
    action_size: int = 1,
    windows: Sequence[Sequence[int]] = (),
) -> Any:
    """A d3rlpy algorithm with networks drawn from torch's global generator.

    ``scaler`` is preset as d3rlpy's ``StandardObservationScaler``, so the saved model acts on raw
    observations. ``windows`` are the columns that encoders other than an MLP read in their order.

    Raises:
        ConfigError: such an encoder without windows.
    """
    d3rlpy = import_d3rlpy()
    algos = __import__("d3rlpy.algos", fromlist=["algos"])
    scaling = None
    if scaler is not None:
        scaling = d3rlpy.preprocessing.StandardObservationScaler(
            mean=np.asarray(scaler.mean, np.float64),
            std=np.asarray(scaler.scale, np.float64),
            eps=0.0,
        )
    settings = _algorithm_settings(config, windows)
    algo = getattr(algos, _CONFIGS[config.algorithm])(
        **settings, observation_scaler=scaling
    ).create(device=config.device)
    algo.create_impl((observation_size,), action_size)
    return _adopt(algo, getattr(config, "behaviour_weight", 0.0))


def _algorithm_settings(config: LearnerConfig, windows: Sequence[Sequence[int]]) -> dict[str, Any]:
    """Our settings under d3rlpy's names."""
    encoder = partial(make_encoder_factory, config.hidden, kind=config.encoder, windows=windows)
    settings: dict[str, Any] = {
        **{d3: getattr(config, ours) for ours, d3 in _COMMON.items()},
        "actor_encoder_factory": encoder(),
        "critic_encoder_factory": encoder(layer_norm=config.layer_norm),
    }
    own = {d3: getattr(config, ours) for ours, d3 in _OWN.items() if hasattr(config, ours)}
    if own.get("alpha_learning_rate") == 0.0:
        own["alpha_threshold"] = 0.0
    if config.algorithm == "iql":
        settings["value_encoder_factory"] = settings["critic_encoder_factory"]
    return settings | own


def _adopt(algo: Any, behaviour_weight: float) -> Any:
    """Give the algorithm's implementation our losses; its type and its saved form stay d3rlpy's."""
    from offline_trader.learning.d3rlpy import objectives as _objectives

    _objectives.adopt(algo.impl, behaviour_weight)
    return algo


def algorithm_of(algo: Any) -> str:
    """Our name of its algorithm."""
    name = type(algo.config).__name__
    return next(key for key, value in _CONFIGS.items() if value == name)


def settings_of(algo: Any) -> dict[str, Any]:
    """Those of our settings that the algorithm's own configuration holds, under our names."""
    stored, critic = algo.config, algo.config.critic_encoder_factory
    names = {**_COMMON, **_OWN}
    settings = {ours: getattr(stored, d3) for ours, d3 in names.items() if hasattr(stored, d3)}
    if settings.get("alpha_lr") == 0.0:
        del settings["alpha_threshold"]  # stored as 0 then, which is not the setting
    return settings | {
        "algorithm": algorithm_of(algo),
        "hidden": tuple(critic.hidden_units),
        "encoder": getattr(critic, "kind", "mlp"),
        "layer_norm": bool(critic.use_layer_norm),
    }


def windows_of(algo: Any) -> tuple[tuple[int, ...], ...]:
    """[C][W] columns that its encoders read in their order; none of an MLP."""
    factory = algo.config.actor_encoder_factory
    return tuple(tuple(each) for each in getattr(factory, "windows", ()))


@without_dynamo()
def save_algo(algo: Any, path: Path) -> None:
    """Write d3rlpy's own ``.d3`` file: networks, optimizers, settings, scalers."""
    path.parent.mkdir(parents=True, exist_ok=True)
    algo.save(str(path))


@without_dynamo()
def load_algo(
    path: Path, device: str = "cpu", behaviour_weight: float = 0.0, sha256: str | None = None
) -> Any:
    """The algorithm in a ``.d3`` file, with our losses; nothing in it is run.

    Raises:
        DataError: no such file, not a d3rlpy model of one of the algorithms here, or other bytes
            than ``sha256`` says.
    """
    import_d3rlpy()
    from d3rlpy.base import LearnableConfigWithShape
    from d3rlpy.models import VectorEncoderFactory

    from offline_trader.networks import WindowEncoderFactory

    file = read_model_file(Path(path), device, sha256)
    try:
        shaped = LearnableConfigWithShape.deserialize(file.config)
    except Exception as error:  # d3rlpy's reader raises what the text suggests
        raise DataError(
            f"{path} is not a readable d3rlpy model: its settings are wrong "
            f"({type(error).__name__}: {error})"
        ) from error
    found = type(shaped.config).__name__
    if found not in _CONFIGS.values():
        raise DataError(f"{path} holds {found}", expected=", ".join(sorted(_CONFIGS.values())))
    encoders = [shaped.config.actor_encoder_factory, shaped.config.critic_encoder_factory]
    if not all(isinstance(each, VectorEncoderFactory | WindowEncoderFactory) for each in encoders):
        raise DataError(
            f"{path} has encoders {', '.join(type(each).__name__ for each in encoders)}",
            expected="VectorEncoderFactory or WindowEncoderFactory",
        )
    try:
        algo = shaped.create(device)
        for name, module in algo.impl._checkpointer.modules.items():
            module.load_state_dict(file.modules[name])
    except Exception as error:  # torch raises what the shapes suggest
        raise DataError(
            f"{path} is not a readable d3rlpy model: {type(error).__name__}: {error}"
        ) from error
    _require_known_scales(path, algo)
    if not all(torch.isfinite(each).all() for each in algo.impl.policy.parameters()):
        raise DataError(
            f"{path} holds a policy with weights that are not finite",
            expected="finite weights",
            hint="train again with a smaller learning rate, or take the file from a copy",
        )
    return _adopt(algo, behaviour_weight)


def _require_known_scales(path: Path, algo: Any) -> None:
    """Refuse scalers that :func:`preprocessing` cannot put in plain arrays."""
    known = (
        ("observation_scaler", "StandardObservationScaler"),
        ("reward_scaler", "StandardRewardScaler"),
        ("action_scaler", "none"),
    )
    for name, kind in known:
        scaler = getattr(algo, name)
        if scaler is not None and type(scaler).__name__ != kind:
            raise DataError(
                f"{path} has {name} {type(scaler).__name__}", expected=f"{kind}, or no scaler"
            )
    try:
        scales = preprocessing(algo)
        wrong = len(scales.mean) != algo.impl.observation_shape[0]
        wrong |= scales.mean.shape != scales.scale.shape
        wrong |= not (np.isfinite(scales.mean).all() and np.isfinite(scales.scale).all())
        wrong |= not (scales.scale > 0.0).all()
        wrong |= scales.reward is not None and not 0.0 < scales.reward.scale < np.inf
    except (ConfigError, TypeError, ValueError, AttributeError):
        wrong = True
    if wrong:
        raise DataError(
            f"{path} has a scaler that cannot be used",
            expected=f"{algo.impl.observation_shape[0]} finite means and positive scales",
        )


def preprocessing(algo: Any) -> Preprocessing:
    """Observation and reward scales that are stored in the algorithm, as plain arrays."""
    size = algo.impl.observation_shape[0]
    mean, scale = np.zeros(size), np.ones(size)
    if algo.observation_scaler is not None:
        mean = np.asarray(algo.observation_scaler.mean, np.float64)
        scale = np.asarray(algo.observation_scaler.std, np.float64) + algo.observation_scaler.eps
    reward = None
    if algo.reward_scaler is not None:
        stored = algo.reward_scaler
        reward = RewardScale(float(stored.mean), float(stored.std + stored.eps))
    return Preprocessing(mean, scale, reward, float(algo.gamma))


def set_reward_scale(algo: Any, scale: RewardScale) -> None:
    """Store the reward scale as d3rlpy's ``StandardRewardScaler``."""
    d3rlpy = import_d3rlpy()
    algo.config.reward_scaler = d3rlpy.preprocessing.StandardRewardScaler(
        mean=scale.mean, std=scale.scale, eps=0.0
    )


def set_behaviour_weight(algo: Any, weight: float) -> None:
    """Set the weight of the pull to the data's actions."""
    algo.impl.behaviour_weight = float(weight)


def set_pace(algo: Any, target_entropy: float, rates: Mapping[str, float]) -> None:
    """Set what the temperature aims at, nats of a whole action, and learning rates by optimizer."""
    algo.impl.target_entropy = target_entropy
    for name, rate in rates.items():
        optimizer = getattr(algo.impl.modules, name, None)
        if optimizer is not None:
            for group in optimizer.param_groups:
                group["lr"] = rate


def minibatch(columns: Mapping[str, torch.Tensor], device: str) -> Any:
    """d3rlpy's mini-batch around tensors that are scaled already."""
    from d3rlpy.torch_utility import TorchMiniBatch

    return TorchMiniBatch(**columns, device=device)


def action_size(algo: Any) -> int:
    """A, the numbers in one action."""
    return int(algo.impl.action_size)


def actor_of(algo: Any) -> torch.nn.Module:
    """The policy's network, the one that is trained."""
    policy: torch.nn.Module = algo.impl.policy
    return policy


def full_update(algo: Any, batch: Any) -> dict[str, float]:
    """d3rlpy's own update of everything; its losses."""
    losses: dict[str, float] = algo.impl.update(batch, algo.grad_step)
    algo._grad_step += 1
    return losses


def critic_update(algo: Any, batch: Any) -> dict[str, float]:
    """Update critics and their targets (IQL: the value function, too), not actor or temperature."""
    impl = algo.impl
    impl.modules.set_train()
    losses: dict[str, float] = impl.update_critic(batch)
    impl.update_critic_target()
    return losses


def actor_output(algo: Any, scaled: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None, bool]:
    """Mean before the squash [N, A], log standard deviation or None, and where the noise goes.

    The last is True where noise is added before the squash (``tanh(mu + sigma * e)``: SAC, CQL,
    Cal-QL) and False where it is added after it (IQL, AWAC).
    """
    output = algo.impl.policy(scaled)
    before = algorithm_of(algo) in ("sac", "cql", "cal_ql")
    return output.mu, output.logstd, before


def greedy_actions(algo: Any, observations: NDArray[np.float32]) -> NDArray[np.float32]:
    """``algo.predict``, to the bit: deterministic actions [N, A] for raw observations [N, O].

    That one sets the mode of every module of all networks at each call, which takes as long as the
    action does: a policy is validated bar by bar.
    """
    policy = algo.impl.policy
    if policy.training:
        policy.eval()
    x = torch.tensor(observations, device=algo.impl.device)
    with torch.no_grad():
        if algo.config.observation_scaler is not None:
            x = algo.config.observation_scaler.transform(x)
        actions: NDArray[np.float32] = algo.impl.inner_predict_best_action(x).cpu().numpy()
    return actions


def deterministic_actions(policy: torch.nn.Module, scaled: torch.Tensor) -> torch.Tensor:
    """``tanh(mu)`` [N, A] of an actor, that of an algorithm or a copy of it."""
    return torch.tanh(policy(scaled).mu)


@without_dynamo()
def state(algo: Any) -> dict[str, Any]:
    """Everything that the next update depends on, apart from generators."""
    buffer = io.BytesIO()
    algo.impl.save_model(buffer)
    buffer.seek(0)
    tensors: dict[str, Any] = torch.load(buffer, weights_only=True)
    reward = preprocessing(algo).reward
    return {
        "modules": tensors,
        "grad_step": int(algo.grad_step),
        "reward": None if reward is None else [reward.mean, reward.scale],
    }


@without_dynamo()
def load_state(algo: Any, saved: Mapping[str, Any]) -> None:
    """Inverse of :func:`state`.

    Raises:
        ConfigError: networks of other shapes.
    """
    try:
        for name, module in algo.impl._checkpointer.modules.items():
            values = saved["modules"][name]
            if isinstance(module, torch.optim.Optimizer):
                load_moments(module, values)
            else:
                module.load_state_dict(values)
    except (KeyError, RuntimeError, ValueError) as error:
        raise ConfigError(
            f"a checkpoint of another algorithm or network: {error}",
            hint="resume with the settings that the run was started with",
        ) from error
    algo._grad_step = int(saved["grad_step"])
    if saved["reward"] is not None:
        set_reward_scale(algo, RewardScale(*saved["reward"]))


def load_moments(optimizer: torch.optim.Optimizer, saved: Mapping[str, Any]) -> None:
    """Copies of saved moments; the settings stay those of the live optimizer.

    The names are interned and the settings' objects kept, because a pickle's bytes depend on
    which objects are the same: a resumed run saves the bytes that an uninterrupted one does.
    """
    moments = {
        index: {
            sys.intern(name): value.clone() if isinstance(value, torch.Tensor) else value
            for name, value in values.items()
        }
        for index, values in saved["state"].items()
    }
    groups = optimizer.state_dict()["param_groups"]
    sizes = [[len(group["params"]) for group in side] for side in (groups, saved["param_groups"])]
    if sizes[0] != sizes[1]:
        raise ValueError(f"an optimizer of {sizes[1]} parameters instead of {sizes[0]}")
    kept = [dict(group) for group in optimizer.param_groups]
    optimizer.load_state_dict({"state": moments, "param_groups": groups})
    for group, settings in zip(optimizer.param_groups, kept, strict=True):
        group.update(settings)
