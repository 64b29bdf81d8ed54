"""The options that come with the toolkit: five of rules, and one of the policy learned before.

The rules read built-in features. They buy all or sell all anew at every bar (what is bought already
leaves no cash for a second order), so what they ask for tells what they are after.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from offline_trader.errors import ConfigError
from offline_trader.learning.options.option import Lane, Seen, Space, Surroundings

__all__ = [
    "Close",
    "LearnedPolicy",
    "OpenLong",
    "Scalp",
    "TrendFollow",
    "Wait",
    "close",
    "learned_policy",
    "open_long",
    "scalp",
    "trend_follow",
    "wait",
]


class _Rule:
    """An option in orders that keeps nothing in mind."""

    space: ClassVar[Space] = "order"

    def remember(self, seen: Seen, lane: Lane) -> Tensor:
        """0."""
        return torch.zeros_like(lane.memory)


@dataclass(frozen=True)
class OpenLong(_Rule):
    """From flat: buy with all cash and hold.

    Attributes:
        bars: longest time.
        stop: it ends when the position has lost so many average true ranges; selling is the
            business of other options.
    """

    bars: int = 20
    stop: float = 3.0

    def can_start(self, seen: Seen) -> Tensor:
        """Flat."""
        return ~seen.held

    def ends(self, seen: Seen, lane: Lane) -> Tensor:
        """After ``bars``, or beyond the stop."""
        lost = seen["unrealised_return"] < -self.stop * seen["atr_14"]
        return (lane.age >= self.bars) | lost

    def act(self, seen: Seen, lane: Lane) -> Tensor:
        """Buy."""
        return torch.ones_like(lane.age)


@dataclass(frozen=True)
class Close(_Rule):
    """With a position: sell all, and stay out for a while.

    Attributes:
        bars: that it takes, the sale included.
    """

    bars: int = 10

    def can_start(self, seen: Seen) -> Tensor:
        """A position is held."""
        return seen.held

    def ends(self, seen: Seen, lane: Lane) -> Tensor:
        """After ``bars``."""
        return lane.age >= self.bars

    def act(self, seen: Seen, lane: Lane) -> Tensor:
        """Sell."""
        return -torch.ones_like(lane.age)


@dataclass(frozen=True)
class TrendFollow(_Rule):
    """Long from the upper part of the 55-bar channel on; out below the 20-bar low, as the expert
    ``donchian``, or by a trailing stop.

    Its memory is the highest unrealised return since it began.

    Attributes:
        bars: longest time.
        top: place in the 55-bar channel from which on it may begin; 1 is its high.
        trail: average true ranges below the highest unrealised return at which it sells.
    """

    bars: int = 60
    top: float = 0.8
    trail: float = 6.0

    def can_start(self, seen: Seen) -> Tensor:
        """The close is in the upper part of the channel."""
        return seen["donchian_position_55"] >= self.top

    def remember(self, seen: Seen, lane: Lane) -> Tensor:
        """The highest unrealised return."""
        return torch.maximum(lane.memory, seen["unrealised_return"])

    def ends(self, seen: Seen, lane: Lane) -> Tensor:
        """When it has sold, or after ``bars``."""
        return ((lane.age >= 2.0) & ~seen.held) | (lane.age >= self.bars)

    def act(self, seen: Seen, lane: Lane) -> Tensor:
        """Buy in the trend, sell where it is broken."""
        fallen = lane.memory - seen["unrealised_return"] > self.trail * seen["atr_14"]
        out = (seen["donchian_position_20"] <= 0.0) | fallen
        return 1.0 - 2.0 * out.to(lane.age.dtype)


@dataclass(frozen=True)
class Scalp(_Rule):
    """From flat, after a fall: buy for a part of the cash, take a small profit or loss.

    Attributes:
        rsi, band: it begins below these of ``rsi_14`` and ``bollinger_position``.
        part: of the cash.
        ranges: average true ranges of profit or loss at which it sells.
        bars: after which it sells anyway.
    """

    rsi: float = 0.45
    band: float = 0.3
    part: float = 0.5
    ranges: float = 1.0
    bars: int = 5

    def can_start(self, seen: Seen) -> Tensor:
        """Flat, and oversold."""
        low = (seen["rsi_14"] < self.rsi) & (seen["bollinger_position"] < self.band)
        return ~seen.held & low

    def ends(self, seen: Seen, lane: Lane) -> Tensor:
        """When it has sold; where nothing can be sold, after three times ``bars``."""
        return ((lane.age >= 2.0) & ~seen.held) | (lane.age >= 3 * self.bars)

    def act(self, seen: Seen, lane: Lane) -> Tensor:
        """Buy first, then hold, then sell."""
        moved = seen["unrealised_return"].abs() > self.ranges * seen["atr_14"]
        out = moved | (lane.age >= self.bars)
        later = torch.where(out, -1.0, 0.0)
        return torch.where(lane.age < 1.0, self.part, later).to(lane.age.dtype)


@dataclass(frozen=True)
class Wait(_Rule):
    """Do nothing, with a position or without; it may always begin.

    Attributes:
        bars: that it takes.
    """

    bars: int = 10

    def can_start(self, seen: Seen) -> Tensor:
        """Always."""
        return torch.ones_like(seen["exposure"], dtype=torch.bool)

    def ends(self, seen: Seen, lane: Lane) -> Tensor:
        """After ``bars``."""
        return lane.age >= self.bars

    def act(self, seen: Seen, lane: Lane) -> Tensor:
        """Nothing."""
        return torch.zeros_like(lane.age)


class LearnedPolicy(nn.Module):
    """The policy that the training began with, as an option; it stays as it is.

    Args:
        surroundings: with the actor.
        bars: that it runs.

    Raises:
        ConfigError: there is no actor.
    """

    space: ClassVar[Space] = "action"

    def __init__(self, surroundings: Surroundings, bars: int = 20) -> None:
        super().__init__()
        if surroundings.actor is None or surroundings.scaled is None:
            raise ConfigError("the option 'policy' without a policy", expected="a parent run")
        self.actor, self._scaled, self.bars = surroundings.actor, surroundings.scaled, bars

    def can_start(self, seen: Seen) -> Tensor:
        """Always."""
        return torch.ones_like(seen["exposure"], dtype=torch.bool)

    def remember(self, seen: Seen, lane: Lane) -> Tensor:
        """0."""
        return torch.zeros_like(lane.memory)

    def ends(self, seen: Seen, lane: Lane) -> Tensor:
        """After its time."""
        return lane.age >= self.bars

    def act(self, seen: Seen, lane: Lane) -> Tensor:
        """The policy's deterministic action."""
        found: Tensor = self.actor(self._scaled(seen.values))
        return found[:, 0].clamp(-1.0, 1.0)


def open_long(surroundings: Surroundings) -> OpenLong:
    """With its defaults."""
    return OpenLong()


def close(surroundings: Surroundings) -> Close:
    """With its defaults."""
    return Close()


def trend_follow(surroundings: Surroundings) -> TrendFollow:
    """With its defaults."""
    return TrendFollow()


def scalp(surroundings: Surroundings) -> Scalp:
    """With its defaults."""
    return Scalp()


def wait(surroundings: Surroundings) -> Wait:
    """With its defaults."""
    return Wait()


def learned_policy(surroundings: Surroundings) -> LearnedPolicy:
    """With its defaults."""
    return LearnedPolicy(surroundings)
