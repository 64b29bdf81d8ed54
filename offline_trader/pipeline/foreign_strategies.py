"""Policies from elsewhere as strategies: files of other programs, functions and models of users."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from offline_trader.config import to_dict
from offline_trader.pipeline.found_strategy import FoundStrategy, last_day_seen
from offline_trader.user_code import find_function, guarded

if TYPE_CHECKING:
    import pandas as pd

    from offline_trader.policies import ForeignPolicy

__all__ = [
    "actor_file",
    "foreign_policy",
    "foreign_strategy",
    "made_by",
    "named_policy",
    "strategy_walk",
]


def foreign_policy(source: str, *, unverified: bool = False) -> ForeignPolicy | None:
    """The policy that ``source`` names if it is a function, or a file of another program; None for
    a run or one of our models.

    Raises:
        ConfigError, DataError: as :func:`named_policy` and
            :func:`offline_trader.policies.open_actor`.
    """
    from offline_trader.export import is_foreign
    from offline_trader.policies import MODEL_ENDINGS, PICKLE_ENDINGS, open_actor

    path = Path(source)
    if path.is_dir():
        return None
    if path.suffix.lower() in (*MODEL_ENDINGS, *PICKLE_ENDINGS):
        if path.suffix == ".onnx" and path.is_file() and not is_foreign(path):
            return None
        return open_actor(path, unverified=unverified)
    return named_policy(source) if ":" in source else None


def named_policy(text: str) -> ForeignPolicy:
    """The policy that ``module:function`` or ``file.py:function`` names.

    It is the function itself, or what the function returns if it can be called without arguments:
    a model that was loaded there by its own library.

    Raises:
        ConfigError: no such function, one that fails, or one that returns no policy.
    """
    from offline_trader.policies import adapt

    place, _, name = text.rpartition(":")
    return adapt(made_by(text), name=f"{Path(place).stem}-{name}")


def made_by(text: str) -> Any:
    """What the function that ``text`` names returns without arguments; itself if it needs some."""
    function = find_function(text)
    return guarded(text, function)() if _takes_nothing(function) else function


def _takes_nothing(function: Callable[..., Any]) -> bool:
    try:
        inspect.signature(function).bind()
    except (TypeError, ValueError):
        return False
    return True


def foreign_strategy(policy: ForeignPolicy) -> FoundStrategy:
    """The strategy that ``policy`` is, with the market and rules that it was trained in."""
    env = policy.env
    return FoundStrategy(
        name=policy.name,
        opener=lambda: policy,
        env={} if env is None else to_dict(env),
        seen_until="" if env is None else last_day_seen(env, None),
    )


def actor_file(path: Path, *, unverified: bool) -> FoundStrategy:
    """The actor in a file of another program, which is opened when it is asked for.

    Raises:
        ConfigError, DataError: (when it is opened) as :func:`offline_trader.policies.open_actor`.
    """
    from offline_trader.policies import open_actor

    return FoundStrategy(path.stem, cache(lambda: open_actor(path, unverified=unverified)))


def strategy_walk(found: FoundStrategy) -> Callable[[pd.DataFrame], Any]:
    """The actions of what was found, as a function of a frame of bars, for an audit.

    Raises:
        DataError: a model that cannot be opened.
        SchemaMismatch: a policy of other observations.
    """
    from offline_trader.config import from_dict
    from offline_trader.evaluation.audit import walked, walked_policy
    from offline_trader.experts import Behaviour, Expert
    from offline_trader.features import observation_layout
    from offline_trader.policies import ForeignPolicy
    from offline_trader.simulator import SimulatorConfig

    strategy = found.open()
    if isinstance(strategy, Expert | Behaviour):
        return walked(strategy)
    if isinstance(strategy, ForeignPolicy):
        strategy.require_layout(observation_layout())
    rules = from_dict(SimulatorConfig, found.env.get("simulator") or {})
    return walked_policy(strategy, rules)
