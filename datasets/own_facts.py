"""What this toolkit stores with a dataset, and whether what is found there is that."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from offline_trader.codec import from_json
from offline_trader.errors import DataError, OfflineTraderError
from offline_trader.types import ObservationLayout

__all__ = ["METADATA_KEY", "check_facts", "check_kinds"]

METADATA_KEY = "offline_trader"


@dataclass(frozen=True)
class _Facts:
    """The facts by their types, as this toolkit writes them."""

    layout: dict[str, Any]
    layout_hash: str
    scaler: dict[str, Any]
    env_config: dict[str, Any]
    market_sha256: dict[str, str]
    experts: list[dict[str, Any]]
    feature_hash: str = ""
    market: list[str] = field(default_factory=list)
    train_range: dict[str, Any] = field(default_factory=dict)
    seeds: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, Any] = field(default_factory=dict)
    expert_scores: dict[str, Any] = field(default_factory=dict)
    privileged: bool = False
    identity: dict[str, Any] = field(default_factory=dict)


def check_kinds(facts: object, file: Path) -> dict[str, Any]:
    """The facts, if they have the types that this toolkit writes; ``file`` is where they lie.

    Raises:
        DataError: one that is needed is missing or one has another type.
    """
    from_json(_Facts, facts, f"{file}: {METADATA_KEY}", extra=True)
    return cast("dict[str, Any]", facts)


def check_facts(facts: object, file: Path) -> dict[str, Any]:
    """The facts, if layout, scaler and environment can be made of them and fit together.

    Raises:
        DataError: they cannot, or :func:`check_kinds`.
    """
    from offline_trader.config import from_dict
    from offline_trader.envs import EnvConfig
    from offline_trader.features import FeatureScaler

    found = check_kinds(facts, file)
    try:
        layout = ObservationLayout.from_dict(found["layout"])
        scaler = FeatureScaler.from_dict(found["scaler"])
        from_dict(EnvConfig, found["env_config"])
    except OfflineTraderError as error:
        raise DataError(f"{file}: {error.found}", expected=error.expected) from error
    except (KeyError, TypeError, ValueError, AssertionError, OverflowError) as error:
        raise DataError(
            f"{file}: layout or scaler under {METADATA_KEY} cannot be read: {error!r}"
        ) from error
    if layout.hash != found["layout_hash"] or len(scaler.mean) != layout.size:
        raise DataError(
            f"{file}: layout, its hash and the scaler under {METADATA_KEY} do not fit together",
            expected=f"the hash {layout.hash} and {layout.size} columns",
        )
    return found
