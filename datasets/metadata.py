"""What is stored with a dataset, so that later stages can refuse what does not fit."""

from __future__ import annotations

from typing import Any

import numpy as np

from offline_trader import __version__
from offline_trader.codec import plain
from offline_trader.datasets.facts import METADATA_KEY, DatasetFacts
from offline_trader.datasets.prepared import Collection
from offline_trader.datasets.scores import reference_range
from offline_trader.features import FeatureScaler, admitted
from offline_trader.runs import package_versions

__all__ = ["describe"]


def describe(collection: Collection, scores: dict[str, float]) -> dict[str, Any]:
    """Minari metadata of a collection; this toolkit's own facts are under ``offline_trader``.

    It holds no clock time, so that two collections of the same settings have the same files.

    Args:
        collection: made ready.
        scores: mean return of every expert by name (:meth:`Collection.scores`).
    """
    config, layout = collection.config, collection.layout
    low, high = reference_range(scores, privileged=collection.mixture.privileged)
    own = DatasetFacts(
        layout=layout,
        layout_hash=layout.hash,
        feature_hash=layout.feature_hash,
        scaler=_scaler(collection),
        env_config=collection.stored_env,
        market=config.env.market,
        market_sha256=collection.market_sha256,
        train_range=_ranges(collection),
        experts=tuple(collection.mixture.to_dict()),
        seeds={"collection": config.seed},
        versions=package_versions(),
        ref_min_score=low,
        ref_max_score=high,
        expert_scores=scores,
        privileged=collection.mixture.privileged,
        identity=collection.identity,
        own_features=admitted(config.env.features),
    )
    metadata: dict[str, Any] = {
        METADATA_KEY: plain(own),
        "algorithm_name": " + ".join(collection.labels),
        "description": config.description or _description(collection),
        "requirements": [f"offline-trader>={__version__}"],
        "ref_min_score": low,
        "ref_max_score": high,
        "num_episodes_average_score": config.score_episodes if config.env.random_start else 1,
    }
    if config.author:
        metadata["author"] = {config.author}
    return metadata


def _scaler(collection: Collection) -> FeatureScaler:
    """Fitted on the bars of the collection's range and no others."""
    return FeatureScaler.fit(
        np.asarray(collection.market.features, dtype=np.float64), collection.layout
    )


def _ranges(collection: Collection) -> dict[str, dict[str, Any]]:
    """First and last bar of every instrument, and how many there are."""
    market = collection.market
    return {
        symbol: {
            "start": str(np.datetime_as_string(market.timestamps[start], unit="s")),
            "end": str(np.datetime_as_string(market.timestamps[stop - 1], unit="s")),
            "bars": int(stop - start),
        }
        for symbol, start, stop in zip(market.symbols, market.start, market.stop, strict=True)
    }


def _description(collection: Collection) -> str:
    text = f"Experts trading {', '.join(collection.market.symbols)} in a simulator"
    if collection.mixture.privileged:
        text += "; privileged: a teacher that knows future prices took part"
    return text + "."
