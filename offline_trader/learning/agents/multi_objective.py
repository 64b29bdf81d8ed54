"""Soft actor-critic for several objectives: a critic head each, a vector target, one actor.

The actor is that of a learner, so it is saved, exported and judged as any other. What the lanes
and the buffer see are plain observations: where the policy takes the weights, they are put behind
them here, drawn anew for every episode of a lane and for every row of a batch, since the vector of
rewards says what a step was worth under any weights (Abels et al. 2019).
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from offline_trader.errors import ConfigError
from offline_trader.goals import Preference, Preferred
from offline_trader.learning.agents.learner import Learner
from offline_trader.learning.agents.limited import Limit
from offline_trader.learning.agents.vector_critics import VectorCritics, squashed_sample
from offline_trader.learning.d3rlpy import algorithms as _d3rlpy
from offline_trader.learning.d3rlpy import transfer as _transfer
from offline_trader.learning.data import Batch, Preprocessing
from offline_trader.learning.engines import EngineFacts, PlainAdam, without_dynamo
from offline_trader.learning.settings import COMPONENTS, LearnerConfig, ObjectivesConfig
from offline_trader.types import BoolArray, FloatArray, Observations, Policy, PortfolioField

__all__ = ["MultiObjectiveAgent"]

_ENTROPY = len(COMPONENTS)


class MultiObjectiveAgent:
    """Trains a learner's actor by batches with the column ``objectives``; see the module.

    Args:
        learner: SAC; its critics stay as they are. Where the policy takes the weights, it observes
            a column each behind the others, unscaled.
        config: preference and limit.
        seed: of critics, preferences and draws.

    Attributes:
        preference: the weights that its policy has, or takes by default.
        limit: with its price; None: none.

    Raises:
        ConfigError: a learner that is no SAC.
    """

    learns_online = True
    columns: tuple[tuple[str, int], ...] = ()
    engine = EngineFacts("torch", "a critic head per objective")

    def __init__(self, learner: Learner, config: ObjectivesConfig, seed: int) -> None:
        if learner.config.algorithm != "sac":
            raise ConfigError(f"objectives of {learner.config.algorithm}", expected="sac")
        settings: Any = learner.config
        self.learner, self._settings, self._seed = learner, settings, seed
        self.preference = Preference(
            COMPONENTS, config.weights, config.takes_preference, "set by the user"
        )
        self.limit = Limit(config) if config.limit != "none" else None
        inputs = len(learner.preprocessing.mean)
        self._seen = inputs - (len(COMPONENTS) if config.takes_preference else 0)
        self._drawdown = self._seen - len(PortfolioField) + PortfolioField.DRAWDOWN
        heads = _ENTROPY + 1 + int(self.limit is not None)
        learner.engine.flush()
        with learner.randomness():
            self._critics = VectorCritics(settings, inputs, learner.action_size, heads)
        start = torch.tensor([settings.initial_temperature]).log()
        self._log_temperature = start.to(settings.device).requires_grad_()
        with without_dynamo():
            self._actor_steps = PlainAdam(
                learner.actor.parameters(), lr=settings.actor_lr, fused=True
            )
            self._temperature_steps = PlainAdam([self._log_temperature], lr=settings.temp_lr)
        self._target_entropy = -float(learner.action_size)
        self._rng = np.random.default_rng(seed)
        self._asked: FloatArray = np.zeros((0, len(COMPONENTS)))
        self._sums: dict[str, float] = {}
        self._count = 0

    @property
    def config(self) -> LearnerConfig:
        """The learner's."""
        return self.learner.config

    @property
    def preprocessing(self) -> Preprocessing:
        """The learner's, of the columns that lanes and buffer see."""
        known = self.learner.preprocessing
        return replace(known, mean=known.mean[: self._seen], scale=known.scale[: self._seen])

    @property
    def action_size(self) -> int:
        """A, the numbers in one action."""
        return self.learner.action_size

    def policy(self) -> Policy:
        """The learner, under the default weights if it takes some."""
        self._settle()
        return Preferred(self.learner, self.preference) if self.preference.given else self.learner

    def sample(self, observations: Observations, generator: torch.Generator) -> Any:
        """Exploring actions [N, A], each lane under its own weights."""
        if self.preference.given:
            observations = self.preference.widened(observations, self._asked)
        return self.learner.sample(observations, generator)

    def noted(self) -> Mapping[str, NDArray[Any]]:
        """Nothing."""
        return {}

    def restart(self, lanes: BoolArray) -> None:
        """Draw weights for episodes that begin."""
        if not self.preference.given:
            return
        if len(self._asked) != len(lanes):
            self._asked = np.zeros((len(lanes), len(COMPONENTS)))
        self._asked[lanes] = self.preference.drawn(int(lanes.sum()), self._rng)

    def watch(self, drawdowns: FloatArray, growth: FloatArray) -> None:
        """What the lanes did in a step moves the price of the limit."""
        if self.limit is not None:
            self.limit.watch(drawdowns, growth)

    def fit_reward_scale(self, rewards: NDArray[np.floating[Any]]) -> None:
        """As the learner's; objectives have scales of their own."""
        self.learner.fit_reward_scale(rewards)

    def set_pace(self, target_entropy: float, rate: float) -> None:
        """See :class:`~offline_trader.learning.agents.agent.Agent`."""
        self._target_entropy = target_entropy * self.action_size
        self._critics.set_rate(rate)
        for optimizer, full in (
            (self._actor_steps, self._settings.actor_lr),
            (self._temperature_steps, self._settings.temp_lr),
        ):
            for group in optimizer.param_groups:
                group["lr"] = rate * full

    def update(self, batches: Iterable[Batch], *, train_actor: bool = True) -> None:
        """An update a batch.

        Raises:
            ConfigError: rows without the column ``objectives``.
        """
        with self.learner.randomness():
            for batch in batches:
                self._update(batch, train_actor=train_actor)

    def _update(self, batch: Batch, *, train_actor: bool) -> None:
        if "objectives" not in batch:
            raise ConfigError(
                "rows without objectives", expected="online.objectives, whose transform adds them"
            )
        before, weights = self._inputs(batch["observations"])
        after = batch["next_observations"]
        after = torch.cat([after, before[:, self._seen :]], dim=1)
        temperature = float(self._log_temperature.detach().exp())
        terminals = batch["terminals"][:, 0]
        with torch.no_grad():
            actions, density = self._drawn(after)
            rewards = torch.zeros_like(weights)
            rewards[:, :_ENTROPY] = batch["objectives"]
            gamma = self._settings.gamma
            rewards[:, _ENTROPY] = -gamma * (1.0 - terminals) * temperature * density
            if self.limit is not None:
                rewards[:, -1] = -self._costs(batch)
        errors = self._critics.update(
            (before, batch["actions"]), rewards, (after, actions), weights, terminals
        )
        told = {f"critic_loss_{n}": errors[i] for i, n in enumerate((*COMPONENTS, "entropy"))}
        self._note(critic_loss=errors.sum(), **told)
        if self.limit is not None:
            self._note(limit_price=torch.tensor(self.limit.price))
        if train_actor:
            self._climb(before, weights, temperature)

    def _climb(self, seen: Tensor, weights: Tensor, temperature: float) -> None:
        """A step of the actor, then one of the temperature."""
        actions, density = self._drawn(seen)
        value = self._critics.lowest(seen, actions, weights)
        loss = (temperature * density - value).mean()
        apart = density.detach().mean() + self._target_entropy
        tempered = -self._log_temperature.exp() * apart
        with without_dynamo():
            self._actor_steps.zero_grad(set_to_none=True)
            self._temperature_steps.zero_grad(set_to_none=True)
        (loss + tempered.sum()).backward()  # type: ignore[no-untyped-call]
        self._actor_steps.step()
        self._temperature_steps.step()
        self._note(actor_loss=loss, temperature=torch.tensor(temperature),
                   entropy=-density.mean())  # fmt: skip

    def _inputs(self, observations: Tensor) -> tuple[Tensor, Tensor]:
        """What actor and critics see, and the weights [B, H] of the heads."""
        count, device = len(observations), observations.device
        if self.preference.given:
            asked = -torch.rand(count, _ENTROPY).clamp(min=1e-12).log()
            asked = (asked / asked.sum(dim=1, keepdim=True)).to(device)  # uniform on the simplex
            observations = torch.cat([observations, asked], dim=1)
        else:
            asked = torch.tensor(self.preference.weights, device=device).expand(count, -1)
        limit = 0.0 if self.limit is None else self.limit.weight
        # a sum of components of size 1 has that size, too: what the temperature is tuned for
        parts = [(1.0 - limit) * asked / asked.norm(dim=1, keepdim=True)]
        parts.append(torch.ones_like(asked[:, :1]))
        if self.limit is not None:
            parts.append(torch.full_like(asked[:, :1], limit))
        return observations, torch.cat(parts, dim=1)

    def _costs(self, batch: Batch) -> Tensor:
        assert self.limit is not None
        scales, place = self.learner.preprocessing, self._drawdown
        mean, scale = float(scales.mean[place]), float(scales.scale[place])
        drawdowns = batch["next_observations"][:, place] * scale + mean
        return self.limit.costs(drawdowns, batch["raw_rewards"][:, 0])

    def _drawn(self, seen: Tensor) -> tuple[Tensor, Tensor]:
        mu, log_std, _ = _d3rlpy.actor_output(self.learner.algo, seen)
        assert log_std is not None
        return squashed_sample(mu, log_std)

    def _note(self, **values: Tensor) -> None:
        for name, value in values.items():
            self._sums[name] = self._sums.get(name, 0.0) + float(value.detach())
        self._count += 1 if "critic_loss" in values else 0

    def metrics(self) -> Mapping[str, float]:
        """Means an update since the last call; ``critic_loss`` is the sum over the heads."""
        count, sums = max(1, self._count), self._sums
        self._sums, self._count = {}, 0
        return {name: total / count for name, total in sums.items()}

    def _settle(self) -> None:
        """Make all that depends on the trained weights follow them."""
        _transfer.sync_target_actor(self.learner.algo)
        self.learner.engine.reload()

    def snapshot(self) -> dict[str, Any]:
        """The learner's, and the critics."""
        self._settle()
        return {"learner": self.learner.snapshot(), "critics": self._critics.state_dict()}

    def restore(self, snapshot: Mapping[str, Any]) -> None:
        """Inverse of :meth:`snapshot`."""
        self.learner.restore(snapshot["learner"])
        self._critics.load_state_dict(snapshot["critics"])

    @without_dynamo()
    def state_dict(self) -> dict[str, Any]:
        """All that the next step and the next update read."""
        self._settle()
        drawn = self._rng.bit_generator.state["state"]
        return {
            "learner": self.learner.state_dict(),
            "critics": self._critics.state_dict(),
            "log_temperature": self._log_temperature.detach().clone(),
            "steps": copy.deepcopy(
                [self._actor_steps.state_dict(), self._temperature_steps.state_dict()]
            ),
            "asked": torch.from_numpy(self._asked.copy()),
            "drawn": [str(drawn["state"]), str(drawn["inc"])],
            "limit": None if self.limit is None else self.limit.state_dict(),
            "sums": dict(self._sums),
            "count": self._count,
        }

    @without_dynamo()
    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Inverse of :meth:`state_dict`.

        Raises:
            ConfigError: the state of another agent.
        """
        if "critics" not in state or (state["limit"] is None) != (self.limit is None):
            raise ConfigError(
                "a checkpoint of another agent", expected="objectives as the run was started with"
            )
        self.learner.load_state_dict(state["learner"])
        self._critics.load_state_dict(state["critics"])
        with torch.no_grad():
            self._log_temperature.copy_(state["log_temperature"])
        for optimizer, moments in zip(
            (self._actor_steps, self._temperature_steps), state["steps"], strict=True
        ):
            _d3rlpy.load_moments(optimizer, moments)
        self._asked = state["asked"].numpy().copy()
        place, increment = map(int, state["drawn"])
        stream = {**self._rng.bit_generator.state, "state": {"state": place, "inc": increment}}
        self._rng.bit_generator.state = stream
        if self.limit is not None:
            self.limit.load_state_dict(state["limit"])
        self._sums, self._count = dict(state["sums"]), int(state["count"])
