"""Behaviour cloning by imitation's ``BC``, on the very actor that d3rlpy continues with.

The one module that touches imitation. What is minimised (imitation's loss)::

    L = −E[log π(a|s)] − entropy_weight · E[H] + l2_weight · ½‖θ‖²

For SAC's family π is the squashed Gaussian ``a = tanh(u), u ~ N(μ(s), σ(s)²)``::

    log π(a|s) = Σ log N(atanh(a); μ, σ²) − log(1 − a²)

with ``a`` clipped into ±``action_clip`` (±1 has no finite preimage) and σ not below ``min_std``
(the likelihood of an action that the data repeat exactly has no upper bound otherwise). IQL's and
AWAC's actors are Gaussian after the squash, ``N(tanh μ, σ²)``; TD3+BC's has no spread, and is
fitted with σ = ``min_std``. H is the entropy of the Gaussian before the squash, in nats: that of
the squashed one has no closed form.

E[atanh a] of noisy actions lies further out than atanh E[a], so the deterministic action of the
most likely actor is larger than their mean. With ``fit = "mean"`` μ of SAC's family is fitted by
``(a − tanh μ)² / (2·min_std²)`` instead, and only σ by the likelihood around it.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import gymnasium as gym
import numpy as np
import torch

from offline_trader.learning.agents import Agent, Learner
from offline_trader.learning.d3rlpy import algorithms as _d3rlpy
from offline_trader.learning.d3rlpy import transfer as _transfer
from offline_trader.learning.data import Sampler, Transitions, pack
from offline_trader.learning.engines import PlainAdam, without_dynamo
from offline_trader.learning.settings import CloneConfig
from offline_trader.learning.stages.selection import Checkpoint, Evaluate, Log, StageResult
from offline_trader.learning.stages.stage import StageData, need, need_learner
from offline_trader.networks import import_d3rlpy

import_d3rlpy()  # imitation imports gym, too

from imitation.algorithms.bc import BC  # noqa: E402
from imitation.util.logger import HierarchicalLogger  # noqa: E402
from stable_baselines3.common.logger import KVWriter, Logger  # noqa: E402
from stable_baselines3.common.policies import BasePolicy  # noqa: E402

__all__ = ["CloneResult", "CloneStage", "D3rlpyActorPolicy", "clone"]


@dataclass(frozen=True)
class CloneResult(StageResult):
    """How well the clone repeats the actions of episodes that it was not trained on.

    Attributes:
        holdout_mse: mean square difference of the deterministic action, None without a hold-out.
        holdout_mean_mse: the same for the best constant action: what a blind clone reaches.
        holdout_transitions: how many there were.
    """

    holdout_mse: float | None
    holdout_mean_mse: float | None
    holdout_transitions: int


class D3rlpyActorPolicy(BasePolicy):  # type: ignore[misc]
    """The actor of a d3rlpy algorithm, dressed as a stable-baselines3 policy.

    Its parameters are the actor's own. Observations are taken as the learner's networks take
    them: scaled.
    """

    def __init__(self, learner: Learner, config: CloneConfig) -> None:
        size = len(learner.preprocessing.mean)
        super().__init__(
            gym.spaces.Box(-np.inf, np.inf, (size,), np.float32),
            gym.spaces.Box(-1.0, 1.0, (learner.action_size,), np.float32),
        )
        self.actor = learner.actor
        self._algo = learner.algo
        self._clip = config.action_clip
        self._min_std = config.min_std
        self._fit_mean = config.fit == "mean"

    def forward(self, observations: torch.Tensor) -> torch.Tensor:
        """Deterministic actions [B, A]."""
        return torch.tanh(_d3rlpy.actor_output(self._algo, observations)[0])

    def _predict(self, observation: torch.Tensor, deterministic: bool = False) -> torch.Tensor:
        return self.forward(observation)

    def evaluate_actions(
        self, observations: torch.Tensor, actions: torch.Tensor
    ) -> tuple[None, torch.Tensor, torch.Tensor]:
        """No value, log-likelihood [B] of actions [B, A] (or what ``fit`` takes instead), entropy
        before the squash [B]."""
        mu, log_std, before = _d3rlpy.actor_output(self._algo, observations)
        floor = torch.full_like(mu, math.log(self._min_std))
        log_std = floor if log_std is None else torch.maximum(log_std.expand_as(mu), floor)
        clipped = actions.clamp(-self._clip, self._clip)
        if before:
            error = torch.atanh(clipped) - (mu.detach() if self._fit_mean else mu)
            jacobian = torch.log1p(-clipped.square())
        else:
            error = clipped - torch.tanh(mu)
            jacobian = torch.zeros_like(mu)
        constant = 0.5 * math.log(2.0 * math.pi)
        log_density = -0.5 * (error / log_std.exp()).square() - log_std - constant - jacobian
        if before and self._fit_mean:
            distance = (actions - torch.tanh(mu)) / self._min_std
            log_density = log_density - 0.5 * distance.square()
        entropy = log_std + constant + 0.5
        return None, log_density.sum(dim=1), entropy.sum(dim=1)


class _Batches:
    """Ready batches of tensors, without end, for imitation's loop."""

    def __init__(self, sampler: Sampler) -> None:
        self._sampler = sampler

    def __iter__(self) -> Iterator[dict[str, torch.Tensor]]:
        while True:
            batch = self._sampler.sample()
            yield {"obs": batch.observations, "acts": batch.actions}


