"""The markets that methods are compared on: what they learn from, and how a policy is judged.

Every market gives a method the same budget: ``STEPS`` steps in lanes, or a log of as many rows.
One over bars has its bars once, whether they are met in lanes or read as a log. Rewards are
realised ones. A market is an entry of :data:`MARKETS`; nothing else names them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import numpy as np

from benchmarks.sparse import SparseLanes
from offline_trader.types import FloatArray

__all__ = ["LANES", "MARKETS", "STEPS", "Market", "Scales", "scales_of"]

LANES = 8
STEPS = 16_000
_WARMUP = 300


@dataclass(frozen=True)
class Scales:
    """Means and standard deviations of an observation's columns."""

    mean: FloatArray
    scale: FloatArray


def scales_of(market: Any) -> Scales:
    """Those of a packed market's features; the portfolio's numbers are as they are."""
    features = market.features.astype(np.float64)
    own = market.layout.size - features.shape[1]
    return Scales(
        np.concatenate([features.mean(axis=0), np.zeros(own)]),
        np.concatenate([np.maximum(features.std(axis=0), 1e-6), np.ones(own)]),
    )


class Market(Protocol):
    """One seed of a market.

    Attributes:
        scales: of observations; None: they have unit variance.
        size: columns of an observation.
        gains: whether lanes tell gains, so that a forecast may be held against rewards.
        bars: the bars of the lanes with their features, None where there are none.
        rules: of trading them.
    """

    @property
    def scales(self) -> Scales | None: ...
    @property
    def size(self) -> int: ...
    @property
    def gains(self) -> bool: ...
    @property
    def bars(self) -> Any: ...
    @property
    def rules(self) -> Any: ...

    def lanes(self) -> Any:
        """:data:`LANES` fresh lanes."""
        ...

    def log(self) -> Any:
        """The log that the direct and the evolution stage train on."""
        ...

    def judge(self, policy: Any) -> dict[str, Any]:
        """``score`` of a policy, on what no training saw."""
        ...


class _Known:
    """M1 or M3 as arrays, score in percent of the optimum."""

    scales = None
    gains = True
    bars = rules = None

    def __init__(self, name: str, seed: int) -> None:
        from offline_trader.evaluation.known_optimum import get_market

        self._name, self._seed, self._market = name, seed, get_market(name)
        self.size = len(self._market.observation_names)

    def lanes(self) -> Any:
        from offline_trader.evaluation.known_optimum import KnownOptimumLanes

        return KnownOptimumLanes(self._market, LANES, seed=self._seed, realised=True)

    def log(self) -> Any:
        from offline_trader.evaluation.known_optimum import make_dataset
        from offline_trader.evaluation.known_optimum.direct_market import position_market

        lanes = STEPS // 500
        data = make_dataset(f"{self._name}-wide", seed=self._seed, n_lanes=lanes, realised=True)
        return position_market(self._market, data)

    def judge(self, policy: Any) -> dict[str, Any]:
        from offline_trader.evaluation.known_optimum import score_policy

        found = score_policy(self._market, policy, n_lanes=128, n_steps=1_000, seed=9_000)
        return {"score": found.value}


class _OnBars:
    """What all markets over bars have in common."""

    gains = True
    episode_bars = 200

    def __init__(self, tensor: Any, rules: Any, seed: int) -> None:
        self.size, self.scales = tensor.layout.size, scales_of(tensor)
        self.bars, self.rules, self._seed = tensor, rules, seed

    def lanes(self) -> Any:
        from offline_trader.simulator import Simulator

        return Simulator(
            self.bars, self.rules, LANES, episode_bars=self.episode_bars, random_start=True,
            seed=self._seed,
        )  # fmt: skip

    def log(self) -> Any:
        from offline_trader.learning.stages.direct import BarMarket

        return BarMarket(self.bars, self.rules)


