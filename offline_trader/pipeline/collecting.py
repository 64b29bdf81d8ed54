"""What is said before a collection, and how long a replay of logs is."""

from __future__ import annotations

from dataclasses import replace

from offline_trader.datasets import CollectConfig
from offline_trader.envs import make_market
from offline_trader.experts.history import HistoryParams, replay

__all__ = ["collection_notes", "replayed_once"]


def replayed_once(plan: CollectConfig) -> CollectConfig:
    """One replay of every log, from the range's first bar to its last, one instrument after
    another."""
    env = replace(plan.env, random_start=False, episode_bars=None)
    market = make_market(env)
    longest = int((market.stop - market.start).max()) - 1
    return replace(
        plan, env=env, transitions=longest * len(market.symbols) * len(plan.mixture.behaviours)
    )


def collection_notes(plan: CollectConfig) -> list[str]:
    """What is to know of the bars, and how the rows of the logs among the experts lie on them.

    Raises:
        DataError, ConfigError: bars or logs that cannot be read.
    """
    market = make_market(plan.env)
    given = [one.expert.params for one in plan.mixture.behaviours]
    logs = [params for params in given if isinstance(params, HistoryParams)]
    return [
        *market.notes,
        *(note for log in logs for note in replay(market, plan.env.simulator, log).notes),
    ]