class _Rows(KVWriter):  # type: ignore[misc]
    """Hands imitation's records to a log callable."""

    def __init__(self) -> None:
        self.latest: dict[str, float] = {}

    def write(self, key_values: dict[str, Any], key_excluded: Any, step: int = 0) -> None:
        wanted = ("neglogp", "entropy", "loss", "prob_true_act", "l2_norm")
        self.latest = {
            f"clone/{name}": float(key_values[f"bc/{name}"])
            for name in wanted
            if key_values.get(f"bc/{name}") is not None
        }

    def close(self) -> None:
        """Nothing is open."""


def clone(
    learner: Learner,
    transitions: Transitions,
    config: CloneConfig,
    log: Log | None = None,
    *,
    seed: int = 0,
    checkpoint: Checkpoint | None = None,
    resume: Mapping[str, Any] | None = None,
) -> CloneResult:
    """Fit the learner's actor to the dataset's actions.

    The critics are untouched, target actors follow, and the actor's optimizer starts anew in the
    next stage.

    Args:
        learner: its actor is trained.
        transitions: what is imitated; whole episodes are held out.
        config: settings.
        log: gets (step, losses).
        seed: of the batches and of the choice of held-out episodes.
        checkpoint: gets (step, state) every ``checkpoint_interval`` steps and at the end.
        resume: such a state: go on from it, to the same bytes as without the interruption.
    """
    train, held = _split(transitions, config.holdout, seed)
    rows = pack(train, learner.preprocessing, device=learner.config.device)
    sampler = Sampler(rows, batch_size=config.batch_size, seed=seed + 1)
    learner.engine.flush()
    with without_dynamo():
        step = _fit(learner, sampler, held, config, log, checkpoint, resume)
    _transfer.sync_target_actor(learner.algo)
    learner.engine.reload()
    return _result(step, learner, held)


def _fit(
    learner: Learner,
    sampler: Sampler,
    held: Transitions | None,
    config: CloneConfig,
    log: Log | None,
    checkpoint: Checkpoint | None,
    resume: Mapping[str, Any] | None,
) -> int:
    """Train to the last update; how many there were."""
    records = _Rows()
    bc = _make_bc(learner, sampler, config, records)
    step = 0
    if resume is not None:
        step = int(resume["step"])
        learner.load_state_dict(resume["learner"])
        sampler.load_state_dict(resume["sampler"])
        bc.optimizer.load_state_dict(resume["optimizer"])
    while step < config.updates:
        stop = _next_stop(step, config)
        _train(bc, stop - step)
        step = stop
        if log is not None and (step % config.log_interval == 0 or step == config.updates):
            log(step, {**records.latest, **_holdout_metrics(learner, held)})
        due = step % config.checkpoint_interval == 0 or step == config.updates
        if checkpoint is not None and due:
            checkpoint(step, _state(step, learner, sampler, bc))
    return step


