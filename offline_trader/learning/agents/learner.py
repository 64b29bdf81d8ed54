"""A d3rlpy algorithm with its engine and its random stream: what every stage trains."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from offline_trader.errors import ConfigError, DataError
from offline_trader.learning.agents.randomness import TorchStream
from offline_trader.learning.d3rlpy import algorithms as _d3rlpy
from offline_trader.learning.d3rlpy import transfer as _transfer
from offline_trader.learning.data import Batch, Preprocessing, Scaler, fit_reward_scale
from offline_trader.learning.engines import make_engine, require_device
from offline_trader.learning.settings import LearnerConfig
from offline_trader.types import BoolArray, FloatArray, Observations

__all__ = ["Learner", "goal_learner", "load_learner", "make_learner", "online_learner"]


class Learner:
    """One policy and its critics, as the d3rlpy algorithm :attr:`algo`.

    Calling it gives deterministic actions for raw observations, so it is a
    :class:`~offline_trader.types.Policy`.

    Attributes:
        config: settings.
        algo: the ``d3rlpy.algos`` object; what is trained here is a d3rlpy policy.
        engine: what computes updates; bound to ``algo``.
        pure: its actions depend on the present observation alone, so lanes may come and go.
    """

    pure = True

    def __init__(self, config: LearnerConfig, algo: Any, seed: int) -> None:
        self.config = config
        self.algo = algo
        self.engine = make_engine(algo, config)
        self._stream = TorchStream(seed, config.device)

    @property
    def action_size(self) -> int:
        """A, the numbers in one action."""
        return _d3rlpy.action_size(self.algo)

    @property
    def windows(self) -> tuple[tuple[int, ...], ...]:
        """Columns that its encoders read in their order; none of an MLP."""
        return _d3rlpy.windows_of(self.algo)

    @property
    def actor(self) -> torch.nn.Module:
        """The policy's network, the one that is trained."""
        return _d3rlpy.actor_of(self.algo)

    @property
    def preprocessing(self) -> Preprocessing:
        """Scales of observations and rewards, and the discount."""
        return _d3rlpy.preprocessing(self.algo)

    @contextmanager
    def randomness(self) -> Iterator[None]:
        """Inside, torch's global draws are this learner's; loops hold it around their updates."""
        with self._stream.active():
            yield

    def fit_reward_scale(self, rewards: NDArray[np.floating[Any]]) -> None:
        """Scale rewards by the statistics of ``rewards`` [M], unless a scale is stored already."""
        if self.preprocessing.reward is None:
            scale = fit_reward_scale(rewards, self.config.reward_scaling)
            if scale is not None:
                _d3rlpy.set_reward_scale(self.algo, scale)

    def update(self, batches: Iterable[Batch], *, train_actor: bool = True) -> None:
        """An update a batch; loops that draw TorchMiniBatches use :attr:`engine` directly."""
        with self.randomness():
            for batch in batches:
                self.engine.update(batch.minibatch(), train_actor=train_actor)

    def set_pace(self, target_entropy: float, rate: float) -> None:
        """Aim at ``target_entropy`` (nats an action dimension) from now on, and learn with the
        share ``rate`` of the configured learning rates."""
        settings = self.config
        _d3rlpy.set_pace(
            self.algo,
            target_entropy * self.action_size,
            {
                "actor_optim": rate * settings.actor_lr,
                "critic_optim": rate * settings.critic_lr,
                "temp_optim": rate * getattr(settings, "temp_lr", 0.0),
            },
        )
        self.engine.settings_changed()

    def set_behaviour_weight(self, weight: float) -> None:
        """Pull the actor to the data's actions with ``weight`` from now on (SAC, CQL, Cal-QL)."""
        _d3rlpy.set_behaviour_weight(self.algo, weight)
        self.engine.settings_changed()

    def set_spread(self, std: float) -> None:
        """Let the policy's deviation before the squash be ``std`` in every state, if it has one."""
        self.engine.flush()
        _transfer.set_spread(self.algo, std)
        self.engine.reload()

    def metrics(self) -> Mapping[str, float]:
        """Mean of every loss since the last call."""
        return self.engine.metrics()

    @property
    def learns_online(self) -> bool:
        """Whether rows without return to go and next action are enough."""
        return self.config.algorithm == "sac"

    @property
    def columns(self) -> tuple[tuple[str, int], ...]:
        """None: its actions need no company in a row."""
        return ()

    def noted(self) -> Mapping[str, NDArray[Any]]:
        """Nothing."""
        return {}

    def restart(self, lanes: BoolArray) -> None:
        """Nothing to do: it keeps no state of a lane."""

    def policy(self) -> Learner:
        """Itself: its actions depend on the present observation alone."""
        return self

    def act(self, observations: Observations) -> NDArray[np.float32]:
        """Deterministic actions [N, A] for raw observations [N, O]: ``tanh(mu)``."""
        return _d3rlpy.greedy_actions(self.algo, np.asarray(observations, np.float32))

    __call__ = act

    def sample(self, observations: Observations, generator: torch.Generator) -> Any:
        """Actions [N, A] float32 drawn from the policy with ``generator`` (TD3+BC: its mean)."""
        scaled = torch.from_numpy(self.preprocessing.observations(observations))
        with torch.no_grad():
            mu, log_std, before = _d3rlpy.actor_output(self.algo, scaled.to(self.config.device))
            if log_std is None:
                return torch.tanh(mu).cpu().numpy()
            noise = torch.randn(mu.shape, generator=generator).to(mu.device) * log_std.exp()
            drawn = torch.tanh(mu + noise) if before else (torch.tanh(mu) + noise).clamp(-1, 1)
        return drawn.cpu().numpy()

    def hidden_layers(
        self, observations: Observations
    ) -> tuple[list[NDArray[np.float32]], NDArray[np.float32]] | None:
        """[N, units] of each hidden layer of the actor after its ReLU, and as its output layer
        reads the last one (after a layer norm, if there is one), for raw observations [N, O]."""
        scaled = torch.from_numpy(self.preprocessing.observations(observations))
        policy = self.actor
        rectified = [each for each in policy.modules() if isinstance(each, torch.nn.ReLU)]
        linear = [each for each in policy.modules() if isinstance(each, torch.nn.Linear)]
        if not rectified:
            return None
        hidden: list[NDArray[np.float32]] = []
        features: list[NDArray[np.float32]] = []
        handles = [
            each.register_forward_hook(lambda _m, _i, out: hidden.append(out.cpu().numpy()))
            for each in rectified
        ]
        handles.append(
            linear[-1].register_forward_pre_hook(lambda _m, i: features.append(i[0].cpu().numpy()))
        )
        try:
            with torch.no_grad():
                policy(scaled.to(self.config.device))
        finally:
            for handle in handles:
                handle.remove()
        return hidden, features[0]

    def copy_policy_from(self, source: Learner, *, widen: bool = False) -> None:
        """Take over the policy (and, between equal actors, its spread); moments are forgotten.

        With ``widen`` this learner may observe further columns behind the source's, which change
        nothing at first.
        """
        self.engine.flush()
        source.engine.flush()
        _transfer.copy_actor(source.algo, self.algo, widen=widen)
        _transfer.reset_optimizers(self.algo)
        self.engine.reload()

    def copy_critics_from(self, source: Learner) -> None:
        """Take over the critics, with the targets equal to them; moments are forgotten."""
        self.engine.flush()
        source.engine.flush()
        _transfer.copy_critics(source.algo, self.algo)
        _transfer.reset_optimizers(self.algo)
        self.engine.reload()

    def encoder_copy(self) -> tuple[torch.nn.Module, int]:
        """A copy of the actor's encoder, which maps scaled observations, and its output's units."""
        self.engine.flush()
        return _transfer.encoder_copy(self.algo)

    def load_encoder(self, encoder: torch.nn.Module) -> None:
        """Give actor and critics the layers of ``encoder``; what lies above them stays, what reads
        the action in a critic too, and moments are forgotten.

        Raises:
            ConfigError: an encoder of other layers.
        """
        self.engine.flush()
        _transfer.load_encoder(encoder, self.algo)
        _transfer.reset_optimizers(self.algo)
        self.engine.reload()

    def save(self, path: Path) -> None:
        """Write a ``.d3`` file that ``d3rlpy.load_learnable`` opens."""
        self.engine.flush()
        _d3rlpy.save_algo(self.algo, path)

    def state_dict(self) -> dict[str, Any]:
        """Networks, optimizers, counters, random stream: all that the next update reads.

        Tensors, numbers, strings, lists and dicts only, so ``torch.load(weights_only=True)``
        reads it. Call it outside :meth:`randomness`.
        """
        self.engine.flush()
        return {
            "algorithm": self.config.algorithm,
            "algo": _d3rlpy.state(self.algo),
            "engine": {"name": self.engine.name, "state": self.engine.state_dict()},
            "stream": self._stream.state(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Inverse of :meth:`state_dict`.

        Raises:
            ConfigError: the state of another algorithm or network.
        """
        if state["algorithm"] != self.config.algorithm:
            raise ConfigError(
                f"a checkpoint of {state['algorithm']}", expected=self.config.algorithm
            )
        _d3rlpy.load_state(self.algo, state["algo"])
        self.engine.reload()
        if state["engine"]["name"] == self.engine.name:
            self.engine.load_state_dict(state["engine"]["state"])
        self._stream.set_state(state["stream"])

    def snapshot(self) -> dict[str, Any]:
        """Weights, moments and scales alone: a policy to come back to."""
        self.engine.flush()
        return _d3rlpy.state(self.algo)

    def restore(self, snapshot: Mapping[str, Any]) -> None:
        """Inverse of :meth:`snapshot`."""
        _d3rlpy.load_state(self.algo, snapshot)
        self.engine.reload()


def make_learner(
    config: LearnerConfig,
    observation_size: int,
    scaler: Scaler | None = None,
    seed: int = 0,
    *,
    action_size: int = 1,
    windows: Sequence[Sequence[int]] = (),
) -> Learner:
    """A learner with fresh networks.

    Args:
        config: settings.
        observation_size: O.
        scaler: of raw observations; stored in the model. None: they are used as they are.
        seed: of the networks' first weights and of every draw while training.
        action_size: A.
        windows: of the observation's layout: [C][W] columns of each feature's last W bars, the
            oldest first, which encoders other than an MLP read in their order.

    Raises:
        ConfigError: a scaler of another size, a device that is not there, or an encoder that
            needs windows and has none.
    """
    require_device(config.device)
    if scaler is not None and len(scaler.mean) != observation_size:
        raise ConfigError(
            f"a scaler of {len(scaler.mean)} columns", expected=f"{observation_size} columns"
        )
    with TorchStream(seed, config.device).active():
        algo = _d3rlpy.build_algo(config, observation_size, scaler, action_size, windows)
    return Learner(config, algo, seed + 1)


def load_learner(
    path: Path, config: LearnerConfig | None = None, seed: int = 0, *, sha256: str | None = None
) -> Learner:
    """The learner in a ``.d3`` file, with its critics, optimizers and scales.

    Nothing in the file is executed: it is read as texts, bytes and tensors alone.

    Args:
        path: written by :meth:`Learner.save` or by d3rlpy.
        config: settings of the engine, the reward scaling and the behaviour term; those of the
            algorithm are in the file. None: defaults.
        seed: of the draws while training.
        sha256: what the file's bytes have to hash to; None: they are not compared.

    Raises:
        DataError: the file is not a d3rlpy model that is known here, or its bytes are others.
        ConfigError: ``config`` names another algorithm than the file holds, or a device that is
            not there.
    """
    given = LearnerConfig() if config is None else config
    require_device(given.device)
    behaviour_weight = getattr(given, "behaviour_weight", 0.0)
    algo = _d3rlpy.load_algo(path, given.device, behaviour_weight, sha256)
    name = _d3rlpy.algorithm_of(algo)
    if config is not None and config.algorithm != name:
        raise ConfigError(f"{path} holds {name}", expected=config.algorithm)
    try:
        settings = given.with_tag(name, **_d3rlpy.settings_of(algo))
    except (ConfigError, TypeError, ValueError) as error:
        raise DataError(f"{path} has settings that are wrong: {error}") from error
    return Learner(settings, algo, seed)


def online_learner(source: Learner, config: LearnerConfig, seed: int) -> Learner:
    """A SAC learner that starts from ``source``'s policy, scales and, if they fit, critics.

    Critics fit between SAC, CQL and Cal-QL of one architecture; others start anew.
    """
    if config.algorithm != "sac":
        raise ConfigError(f"online training with {config.algorithm}", expected="sac")
    scales = source.preprocessing
    learner = make_learner(
        config,
        len(scales.mean),
        scales,
        seed,
        action_size=source.action_size,
        windows=source.windows,
    )
    if scales.reward is not None:
        _d3rlpy.set_reward_scale(learner.algo, scales.reward)
    learner.copy_policy_from(source)
    if _same_critics(source.config, config):
        learner.copy_critics_from(source)
    return learner


def goal_learner(source: Learner, config: LearnerConfig, further: FloatArray, seed: int) -> Learner:
    """A SAC learner of goals that starts from ``source``'s policy and observes further columns.

    Rewards of goals are not scaled. The critics of a source that takes no goal yet estimate other
    rewards and are not taken over.

    Args:
        source: a policy without the further columns.
        config: settings; rewards are not scaled, whatever they say.
        further: [E] sizes of the further columns, which they are divided by; none of a source
            that takes the goal already.
        seed: of the critics and of every draw while training.
    """
    if config.algorithm != "sac":
        raise ConfigError(f"online training with {config.algorithm}", expected="sac")
    known = source.preprocessing
    scales = replace(
        known,
        mean=np.concatenate([known.mean, np.zeros(len(further))]),
        scale=np.concatenate([known.scale, further]),
        reward=None,
    )
    learner = make_learner(
        replace(config, reward_scaling="none"),
        len(scales.mean),
        scales,
        seed,
        action_size=source.action_size,
        windows=source.windows,
    )
    learner.copy_policy_from(source, widen=True)
    if not len(further) and _same_critics(source.config, config):
        learner.copy_critics_from(source)
    return learner


def _same_critics(ours: LearnerConfig, theirs: LearnerConfig) -> bool:
    """Whether the critics of one estimate the same values with the same networks."""
    shape = [(c.hidden, c.encoder, c.layer_norm, c.n_critics, c.gamma) for c in (ours, theirs)]
    return ours.algorithm in ("sac", "cql", "cal_ql") and shape[0] == shape[1]
