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
``(a − tanh μ)² / (2·min_std²)`` instead, and only σ by the likelihood around it. With
``fit = "measured"`` both are tried for a tenth of the updates (at least 200, at most half of them),
and the one whose deterministic action is nearer to those of held-out episodes goes on from there.
"""

from __future__ import annotations

import copy
import math
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, ClassVar

import numpy as np
import torch

from offline_trader.learning.agents import Agent, Learner
from offline_trader.learning.d3rlpy import transfer as _transfer
from offline_trader.learning.data import Sampler, Transitions, pack
from offline_trader.learning.engines import PlainAdam, RowAdam, without_dynamo
from offline_trader.learning.settings import CloneConfig
from offline_trader.learning.stages.actor_policy import D3rlpyActorPolicy
from offline_trader.learning.stages.clone_gradient import CloneGradient, gradient_by_hand
from offline_trader.learning.stages.lean_import import import_stable_baselines3
from offline_trader.learning.stages.results import Checkpoint, Evaluate, Log, StageResult
from offline_trader.learning.stages.stage import StageData, need, need_learner

import_stable_baselines3()  # before imitation does

from imitation.algorithms.bc import BC, BCTrainingMetrics  # noqa: E402
from imitation.util.logger import HierarchicalLogger  # noqa: E402
from stable_baselines3.common.logger import KVWriter, Logger  # noqa: E402

__all__ = ["CloneResult", "CloneStage", "clone"]


_PILOT = 200
"""Updates before which neither fit tells what it will come to."""


@dataclass(frozen=True)
class CloneResult(StageResult):
    """How well the clone repeats the actions of episodes that it was not trained on.

    Attributes:
        holdout_mse: mean square difference of the deterministic action, None without a hold-out.
        holdout_mean_mse: the same for the best constant action: what a blind clone reaches.
        holdout_transitions: how many there were.
        fit: ``likelihood`` or ``mean``.
    """

    holdout_mse: float | None
    holdout_mean_mse: float | None
    holdout_transitions: int
    fit: str = "likelihood"


class _Batches:
    """Ready batches of tensors, without end, for imitation's loop."""

    def __init__(self, sampler: Sampler) -> None:
        self._sampler = sampler

    def __iter__(self) -> Iterator[dict[str, torch.Tensor]]:
        while True:
            batch = self._sampler.draw()
            yield {"obs": batch["observations"], "acts": batch["actions"]}


class _Loss:
    """imitation's loss: the whole of it where it is logged, elsewhere the gradient alone.

    Args:
        whole: imitation's, by autograd.
        gradient: the same gradient by hand, or None.
    """

    def __init__(self, whole: Any, gradient: CloneGradient | None) -> None:
        self._whole, self._gradient = whole, gradient
        self.left = 0

    def __call__(self, policy: Any, observations: torch.Tensor, actions: torch.Tensor) -> Any:
        self.left -= 1
        if self._gradient is None or self.left == 0:
            return self._whole(policy, observations, actions)
        known = dict.fromkeys(field.name for field in fields(BCTrainingMetrics))
        return BCTrainingMetrics(**{**known, "loss": self._gradient(observations, actions)})


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
        if resume is None:
            chosen = _choose_fit(learner, sampler, train if held is None else held, config)
        else:
            fit, told = resume.get("fit", "likelihood"), resume.get("told", ())
            chosen = _Chosen(fit, int(resume["step"]), resume["optimizer"], tuple(told))
        step = _fit(learner, sampler, held, config, chosen, log, checkpoint, resume)
    _transfer.sync_target_actor(learner.algo)
    learner.engine.reload()
    return _result(step, learner, held, chosen)


@dataclass(frozen=True)
class _Chosen:
    """A fit, the updates that it has had and its optimizer's state; and why that one."""

    fit: str
    step: int = 0
    optimizer: Mapping[str, Any] | None = None
    told: tuple[str, ...] = ()


