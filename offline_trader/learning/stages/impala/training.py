"""The stage: trajectories come, the learner makes an update of each, the best policy is kept."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar

import numpy as np
import torch

from offline_trader.learning.agents import Agent, Learner
from offline_trader.learning.d3rlpy import transfer as _transfer
from offline_trader.learning.settings import ImpalaConfig
from offline_trader.learning.stages.divergence import naming_divergence, require_finite
from offline_trader.learning.stages.impala.acting import ActorWeights, MakeLanes, Trajectory
from offline_trader.learning.stages.impala.crowd import Crowd, Source, gathered
from offline_trader.learning.stages.impala.learning import ImpalaLearner
from offline_trader.learning.stages.lanes import as_arrays, as_tensors
from offline_trader.learning.stages.results import Checkpoint, Evaluate, Log, TrainResult
from offline_trader.learning.stages.selection import Selection, crossed
from offline_trader.learning.stages.stage import StageData, need, need_learner
from offline_trader.workers import Workers

__all__ = ["ImpalaResult", "ImpalaStage", "train_impala"]


@dataclass(frozen=True)
class ImpalaResult(TrainResult):
    """What the training did, and which policy the learner holds now.

    Attributes:
        actors: how many there were.
        steps: environment steps.
        mean_lag, largest_lag: updates between the policy that acted and the one that learned.
        waiting: share of that time in which the learner waited for trajectories.
        replaced: actors that were lost and replaced.
        steps_per_second: environment steps, from the first trajectory on, validations left out.
    """

    actors: int = 1
    steps: int = 0
    mean_lag: float = 0.0
    largest_lag: int = 0
    waiting: float = 0.0
    replaced: int = 0
    steps_per_second: float = 0.0


def train_impala(
    learner: Learner,
    lanes: MakeLanes,
    config: ImpalaConfig,
    log: Log | None = None,
    evaluate: Evaluate | None = None,
    checkpoint: Checkpoint | None = None,
    *,
    seed: int = 0,
    workers: Workers = 1,
    resume: Mapping[str, Any] | None = None,
) -> ImpalaResult:
    """Train the learner's actor by IMPALA; critics are untouched, target actors follow.

    At the end the learner holds the best policy by validation, the first one included.

    Args:
        learner: a squashed Gaussian policy; trained in place.
        lanes: makes an actor's lanes, of (number, seed); picklable if there are several actors.
        config: settings.
        log: gets (steps, measures since the last row) and (steps, validation measures).
        evaluate: validates a policy: a mapping with ``score``, higher is better.
        checkpoint: gets (steps, state) every ``checkpoint_interval`` steps.
        seed: of lanes, actions and values.
        workers: 1: one actor in this process, in step with the learner, repeatable to the byte;
            otherwise so many actor processes, or as many as a Ray cluster has cores for. These
            come as they come: the same seed gives another policy every time.
        resume: such a state; with one actor in step the bytes are those of no interruption,
            actors in other processes begin new episodes.

    Raises:
        ConfigError: an actor of another kind.
        OfflineTraderError: a loss is not finite any more, or an actor's own error.
    """
    learner.engine.flush()
    training = _Training(learner, config, seed)
    selection = Selection(evaluate, log)
    if resume is not None:
        learner.load_state_dict(resume["learner"])
        training.load_state_dict(resume["training"])
        selection.load_state_dict(resume["selection"])
    else:
        selection.consider(0, learner)
    source = Source(
        lanes,
        learner.preprocessing,
        config,
        int(np.random.SeedSequence((seed, training.steps)).generate_state(1)[0]),
        training.acting,
    )
    with gathered(source, workers) as crowd:
        if resume is not None and resume["crowd"]:
            crowd.load_state_dict(_unpacked(resume["crowd"]))
        while training.steps < config.steps:
            before = training.steps
            training.learn(crowd)
            last = training.steps >= config.steps
            if last or crossed(before, training.steps, config.log_interval):
                measures = training.measures(crowd)
                require_finite(training.steps, measures)
                if log is not None:
                    log(training.steps, measures)
            if last or crossed(before, training.steps, config.evaluate_interval):
                training.settle()
                with training.clock_stopped():
                    selection.consider(training.steps, learner)
            if checkpoint and crossed(before, training.steps, config.checkpoint_interval):
                training.settle()
                checkpoint(
                    training.steps,
                    {
                        "learner": learner.state_dict(),
                        "training": training.state_dict(),
                        "selection": selection.state_dict(),
                        "crowd": _packed(crowd.state_dict()),
                    },
                )
        facts = training.facts(crowd)
    training.settle()
    kept = selection.finish(training.steps, training.learning.updates, learner)
    told = {each.name: getattr(kept, each.name) for each in fields(TrainResult)}
    return ImpalaResult(**{**told, **facts})


@dataclass
class _Clock:
    """Runs from the first trajectory on: until then the actors were beginning.

    Attributes:
        waited: seconds that the learner had waited until then.
        steps: that were done with that trajectory.
        begun: moment.
    """

    waited: float
    steps: int
    begun: float = field(default_factory=time.perf_counter)

    @property
    def seconds(self) -> float:
        """Since then."""
        return max(time.perf_counter() - self.begun, 1e-9)


class _Training:
    """Learner and counters between two trajectories."""

    def __init__(self, learner: Learner, config: ImpalaConfig, seed: int) -> None:
        self.learning = ImpalaLearner(learner, config, seed)
        self.steps = 0
        self._learner, self._config = learner, config
        # the oldest acts; replaced as one, because actors' threads read it
        self._policies = deque([self.learning.weights()], maxlen=config.delay + 1)
        self._acting = self._policies[0]
        self._sums: dict[str, float] = {}
        self._count = 0
        self._lags = [0, 0, 0]  # sum, number, largest
        self._clock: _Clock | None = None

    def acting(self) -> ActorWeights:
        """The policy for a rollout that begins now."""
        return self._acting

    def learn(self, crowd: Crowd) -> None:
        """One update from the next trajectory."""
        seen: Trajectory = crowd.next()
        if self._clock is None:
            self._clock = _Clock(crowd.waited, self.steps + seen.steps)
        lag = self.learning.updates - seen.version
        with naming_divergence(self.steps):
            found = self.learning.update(seen, self.steps / max(1, self._config.steps))
        self._policies.append(self.learning.weights())
        self._acting = self._policies[0]
        self.steps += seen.steps
        self._lags = [self._lags[0] + lag, self._lags[1] + 1, max(self._lags[2], lag)]
        for name, value in {**found, "policy_lag": float(lag)}.items():
            self._sums[name] = self._sums.get(name, 0.0) + value
        self._count += 1

    def measures(self, crowd: Crowd) -> dict[str, float]:
        """Means since the last call, and how the actors keep up."""
        count, sums = max(self._count, 1), self._sums
        self._sums, self._count = {}, 0
        return {
            **{f"impala/{name}": total / count for name, total in sums.items()},
            "impala/learner_waiting": self._waiting(crowd),
            "impala/replaced": float(crowd.replaced),
        }

    def _waiting(self, crowd: Crowd) -> float:
        if self._clock is None:
            return 0.0
        return (crowd.waited - self._clock.waited) / self._clock.seconds

    @contextmanager
    def clock_stopped(self) -> Iterator[None]:
        """Inside, no time passes for the figures."""
        begun = time.perf_counter()
        yield
        if self._clock is not None:
            self._clock.begun += time.perf_counter() - begun

    def facts(self, crowd: Crowd) -> dict[str, Any]:
        """What :class:`ImpalaResult` states of the actors."""
        total, count, largest = self._lags
        lag = total / max(count, 1)
        told: tuple[str, ...] = ()
        if crowd.actors > 1:
            told = (
                f"{crowd.actors} actors did not wait for the learner, so another run with this "
                f"seed ends at another policy; policies that acted were {lag:.1f} updates old in "
                f"the mean, {largest} at most",
            )
        if crowd.replaced:
            told = (*told, f"actors that were lost and replaced: {crowd.replaced}")
        return {
            "actors": crowd.actors,
            "steps": self.steps,
            "mean_lag": lag,
            "largest_lag": largest,
            "waiting": self._waiting(crowd),
            "replaced": crowd.replaced,
            "steps_per_second": self._steps_per_second(),
            "told": told,
        }

    def _steps_per_second(self) -> float:
        clock = self._clock
        return 0.0 if clock is None else (self.steps - clock.steps) / clock.seconds

    def settle(self) -> None:
        """Make all that depends on the actor's weights follow them."""
        _transfer.sync_target_actor(self._learner.algo)
        self._learner.engine.reload()

    def state_dict(self) -> dict[str, Any]:
        """What the next update reads beside the learner and the actors."""
        return {
            "learning": self.learning.state_dict(),
            "steps": self.steps,
            "policies": [_policy_state(each) for each in self._policies],
            "sums": dict(self._sums),
            "count": self._count,
            "lags": list(self._lags),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Inverse of :meth:`state_dict`."""
        self.learning.load_state_dict(state["learning"])
        self.steps = int(state["steps"])
        policies = [_policy_of(each) for each in state["policies"]]
        self._policies = deque(policies, maxlen=self._config.delay + 1)
        self._acting = self._policies[0]
        self._sums, self._count = dict(state["sums"]), int(state["count"])
        self._lags = [int(each) for each in state["lags"]]


def _policy_state(policy: ActorWeights) -> dict[str, Any]:
    layers = [*policy.hidden, policy.mu, policy.log_std]
    return {
        "layers": [[torch.from_numpy(each.copy()) for each in layer] for layer in layers],
        "bounds": list(policy.bounds),
        "version": policy.version,
    }


def _policy_of(state: Mapping[str, Any]) -> ActorWeights:
    layers = [(weight.numpy(), bias.numpy()) for weight, bias in state["layers"]]
    low, high = state["bounds"]
    *hidden, mu, log_std = layers
    return ActorWeights(tuple(hidden), mu, log_std, (low, high), int(state["version"]))


def _packed(state: Mapping[str, Any]) -> dict[str, Any]:
    """For a checkpoint; the numbers of numpy's generator are wider than a tensor's."""
    if not state:
        return {}
    rng = state["rng"]
    wide = {name: str(value) for name, value in rng["state"].items()}
    return as_tensors({**state, "rng": {**rng, "state": wide}})  # type: ignore[no-any-return]


def _unpacked(state: Mapping[str, Any]) -> dict[str, Any]:
    """Inverse of :func:`_packed`."""
    rng = state["rng"]
    wide = {name: int(value) for name, value in rng["state"].items()}
    return as_arrays({**state, "rng": {**rng, "state": wide}})  # type: ignore[no-any-return]


@dataclass(frozen=True)
class ImpalaStage:
    """:func:`train_impala` as a :class:`~offline_trader.learning.stages.stage.Stage`."""

    Config: ClassVar[type[ImpalaConfig]] = ImpalaConfig
    needs: ClassVar[tuple[str, ...]] = ("make_lanes",)
    config: ImpalaConfig = field(default_factory=ImpalaConfig)

    @property
    def steps(self) -> int:
        """Environment steps of all lanes."""
        return self.config.steps

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
    ) -> ImpalaResult:
        """Train a d3rlpy learner in lanes that ``data.make_lanes`` makes, by ``data.workers``."""
        return train_impala(
            need_learner(agent, "impala"),
            need(data, "make_lanes", "impala"),
            self.config,
            log,
            evaluate,
            checkpoint,
            seed=seed,
            workers=data.workers,
            resume=resume,
        )
