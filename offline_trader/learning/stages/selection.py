"""Which of a stage's policies is kept: one that is better by validation, or the warm start.

A year of daily bars ranks nothing: its Sharpe ratios have a standard error of 1. So a policy is
compared with the one that the stage began with over the same bars, by the difference of their net
log growth a bar, whose noise is that of the bars on which the two differ. Its interval is
Student's over the means of blocks of √n bars (batch means), 95 %. The candidate is the policy with
the highest lower bound, and it is kept

- if that bound is above zero;
- if the warm start hardly trades or hardly invests, and it does not;
- in a stage that is preferred, whose training is by itself a reason to believe in it, if it is not
  worse: if the upper bound is above zero.

The best of many is mostly the luckiest. Where a validation also tells the growth that a forecast
expected, which has little of that noise, it chooses among those whose realised bound is above zero,
unless realised growth tells its choice from the candidate and puts it below.

One that hardly trades or hardly invests is no candidate unless all do. One that never trades is
another matter: it says that nothing is worth its costs. In a preferred stage it is kept where the
warm start lost what it did not; and a stage that is not preferred has to be better than it, for of
several policies that trade some earn by luck. One that a stage does not allow, as it is beyond a
limit, is never kept: if none is allowed the warm start is, whatever it is itself. A validation that
gives a score alone is taken at its word: the higher score is better.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import astuple, dataclass, field
from typing import Any, NamedTuple, Protocol

import torch

from offline_trader.errors import DataError
from offline_trader.learning.stages.batch_means import paired_interval
from offline_trader.learning.stages.results import Evaluate, Log, TrainResult, Validated
from offline_trader.types import FloatArray, Policy

__all__ = ["Judged", "Selected", "Selection", "crossed"]


class Judged(NamedTuple):
    """What one validation says beside its figures.

    Attributes:
        collapsed: it has a measure ``collapsed`` that is not 0.
        trend: 1 where the policy is better than the best of the earlier ones, −1 where it is worse:
            by its score, or where there is growth, by the interval of the paired difference; else
            0, as for the first policy.
        best: no policy but the warm start was as good, by its lower bound or by foretold growth.
    """

    collapsed: bool
    trend: int
    best: bool = False


@dataclass(frozen=True)
class _Candidate:
    """A policy beside the warm start: difference of net log growth with its bounds, and the mean
    difference of the foretold one.

    One that is not allowed is not active either; one that is idle has never traded.
    """

    step: int
    score: float
    difference: float
    low: float
    high: float
    active: bool
    allowed: bool = True
    foretold: float = -math.inf
    idle: bool = False

    @property
    def rank(self) -> tuple[bool, bool, float]:
        return self.allowed, self.active, self.low


@dataclass
class _Best:
    """The best candidate by some rank, its agent's state and its growth."""

    step: int = 0
    state: dict[str, Any] = field(default_factory=dict)
    growth: FloatArray | None = None

    def saved(self) -> list[Any]:
        return [self.step, self.state, _saved(self.growth)]

    @classmethod
    def of(cls, saved: list[Any]) -> _Best:
        step, state, growth = saved
        return cls(int(step), dict(state), _loaded(growth))


class Selected(Protocol):
    """What a selection keeps states of."""

    def policy(self) -> Policy:
        """As it is now."""
        ...

    def snapshot(self) -> dict[str, Any]:
        """A state to come back to."""
        ...

    def restore(self, snapshot: Mapping[str, Any]) -> None:
        """Inverse of :meth:`snapshot`."""
        ...