def _make_bc(learner: Learner, sampler: Sampler, config: CloneConfig, records: _Rows) -> Any:
    policy = D3rlpyActorPolicy(learner, config)
    bc = BC(
        observation_space=policy.observation_space,
        action_space=policy.action_space,
        rng=np.random.default_rng(0),  # imitation draws from it only in rollouts: none here
        policy=policy,
        batch_size=config.batch_size,
        optimizer_cls=PlainAdam,
        optimizer_kwargs={"lr": config.learning_rate},
        ent_weight=config.entropy_weight,
        l2_weight=config.l2_weight,
        device=learner.config.device,
        custom_logger=HierarchicalLogger(Logger(folder=None, output_formats=[records])),
    )
    before = sampler.state_dict()
    bc.set_demonstrations(_Batches(sampler))  # looks at a first batch
    sampler.load_state_dict(before)
    return bc


def _train(bc: Any, batches: int) -> None:
    """That many batches; imitation logs the first and, which stays, the last of them."""
    with warnings.catch_warnings():
        # imitation logs losses that carry a gradient, which newer versions of torch remark on
        warnings.filterwarnings("ignore", "Converting a tensor with requires_grad=True")
        bc.train(n_batches=batches, log_interval=max(1, batches - 1), progress_bar=False)


def _next_stop(step: int, config: CloneConfig) -> int:
    intervals = (config.log_interval, config.checkpoint_interval)
    return min(config.updates, *(step - step % n + n for n in intervals))


def _state(step: int, learner: Learner, sampler: Sampler, bc: Any) -> dict[str, Any]:
    return {
        "step": step,
        "learner": learner.state_dict(),
        "sampler": sampler.state_dict(),
        "optimizer": bc.optimizer.state_dict(),
    }


def _split(
    transitions: Transitions, share: float, seed: int
) -> tuple[Transitions, Transitions | None]:
    ids = np.unique(transitions.episode_ids)
    count = min(math.ceil(share * len(ids)), len(ids) - 1)
    if count == 0:
        return transitions, None
    held = np.random.default_rng(seed).choice(ids, count, replace=False)
    return (
        transitions.take_episodes(np.setdiff1d(ids, held)),
        transitions.take_episodes(held),
    )


def _holdout_metrics(learner: Learner, held: Transitions | None) -> dict[str, float]:
    if held is None:
        return {}
    error = learner.act(held.observations) - held.actions
    return {"clone/holdout_mse": float(np.mean(np.square(error, dtype=np.float64)))}


def _result(step: int, learner: Learner, held: Transitions | None) -> CloneResult:
    if held is None:
        return CloneResult(step, None, None, 0)
    mse = _holdout_metrics(learner, held)["clone/holdout_mse"]
    return CloneResult(step, mse, float(np.var(held.actions, axis=0).mean()), len(held))


@dataclass(frozen=True)
class CloneStage:
    """:func:`clone` as a :class:`~offline_trader.learning.stages.stage.Stage`."""

    Config: ClassVar[type[CloneConfig]] = CloneConfig
    needs: ClassVar[tuple[str, ...]] = ("transitions",)
    config: CloneConfig = field(default_factory=CloneConfig)

    @property
    def steps(self) -> int:
        """Updates in all."""
        return self.config.updates

    def fit(
        self,
        agent: Agent,
        data: StageData,
        log: Log | None = None,
        evaluate: Evaluate | None = None,
        checkpoint: Checkpoint | None = None,
        *,
        seed: int = 0,
        resume: Mapping[str, Any] | None = None,
    ) -> CloneResult:
        """Clone ``data.transitions`` into a d3rlpy learner; nothing is validated."""
        return clone(
            need_learner(agent, "clone"),
            need(data, "transitions", "clone"),
            self.config,
            log,
            seed=seed,
            checkpoint=checkpoint,
            resume=resume,
        )
