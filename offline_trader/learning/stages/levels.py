"""The curriculum's five stages as synthetic markets, and how difficulty adapts between them.

A stage is a law of :class:`~offline_trader.markets.synthetic.TurbulentMarket` and what trading
costs there. ``trend`` says how long a drift lasts: its AR(1) coefficient from bar to bar is
``1 − 1/(1 + 50·trend)``. ``signal`` is its information coefficient, chosen so that a policy which
sees the drift earns a net Sharpe ratio of at least 1.5 times the stage's gate, and that one which
has seen the past bars alone passes in 85 of 100 episodes: the gates rise from
stage to stage while costs rise and trends shorten, so a coefficient that were the same for all
would put the later gates out of reach. Bull and bear regimes occur in every stage.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from offline_trader.features import compute_features, feature_set
from offline_trader.learning.settings import DifficultyConfig
from offline_trader.learning.settings.curriculum import LEVEL_NAMES
from offline_trader.markets import BarRange
from offline_trader.markets.synthetic import TurbulentMarket
from offline_trader.simulator import MarketTensor, SimulatorConfig
from offline_trader.types import FloatArray

__all__ = [
    "LEVELS",
    "Difficulty",
    "Level",
    "adapted",
    "adapted_to_goals",
    "as_row",
    "level_market",
    "level_paths",
    "level_rules",
    "of_row",
]

_LONGEST_TREND = 50.0
_REGIME_BARS = 120.0
_USUAL = 0.20 / math.sqrt(252.0)
"""Standard deviation of a bar, for which the stages' costs and volatilities stand."""


@dataclass(frozen=True)
class Level:
    """One stage.

    Attributes:
        name: its name.
        volatility: a year of 252 bars.
        trend: how long a drift lasts, 0 to 1; see the module.
        cost, slippage: of an order, shares of its notional.
        regime: mixture of regimes (``REGIME_MIXTURES``).
        noise: on every feature, in its own standard deviations.
        sharpe, win_rate: that an episode has to reach; the latter of the bars with a position.
        signal: information coefficient of the drift.
    """

    name: str
    volatility: float
    trend: float
    cost: float
    slippage: float
    regime: str
    noise: float
    sharpe: float
    win_rate: float
    signal: float


LEVELS: tuple[Level, ...] = (
    Level("beginner", 0.10, 0.8, 0.0001, 0.0, "bull", 0.05, 0.3, 0.50, 0.35),
    Level("intermediate", 0.15, 0.6, 0.001, 0.0005, "mixed_bullish", 0.10, 0.5, 0.45, 0.42),
    Level("advanced", 0.20, 0.4, 0.002, 0.001, "sideways", 0.15, 0.6, 0.45, 0.49),
    Level("expert", 0.25, 0.2, 0.003, 0.0015, "mixed_bearish", 0.20, 0.7, 0.45, 0.56),
    Level("master", 0.30, 0.1, 0.003, 0.002, "all", 0.25, 0.8, 0.45, 0.63),
)
assert tuple(level.name for level in LEVELS) == LEVEL_NAMES


class Difficulty(NamedTuple):
    """What adapts.

    Attributes:
        spread: between bid and ask, share of the price.
        volatility: multiplies the stage's.
        clarity: the stage's ``trend`` now.
        noise: the stage's ``noise`` now.
        stability: multiplies the mean length of a regime.
    """

    spread: float
    volatility: float
    clarity: float
    noise: float
    stability: float

    @classmethod
    def of(cls, level: Level, *, adaptive: bool = False) -> Difficulty:
        """Where a stage begins; ``adaptive`` with a spread of 10 basis points to change."""
        return cls(0.001 if adaptive else 0.0, 1.0, level.trend, level.noise, 1.0)


_HARDEST = Difficulty(0.003, 1.5, 0.3, 0.5, 0.25)
_EASIEST = Difficulty(0.0005, 0.3, 0.9, 0.05, 2.0)


def adapted(now: Difficulty, returns: FloatArray, config: DifficultyConfig) -> Difficulty:
    """The difficulty after episodes with ``returns`` [n], the newest ``config.window`` of all.

    Harder by ``config.factor`` where their mean is above ``good_return`` and the share of profits
    above ``good_wins``; easier where one of them is below its ``bad`` bound; else as it is.
    A value moves to its bound and not beyond, and one that a stage begins with beyond it stays.
    """
    mean, wins = float(returns.mean()), float((returns > 0.0).mean())
    if mean > config.good_return and wins > config.good_wins:
        return _moved(now, _HARDEST, config.factor)
    if mean < config.bad_return or wins < config.bad_wins:
        return _moved(now, _EASIEST, config.factor)
    return now


