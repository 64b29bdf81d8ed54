"""Which features an environment observes, from what a user asks for; and what was found of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from offline_trader.errors import ConfigError

__all__ = ["chosen_features", "feature_notes", "name_all", "own_code"]


def chosen_features(
    features: Sequence[str | Callable[..., Any]] = (),
    signals: Sequence[str] = (),
    *,
    only: bool = False,
    trust: bool = False,
) -> tuple[str, ...] | None:
    """Names for ``env.features``; None where none are asked for. Code that is named is imported.

    Args:
        features: the user's own, as ``my_features.py:signals``, or functions.
        signals: columns of the market.
        only: without the built-in ones.
        trust: use those that read the future all the same.

    Raises:
        ConfigError: ``only`` without any, or no such file or function.
    """
    names = (*name_all(features, trust=trust), *(f"signal:{name}" for name in signals))
    if only and not names:
        raise ConfigError(
            "only own features, and there are none", expected="features or signals beside it"
        )
    return ("builtin",) * (not only) + names if names else None


def name_all(features: Sequence[str | Callable[..., Any]], *, trust: bool = False) -> list[str]:
    """Names of own features for ``env.features``; their code may be imported from now on.

    Raises:
        ConfigError: no such file or function, or trust in nothing.
    """
    if trust and not features:
        raise ConfigError("trust in features, and there are none", expected="features beside it")
    if not features:
        return []
    from offline_trader.features import name_features

    return [name_features(each, trust=trust) for each in features]


def own_code(features: Sequence[str]) -> dict[str, str]:
    """Hash of the features where some are the user's own, whose code may change under a name.

    Raises:
        ConfigError: they were not named.
    """
    if not any(":" in name for name in features):
        return {}
    from offline_trader.features import observation_layout

    return {"feature_sha256": observation_layout(features).feature_hash}


def feature_notes(features: Sequence[str]) -> list[str]:
    """What is to know of own features among names of feature sets, after they were used."""
    if not any(":" in name for name in features):
        return []
    from offline_trader.features import admission_notes, admitted

    return admission_notes(admitted(features))
