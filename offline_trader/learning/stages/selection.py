"""Which of a stage's policies is kept: the best by validation, or the warm start."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

from offline_trader.errors import OfflineTraderError
from offline_trader.learning.agents import Agent
from offline_trader.learning.engines import EngineFacts
from offline_trader.types import Policy

__all__ = [
    "Checkpoint",
    "Evaluate",
    "Log",
    "Selection",
    "StageResult",
    "TrainResult",
    "naming_divergence",
    "require_finite",
]

_DIVERGED = "lower the learning rates, raise the conservative weight, or turn on layer_norm"

# (step, numbers by name, or texts that a user should read, such as why an engine is slow)
Log = Callable[[int, Mapping[str, Any]], None]
# a policy → {"score": higher is better, further measures that are logged}
Evaluate = Callable[[Policy], Mapping[str, float]]
# (step, state): torch.save writes it, torch.load(weights_only=True) reads it
Checkpoint = Callable[[int, dict[str, Any]], None]


@dataclass(frozen=True)
class StageResult:
    """What every stage of training tells of itself.

    Attributes:
        updates: updates done.
    """

    updates: int


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
    """

    kept: Literal["best", "warm_start", "last"]
    kept_step: int
    warm_score: float | None
    kept_score: float | None
    last_score: float | None
    engine: EngineFacts | None = None


class Selection:
    """Validates an agent from time to time and remembers the best state of it.

    A score that is not finite never wins. On equal scores the earlier policy stays.
    """

    def __init__(self, evaluate: Evaluate | None, log: Log | None) -> None:
        self._evaluate = evaluate
        self._log = log
        self._scores: dict[int, float] = {}
        self._best_step = 0
        self._best: dict[str, Any] = {}

    def consider(self, step: int, agent: Agent) -> None:
        """Validate the agent's policy as that of ``step``; step 0 is the warm start.

        Call it outside a learner's randomness: a validation may draw numbers of its own.
        """
        if self._evaluate is None or step in self._scores:
            return
        measures = dict(self._evaluate(agent.policy()))
        score = float(measures["score"])
        if self._log is not None:
            self._log(step, {f"validation/{name}": value for name, value in measures.items()})
        better = not self._scores or score > self._scores[self._best_step]
        if not math.isfinite(score):
            better, score = not self._scores, -math.inf
        self._scores[step] = score
        if better:
            self._best_step, self._best = step, agent.snapshot()

    def finish(self, step: int, updates: int, agent: Agent) -> TrainResult:
        """Put the best policy back into the agent and say which it is."""
        if self._evaluate is None or not self._scores:
            return TrainResult(updates, "last", step, None, None, None)
        if self._best_step != step:
            agent.restore(self._best)
        return TrainResult(
            updates,
            "best" if self._best_step > 0 else "warm_start",
            self._best_step,
            self._score_of(0),
            self._score_of(self._best_step),
            self._score_of(max(self._scores)),
        )

    def _score_of(self, step: int) -> float | None:
        score = self._scores.get(step, -math.inf)
        return score if math.isfinite(score) else None

    def state_dict(self) -> dict[str, Any]:
        """Scores so far and the best state."""
        return {"scores": dict(self._scores), "best_step": self._best_step, "best": self._best}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Inverse of :meth:`state_dict`."""
        self._scores = dict(state["scores"])
        self._best_step, self._best = int(state["best_step"]), dict(state["best"])


@contextmanager
def naming_divergence(step: int) -> Iterator[None]:
    """Inside, torch's refusal of a distribution with NaN becomes an error that a user can read.

    Raises:
        OfflineTraderError: the policy has become NaN somewhere after ``step``.
    """
    try:
        yield
    except ValueError as error:
        if "invalid values" not in str(error):
            raise
        raise OfflineTraderError(
            f"training diverged: the policy became NaN after step {step}", hint=_DIVERGED
        ) from error


def require_finite(step: int, losses: Mapping[str, float]) -> None:
    """Stop a training that has diverged, at the first row of losses that shows it.

    Raises:
        OfflineTraderError: a loss is NaN or infinite.
    """
    bad = [name for name, value in losses.items() if not math.isfinite(value)]
    if bad:
        raise OfflineTraderError(
            f"training diverged: {', '.join(bad)} not finite at step {step}",
            hint=_DIVERGED,
        )
