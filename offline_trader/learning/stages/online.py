"""Online SAC over N lanes, with the offline data in every batch (RLPD, Ball et al. 2023).

One loop: act → step → store → sample → update. It drives anything with the simulator's calls.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray

from offline_trader.errors import ConfigError
from offline_trader.learning.agents import Learner
from offline_trader.learning.data import RingBuffer, RowLayout, Sampler, Transitions, pack
from offline_trader.learning.settings import OnlineConfig
from offline_trader.learning.stages.selection import (
    Checkpoint,
    Evaluate,
    Log,
    Selection,
    TrainResult,
    naming_divergence,
    require_finite,
)
from offline_trader.types import BoolArray, FloatArray, Observations

__all__ = ["LaneStep", "Lanes", "ResumableLanes", "finetune"]

_BINS = 21


class LaneStep(Protocol):
    """One step of N lanes; where an episode ended, the observation is the next one's first."""

    @property
    def observations(self) -> Observations: ...
    @property
    def rewards(self) -> FloatArray: ...
    @property
    def terminated(self) -> BoolArray: ...
    @property
    def truncated(self) -> BoolArray: ...


class Lanes(Protocol):
    """N environments in step, with same-step reset, as the simulator has them."""

    @property
    def final_observations(self) -> Observations:
        """[N, O]; the rows of lanes that ended at the last step are what they saw last."""
        ...

    def reset(self) -> Observations:
        """[N, O] first observations."""
        ...

    def step(self, actions: NDArray[np.float32]) -> LaneStep:
        """One step under actions [N, A]."""
        ...


