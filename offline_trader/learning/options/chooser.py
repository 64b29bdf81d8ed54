"""The controller: which option runs in a lane, for how long, and what it makes the lane do.

The state of a lane is three numbers: the option that runs (−1: none yet), the bars that it has run,
and its memory. At every bar, in this order: the option that runs remembers, and ends or goes on, by
the state that was come to; where none runs, the best of those that may begin here does; the option
acts. :class:`Chooser` holds all of it as one torch module, which training steps with exploration
and the export traces as it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from offline_trader.errors import ConfigError
from offline_trader.learning.options.option import (
    OPTIONS,
    Lane,
    Option,
    Seen,
    Space,
    Surroundings,
)
from offline_trader.types import BoolArray, FloatArray, ObservationLayout, Observations

if TYPE_CHECKING:
    from offline_trader.simulator import SimulatorConfig

__all__ = ["STATE_COLUMNS", "Arrival", "Chooser", "OptionsPolicy", "fresh_state"]

STATE_COLUMNS = ("option", "age_bars", "memory")
"""Columns of a lane's state."""
_KEEP = 1e-3
_NEVER = -1e30
_LONG = 61.0
_REMEMBERED = 10.0
_RARELY = -2.2
"""log(.1/.9): terminations are learned from one in ten on."""


def fresh_state(lanes: int) -> Tensor:
    """[N, 3] of lanes in which nothing runs yet."""
    return torch.tensor([[-1.0, 0.0, 0.0]]).repeat(lanes, 1)


class Arrival(NamedTuple):
    """What lanes come to.

    Attributes:
        lane: age, and memory after remembering.
        must: [N] bool, whether the option ends by its rule, or none runs.
        available: [N, K] bool, which may begin here.
    """

    lane: Lane
    must: Tensor
    available: Tensor