def adapted_to_goals(now: Difficulty, reached: FloatArray, config: DifficultyConfig) -> Difficulty:
    """The same where a policy takes a goal: after episodes that ``reached`` [n] so much of it, 0 to
    1; harder where their mean is above ``good_wins``, easier where it is below ``bad_wins``."""
    mean = float(reached.mean())
    if mean > config.good_wins:
        return _moved(now, _HARDEST, config.factor)
    return _moved(now, _EASIEST, config.factor) if mean < config.bad_wins else now


def _moved(now: Difficulty, aim: Difficulty, factor: float) -> Difficulty:
    """Every value a ``factor`` nearer to that of ``aim``."""
    moved = []
    for value, bound, hard, easy in zip(now, aim, _HARDEST, _EASIEST, strict=True):
        rises = (bound == hard) == (hard > easy)
        by = factor if rises else 1.0 / factor
        beyond = value >= bound if rises else value <= bound
        clipped = min(value * by, bound) if rises else max(value * by, bound)
        moved.append(value if beyond else clipped)
    return Difficulty(*moved)


def _unit(like: TurbulentMarket | None) -> float:
    """How large a bar of ``like`` is beside the bars that the stages stand for."""
    return 1.0 if like is None else like.volatility / math.sqrt(like.bars_per_year) / _USUAL


def level_market(
    level: Level, now: Difficulty, like: TurbulentMarket | None, bars: int, seed: int
) -> TurbulentMarket:
    """The law of a stage's market.

    Args:
        level: the stage.
        now: its difficulty.
        like: a fitted market whose clusters, tails and volume it takes; volatility is in
            proportion to its.
        bars, seed: of the market.
    """
    base = like or TurbulentMarket()
    a_year = math.sqrt(base.bars_per_year / 252.0)
    return replace(
        base,
        bars=bars,
        seed=seed,
        volatility=min(level.volatility * now.volatility * _unit(like) * a_year, 5.0),
        signal=level.signal,
        persistence=1.0 - 1.0 / (1.0 + _LONGEST_TREND * now.clarity),
        regime=level.regime,
        regime_bars=_REGIME_BARS * now.stability,
    )


def level_rules(
    level: Level, now: Difficulty, like: TurbulentMarket | None, rules: SimulatorConfig
) -> SimulatorConfig:
    """``rules`` with what trading costs in a stage, in proportion to the size of a bar."""
    unit = 1e4 * min(_unit(like), 10.0)
    return replace(
        rules,
        commission_bps=level.cost * unit,
        slippage_bps=level.slippage * unit,
        half_spread_bps=now.spread / 2.0 * unit,
    )


def level_paths(
    level: Level,
    now: Difficulty,
    like: TurbulentMarket | None,
    features: tuple[str, ...],
    shape: tuple[int, int],
    seed: np.random.SeedSequence,
) -> MarketTensor:
    """Markets of a stage with their features, noise on these.

    Args:
        level, now, like: as :func:`level_market` takes them.
        features: names of feature sets that read bars alone.
        shape: number of markets, and decisions in each.
        seed: of the markets and of the noise.
    """
    count, decisions = shape
    length = feature_set(features).warmup + decisions + 1
    *seeds, noise = (int(word) for word in seed.generate_state(count + 1))
    laws = [level_market(level, now, like, length, each) for each in seeds]
    bars = [law.make(f"{level.name}-{i}") for i, law in enumerate(laws)]
    found = [compute_features(each, features) for each in bars]
    ranges = [BarRange(each.warmup, length) for each in found]
    market = MarketTensor.from_bars(bars, found, ranges)
    drawn = np.random.default_rng(noise).standard_normal(market.features.shape, np.float32)
    disturbed = market.features + now.noise * market.features.std(axis=0) * drawn
    return replace(market, features=disturbed.astype(np.float32))


def as_row(level: int, now: Difficulty) -> FloatArray:
    """[6] number of the stage and its difficulty, to be saved."""
    return np.array([level, *now], np.float64)


def of_row(row: FloatArray) -> tuple[int, Difficulty]:
    """Inverse of :func:`as_row`."""
    level, *now = row.tolist()
    return int(level), Difficulty(*now)