@runtime_checkable
class ResumableLanes(Protocol):
    """Lanes whose state can be saved."""

    def state_dict(self) -> Mapping[str, Any]:
        """All that the next step depends on: arrays and numbers."""
        ...

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Inverse of :meth:`state_dict`."""


def finetune(
    learner: Learner,
    lanes: Lanes,
    offline: Transitions | None,
    config: OnlineConfig,
    log: Log | None = None,
    evaluate: Evaluate | None = None,
    checkpoint: Checkpoint | None = None,
    *,
    seed: int = 0,
    resume: Mapping[str, Any] | None = None,
) -> TrainResult:
    """Train a SAC learner on lanes, starting from its present policy.

    Steps count environment steps, summed over the lanes. At the end the learner holds the best
    policy by validation; if none was better than the one it began with, that one.

    Args:
        learner: of algorithm ``sac``, for example from
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

    Raises:
        ConfigError: another algorithm than SAC, or lanes that cannot be saved.
        OfflineTraderError: a loss is not finite any more.
    """
    if learner.config.algorithm != "sac":
        raise ConfigError(f"online training of {learner.config.algorithm}", expected="sac")
    if checkpoint is not None and not isinstance(lanes, ResumableLanes):
        raise ConfigError(
            f"{type(lanes).__name__} has no state_dict", expected="lanes that can be saved"
        )
    loop = _Loop(learner, lanes, offline, config, seed, Selection(evaluate, log), log)
    if resume is None:
        loop.start()
    else:
        loop.load_state_dict(resume)
    while loop.step < config.steps:
        before = loop.step
        loop.advance()
        loop.report(before)
        if checkpoint is not None and _crossed(before, loop.step, config.checkpoint_interval):
            checkpoint(loop.step, loop.state_dict())
    return loop.finish()


@dataclass
class _Activity:
    """What the lanes did since the last row of the log."""

    actions: NDArray[np.int64] = field(default_factory=lambda: np.zeros(_BINS, np.int64))
    reward: float = 0.0
    steps: int = 0
    episodes: int = 0
    trades: int = 0

    def add(self, actions: NDArray[np.float32], step: LaneStep, traded: BoolArray | None) -> None:
        edges = np.clip(((actions + 1.0) * (_BINS / 2.0)).astype(np.int64), 0, _BINS - 1)
        self.actions += np.bincount(edges.ravel(), minlength=_BINS)
        self.reward += float(step.rewards.sum())
        self.steps += len(step.rewards)
        self.episodes += int((step.terminated | step.truncated).sum())
        self.trades += 0 if traded is None else int(np.count_nonzero(traded))

    def measures(self, has_trades: bool) -> dict[str, float]:
        """Mean reward, entropy of the histogram of executed actions (nats), trades a step."""
        shares = self.actions[self.actions > 0] / max(1, int(self.actions.sum()))
        values = {
            "reward": self.reward / max(1, self.steps),
            "action_entropy": float(-(shares * np.log(shares)).sum()),
            "episodes": float(self.episodes),
        }
        return values | ({"trade_rate": self.trades / max(1, self.steps)} if has_trades else {})


class _Loop:
    """The state of online training, and its two moves: lanes ahead, learner after them."""

    def __init__(
        self,
        learner: Learner,
        lanes: Lanes,
        offline: Transitions | None,
        config: OnlineConfig,
        seed: int,
        selection: Selection,
        log: Log | None,
    ) -> None:
        self.step, self._updates, self._credit = 0, 0, 0.0
        self._learner, self._lanes, self._config, self._log = learner, lanes, config, log
        self._selection, self._activity = selection, _Activity()
        self._generator = torch.Generator().manual_seed(seed)
        if offline is not None:
            learner.fit_reward_scale(offline.rewards)
        scales, device = learner.preprocessing, learner.config.device
        layout = RowLayout(len(scales.mean), learner.action_size)
        self._buffer = RingBuffer(config.buffer_size, layout, scales, device)
        sources: list[Any] = [self._buffer]
        share = 1.0
        if offline is not None and config.offline_share > 0:
            sources.insert(0, pack(offline, scales, device=device))
            share = config.offline_share
        self._sampler = Sampler(
            *sources, batch_size=learner.config.batch_size, seed=seed + 1, share=share
        )
        self._observations: Observations = np.zeros((0, layout.observation_size), np.float32)

    def start(self) -> None:
        """First observations; the warm start's score, where no critics' phase comes first."""
        self._observations = self._lanes.reset()
        self._selection.consider(0, self._learner)

    def advance(self) -> None:
        """One step of every lane, then the updates that are due."""
        before = self._observations
        actions = self._learner.sample(before, self._generator)
        result = self._lanes.step(actions)
        ended = (result.terminated | result.truncated)[:, None]
        after = np.where(ended, self._lanes.final_observations, result.observations)
        self._buffer.add(before, actions, result.rewards, after, result.terminated)
        # the simulator writes into its own arrays: keep what was seen
        self._observations = np.array(result.observations, np.float32)
        self._activity.add(actions, result, getattr(self._lanes, "traded", None))
        self.step += len(actions)
        if self.step < max(self._config.warmup_steps, self._learner.config.batch_size):
            return
        self._credit += len(actions) * self._config.update_ratio
        self._update(int(self._credit))
        self._credit -= int(self._credit)

    def _update(self, updates: int) -> None:
        if updates == 0:
            return
        scaling = self._learner.config.reward_scaling
        if scaling != "none" and self._learner.preprocessing.reward is None:
            self._learner.fit_reward_scale(self._buffer.rewards())
            self._buffer.rescale(self._learner.preprocessing)
        engine = self._learner.engine
        with naming_divergence(self.step), self._learner.randomness():
            for _ in range(updates):
                engine.update(
                    self._sampler.sample(),
                    train_actor=self._updates >= self._config.critic_updates,
                )
                self._updates += 1

    def report(self, before: int) -> None:
        """Log and validate where an interval's end, or the last step, was passed."""
        config, last = self._config, self.step >= self._config.steps
        if last or _crossed(before, self.step, config.log_interval):
            losses = self._learner.engine.metrics()
            require_finite(self.step, losses)
            measures = self._activity.measures(hasattr(self._lanes, "traded"))
            if self._log is not None:
                row = {**losses, **measures, "updates": float(self._updates)}
                self._log(self.step, {f"online/{name}": value for name, value in row.items()})
            self._activity = _Activity()
        moved = self._updates > config.critic_updates
        if moved and (last or _crossed(before, self.step, config.evaluate_interval)):
            self._selection.consider(self.step, self._learner)

    def finish(self) -> TrainResult:
        """Keep the best policy."""
        return self._selection.finish(self.step, self._updates, self._learner)

    def state_dict(self) -> dict[str, Any]:
        """Everything that the next step depends on."""
        assert isinstance(self._lanes, ResumableLanes)
        activity = self._activity
        return {
            "counters": [self.step, self._updates, self._credit],
            "learner": self._learner.state_dict(),
            "lanes": _as_tensors(self._lanes.state_dict()),
            "observations": torch.from_numpy(self._observations.copy()),
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
        self.step, self._updates, self._credit = state["counters"]
        self._learner.load_state_dict(state["learner"])
        self._lanes.load_state_dict(_as_arrays(state["lanes"]))
        self._observations = state["observations"].numpy().copy()
        self._generator.set_state(state["generator"])
        self._buffer.load_state_dict(state["buffer"])
        self._buffer.scale_with(self._learner.preprocessing)
        self._sampler.load_state_dict(state["sampler"])
        self._selection.load_state_dict(state["selection"])
        actions, *rest = state["activity"]
        self._activity = _Activity(np.array(actions, np.int64), *rest)


def _crossed(before: int, after: int, interval: int) -> bool:
    return interval > 0 and before // interval != after // interval


def _as_tensors(value: Any) -> Any:
    """Arrays as tensors, which ``torch.load(weights_only=True)`` reads."""
    if isinstance(value, Mapping):
        return {key: _as_tensors(item) for key, item in value.items()}
    return torch.from_numpy(value.copy()) if isinstance(value, np.ndarray) else value


def _as_arrays(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _as_arrays(item) for key, item in value.items()}
    return value.numpy() if isinstance(value, torch.Tensor) else value
