"""The bars that a dataset was collected on, as they are now: there, and the same."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import numpy as np

from offline_trader.envs import make_market
from offline_trader.errors import DataError
from offline_trader.features import FeatureScaler
from offline_trader.pipeline.settings import PretrainConfig

if TYPE_CHECKING:
    from offline_trader.datasets.facts import DatasetFacts
    from offline_trader.simulator import MarketTensor

__all__ = ["needs_bars", "require_same_bars"]

_ON_TRANSITIONS = ("clone", "offline")
"""Stages that need no bars; what they are judged on and replays may."""
_ROUNDING = 1e-6


def needs_bars(config: PretrainConfig) -> bool:
    """Whether a training reads the bars of its dataset, beside the transitions."""
    stages = [name for name in config.stages if name != "direct" or config.direct.updates > 0]
    if not set(stages) <= set(_ON_TRANSITIONS):
        return True
    judged = config.validation.end is None  # on the log
    return "offline" in stages and (judged or config.offline.replay.mode != "never")


def require_same_bars(dataset: str, own: DatasetFacts) -> None:
    """Nothing if the market of the dataset's environment has the bars that it was collected on.

    They are told by their number, the first and the last, and by mean and deviation of every
    feature, which the dataset's scaler holds: bars behind its range may have been added since.

    Args:
        dataset: its id.
        own: its facts.

    Raises:
        DataError: they cannot be read, or are others.
    """
    try:
        market = make_market(own.env_config)
    except DataError as error:
        raise DataError(
            f"{dataset}, the bars that it was collected on: {error.found}",
            expected=error.expected,
            hint=error.hint
            or "put them back where they were, or train what reads transitions alone: --stages bc",
        ) from error
    for found, expected in (*_ranges(market, own.train_range), *_features(market, own)):
        raise DataError(
            f"{', '.join(own.env_config.market)}: {found}",
            expected=f"{expected}: the bars that {dataset} was collected on",
            hint="collect anew on the bars as they are now, or put back those that were there",
        )


def _ranges(
    market: MarketTensor, ranges: Mapping[str, Mapping[str, object]]
) -> Iterator[tuple[str, str]]:
    """Instruments whose range is another one, and what it was."""
    for symbol, start, stop in zip(market.symbols, market.start, market.stop, strict=True):
        was = ranges.get(symbol)
        ends = [np.datetime_as_string(market.timestamps[i], unit="s") for i in (start, stop - 1)]
        now = {"start": str(ends[0]), "end": str(ends[1]), "bars": int(stop - start)}
        if was is not None and dict(was) != now:
            yield _span(symbol, now), _span(symbol, was)


def _span(symbol: str, span: Mapping[str, object]) -> str:
    return f"{symbol} with {span.get('bars')} bars, {span.get('start')} to {span.get('end')}"


def _features(market: MarketTensor, own: DatasetFacts) -> Iterator[tuple[str, str]]:
    """Features with another mean or deviation, and what they were."""
    values = np.asarray(market.features, dtype=np.float64)
    now = FeatureScaler.fit(values, own.layout)
    for place, name in enumerate(own.layout.features):
        here, before = ((each.mean[place], each.scale[place]) for each in (now, own.scaler))
        room = _ROUNDING * (abs(before[0]) + before[1])
        if max(abs(here[0] - before[0]), abs(here[1] - before[1])) > room:
            yield _told(name, *here), _told(name, *before)


def _told(name: str, mean: float, scale: float) -> str:
    return f"{name} with mean {mean:.6g}, deviation {scale:.6g}"