def _choose_fit(
    learner: Learner, sampler: Sampler, seen: Transitions, config: CloneConfig
) -> _Chosen:
    """The fit of ``config``; where it is to be measured, the one that is nearer to the actions of
    ``seen`` after a tenth of the updates, which it has had then."""
    before, drawn = learner.snapshot(), sampler.state_dict()
    pilot = min(max(config.updates // 10, _PILOT), config.updates // 2)
    if config.fit != "measured":
        return _Chosen(config.fit)
    if pilot == 0 or not _squashed_noise(learner):
        return _Chosen("likelihood")  # without noise before the squash both are the same
    errors, states = {}, {}
    for fit in ("likelihood", "mean"):
        learner.restore(before)
        sampler.load_state_dict(drawn)
        bc = _make_bc(learner, sampler, replace(config, fit=fit), _Rows())
        _train(bc, pilot)
        errors[fit] = _square_error(learner, seen)
        states[fit] = learner.snapshot(), copy.deepcopy(bc.optimizer.state_dict())
    best = min(errors, key=lambda fit: errors[fit])
    learner.restore(states[best][0])
    other = "mean" if best == "likelihood" else "likelihood"
    told = (
        f"{best} fit: after {pilot:,} updates its actions were {errors[best]:.4f} away from those "
        f"of the data (mean square), those of the {other} fit {errors[other]:.4f}",
    )
    return _Chosen(best, pilot, states[best][1], told)


def _fit(
    learner: Learner,
    sampler: Sampler,
    held: Transitions | None,
    config: CloneConfig,
    chosen: _Chosen,
    log: Log | None,
    checkpoint: Checkpoint | None,
    resume: Mapping[str, Any] | None,
) -> int:
    """Train to the last update; how many there were."""
    records, step = _Rows(), chosen.step
    fitted = replace(config, fit=chosen.fit)  # type: ignore[arg-type]
    bc = _make_bc(learner, sampler, fitted, records)
    if resume is not None:
        learner.load_state_dict(resume["learner"])
        sampler.load_state_dict(resume["sampler"])
    if chosen.optimizer is not None:
        bc.optimizer.load_state_dict(chosen.optimizer)
    while step < config.updates:
        stop = _next_stop(step, config)
        _train(bc, stop - step)
        step = stop
        if log is not None and (step % config.log_interval == 0 or step == config.updates):
            log(step, {**records.latest, **_holdout_metrics(learner, held)})
        due = step % config.checkpoint_interval == 0 or step == config.updates
        if checkpoint is not None and due:
            checkpoint(step, _state(step, learner, sampler, bc, chosen))
    return step


def _make_bc(learner: Learner, sampler: Sampler, config: CloneConfig, records: _Rows) -> Any:
    policy = D3rlpyActorPolicy(learner, config)
    bc = BC(
        observation_space=policy.observation_space,
        action_space=policy.action_space,
        rng=np.random.default_rng(0),  # imitation draws from it only in rollouts: none here
        policy=policy,
        batch_size=config.batch_size,
        optimizer_cls=RowAdam if learner.config.device == "cpu" else PlainAdam,
        optimizer_kwargs={"lr": config.learning_rate},
        ent_weight=config.entropy_weight,
        l2_weight=config.l2_weight,
        device=learner.config.device,
        custom_logger=HierarchicalLogger(Logger(folder=None, output_formats=[records])),
    )
    bc.loss_calculator = _Loss(bc.loss_calculator, gradient_by_hand(learner, config))
    before = sampler.state_dict()
    bc.set_demonstrations(_Batches(sampler))  # looks at a first batch
    sampler.load_state_dict(before)
    return bc


def _train(bc: Any, batches: int) -> None:
    """That many batches; imitation logs the first and, which stays, the last of them."""
    bc.loss_calculator.left = batches
    with warnings.catch_warnings():
        # imitation logs losses that carry a gradient, which newer versions of torch remark on
        warnings.filterwarnings("ignore", "Converting a tensor with requires_grad=True")
        bc.train(n_batches=batches, log_interval=max(1, batches - 1), progress_bar=False)


def _next_stop(step: int, config: CloneConfig) -> int:
    intervals = (config.log_interval, config.checkpoint_interval)
    return min(config.updates, *(step - step % n + n for n in intervals))


def _state(
    step: int, learner: Learner, sampler: Sampler, bc: Any, chosen: _Chosen
) -> dict[str, Any]:
    return {
        "step": step,
        "fit": chosen.fit,
        "told": list(chosen.told),
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
    return {} if held is None else {"clone/holdout_mse": _square_error(learner, held)}


def _square_error(learner: Learner, seen: Transitions) -> float:
    """Mean square difference of the deterministic action from the data's."""
    error = learner.act(seen.observations) - seen.actions
    return float(np.mean(np.square(error, dtype=np.float64)))


def _squashed_noise(learner: Learner) -> bool:
    """Whether the actor's noise lies before its squash: SAC's family."""
    return learner.config.algorithm in ("sac", "cql", "cal_ql")


def _result(step: int, learner: Learner, held: Transitions | None, chosen: _Chosen) -> CloneResult:
    mse = None if held is None else _square_error(learner, held)
    mean = None if held is None else float(np.var(held.actions, axis=0).mean())
    count = 0 if held is None else len(held)
    return CloneResult(step, mse, mean, count, chosen.fit, told=chosen.told)


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