class Selection:
    """Validates an agent from time to time and remembers the best state of it.

    A score that is not finite never wins. On equal candidates the earlier policy stays.

    Args:
        evaluate: validates a policy; None: the last policy is kept.
        log: gets (step, measures).
        preferred: whether the stage's policies are kept if they are not worse than the warm start.
        allowed: whether the agent's policy of the moment may be kept; None: any may.
    """

    def __init__(
        self,
        evaluate: Evaluate | None,
        log: Log | None,
        *,
        preferred: bool = False,
        allowed: Callable[[], bool] | None = None,
    ) -> None:
        self._evaluate = evaluate
        self._log = log
        self._preferred = preferred
        self._allowed = allowed
        self._growth: FloatArray | None = None
        self._top: tuple[float, FloatArray | None] | None = None
        self._seen: dict[int, _Candidate] = {}
        self._warm: dict[str, Any] = {}
        self._warm_foretold: FloatArray | None = None
        self._best, self._foretold = _Best(), _Best()

    def consider(self, step: int, agent: Selected) -> Judged:
        """Validate the agent's policy as that of ``step``; step 0 is the warm start.

        Call it outside a learner's randomness: a validation may draw numbers of its own.
        """
        if self._evaluate is None and self._allowed is not None and step == 0:
            self._warm = agent.snapshot()  # what is kept if the last one is not allowed
        if self._evaluate is None or step in self._seen:
            return Judged(collapsed=False, trend=0)
        found = self._evaluate(agent.policy())
        measures = dict(found.measures if isinstance(found, Validated) else found)
        candidate = self._compared(step, measures["score"], found)
        if self._log is not None:
            shown = {f"validation/{name}": value for name, value in measures.items()}
            if step > 0 and math.isfinite(candidate.low):
                shown["validation/difference"] = candidate.difference
                shown["validation/difference_low"] = candidate.low
            self._log(step, shown)
        self._seen[step] = candidate
        growth = found.growth if isinstance(found, Validated) else None
        if step == 0:
            self._warm = agent.snapshot()
        else:
            self._remember(candidate, growth, agent)
        trend = self._trend(candidate, growth)
        best = step > 0 and step in (self._best.step, self._foretold.step)
        return Judged(bool(measures.get("collapsed", 0.0)), trend, best)

    def _remember(self, candidate: _Candidate, growth: FloatArray | None, agent: Selected) -> None:
        """The agent's state, where no candidate has been better."""
        if self._best.step == 0 or candidate.rank > self._seen[self._best.step].rank:
            self._best = _Best(candidate.step, agent.snapshot(), growth)
        passes = candidate.active and candidate.low > 0.0 and math.isfinite(candidate.foretold)
        top = self._seen[self._foretold.step].foretold if self._foretold.step else -math.inf
        if passes and candidate.foretold > top:
            self._foretold = _Best(candidate.step, agent.snapshot(), growth)

    def _trend(self, candidate: _Candidate, growth: FloatArray | None) -> int:
        """:class:`Judged`'s, and remember the best so far."""
        value = candidate.difference
        if self._top is None:
            if math.isfinite(value):
                self._top = (value, growth)
            return 0
        best, its = self._top
        low = high = value - best
        if growth is not None and its is not None:
            _, low, high = paired_interval(growth - its)
        if value > best:
            self._top = (value, growth)
        return 1 if low > 0.0 else -1 if high < 0.0 else 0

    def put_back(self, agent: Selected) -> int:
        """Let the agent go on from the policy that would be kept now; its step."""
        kept, _ = self._choice()
        agent.restore(kept.state if kept.step > 0 else self._warm)
        return kept.step

    def put_back_trained(self, agent: Selected) -> int:
        """The same of the best policy but the warm start; 0, and no change, if there is none."""
        if self._best.step > 0:
            agent.restore(self._best.state)
        return self._best.step

    def _compared(
        self, step: int, score: float, found: Mapping[str, float] | Validated
    ) -> _Candidate:
        score, allowed = float(score), self._may_be_kept()
        if isinstance(found, Validated):
            if step == 0:
                self._growth, self._warm_foretold = found.growth, found.foretold
            assert self._growth is not None
            bounds = paired_interval(found.growth - self._growth)
            mean, low, high = (found.bars_per_year * each for each in bounds)
            foretold = -math.inf
            if found.foretold is not None and self._warm_foretold is not None:
                foretold = float((found.foretold - self._warm_foretold).mean())
            active, idle = found.active and allowed, not found.growth.any()
            return _Candidate(step, score, mean, low, high, active, allowed, foretold, idle)
        if not (math.isfinite(score) and allowed):
            return _Candidate(step, score, -math.inf, -math.inf, -math.inf, False, allowed)
        warm = self._seen[0].score if step > 0 else score
        difference = score - (warm if math.isfinite(warm) else 0.0)
        return _Candidate(step, score, difference, difference, difference, True)

    def finish(self, step: int, updates: int, agent: Selected) -> TrainResult:
        """Put the kept policy back into the agent and say which it is, and why."""
        if self._evaluate is None or not self._seen:
            nothing = (None, None, None)
            if self._may_be_kept():
                reason = "nothing was validated"
                return TrainResult(updates, "last", step, *nothing, reason=reason)
            agent.restore(self._warm)
            reason = "the last policy is beyond a limit"
            return TrainResult(updates, "warm_start", 0, *nothing, reason=reason)
        kept, reason = self._choice()
        if kept.step != step:
            agent.restore(kept.state if kept.step > 0 else self._warm)
        beside = self._seen[kept.step or self._best.step]
        compared = self._growth is not None and math.isfinite(beside.low) and beside.step > 0
        return TrainResult(
            updates,
            "best" if kept.step > 0 else "warm_start",
            kept.step,
            self._score_of(0),
            self._score_of(kept.step),
            self._score_of(max(self._seen)),
            reason=reason,
            difference=beside.difference if compared else None,
            interval=(beside.low, beside.high) if compared else None,
        )

    def _may_be_kept(self) -> bool:
        return self._allowed is None or self._allowed()

    def _choice(self) -> tuple[_Best, str]:
        """What is kept, of step 0 the warm start, and why."""
        warm, best, none = self._seen[0], self._seen[self._best.step], _Best()
        if best.step == 0:
            return none, "nothing else was validated"
        if not best.allowed:
            return none, "every other policy is beyond a limit"
        if best.active and not warm.active and (self._preferred or not warm.idle):
            return self._best, "the warm start is hardly active, or beyond a limit"
        if warm.active and not best.active:
            if self._preferred and best.idle and best.difference > 0.0:
                return self._best, "it stays out, and the warm start lost"
            return none, "every other policy is hardly active, or beyond a limit"
        if best.low > 0.0:
            if self._foretold_is_as_good():
                return self._foretold, "better than the warm start, the best of such as foretold"
            return self._best, "better than the warm start"
        if self._preferred and best.high > 0.0:
            return self._best, "not worse than the warm start, and the stage is preferred"
        return none, "no policy is better than the warm start"

    def _foretold_is_as_good(self) -> bool:
        """Whether there is a best by foretold growth, and realised growth does not put it below the
        best by its own lower bound, which is the luckiest of all that were seen."""
        told, best = self._foretold.growth, self._best.growth
        if told is None or best is None:
            return False
        return paired_interval(told - best, len(self._seen) - 1)[2] >= 0.0

    def _score_of(self, step: int) -> float | None:
        score = self._seen[step].score if step in self._seen else -math.inf
        return score if math.isfinite(score) else None

    def state_dict(self) -> dict[str, Any]:
        """What was seen so far, the warm and the best state."""
        return {
            "seen": {step: list(astuple(each)) for step, each in self._seen.items()},
            "growth": _saved(self._growth),
            "top": None if self._top is None else [self._top[0], _saved(self._top[1])],
            "warm": self._warm,
            "warm_foretold": _saved(self._warm_foretold),
            "best": self._best.saved(),
            "foretold": self._foretold.saved(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Inverse of :meth:`state_dict`.

        Raises:
            DataError: the state of another version.
        """
        if state.keys() != self.state_dict().keys():
            raise DataError(
                f"a checkpoint whose selection holds {', '.join(sorted(state))}",
                expected=f"{', '.join(sorted(self.state_dict()))}, as this version writes them",
                hint="finish the run with the version that began it, or begin it anew",
            )
        self._seen = {step: _Candidate(*each) for step, each in state["seen"].items()}
        self._growth = _loaded(state["growth"])
        if state["top"] is not None:
            value, growth = state["top"]
            self._top = (value, _loaded(growth))
        self._warm = dict(state["warm"])
        self._warm_foretold = _loaded(state["warm_foretold"])
        self._best, self._foretold = _Best.of(state["best"]), _Best.of(state["foretold"])


def _saved(growth: FloatArray | None) -> torch.Tensor | None:
    return None if growth is None else torch.from_numpy(growth.copy())


def _loaded(saved: torch.Tensor | None) -> FloatArray | None:
    return None if saved is None else saved.numpy()


def crossed(before: int, after: int, interval: int) -> bool:
    """Whether a multiple of ``interval`` lies in (before, after]; never for an interval of 0."""
    return interval > 0 and before // interval != after // interval
