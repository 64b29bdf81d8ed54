"""What stages of training are given and what they tell of themselves."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from offline_trader.learning.engines import EngineFacts
from offline_trader.types import FloatArray, Policy

__all__ = ["Checkpoint", "Evaluate", "Log", "StageResult", "TrainResult", "Validated"]

# (step, numbers by name, or texts that a user should read, such as why an engine is slow)
Log = Callable[[int, Mapping[str, Any]], None]
# a policy → {"score": higher is better, further measures that are logged}; a measure "collapsed"
# that is not 0 says that the policy does the same in all states
Evaluate = Callable[[Policy], "Mapping[str, float] | Validated"]
# (step, state): torch.save writes it, torch.load(weights_only=True) reads it
Checkpoint = Callable[[int, dict[str, Any]], None]


@dataclass(frozen=True)
class StageResult:
    """What every stage of training tells of itself.

    Attributes:
        updates: updates done.
        told: what a reader should know of it, a sentence or two each.
    """

    updates: int
    told: tuple[str, ...] = field(default=(), kw_only=True)


@dataclass(frozen=True)
class TrainResult(StageResult):
    """What a stage with a validation did, and which policy the agent holds now.

    Attributes:
        kept: ``best`` checkpoint by validation; ``warm_start`` if none was better; ``last`` where
            nothing was validated.
        kept_step: step of the kept policy, 0 for the warm start.
        warm_score: validation score of the policy that the stage began with; None where there
            was no validation, or its score was not finite.
        kept_score: the same of the kept policy.
        last_score: the same of the last policy.
        engine: what computed the updates, where it is not the agent's own engine.
        reason: why that one is kept.
        difference: net log growth of the best candidate less the warm start's, a year (on a log
            without a calendar a bar); None where the validation gives scores alone.
        interval: its 95 % interval.
        replay: how many replays of a logged transition there were, or why none.
    """

    kept: Literal["best", "warm_start", "last"]
    kept_step: int
    warm_score: float | None
    kept_score: float | None
    last_score: float | None
    engine: EngineFacts | None = None
    reason: str = ""
    difference: float | None = None
    interval: tuple[float, float] | None = None
    replay: str = ""


@dataclass(frozen=True, eq=False)
class Validated:
    """What a validation says of one policy.

    Attributes:
        measures: ``score`` (higher is better), and what else is logged.
        growth: [n] float64, net log growth of each bar; the same bars for every policy.
        active: whether it trades and invests enough to be a candidate.
        bars_per_year: of differences that are told a year; 1: they are told a bar.
        foretold: [n] float64, the same growth with the gains that a forecast expected in place of
            the realised ones; None: nothing foretells them.
    """

    measures: Mapping[str, float]
    growth: FloatArray
    active: bool = True
    bars_per_year: float = 1.0
    foretold: FloatArray | None = None
