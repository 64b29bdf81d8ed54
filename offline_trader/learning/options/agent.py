"""The controller of options as an agent of the online loop.

It begins as the policy of the run it goes on from, and is the controller from its first update on:
what a training cannot improve stays as it was, as with every agent.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from offline_trader.errors import DataError
from offline_trader.hashing import bytes_sha256
from offline_trader.learning.agents import DeterministicActor, Learner
from offline_trader.learning.data import Batch, Preprocessing, fit_reward_scale
from offline_trader.learning.engines import PlainAdam, without_dynamo
from offline_trader.learning.estimators import (
    arrival_value,
    best_available,
    option_target,
    smdp_target,
    termination_loss,
)
from offline_trader.learning.options.chooser import (
    Chooser,
    OptionsPolicy,
    aged,
    began,
    beginning,
    fresh_state,
)
from offline_trader.learning.options.option import Lane
from offline_trader.learning.settings import AgentConfig, OptionsConfig
from offline_trader.simulator import SimulatorConfig
from offline_trader.types import BoolArray, ObservationLayout, Observations, Policy

__all__ = ["OptionsAgent", "load_options_agent"]

_MEMORY = 0.99


class OptionsAgent:
    """Learns which option to choose, and with ``option_critic`` when to end one.

    Args:
        learner: the policy before it; stays as it is, and is what the option ``policy`` does.
        config: settings.
        layout: of the observations.
        rules: of trading.
        seed: of the first weights.

    Raises:
        ConfigError: as :class:`~offline_trader.learning.options.chooser.Chooser`.
    """

    learns_online = True
    columns: tuple[tuple[str, int], ...] = (
        *(("option", 1), ("age_bars", 1), ("memory", 1), ("bars", 1)),
    )

    def __init__(
        self,
        learner: Learner,
        config: OptionsConfig,
        layout: ObservationLayout,
        rules: SimulatorConfig,
        seed: int = 0,
    ) -> None:
        self.learner, self.settings, self.layout = learner, config, layout
        self._scales = replace(learner.preprocessing, reward=None)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.chooser, self._target = (self._chooser(rules) for _ in range(2))
        self._target.load_state_dict(self.chooser.state_dict())
        self._learned = [
            *self.chooser.critics.parameters(),
            *(self.chooser.endings.parameters() if self.chooser.endings else ()),
        ]
        with without_dynamo():
            self._optimizer = PlainAdam(self._learned, lr=config.learning_rate)
        self.chooses = False
        self._state = fresh_state(0)
        self._noted = self._state
        self._steps, self.rows = 0, 0
        count = len(config.names)
        self._offered, self._taken = torch.zeros(count), torch.zeros(count)
        self._sums: dict[str, float] = {}

    def _chooser(self, rules: SimulatorConfig) -> Chooser:
        actor = DeterministicActor(self.learner) if "policy" in self.settings.names else None
        scales = (self._scales.mean, self._scales.scale)
        return Chooser(
            self.settings.names,
            self.layout,
            rules,
            scales,
            self.settings.hidden,
            ending=self.settings.method == "option_critic",
            least_bars=self.settings.least_bars,
            actor=actor,
        )

    @property
    def config(self) -> AgentConfig:
        """The learner's, with rewards that are scaled and not centred: options sum them."""
        return replace(self.learner.config, reward_scaling="scale", device="cpu")

    @property
    def preprocessing(self) -> Preprocessing:
        """The learner's scales of observations, and a scale of rewards of its own."""
        return self._scales

    @property
    def action_size(self) -> int:
        """1."""
        return self.learner.action_size

    def policy(self) -> Policy:
        """The controller, or until it has learned something the policy before it."""
        return OptionsPolicy(self.chooser) if self.chooses else self.learner

    def restart(self, lanes: BoolArray) -> None:
        """Nothing runs in those lanes."""
        if len(self._state) != len(lanes):
            self._state = fresh_state(len(lanes))
        self._state[torch.from_numpy(lanes)] = fresh_state(1)

    def sample(self, observations: Observations, generator: torch.Generator) -> Any:
        """The actions of the lanes' options; choices and terminations are explored."""
        seen = torch.from_numpy(np.array(observations, np.float32))
        with torch.no_grad():
            found = self.chooser.arrive(seen, self._state)
            ends, running = found.must, self._state[:, 0]
            if self.chooser.endings is not None:
                own = running.clamp(min=0.0).long()[:, None]
                betas = self.chooser.betas(seen, found.lane).gather(1, own)[:, 0]
                ends = ends | (torch.rand(len(seen), generator=generator) < betas)
            worth = self.chooser.anew(seen) + self.chooser.bonus
            best = self.chooser.chosen(worth, found.available)
            drawn = torch.rand((len(seen), len(self.settings.names) + 1), generator=generator)
            random = self.chooser.chosen(drawn[:, :-1], found.available)
            explored = drawn[:, -1] < self._exploration()
            chosen = torch.where(explored, random, best)
            self._balance(found.available, best, ends & ~explored)
            now = began(running, found.lane, ends, chosen)
            actions = self.chooser.acted(seen, now)
        self._noted, self._state = now, aged(now)
        self._steps += len(seen)
        return actions.clamp(-1.0, 1.0)[:, None].numpy()

    def _exploration(self) -> float:
        least = self.settings.exploration
        gone = min(self._steps / self.settings.exploration_steps, 1.0)
        return 1.0 - gone * (1.0 - least)

    def _balance(self, available: Tensor, best: Tensor, counted: Tensor) -> None:
        """Let what is chosen too seldom be chosen more: a multiplier for ``least_share``."""
        offered = (available & counted[:, None]).sum(dim=0).float()
        taken = torch.bincount(best[counted], minlength=len(self.settings.names)).float()
        self._offered.mul_(_MEMORY).add_(offered)
        self._taken.mul_(_MEMORY).add_(taken)
        if self.settings.least_share > 0.0:
            lack = self.settings.least_share - self._taken / self._offered.clamp(min=1.0)
            seen = (self._offered > 1.0).float()
            self.chooser.bonus.add_(self.settings.balance_rate * lack * seen).clamp_(min=0.0)

    def noted(self) -> Mapping[str, NDArray[Any]]:
        """Option, age and memory of the lanes at their last decision, and one bar that it took."""
        columns = self._noted.numpy()
        return {
            "option": columns[:, 0],
            "age_bars": columns[:, 1],
            "memory": columns[:, 2],
            "bars": np.ones(len(columns), np.float32),
        }

    def fit_reward_scale(self, rewards: NDArray[np.floating[Any]]) -> None:
        """Scale rewards by the spread of ``rewards`` [M], unless they are scaled already."""
        if self._scales.reward is None and len(rewards):
            self._scales = replace(self._scales, reward=fit_reward_scale(rewards, "scale"))

    def set_pace(self, target_entropy: float, rate: float) -> None:
        """Learn with the share ``rate`` of the learning rate; there is no entropy to aim at."""
        for group in self._optimizer.param_groups:
            group["lr"] = rate * self.settings.learning_rate

    def update(self, batches: Iterable[Batch], *, train_actor: bool = True) -> None:
        """A step of Adam a batch; none before whole options were stored."""
        if self.settings.method == "smdp" and not self.rows:
            return
        self.chooses = True
        for batch in batches:
            loss = self._loss(batch)
            with without_dynamo():
                self._optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(self._learned, 10.0)
            self._optimizer.step()
            with torch.no_grad():
                pairs = zip(
                    self._target.critics.parameters(),
                    self.chooser.critics.parameters(),
                    strict=True,
                )
                for slow, fast in pairs:
                    slow.lerp_(fast, self.settings.tau)

    def _loss(self, batch: Batch) -> Tensor:
        """Squared errors of the critics, and what terminations are to lower."""
        before, after = (self._raw(batch[name]) for name in ("observations", "next_observations"))
        option = batch["option"].long()
        lane = Lane(batch["age_bars"][:, 0], batch["memory"][:, 0])
        following = torch.cat([batch["option"], lane.age[:, None] + 1.0, lane.memory[:, None]], 1)
        with torch.no_grad():
            found = self.chooser.arrive(after, following)
            available = found.available.float()
            next_values = self._target.values(after, beginning(after)).amin(dim=0)
        gamma, terminals = self._scales.gamma, batch["terminals"][:, 0]
        rewards, bars = batch["rewards"][:, 0], batch["bars"][:, 0]
        if self.chooser.endings is None:
            target = smdp_target(rewards, bars, next_values, available, terminals, gamma)
            ending = torch.zeros(())
        else:
            own = self._target.values(after, found.lane).amin(dim=0).gather(1, option)[:, 0]
            anew = best_available(next_values, available)
            learned = self.chooser.betas(after, found.lane).gather(1, option)[:, 0]
            betas = torch.where(found.must, 1.0, learned)
            target = option_target(
                rewards, arrival_value(own, anew, betas.detach()), terminals, gamma
            )
            counted = (1.0 - terminals) * (~found.must).float()
            margin = self.settings.deliberation
            ending = (counted * termination_loss(betas, own, anew, margin)).mean()
        values = self.chooser.values(before, lane)
        taken = values.gather(2, option.expand(2, *option.shape))[:, :, 0]
        error = (taken - target).square().mean(dim=1).sum()
        self._note(critic=error.item(), termination=ending.item(), value=taken.mean().item())
        return error + ending

    def _raw(self, scaled: Tensor) -> Tensor:
        """Rows are stored scaled, and rules read raw columns."""
        return scaled * self.chooser.scale + self.chooser.mean

    def _note(self, **values: float) -> None:
        for name, value in {**values, "count": 1.0}.items():
            self._sums[name] = self._sums.get(name, 0.0) + value

    def metrics(self) -> Mapping[str, float]:
        """Means of the losses since the last call, and of late the share of each option among the
        greedy choices in which it may begin, with its bonus."""
        sums, self._sums = self._sums, {}
        count = max(sums.pop("count", 1.0), 1.0)
        shares = (self._taken / self._offered.clamp(min=1.0)).tolist()
        told = {f"chosen_{name}": x for name, x in zip(self.settings.names, shares, strict=True)}
        bonus = dict(zip(self.settings.names, self.chooser.bonus.tolist(), strict=True))
        told |= {f"bonus_{name}": value for name, value in bonus.items()}
        return {**{name: total / count for name, total in sums.items()}, **told}

    def snapshot(self) -> dict[str, Any]:
        """The controller's weights, and whether it is what acts."""
        own = {name: value.clone() for name, value in self._weights().items()}
        return {"chooser": own, "chooses": self.chooses}

    def _weights(self) -> dict[str, Tensor]:
        """All of the chooser but the policy before it, which has a file of its own."""
        state = self.chooser.state_dict()
        return {k: v for k, v in state.items() if k.startswith(("critics", "endings", "bonus"))}

    def restore(self, snapshot: Mapping[str, Any]) -> None:
        """Inverse of :meth:`snapshot`."""
        self.chooser.load_state_dict(snapshot["chooser"], strict=False)
        self.chooses = bool(snapshot["chooses"])

    def state_dict(self) -> dict[str, Any]:
        """All that the next step and the next update read."""
        with without_dynamo():
            optimizer = self._optimizer.state_dict()
        reward = self._scales.reward
        target = self._target.critics.state_dict()
        return {
            **self.snapshot(),
            "target": {name: value.clone() for name, value in target.items()},
            "optimizer": optimizer,
            "lanes": self._state.clone(),
            "balance": [self._offered.clone(), self._taken.clone()],
            "counters": [self._steps, self.rows],
            "sums": dict(self._sums),
            "reward": None if reward is None else [reward.mean, reward.scale],
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Inverse of :meth:`state_dict`."""
        from offline_trader.learning.data import RewardScale

        self.restore(state)
        self._target.critics.load_state_dict(state["target"])
        with without_dynamo():
            self._optimizer.load_state_dict(state["optimizer"])
        self._state = state["lanes"].clone()
        self._offered, self._taken = (each.clone() for each in state["balance"])
        self._steps, self.rows = state["counters"]
        self._sums = dict(state["sums"])
        reward = state["reward"]
        self._scales = replace(
            self._scales, reward=None if reward is None else RewardScale(*reward)
        )


def load_options_agent(
    path: Path,
    sha256: str,
    learner: Learner,
    config: OptionsConfig,
    layout: ObservationLayout,
    rules: SimulatorConfig,
    seed: int = 0,
) -> OptionsAgent:
    """The agent whose :meth:`OptionsAgent.snapshot` ``torch.save`` wrote to a file.

    Args:
        path: the file; read as tensors alone.
        sha256: what its bytes have to hash to.
        learner, config, layout, rules, seed: as of :class:`OptionsAgent`.

    Raises:
        DataError: no such file, other bytes, or weights of another controller.
    """
    try:
        payload = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from error
    found = bytes_sha256(payload)
    if found != sha256:
        raise DataError(
            f"{path} has SHA-256 {found[:16]}…",
            expected=f"{sha256[:16]}…, as the run's manifest states",
            hint="the file was changed or damaged after training: take it from a copy, or train "
            "again",
        )
    agent = OptionsAgent(learner, config, layout, rules, seed)
    try:
        snapshot = torch.load(io.BytesIO(payload), weights_only=True)
        missing = agent._weights().keys() - snapshot["chooser"].keys()
        if missing:
            raise KeyError(sorted(missing)[0])
        agent.restore(snapshot)
    except Exception as error:  # torch raises what the bytes suggest
        raise DataError(
            f"{path} holds no controller of options {', '.join(config.names)}: {error}",
            expected="the file of the run beside it",
        ) from error
    return agent
