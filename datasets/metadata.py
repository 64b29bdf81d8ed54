"""What is stored with a dataset, so that later stages can refuse what does not fit."""

from __future__ import annotations

from typing import Any

import numpy as np

from offline_trader import __version__
from offline_trader.codec import plain
from offline_trader.datasets.facts import METADATA_KEY, DatasetFacts
from offline_trader.datasets.scores import reference_range
from offline_trader.datasets.stage import Stage
from offline_trader.features import FeatureScaler
from offline_trader.runs import package_versions

__all__ = ["describe"]


def describe(stage: Stage, scores: dict[str, float]) -> dict[str, Any]:
    """Minari metadata of a collection; this toolkit's own facts are under ``offline_trader``.

    It holds no clock time, so that two collections of the same settings have the same files.

    Args:
        stage: the collection.
        scores: mean return of every expert by name (:meth:`Stage.scores`).
    """
    config, layout = stage.config, stage.layout
    low, high = reference_range(scores, privileged=stage.mixture.privileged)
    own = DatasetFacts(
        layout=layout,
        layout_hash=layout.hash,
        feature_hash=layout.feature_hash,
        scaler=_scaler(stage),
        env_config=stage.stored_env,
        market=config.env.market,
        market_sha256=stage.market_sha256,
        train_range=_ranges(stage),
        experts=tuple(stage.mixture.to_dict()),
        seeds={"collection": config.seed},
        versions=package_versions(),
        ref_min_score=low,
        ref_max_score=high,
        expert_scores=scores,
        privileged=stage.mixture.privileged,
        identity=stage.identity,
    )
    metadata: dict[str, Any] = {
        METADATA_KEY: plain(own),
        "algorithm_name": " + ".join(stage.labels),
        "description": config.description or _description(stage),
        "requirements": [f"offline-trader>={__version__}"],
        "ref_min_score": low,
        "ref_max_score": high,
        "num_episodes_average_score": config.score_episodes if config.env.random_start else 1,
    }
    if config.author:
        metadata["author"] = {config.author}
    return metadata


def _scaler(stage: Stage) -> FeatureScaler:
    """Fitted on the bars of the collection's range and no others."""
    return FeatureScaler.fit(np.asarray(stage.market.features, dtype=np.float64), stage.layout)


def _ranges(stage: Stage) -> dict[str, dict[str, Any]]:
    """First and last bar of every instrument, and how many there are."""
    market = stage.market
    return {
        symbol: {
            "start": str(np.datetime_as_string(market.timestamps[start], unit="s")),
            "end": str(np.datetime_as_string(market.timestamps[stop - 1], unit="s")),
            "bars": int(stop - start),
        }
        for symbol, start, stop in zip(market.symbols, market.start, market.stop, strict=True)
    }


def _description(stage: Stage) -> str:
    text = f"Experts trading {', '.join(stage.market.symbols)} in a simulator"
    if stage.mixture.privileged:
        text += "; privileged: a teacher that knows future prices took part"
    return text + "."