class Chooser(nn.Module):
    """Values, terminations and options; see the module.

    Args:
        names: registered options.
        layout: of the observations.
        rules: of trading.
        scales: mean and scale [O] of the observations.
        hidden: units of the hidden layers.
        ending: whether terminations are learned.
        least_bars: age from which on a learned termination may end an option.
        actor: for the option ``policy``.

    Attributes:
        critics: two networks of [N, O + 2] → [N, K]; an option's value is their mean, a target
            the smaller of the two.
        endings: logits of the learned terminations [N, K]; None: the rules' alone.
        bonus: [K] of the choice.

    Raises:
        ConfigError: an unknown option, a column that an option reads and the layout lacks, or
            none that may always begin.
    """

    mean: Tensor
    scale: Tensor
    bonus: Tensor

    def __init__(
        self,
        names: Sequence[str],
        layout: ObservationLayout,
        rules: SimulatorConfig,
        scales: tuple[FloatArray, FloatArray],
        hidden: Sequence[int],
        *,
        ending: bool,
        least_bars: int = 1,
        actor: nn.Module | None = None,
    ) -> None:
        super().__init__()
        for name, values in zip(("mean", "scale"), scales, strict=True):
            self.register_buffer(name, torch.from_numpy(np.array(values, np.float32)))
        self.names, self.rules, self._least = tuple(names), rules, float(least_bars)
        self._columns = {name: i for i, name in enumerate(layout.names)}
        around = Surroundings(layout, rules, actor, self.scaled)
        self.options: list[Option] = [OPTIONS[name](around) for name in names]
        self.learned = nn.ModuleList([x for x in self.options if isinstance(x, nn.Module)])
        size, count = layout.size + 2, len(self.names)
        self.critics = nn.ModuleList([_network(size, hidden, count) for _ in range(2)])
        self.endings = _network(size, hidden, count, _RARELY) if ending else None
        self.register_buffer("bonus", torch.zeros(count))
        self._require_a_start(layout)

    def _require_a_start(self, layout: ObservationLayout) -> None:
        """Ask every option once, flat and with a position."""
        probes = self.mean.repeat(2, 1)
        probes[:, layout.names.index("exposure")] = torch.tensor([0.0, 1.0])
        state = torch.tensor([[0.0, 1.0, 0.0]]).repeat(2, 1)
        with torch.no_grad():
            found = self.arrive(probes, state)
            self.acted(probes, state)
        if not bool(found.available.all(dim=0).any()):
            raise ConfigError(
                f"none of the options {', '.join(self.names)} may begin whatever is held",
                expected="one that always may, as wait",
            )

    def scaled(self, observations: Tensor) -> Tensor:
        """Scaled as the training scales."""
        return (observations - self.mean) / self.scale

    def inputs(self, observations: Tensor, lane: Lane) -> Tensor:
        """[N, O + 2] of the networks: what is observed, and what the lane knows of its option."""
        known = torch.stack(
            [torch.log1p(lane.age) / np.log(_LONG), _REMEMBERED * lane.memory], dim=1
        )
        return torch.cat([self.scaled(observations), known], dim=1)

    def values(self, observations: Tensor, lane: Lane) -> Tensor:
        """[2, N, K] of both critics."""
        seen = self.inputs(observations, lane)
        return torch.stack([critic(seen) for critic in self.critics])

    def anew(self, observations: Tensor) -> Tensor:
        """[N, K] value of beginning each option here."""
        return self.values(observations, beginning(observations)).mean(dim=0)

    def arrive(self, observations: Tensor, state: Tensor) -> Arrival:
        """What lanes of ``state`` [N, 3] come to in raw ``observations`` [N, O]."""
        seen = Seen(self._columns, observations)
        running, lane = state[:, 0], Lane(state[:, 1], state[:, 2])
        own = running.clamp(min=0.0).long()[:, None]
        kept = [option.remember(seen, lane) for option in self.options]
        lane = Lane(lane.age, torch.stack(kept, dim=1).gather(1, own)[:, 0])
        ended = torch.stack([option.ends(seen, lane) for option in self.options], dim=1)
        must = ended.gather(1, own)[:, 0] | (running < 0.0)
        starts = torch.stack([option.can_start(seen) for option in self.options], dim=1)
        return Arrival(lane, must, starts)

    def betas(self, observations: Tensor, lane: Lane) -> Tensor:
        """[N, K] probabilities of the learned terminations; 0 before ``least_bars``."""
        assert self.endings is not None
        found: Tensor = torch.sigmoid(self.endings(self.inputs(observations, lane)))
        return found * (lane.age >= self._least).to(found.dtype)[:, None]

    def chosen(self, worth: Tensor, available: Tensor) -> Tensor:
        """[N] the best by ``worth`` [N, K] of those that may begin."""
        return torch.where(available, worth, _NEVER).argmax(dim=1)

    def acted(self, observations: Tensor, state: Tensor) -> Tensor:
        """[N] the simulator's actions under options, ages and memories ``state`` [N, 3]."""
        seen, lane = Seen(self._columns, observations), Lane(state[:, 1], state[:, 2])
        answers = [
            _as_action(option.act(seen, lane), seen["exposure"], option.space, self.rules)
            for option in self.options
        ]
        return torch.stack(answers, dim=1).gather(1, state[:, :1].long())[:, 0]

    def forward(self, observation: Tensor, state: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Actions [N, 1], the state [N, 3] to come back with, and [N, K] 1 where an option might
        have begun, for raw observations [N, O].

        A learned termination ends an option where its probability is above one half.
        """
        found = self.arrive(observation, state)
        ends = found.must
        if self.endings is not None:
            own = state[:, :1].clamp(min=0.0).long()
            ends = ends | (self.betas(observation, found.lane).gather(1, own)[:, 0] > 0.5)
        best = self.chosen(self.anew(observation) + self.bonus, found.available)
        now = began(state[:, 0], found.lane, ends, best)
        action = self.acted(observation, now).clamp(-1.0, 1.0)[:, None]
        return action, aged(now), found.available.to(action.dtype)


def beginning(observations: Tensor) -> Lane:
    """Of options that are at their first decision."""
    nothing = torch.zeros_like(observations[:, 0])
    return Lane(nothing, nothing)


def began(running: Tensor, lane: Lane, ends: Tensor, chosen: Tensor) -> Tensor:
    """[N, 3] what runs now: the option before, or where that ended the chosen one, anew."""
    return torch.stack(
        [
            torch.where(ends, chosen.to(running.dtype), running),
            torch.where(ends, 0.0, lane.age),
            torch.where(ends, 0.0, lane.memory),
        ],
        dim=1,
    )


def aged(state: Tensor) -> Tensor:
    """[N, 3] a bar later."""
    return torch.cat([state[:, :1], state[:, 1:2] + 1.0, state[:, 2:]], dim=1)


def _network(size: int, hidden: Sequence[int], count: int, first: float = 0.0) -> nn.Sequential:
    """Layers with LayerNorm and ReLU; answers begin near ``first``."""
    layers: list[nn.Module] = []
    for units in hidden:
        layers += [nn.Linear(size, units), nn.LayerNorm(units), nn.ReLU()]
        size = units
    last = nn.Linear(size, count)
    with torch.no_grad():
        last.weight.mul_(0.1)
        last.bias.fill_(first)
    return nn.Sequential(*layers, last)


def _as_action(decision: Tensor, exposure: Tensor, space: Space, rules: SimulatorConfig) -> Tensor:
    """What the simulator takes, as :mod:`offline_trader.experts.spaces` translates for experts."""
    portion = rules.max_position_pct
    long = exposure.clamp(min=0.0)
    if space == "action":
        return decision
    if rules.action_mode == "order":
        if space == "order":
            return decision
        held, wanted = long.clamp(max=1.0), decision.clamp(0.0, 1.0)
        change = wanted - held
        cash = ((1.0 - held) * portion).clamp(min=_KEEP)
        order = torch.where(change > 0.0, change / cash, change / held.clamp(min=_KEEP))
        return torch.where(change.abs() < _KEEP, 0.0, order)
    if space == "order":
        bought = long + decision * (1.0 - long.clamp(max=1.0)) * portion
        moved = torch.where(decision > 0.0, bought, long * (1.0 + decision))
        decision = torch.where(decision.abs() < rules.hold_threshold, exposure, moved)
    low = -1.0 if rules.action_mode == "target_long_short" else 0.0
    return (decision / portion).clamp(low, 1.0)


class OptionsPolicy:
    """A chooser as a :class:`~offline_trader.types.LanePolicy`.

    Args:
        chooser: decides; its weights are shared.

    Attributes:
        chooser: see there.
        names: of the options.
    """

    def __init__(self, chooser: Chooser) -> None:
        self.chooser = chooser
        self.names = chooser.names
        self._state: NDArray[np.float32] | None = None

    def restart(self, lanes: BoolArray, /) -> None:
        """An episode begins in those of the N lanes."""
        if self._state is None or len(self._state) != len(lanes):
            self._state = fresh_state(len(lanes)).numpy()
        self._state[lanes] = fresh_state(1).numpy()

    def decide(
        self, observations: Observations, state: NDArray[np.float32] | None = None
    ) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
        """Actions [N, 1], next states [N, 3], and [N, K] which options might have begun; without
        ``state`` nothing runs yet."""
        seen = torch.from_numpy(np.ascontiguousarray(observations, np.float32))
        given = fresh_state(len(seen)) if state is None else torch.from_numpy(state)
        with torch.no_grad():
            action, after, available = self.chooser(seen, given)
        return action.numpy(), after.numpy(), available.numpy()

    def near_ties(
        self, observations: Observations, state: NDArray[np.float32], gap: float
    ) -> BoolArray:
        """[N] where the best two options that may begin are worth the same to ``gap``, or a learned
        termination is as likely as not to ``gap``: rounding decides there."""
        seen, given = torch.from_numpy(observations), torch.from_numpy(state)
        own = self.chooser
        with torch.no_grad():
            found = own.arrive(seen, given)
            worth = torch.where(found.available, own.anew(seen) + own.bonus, _NEVER)
            two = worth.topk(2, dim=1).values
            near = two[:, 0] - two[:, 1] < gap * (1.0 + two[:, 0].abs())
            if own.endings is not None:
                option = given[:, :1].clamp(min=0.0).long()
                betas = own.betas(seen, found.lane).gather(1, option)[:, 0]
                near = near | ((betas - 0.5).abs() < gap)
        return np.asarray(near.numpy())

    def __call__(self, observations: Observations, /) -> NDArray[np.float32]:
        """Actions [N, 1]; the states of the lanes move on."""
        if self._state is None or len(self._state) != len(observations):
            self.restart(np.ones(len(observations), np.bool_))
        action, self._state, _ = self.decide(observations, self._state)
        return action
