"""What this toolkit stores with a dataset, and whether what is found there is that."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from offline_trader.errors import DataError, OfflineTraderError
from offline_trader.types import ObservationLayout

__all__ = ["METADATA_KEY", "check_facts", "check_kinds"]

METADATA_KEY = "offline_trader"
_NEEDED = ("layout", "layout_hash", "scaler", "env_config", "market_sha256", "experts")
_KINDS: dict[str, type] = {
    "layout": dict,
    "layout_hash": str,
    "feature_hash": str,
    "scaler": dict,
    "env_config": dict,
    "market": list,
    "market_sha256": dict,
    "train_range": dict,
    "experts": list,
    "seeds": dict,
    "versions": dict,
    "expert_scores": dict,
    "privileged": bool,
    "identity": dict,
}
_NAMES = {dict: "a JSON object", list: "a list", str: "a text", bool: "true or false"}


def check_kinds(facts: object, file: Path) -> dict[str, Any]:
    """The facts, if they have the types that this toolkit writes; ``file`` is where they lie.

    Raises:
        DataError: one that is needed is missing or one has another type.
    """
    if not isinstance(facts, dict):
        raise _wrong(file, METADATA_KEY, facts, dict)
    for key in _NEEDED:
        if key not in facts:
            raise DataError(
                f"{file} lacks {METADATA_KEY}.{key}", expected=f"the facts {', '.join(_NEEDED)}"
            )
    for key, kind in _KINDS.items():
        if key in facts and not isinstance(facts[key], kind):
            raise _wrong(file, f"{METADATA_KEY}.{key}", facts[key], kind)
    for key in ("market", "experts"):
        for one in facts.get(key, []):
            if not isinstance(one, str if key == "market" else dict):
                kind = str if key == "market" else dict
                raise _wrong(file, f"{METADATA_KEY}.{key}", one, kind)
    for symbol, sha256 in facts["market_sha256"].items():
        if not isinstance(sha256, str):
            raise _wrong(file, f"{METADATA_KEY}.market_sha256.{symbol}", sha256, str)
    return facts


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


def _wrong(file: Path, name: str, value: object, kind: type) -> DataError:
    return DataError(f"{file}: {name} is a {type(value).__name__}", expected=_NAMES[kind])
