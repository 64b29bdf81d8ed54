"""DAgger (Ross, Gordon & Bagnell 2011): experts are asked on the states that the learner comes to.

A clone sees the states of its experts alone. Where its actions differ a little, it comes to others,
on which it was taught nothing, and errors grow with the square of the time (Ross & Bagnell 2010).
DAgger collects what is missing (algorithm 3.1)::

    D ← ∅
    for i = 0, 1, …:  act by π_i = β_i·expert + (1 − β_i)·learner,  β_0 = 1
                      D ← D ∪ {(s, expert's action at s): s that π_i came to}
                      fit the learner to D

with ``β_i = beta^i``; ``beta = 0`` is the paper's parameter-free choice, the expert acts in the
first round alone. The fit is :func:`offline_trader.learning.stages.cloning.clone`, so imitation's
``BC`` on the actor that d3rlpy continues with. imitation's own ``DAggerTrainer`` steps
stable-baselines3's environments with a dictionary a lane, writes each episode into a folder, and
holds nothing from which an interrupted training would go on to the same bytes; the loop here steps
N lanes with arrays and keeps the answers in memory.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from offline_trader.learning.agents import Agent, Learner
from offline_trader.learning.data import Transitions
from offline_trader.learning.settings import DaggerConfig
from offline_trader.learning.stages.cloning import clone
from offline_trader.learning.stages.lanes import Lanes, as_arrays, as_tensors
from offline_trader.learning.stages.results import Checkpoint, Evaluate, Log, StageResult
from offline_trader.learning.stages.stage import StageData, need, need_learner
from offline_trader.types import Observations

__all__ = ["AskedLanes", "DaggerResult", "DaggerStage", "imitate"]

Float32Array = NDArray[np.float32]


class AskedLanes(Lanes, Protocol):
    """Lanes whose experts can be asked what they would do where a lane is now."""

    def expert_actions(self) -> Float32Array:
        """[N, A] noise-free actions of the experts at the lanes' present states."""
        ...

    def state_dict(self) -> Mapping[str, Any]: ...

    def load_state_dict(self, state: Mapping[str, Any]) -> None: ...


@dataclass(frozen=True)
class DaggerResult(StageResult):
    """How far the learner was from the experts on states that it had come to itself.

    Attributes:
        answers: states on which experts were asked.
        first_mse: mean square difference between the learner's action and the experts' on the
            states of the second round, the first in which the learner acted, before it was fitted
            to them; None with one round.
        last_mse: the same of the last round.
    """

    answers: int
    first_mse: float | None
    last_mse: float | None


@dataclass(frozen=True)
class _Answers:
    """D as far as it was collected, where the lanes are, and the errors of the rounds so far."""

    observations: Observations
    actions: Float32Array
    present: Observations
    errors: tuple[float, ...] = ()

    def transitions(self) -> Transitions:
        """As a dataset to clone: steps apart from each other, without rewards."""
        count = len(self.actions)
        return Transitions(
            observations=self.observations,
            actions=self.actions,
            rewards=np.zeros(count, np.float32),
            next_observations=self.observations,
            terminals=np.zeros(count, np.bool_),
            timeouts=np.ones(count, np.bool_),
            episode_ids=np.arange(count, dtype=np.int64),
        )


