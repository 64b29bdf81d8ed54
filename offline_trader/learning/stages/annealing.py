"""How exploration and learning rates go down in the course of online training."""

from __future__ import annotations

from dataclasses import dataclass

from offline_trader.learning.settings import OnlineConfig

__all__ = ["Pace", "earned_after", "pace_at"]

_PARTS = 100
"""Changes in a training: a GPU's captured updates are recorded anew at each."""

_GREATEST_TARGET = 0.0
"""Nats to which a collapse raises a target; uniform actions on [−1, 1] have log 2 = 0.69, which a
temperature would grow without end for."""


@dataclass(frozen=True)
class Pace:
    """What an agent is to explore and learn with for a while.

    Attributes:
        target_entropy: that a temperature aims at, nats an action dimension.
        rate: share of its own learning rates, 0 to 1.
    """

    target_entropy: float
    rate: float = 1.0


def pace_at(config: OnlineConfig, step: int, raised: float = 0.0, earned: float = 0.0) -> Pace:
    """The pace after ``step`` environment steps, constant within each hundredth of the training.

    The target entropy stays for the share ``entropy_hold`` of the steps, goes to its end in a
    straight line over the share ``entropy_decay`` and stays there. The learning rates go down to a
    hundredth in a straight line over the share ``rate_decay``, the last ones; not to 0, by which
    torch's Adam would divide on a GPU.

    Args:
        raised: nats that a collapse has added to the target entropy.
        earned: nats that validations have moved it towards its end.
    """
    done = (_PARTS * step) // max(1, config.steps) / _PARTS
    first, last = config.target_entropy, config.final_target_entropy
    since = done - config.entropy_hold
    way = since / config.entropy_decay if config.entropy_decay > 0 else float(since > 0)
    if config.anneal == "validation":
        way = earned / abs(last - first) if last != first else 1.0
    target = first + (last - first) * min(1.0, max(0.0, way))
    rate = min(1.0, (1.0 - done) / config.rate_decay) if config.rate_decay > 0 else 1.0
    if raised > 0.0:
        target = max(target, min(target + raised, _GREATEST_TARGET))
    return Pace(target, max(rate, 1.0 / _PARTS))


def earned_after(config: OnlineConfig, earned: float, trend: int) -> float:
    """Nats of the way from the first target to the last after a validation.

    One ``entropy_step`` on where the policy got better. None back where it got worse: on a market
    that wants a low entropy that would make it worse still.

    Args:
        config: settings.
        earned: nats before.
        trend: 1 where the policy is better than all before.
    """
    whole = abs(config.final_target_entropy - config.target_entropy)
    return min(whole, earned + config.entropy_step) if trend > 0 else earned
