"""Online training over N lanes, with the offline data in every batch (RLPD, Ball et al. 2023).

One loop: act → step → transform → store → sample → transform → update. It drives anything with the
simulator's calls, and trains any :class:`~offline_trader.learning.agents.Agent`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

from offline_trader.errors import ConfigError
from offline_trader.learning.agents import Agent
from offline_trader.learning.data import (
    TRANSFORMS,
    Batch,
    Curiosity,
    RingBuffer,
    RowLayout,
    Sampler,
    Transform,
    TransformChain,
    Transitions,
    pack,
)
from offline_trader.learning.settings import OnlineConfig
from offline_trader.learning.signals import make_objectives, make_shaping
from offline_trader.learning.stages.activity import Activity
from offline_trader.learning.stages.annealing import Pace, earned_after, pace_at
from offline_trader.learning.stages.divergence import naming_divergence, require_finite
from offline_trader.learning.stages.goal_rows import hindsight_of
from offline_trader.learning.stages.lanes import (
    AimedLanes,
    Lanes,
    LaneStep,
    ResumableLanes,
    StagedLanes,
    as_arrays,
    as_tensors,
)
from offline_trader.learning.stages.results import Checkpoint, Evaluate, Log, TrainResult
from offline_trader.learning.stages.selection import Judged, Selection, crossed
from offline_trader.learning.stages.stage import StageData, need
from offline_trader.learning.stages.surprises import ControlVariate, surprises_of
from offline_trader.types import BoolArray, Observations

__all__ = ["OnlineStage", "finetune"]


def finetune(
    agent: Agent,
    lanes: Lanes,
    offline: Transitions | None,
    config: OnlineConfig,
    log: Log | None = None,
    evaluate: Evaluate | None = None,
    checkpoint: Checkpoint | None = None,
    *,
    seed: int = 0,
    resume: Mapping[str, Any] | None = None,
    transforms: Sequence[Transform] = (),
) -> TrainResult:
    """Train an agent on lanes, starting from its present policy.

    Steps count environment steps, summed over the lanes. At the end the agent holds the best
    policy by validation; if none was better than the one it began with, that one.

    Args:
        agent: one that learns online, for example from
            :func:`~offline_trader.learning.agents.learner.online_learner`; trained in place.
        lanes: the simulator.
        offline: transitions that fill ``offline_share`` of every batch; None: online ones only.
        config: settings.
        log: gets (step, losses and what the lanes did) and (step, validation measures).
        evaluate: validates a policy: a mapping with ``score``, higher is better.
        checkpoint: gets (step, state) every ``checkpoint_interval`` steps; needs lanes with
            ``state_dict``.
        seed: of exploration and mini-batches.
        resume: such a state: go on from it, to the same bytes as without the interruption.
        transforms: of what is stored and sampled; those that ``config`` names come before them.

    Raises:
        ConfigError: an agent that does not learn online, an unknown transform, or lanes that
            cannot be saved.
        OfflineTraderError: a loss is not finite any more.
    """
    if not agent.learns_online:
        raise ConfigError(
            f"online training of {agent.config.algorithm}", expected="sac, or an agent of one's own"
        )
    if checkpoint is not None and not isinstance(lanes, ResumableLanes):
        raise ConfigError(
            f"{type(lanes).__name__} has no state_dict", expected="lanes that can be saved"
        )
    if config.staged and not isinstance(lanes, StagedLanes):
        raise ConfigError(
            f"online.curriculum or online.difficulty on {type(lanes).__name__}",
            expected="lanes with stages, as finetune makes them of a market of bars",
        )
    if config.anneal == "validation" and evaluate is None:
        raise ConfigError(
            "online.anneal=validation without a validation",
            expected="a validation range (validation.end), or online.anneal=steps",
        )
    if config.patience > 0 and evaluate is None:
        raise ConfigError(
            f"online.patience={config.patience} without a validation",
            expected="a validation range (validation.end), or online.patience=0",
        )
    if bool(config.objectives) != hasattr(agent, "preference"):
        raise ConfigError(
            f"objectives.preference={config.objectives.preference} for {type(agent).__name__}",
            expected="MultiObjectiveAgent with objectives, another agent without",
        )
    named = [TRANSFORMS[name](agent, lanes) for name in config.transforms]
    hindsight = (
        [hindsight_of(agent, lanes, config, seed + 3)] if isinstance(lanes, AimedLanes) else []
    )
    curious = [_curiosity(agent, lanes, config, seed)] if config.curiosity.weight > 0 else []
    shaped = [make_shaping(agent, lanes, config.shaping, seed)] if config.shaping.potentials else []
    named += [make_objectives(agent, lanes, config.objectives)] if config.objectives else []
    weight = config.forecast_weight
    if weight > 0:
        named.insert(0, ControlVariate(surprises_of(lanes, agent.preprocessing), weight))
    chain = TransformChain([*named, *hindsight, *transforms, *shaped, *curious], agent.columns)
    loop = _Loop(agent, lanes, offline, config, seed, Selection(evaluate, log), log, chain)
    if resume is None:
        loop.start()
    else:
        loop.load_state_dict(resume)
    while not loop.over:
        before = loop.step
        loop.advance()
        loop.report(before)
        if checkpoint is not None and crossed(before, loop.step, config.checkpoint_interval):
            checkpoint(loop.step, loop.state_dict())
    return loop.finish()


def _curiosity(agent: Agent, lanes: Lanes, config: OnlineConfig, seed: int) -> Transform:
    """Curiosity about what the agent's own doing moves, where the lanes say which columns it is."""
    return Curiosity(
        config.curiosity,
        len(agent.preprocessing.mean),
        agent.action_size,
        getattr(lanes, "endogenous", ()),
        seed + 2,
        agent.config.device,
    )