class _Reverting(_OnBars):
    """M3 as bars, score in percent of the optimal band on 24,000 other bars."""

    def __init__(self, seed: int) -> None:
        from offline_trader.evaluation.known_optimum.ou_bars import OU_RULES, ou_tensor
        from offline_trader.markets.synthetic import OuMarket

        tensor = ou_tensor(OuMarket(bars=STEPS + _WARMUP, seed=seed))
        super().__init__(tensor, OU_RULES, seed)

    def judge(self, policy: Any) -> dict[str, Any]:
        from offline_trader.evaluation.known_optimum.ou_bars import score_on_bars
        from offline_trader.markets.synthetic import OuMarket

        found = score_on_bars(policy, OuMarket(bars=24_000, seed=1_000_003), n_paths=6)
        return {"score": found.value}


class _Sparse(_Reverting):
    """The same, its gains paid at the end of episodes of 60 bars alone."""

    gains = False
    episode_bars = 60

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self._met: SparseLanes | None = None

    def lanes(self) -> Any:
        self._met = SparseLanes(super().lanes())
        return self._met

    def judge(self, policy: Any) -> dict[str, Any]:
        met, self._met = self._met, None
        return {**super().judge(policy), "cells": None if met is None else len(met.cells)}


class _Judged(_OnBars):
    """Bars whose last part judges: a Sharpe ratio with its 95 % interval (studentised stationary
    bootstrap), and the same of holding."""

    def __init__(self, bars: Any, trained: tuple[int, int], judged: tuple[int, int], seed: int):
        from offline_trader.evaluation.backtest import EvaluationRange
        from offline_trader.evaluation.backtest.evaluation_range import Instrument
        from offline_trader.features import compute_features
        from offline_trader.markets import BarRange
        from offline_trader.simulator import MarketTensor, SimulatorConfig

        features = compute_features(bars, ("builtin",))
        first = max(trained[0], features.warmup)
        tensor = MarketTensor.from_bars([bars], [features], [BarRange(first, trained[1])])
        super().__init__(tensor, SimulatorConfig(), seed)
        self._range = EvaluationRange((Instrument(bars, BarRange(*judged)),))

    def judge(self, policy: Any) -> dict[str, Any]:
        from offline_trader.evaluation.statistics import bootstrap_interval

        account = self._range.account(policy, self.rules)
        rng, year = np.random.default_rng(0), account.periods_per_year
        found = bootstrap_interval(account.returns, periods_per_year=year, rng=rng)
        return {"score": account.sharpe or 0.0, "interval": None if found is None else found.ends}


def _sp500(seed: int) -> _Judged:
    """Trained until 2012, judged from 2013 on."""
    from offline_trader.markets import load_market

    bars = load_market("sp500")
    split = int(np.searchsorted(bars.timestamps, np.datetime64("2013-01-01")))
    return _Judged(bars, (0, split), (split, len(bars)), seed)


def _placebo(seed: int) -> _Judged:
    """Its days drawn anew with their mean taken off, each seed's own."""
    from benchmarks.placebo import GAP, JUDGED, TRAINED, WARMUP, bars_of
    from offline_trader.markets import Bars

    table, stamps = bars_of("sp500 shuffled", seed)
    bars = Bars("shuffled", stamps, *table.T.copy())
    split = WARMUP + TRAINED
    return _Judged(bars, (WARMUP, split), (split + GAP, split + GAP + JUDGED), seed)


@dataclass(frozen=True)
class Entry:
    """A market in the comparison.

    Attributes:
        make: its seed's market.
        unit: of ``score``.
        about: for the reader.
    """

    make: Callable[[int], Market]
    unit: str
    about: str


MARKETS: Mapping[str, Entry] = {
    "M1": Entry(partial(_Known, "M1"), "score", "decaying signal, quadratic costs"),
    "M3": Entry(partial(_Known, "M3"), "score", "mean reversion, proportional costs"),
    "M3 as bars": Entry(_Reverting, "score", "the same through bars, features, simulator"),
    "sparse": Entry(_Sparse, "score", "M3 as bars, gains paid at the end of an episode"),
    "sp500": Entry(_sp500, "Sharpe", "S&P 500, trained until 2012, judged 2013 to 2018"),
    "placebo": Entry(_placebo, "Sharpe", "S&P 500 days drawn anew without their mean"),
}
