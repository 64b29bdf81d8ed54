"""Offline training from a warm start: first the critics are fitted to its policy, then both move.

A critic that starts from random weights says nothing about the warm policy, and an actor that
follows it unlearns what cloning taught. So the actor stands still for ``critic_updates``: the
critics then estimate the value of the cloned policy (Nakamoto et al. 2023, Cal-QL; Zhou et al.
2024, WSRL). The equations of every algorithm are in ``docs/learning.md``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from offline_trader.learning.agents import Agent, Learner
from offline_trader.learning.data import (
    TRANSFORMS,
    Sampler,
    Transform,
    TransformChain,
    Transitions,
    pack,
)
from offline_trader.learning.settings import OfflineConfig
from offline_trader.learning.stages.counterfactual import find_replay, unconstrained
from offline_trader.learning.stages.divergence import naming_divergence, require_finite
from offline_trader.learning.stages.foretold import foretold_rewards
from offline_trader.learning.stages.leash import holds_on, leashed
from offline_trader.learning.stages.results import Checkpoint, Evaluate, Log, TrainResult, Validated
from offline_trader.learning.stages.selection import Selection
from offline_trader.learning.stages.stage import StageData, need, need_learner
from offline_trader.types import Policy

if TYPE_CHECKING:
    from offline_trader.learning.stages.direct import DirectMarket

__all__ = ["OfflineStage", "train_offline"]

_TARGET_ENTROPY = -1.0  # nats an action dimension, what d3rlpy's temperature aims at
_SPREAD = 0.1
_PACES = 100  # changes of the learning rates: a GPU's captured updates are recorded anew at each


def train_offline(
    learner: Learner,
    transitions: Transitions,
    config: OfflineConfig,
    log: Log | None = None,
    evaluate: Evaluate | None = None,
    checkpoint: Checkpoint | None = None,
    *,
    seed: int = 0,
    resume: Mapping[str, Any] | None = None,
    scratch: Path | None = None,
    transforms: Sequence[Transform] = (),
    market: DirectMarket | None = None,
) -> TrainResult:
    """Train critics and actor on a dataset, starting from the learner's present policy.

    Steps count updates: the critics' first ones, then all. At the end the learner holds the best
    policy by validation; if none was better than the one it began with, that one (with critics
    fitted to it).

    Args:
        learner: is trained in place.
        transitions: the dataset; the reward scale is fitted on it if the learner has none.
        config: settings.
        log: gets (step, mean losses since the last row) and (step, validation measures).
        evaluate: validates a policy: a mapping with ``score``, higher is better.
        checkpoint: gets (step, state) every ``checkpoint_interval``.
        seed: of the mini-batches.
        resume: such a state: go on from it, to the same bytes as without the interruption.
        scratch: folder of the memory-mapped file of a dataset that is too large to be held.
        transforms: of what is stored and sampled; those that ``config`` names come before them,
            and a replay before all.
        market: the bars that the dataset was collected on, for replays.

    Raises:
        ConfigError: an unknown transform, or a replay that is asked for and cannot be.
        OfflineTraderError: a loss is not finite any more.
    """
    named = [TRANSFORMS[name](learner, None) for name in config.transforms]
    replay, said = find_replay(learner, transitions, config, market, seed + 1)
    if replay is None and said and log is not None and resume is None:
        log(0, {"offline/replay": said})
    chain = TransformChain([*([] if replay is None else [replay]), *named, *transforms])
    data, further = chain.dataset(transitions) if chain else (transitions, {})
    held = replay is None and holds_on(learner.config, config.leash)
    if held and len(data) <= config.leash.most_foretold:
        data = replace(data, rewards=foretold_rewards(data))
    learner.fit_reward_scale(data.rewards)
    trained, leash = learner, None
    if replay is not None:
        replay.scale_rewards(learner.preprocessing)
        trained = unconstrained(learner, config.replay, seed)
    elif held:
        trained, leash = leashed(learner, data, config.leash, seed)
        config = replace(config, updates=min(config.updates, config.leash.updates))
    rows = pack(
        data,
        learner.preprocessing,
        n_steps=config.n_steps,
        device=learner.config.device,
        directory=scratch,
        further=further,
    )
    sampler = Sampler(rows, batch_size=learner.config.batch_size, seed=seed)
    selection = Selection(_of_the_learner(evaluate, learner, trained), log)
    step, total = 0, config.critic_updates + config.updates
    if resume is not None:
        step = int(resume["step"])
        trained.load_state_dict(resume["learner"])
        if leash is not None:
            leash.load_state_dict(resume["leash"])
        sampler.load_state_dict(resume["sampler"])
        chain.load_state_dict(resume.get("transforms", []))
        selection.load_state_dict(resume["selection"])
    elif config.critic_updates == 0:
        selection.consider(0, trained)
    while step < total:
        stop = _next_stop(step, config)
        trained.set_pace(_TARGET_ENTROPY, _rate(step, config))
        if leash is not None and step >= config.critic_updates:
            leash.adjust(step)
        with naming_divergence(step):
            _update(trained, sampler, chain, stop - step, train_actor=step >= config.critic_updates)
        step = stop
        if step % config.log_interval == 0 or step == total:
            _log_losses(step, trained, chain, log)
        if _validates(step, config):
            selection.consider(step if step > config.critic_updates else 0, trained)
        if checkpoint is not None and step % config.checkpoint_interval == 0:
            checkpoint(
                step,
                {
                    "step": step,
                    "learner": trained.state_dict(),
                    "leash": {} if leash is None else leash.state_dict(),
                    "sampler": sampler.state_dict(),
                    "transforms": chain.state_dict(),
                    "selection": selection.state_dict(),
                },
            )
    trained.set_pace(_TARGET_ENTROPY, 1.0)
    result = selection.finish(step, step, trained)
    if trained is not learner:
        learner.copy_policy_from(trained)
        learner.copy_critics_from(trained)
        learner.set_spread(_SPREAD)  # what online training begins to explore with
    return replace(result, replay=said)


def _of_the_learner(
    evaluate: Evaluate | None, learner: Learner, trained: Learner
) -> Evaluate | None:
    """``evaluate`` for the learner itself, which is given the policy that is trained: a validation
    may know the one learner alone."""
    if evaluate is None or trained is learner:
        return evaluate

    def of_the_learner(policy: Policy) -> Mapping[str, float] | Validated:
        learner.copy_policy_from(trained)
        return evaluate(learner.policy())

    return of_the_learner


def _update(
    learner: Learner, sampler: Sampler, chain: TransformChain, updates: int, *, train_actor: bool
) -> None:
    engine = learner.engine
    with learner.randomness():
        for _ in range(updates):
            batch = chain.sampled(sampler.draw())
            engine.update(batch.minibatch(), train_actor=train_actor)


def _rate(step: int, config: OfflineConfig) -> float:
    """Share of the learning rates after ``step`` updates: 1, then in a straight line to 0.01."""
    if config.rate_decay == 0.0 or step < config.critic_updates:
        return 1.0
    left = (config.critic_updates + config.updates - step) / (config.rate_decay * config.updates)
    return max(min(1.0, left), 0.01)


def _next_stop(step: int, config: OfflineConfig) -> int:
    paces = max(1, (config.critic_updates + config.updates) // _PACES)
    intervals = (config.log_interval, config.evaluate_interval, config.checkpoint_interval, paces)
    stops = [step - step % interval + interval for interval in intervals if interval > 0]
    if step < config.critic_updates:
        stops.append(config.critic_updates)
    return min(config.critic_updates + config.updates, *stops)


def _validates(step: int, config: OfflineConfig) -> bool:
    """At the end of the critics' phase (the warm start), at intervals after it, at the end."""
    if step <= config.critic_updates:
        return step == config.critic_updates
    at_interval = config.evaluate_interval > 0 and step % config.evaluate_interval == 0
    return at_interval or step == config.critic_updates + config.updates


def _log_losses(step: int, learner: Learner, chain: TransformChain, log: Log | None) -> None:
    losses = {**learner.engine.metrics(), **chain.metrics()}
    require_finite(step, losses)
    if log is not None:
        log(step, {f"offline/{name}": value for name, value in losses.items()})


@dataclass(frozen=True)
class OfflineStage:
    """:func:`train_offline` as a :class:`~offline_trader.learning.stages.stage.Stage`."""

    Config: ClassVar[type[OfflineConfig]] = OfflineConfig
    needs: ClassVar[tuple[str, ...]] = ("transitions",)
    config: OfflineConfig = field(default_factory=OfflineConfig)

    @property
    def steps(self) -> int:
        """Updates in all."""
        return self.config.critic_updates + self.config.updates

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
        """Train a d3rlpy learner on ``data.transitions``, and on replays of ``data.market``."""
        return train_offline(
            need_learner(agent, "offline"),
            need(data, "transitions", "offline"),
            self.config,
            log,
            evaluate,
            checkpoint,
            seed=seed,
            resume=resume,
            scratch=data.scratch,
            market=data.market,
        )