class _Loop:
    """The state of online training, and its two moves: lanes ahead, agent after them."""

    def __init__(
        self,
        agent: Agent,
        lanes: Lanes,
        offline: Transitions | None,
        config: OnlineConfig,
        seed: int,
        selection: Selection,
        log: Log | None,
        transforms: TransformChain,
    ) -> None:
        self.step, self._updates, self._credit = 0, 0, 0.0
        self._agent, self._lanes, self._config, self._log = agent, lanes, config, log
        self._selection, self._activity, self._transforms = selection, Activity(), transforms
        self._generator = torch.Generator().manual_seed(seed)
        share = config.offline_share if offline is not None else 0.0
        further: dict[str, NDArray[Any]] = {}
        if offline is not None:
            if share > 0:
                offline, further = transforms.dataset(offline)
            agent.fit_reward_scale(offline.rewards)
        scales, device = agent.preprocessing, agent.config.device
        layout = RowLayout(len(scales.mean), agent.action_size, transforms.further)
        self._buffer = RingBuffer(config.buffer_size, layout, scales, device)
        sources: list[Any] = [self._buffer]
        if offline is not None and share > 0:
            sources.insert(0, pack(offline, scales, device=device, further=further))
        self._sampler = Sampler(
            *sources,
            batch_size=agent.config.batch_size,
            seed=seed + 1,
            shares=(share, 1.0 - share) if share > 0 else (1.0,),
        )
        self._observations: Observations = np.zeros((0, layout.observation_size), np.float32)
        self._pace: Pace | None = None
        self._raised = 0.0  # nats that collapses have added to the target entropy
        self._earned = 0.0  # nats that validations have moved it towards its end
        self._waited = 0  # validations since the best one
        # what an agent notes of its own actions would be wrong of another's
        self._exploring = 0.0 if agent.columns else config.exploring_starts
        self._first: BoolArray = np.zeros(0, np.bool_)

    @property
    def over(self) -> bool:
        """Whether all steps were taken, or patience came to its end."""
        patience = self._config.patience
        return self.step >= self._config.steps or 0 < patience <= self._waited

    def start(self) -> None:
        """First observations; the warm start's score, where no critics' phase comes first."""
        self._observations = self._lanes.reset()
        self._first = np.ones(len(self._observations), np.bool_)
        self._agent.restart(self._first)
        self._selection.consider(0, self._agent)

    def advance(self) -> None:
        """One step of every lane, then the updates that are due."""
        before = self._observations
        actions = self._exploring_start(self._agent.sample(before, self._generator))
        result = self._lanes.step(actions)
        ended = result.terminated | result.truncated
        after = np.where(ended[:, None], self._lanes.final_observations, result.observations)
        self._store(before, actions, result, after)
        # the simulator writes into its own arrays: keep what was seen
        self._observations = np.array(result.observations, np.float32)
        self._activity.add(actions, result, getattr(self._lanes, "traded", None))
        self._first = ended
        if ended.any():
            self._agent.restart(ended)
        self.step += len(actions)
        if self.step < max(self._config.warmup_steps, self._agent.config.batch_size):
            return
        self._credit += len(actions) * self._config.update_ratio
        self._update(int(self._credit))
        self._credit -= int(self._credit)

    def _exploring_start(self, actions: Any) -> Any:
        """The actions, uniform ones where an episode begins and its turn comes."""
        if self._exploring == 0.0 or not self._first.any():
            return actions
        turn, drawn = torch.rand((2, *actions.shape), generator=self._generator).numpy()
        chosen = self._first & (turn[:, 0] < self._exploring)
        return np.where(chosen[:, None], 2.0 * drawn - 1.0, actions)

    def _store(
        self, before: Observations, actions: Any, result: LaneStep, after: Observations
    ) -> None:
        step = {
            "observations": before,
            "actions": actions,
            "rewards": result.rewards,
            "next_observations": after,
            "terminals": result.terminated,
            "raw_rewards": result.rewards,
            "timeouts": result.truncated,
        }
        self._buffer.add(self._transforms.stored({**step, **self._agent.noted()}))

    def _update(self, updates: int) -> None:
        if updates == 0:
            return
        scaling = self._agent.config.reward_scaling
        if scaling != "none" and self._agent.preprocessing.reward is None:
            self._agent.fit_reward_scale(self._buffer.rewards())
            self._buffer.rescale(self._agent.preprocessing)
        pace = pace_at(self._config, self.step, self._raised, self._earned)
        if pace != self._pace:
            self._agent.set_pace(pace.target_entropy, pace.rate)
            self._pace = pace
        alone = min(max(self._config.critic_updates - self._updates, 0), updates)
        with naming_divergence(self.step):
            if alone > 0:
                self._agent.update(self._batches(alone), train_actor=False)
            if updates > alone:
                self._agent.update(self._batches(updates - alone))
        self._updates += updates

    def _batches(self, count: int) -> Iterator[Batch]:
        for _ in range(count):
            yield self._transforms.sampled(self._sampler.draw())

    def report(self, before: int) -> None:
        """Log and validate where an interval's end, or the last step, was passed."""
        config, last = self._config, self.step >= self._config.steps
        if last or crossed(before, self.step, config.log_interval):
            losses = {**self._agent.metrics(), **self._transforms.metrics()}
            require_finite(self.step, losses)
            measures = self._activity.measures(hasattr(self._lanes, "traded"))
            if self._log is not None:
                row = {**losses, **measures, "updates": float(self._updates)}
                if isinstance(self._lanes, StagedLanes):
                    row |= self._lanes.measures()
                if self._pace is not None:
                    row["target_entropy"] = self._pace.target_entropy
                self._log(self.step, {f"online/{name}": value for name, value in row.items()})
            self._activity = Activity()
        moved = self._updates > config.critic_updates
        if moved and (last or crossed(before, self.step, config.evaluate_interval)):
            self._watch(self._selection.consider(self.step, self._agent))
        course = config.curriculum
        if moved and course.enabled and crossed(before, self.step, course.exam_interval):
            assert isinstance(self._lanes, StagedLanes)
            found = self._lanes.examine(self._agent.policy())
            if self._log is not None:
                self._log(self.step, found)

    def _watch(self, judged: Judged) -> None:
        """Anneal as validation goes, count those in vain; do what the settings say about a policy
        that collapsed."""
        self._waited = 0 if judged.best else self._waited + 1
        if self.over and self.step < self._config.steps and self._log is not None:
            text = f"no better policy in {self._waited} validations: it ends at step {self.step:,}"
            self._log(self.step, {"online/ended": text})
        if not judged.collapsed:
            self._raised = 0.0
            self._earned = earned_after(self._config, self._earned, judged.trend)
            return
        done = "training goes on"
        if self._config.on_collapse == "explore":
            self._raised += 1.0
            pace = pace_at(self._config, self.step, self._raised, self._earned)
            done = f"the target entropy is {pace.target_entropy:.2g} nats until it has recovered"
        elif self._config.on_collapse == "return":
            kept = self._selection.put_back(self._agent)
            done = f"training goes on from the best policy, of step {kept:,}"
        if self._log is not None:
            text = f"the policy of step {self.step:,} collapsed on the validation range: {done}"
            self._log(self.step, {"online/collapse": text})

    def finish(self) -> TrainResult:
        """Keep the best policy, and the agent's learning rates as they were."""
        self._agent.set_pace(self._config.target_entropy, 1.0)
        return self._selection.finish(self.step, self._updates, self._agent)

    def state_dict(self) -> dict[str, Any]:
        """Everything that the next step depends on."""
        assert isinstance(self._lanes, ResumableLanes)
        activity = self._activity
        return {
            "counters": [self.step, self._updates, self._credit, self._raised,
                         self._earned],
            "waited": self._waited,
            "agent": self._agent.state_dict(),
            "transforms": self._transforms.state_dict(),
            "lanes": as_tensors(self._lanes.state_dict()),
            "observations": torch.from_numpy(self._observations.copy()),
            "first": torch.from_numpy(self._first.copy()),
            "generator": self._generator.get_state(),
            "buffer": self._buffer.state_dict(),
            "sampler": self._sampler.state_dict(),
            "selection": self._selection.state_dict(),
            "activity": [activity.actions.tolist(), activity.reward, activity.steps,
                         activity.episodes, activity.trades],
        }  # fmt: skip

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Inverse of :meth:`state_dict`."""
        if not isinstance(self._lanes, ResumableLanes):
            raise ConfigError(f"{type(self._lanes).__name__} cannot be resumed")
        self.step, self._updates, self._credit, self._raised, self._earned = state["counters"]
        self._waited = int(state.get("waited", 0))  # older checkpoints had no patience
        self._agent.load_state_dict(state["agent"])
        self._transforms.load_state_dict(state["transforms"])
        self._lanes.load_state_dict(as_arrays(state["lanes"]))
        self._observations = state["observations"].numpy().copy()
        self._first = state["first"].numpy().copy()
        self._generator.set_state(state["generator"])
        self._buffer.load_state_dict(state["buffer"])
        self._buffer.scale_with(self._agent.preprocessing)
        self._sampler.load_state_dict(state["sampler"])
        self._selection.load_state_dict(state["selection"])
        actions, *rest = state["activity"]
        self._activity = Activity(np.array(actions, np.int64), *rest)


@dataclass(frozen=True)
class OnlineStage:
    """:func:`finetune` as a :class:`~offline_trader.learning.stages.stage.Stage`."""

    Config: ClassVar[type[OnlineConfig]] = OnlineConfig
    needs: ClassVar[tuple[str, ...]] = ("transitions", "lanes")
    config: OnlineConfig = field(default_factory=OnlineConfig)

    @property
    def steps(self) -> int:
        """Steps of all lanes."""
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
    ) -> TrainResult:
        """Train any agent on ``data.lanes``, with ``data.transitions`` if there are any."""
        return finetune(
            agent,
            need(data, "lanes", "online"),
            data.transitions,
            self.config,
            log,
            evaluate,
            checkpoint,
            seed=seed,
            resume=resume,
        )