def imitate(
    learner: Learner,
    lanes: AskedLanes,
    config: DaggerConfig,
    log: Log | None = None,
    *,
    seed: int = 0,
    checkpoint: Checkpoint | None = None,
    resume: Mapping[str, Any] | None = None,
) -> DaggerResult:
    """Fit the learner's actor to the experts' answers on its own states.

    The critics are untouched, target actors follow.

    Args:
        learner: its actor is trained.
        lanes: where it acts and asks; they go on from round to round.
        config: settings.
        log: gets (updates, losses) as cloning does, and of a round its ``dagger/mse`` and ``beta``.
        seed: of batches, and of who acts.
        checkpoint: gets (updates, state) every ``config.clone.checkpoint_interval`` updates of a
            round and at its end.
        resume: such a state: go on from it, to the same bytes as without the interruption.
    """
    first, inner, answers = 0, None, None
    if resume is not None:
        first, inner, answers = int(resume["round"]), resume["clone"], _collected(resume)
        lanes.load_state_dict(as_arrays(resume["lanes"]))
    for index in range(first, config.rounds):
        done = index * config.clone.updates
        if inner is None:
            beta = float(config.beta**index)
            draws = np.random.default_rng([seed, index])
            answers = _ask(learner, lanes, answers, config, beta, draws)
            if log is not None:
                log(done, {"dagger/mse": answers.errors[-1], "dagger/beta": beta})
        assert answers is not None
        clone(
            learner,
            answers.transitions(),
            config.clone,
            _counting_on(done, log),
            seed=seed + index,
            checkpoint=_with_answers(done, index, lanes, answers, checkpoint),
            resume=inner,
        )
        inner = None
    assert answers is not None
    own, count = answers.errors[1:], len(answers.actions)
    return DaggerResult(
        updates=config.rounds * config.clone.updates,
        told=_told(count, own),
        answers=count,
        first_mse=own[0] if own else None,
        last_mse=own[-1] if own else None,
    )


def _ask(
    learner: Learner,
    lanes: AskedLanes,
    answers: _Answers | None,
    config: DaggerConfig,
    beta: float,
    draws: np.random.Generator,
) -> _Answers:
    """``answers`` with those of one more round."""
    seen = lanes.reset().copy() if answers is None else answers.present
    observations, actions, errors = [], [], []
    for _ in range(config.steps // len(seen)):
        told, own = lanes.expert_actions(), learner.act(seen)
        observations.append(seen)
        actions.append(told)
        errors.append(np.square(own - told, dtype=np.float64).mean())
        asked = draws.random(len(seen)) < beta
        seen = lanes.step(np.where(asked[:, None], told, own)).observations.copy()
    if answers is not None:
        observations.insert(0, answers.observations)
        actions.insert(0, answers.actions)
    before = () if answers is None else answers.errors
    return _Answers(
        np.concatenate(observations),
        np.concatenate(actions),
        seen,
        (*before, float(np.mean(errors))),
    )


def _counting_on(done: int, log: Log | None) -> Log | None:
    """Logs the updates of a round as those of the stage."""
    return None if log is None else lambda step, values: log(done + step, values)


def _with_answers(
    done: int, index: int, lanes: AskedLanes, answers: _Answers, checkpoint: Checkpoint | None
) -> Checkpoint | None:
    """Saves the state of a round's fit with what was collected until then."""
    if checkpoint is None:
        return None

    def save(step: int, state: dict[str, Any]) -> None:
        checkpoint(
            done + step,
            {
                "round": index,
                "clone": state,
                "lanes": as_tensors(lanes.state_dict()),
                "errors": list(answers.errors),
                **{
                    name: torch.from_numpy(getattr(answers, name))
                    for name in ("observations", "actions", "present")
                },
            },
        )

    return save


def _collected(state: Mapping[str, Any]) -> _Answers:
    return _Answers(
        state["observations"].numpy(),
        state["actions"].numpy(),
        state["present"].numpy(),
        tuple(state["errors"]),
    )


def _told(answers: int, errors: tuple[float, ...]) -> tuple[str, ...]:
    if not errors:
        return (f"{answers:,} answers of experts, all on their own states",)
    return (
        f"{answers:,} answers of experts; on the learner's own states its action was "
        f"{errors[0]:.4f} away at first, {errors[-1]:.4f} in the last round (mean square)",
    )


@dataclass(frozen=True)
class DaggerStage:
    """:func:`imitate` as a :class:`~offline_trader.learning.stages.stage.Stage`."""

    Config: ClassVar[type[DaggerConfig]] = DaggerConfig
    needs: ClassVar[tuple[str, ...]] = ("asked",)
    config: DaggerConfig = field(default_factory=DaggerConfig)

    @property
    def steps(self) -> int:
        """Updates in all."""
        return self.config.rounds * self.config.clone.updates

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
    ) -> DaggerResult:
        """Imitate the experts of ``data.asked``; nothing is validated."""
        return imitate(
            need_learner(agent, "dagger"),
            need(data, "asked", "dagger"),
            self.config,
            log,
            seed=seed,
            checkpoint=checkpoint,
            resume=resume,
        )
