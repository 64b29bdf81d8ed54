"""Reference scores: what every rule, random actions included, earns on the collected market."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from offline_trader.experts import Expert, ExpertPolicy, list_experts
from offline_trader.experts.interface import MissingColumn

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from offline_trader.simulator import MarketTensor, Simulator, SimulatorConfig
    from offline_trader.types import ObservationLayout

__all__ = ["expert_scores", "reference_range"]


def expert_scores(
    make: Callable[[], Simulator],
    market: MarketTensor,
    config: SimulatorConfig,
    layout: ObservationLayout,
    n_steps: int,
    *,
    experts: Sequence[Expert] | None = None,
    seed: int = 0,
) -> dict[str, float]:
    """Mean episode return (log growth of equity) of every expert, without noise, by name.

    Args:
        make: a fresh simulator; all experts get the same one, so the same starts.
        market: its bars, for experts with row columns.
        config: its rules.
        layout: of its observations.
        n_steps: steps a lane.
        experts: by default all of the registry that read the market's features, with their
            default parameters.
        seed: of the random expert's draws.
    """
    scores = {}
    for expert in list_experts() if experts is None else experts:
        policy = ExpertPolicy(expert, layout, config, market=market, seed=seed)
        try:
            scores[expert.name] = _mean_return(make(), policy, n_steps)
        except MissingColumn:
            if experts is not None:
                raise
    return scores


def _mean_return(simulator: Simulator, policy: ExpertPolicy, n_steps: int) -> float:
    """Mean sum of rewards of the episodes of ``n_steps`` steps, an unfinished last one included."""
    looks_up = policy.behaviour.expert.row_table is not None
    lanes = np.arange(simulator.n_lanes, dtype=np.int64)
    fresh = np.full(simulator.n_lanes, np.nan)
    observations = simulator.reset()
    rewards = np.zeros(simulator.n_lanes)
    begun = np.ones(simulator.n_lanes, dtype=np.int64)
    for t in range(n_steps):
        actions = policy.decide(observations, simulator.bar_index if looks_up else None)
        actions = policy.disturb(actions, fresh, lanes, np.full_like(lanes, t))
        result = simulator.step(actions)
        observations = result.observations
        rewards += result.rewards
        if t + 1 < n_steps:
            begun += result.terminated
            begun += result.truncated
    return float(rewards.sum() / begun.sum())


def reference_range(scores: dict[str, float], *, privileged: bool) -> tuple[float, float]:
    """(minimum, maximum): random actions, and the best rule that does not read the future.

    A privileged dataset's maximum is the oracle's. So 0 is chance and 1 is the best known rule in
    Minari's normalised score.
    """
    allowed = [score for name, score in scores.items() if privileged or name != "oracle"]
    return scores["random"], max(allowed)
