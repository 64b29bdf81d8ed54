"""Fine-tuning for several objectives: the learner, its agent, and the weights that are stated."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from offline_trader.errors import ConfigError
from offline_trader.goals import Preference
from offline_trader.learning.settings import COMPONENTS, LARGEST_WEIGHT
from offline_trader.pipeline.run_facts import TrainingFacts
from offline_trader.pipeline.settings import FinetuneConfig
from offline_trader.pipeline.validation import Validator

if TYPE_CHECKING:
    from offline_trader.learning.agents import Learner, MultiObjectiveAgent

__all__ = ["agent_for", "check_objectives", "stated_preference"]


def check_objectives(config: FinetuneConfig, parent: TrainingFacts, *, validated: bool) -> None:
    """Nothing if the parent's policy can go on with what is asked.

    Raises:
        ConfigError: it takes a preference or a goal that the training has no place for, another
            agent than SAC, or weights to be learned without a validation range.
    """
    objectives, known = config.online.objectives, parent.preference
    if known is not None and known.given and not objectives.takes_preference:
        raise ConfigError(
            f"objectives.preference={objectives.preference}, but the parent's policy takes a "
            "preference",
            expected="online.objectives.preference=given, or learned",
            hint="or start from a run whose policy takes none",
        )
    if not objectives:
        return
    if config.agent != "sac":
        raise ConfigError(
            f"online.objectives with agent={config.agent}",
            expected="agent=sac; the direct stage has objectives of its own (direct.objective)",
        )
    if config.goal or parent.goal is not None:
        raise ConfigError(
            "online.objectives of a policy that takes a goal",
            expected="one of them: a goal has a reward of its own",
        )
    if objectives.preference == "learned" and not validated:
        raise ConfigError(
            "online.objectives.preference=learned without a validation range",
            expected="validation.end: weights are learned on bars that no training saw",
        )


def agent_for(
    source: Learner, config: FinetuneConfig, parent: TrainingFacts, seed: int
) -> MultiObjectiveAgent:
    """What goes on from ``source``'s policy, with a critic head an objective.

    Args:
        source: the parent's policy.
        config: settings.
        parent: whether its policy takes a preference already.
        seed: of critics and every draw.
    """
    from offline_trader.learning.agents import MultiObjectiveAgent, goal_learner, online_learner

    objectives, known = config.online.objectives, parent.preference
    if not objectives.takes_preference:
        learner = online_learner(source, config.learner, seed)
    else:
        widen = 0 if known is not None and known.given else len(COMPONENTS)
        learner = goal_learner(source, config.learner, np.ones(widen), seed)
    return MultiObjectiveAgent(learner, objectives, seed)


def stated_preference(
    agent: MultiObjectiveAgent, config: FinetuneConfig, validator: Validator | None, seed: int
) -> Preference:
    """The weights that the policy has, or takes by default, and how they were chosen.

    Learned ones are, of those in the settings and ``candidates`` − 1 others drawn uniformly where
    no weight is above 0.6, those whose policy has the highest score on the validation range. The
    training itself cannot choose them: on its own reward it would put all weight on the component
    that is easiest to earn.
    """
    objectives, preference = config.online.objectives, agent.preference
    limit = agent.limit
    if limit is not None:
        what = "the drawdown at a bar" if objectives.limit == "drawdown" else "the loss of a bar"
        told = (
            f"{what}, {objectives.limit}, at most {objectives.at_most:.1%} at a share of "
            f"{objectives.tail:.1%}; price {limit.price:.3g} at the end"
        )
        preference = replace(preference, limit=told)
        if not preference.given:  # the price takes its share of the weight
            kept = [(1.0 - limit.weight) * each for each in preference.weights]
            return replace(
                preference,
                names=(*preference.names, "limit"),
                weights=(*kept, limit.weight),
            )
    if objectives.preference != "learned" or validator is None:
        return preference
    drawn = preference.drawn(objectives.candidates - 1, np.random.default_rng(seed), LARGEST_WEIGHT)
    policy = agent.policy()
    best, score = objectives.weights, -np.inf
    for weights in (objectives.weights, *(tuple(row) for row in drawn.tolist())):
        found = validator(policy.preferring(weights))  # type: ignore[attr-defined]
        reached = float(found.measures["score"])  # NaN: no candidate
        if reached > score:
            best, score = weights, reached
    why = (
        f"of {objectives.candidates} weights, none above {LARGEST_WEIGHT}, those with the highest "
        f"Sharpe ratio on the validation range, {score:.2f}"
        if np.isfinite(score)
        else "set by the user: with none of the weights did the policy trade on the validation "
        "range as a candidate has to"
    )
    return preference.asking(best, why)
