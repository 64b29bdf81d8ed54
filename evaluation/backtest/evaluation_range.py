"""The bars that an evaluation walks through, and the scenarios in which it does so."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from offline_trader.envs import EnvConfig
from offline_trader.errors import ConfigError, DataError
from offline_trader.evaluation.backtest.portfolio import Account, combine, union_of
from offline_trader.evaluation.backtest.walk import Backtest, Strategy, backtests
from offline_trader.features import Features, compute_features
from offline_trader.markets import BarRange, Bars
from offline_trader.simulator import MarketTensor, SimulatorConfig
from offline_trader.simulator.side_by_side import SideRun
from offline_trader.types import digest

__all__ = ["EvaluationRange", "Instrument", "Scenario", "noisy"]


@dataclass(frozen=True)
class Scenario:
    """One way to run a strategy over the range.

    Attributes:
        rules: the trading rules.
        delay_bars: bars by which every action comes late.
        noise_bps: standard deviation of the price noise a bar; 0: the prices as they are.
        noise_seed: of the noise.
    """

    rules: SimulatorConfig
    delay_bars: int = 0
    noise_bps: float = 0.0
    noise_seed: tuple[int, ...] = ()


@dataclass(frozen=True, eq=False)
class Instrument:
    """One instrument: all its bars (features need the past), and the range to judge."""

    bars: Bars
    range: BarRange
    feature_sets: tuple[str, ...] = ("builtin",)

    @cached_property
    def features(self) -> Features:
        """Features of all its bars."""
        return compute_features(self.bars, self.feature_sets)

    @cached_property
    def market(self) -> MarketTensor:
        """Bars and features of the range."""
        return MarketTensor.from_bars([self.bars], [self.features], [self.range])

    @cached_property
    def judged(self) -> Bars:
        """The bars of the range."""
        return self.bars.slice(self.range.start, self.range.stop)


@dataclass(frozen=True, eq=False)
class EvaluationRange:
    """K instruments over one range of dates.

    Attributes:
        instruments: K of them, each with its own calendar.
    """

    instruments: tuple[Instrument, ...]

    @classmethod
    def from_env(cls, env: EnvConfig) -> EvaluationRange:
        """The instruments and dates of an environment.

        Raises:
            DataError: no bars in the range, or too few before it for the features.
            ConfigError: an instrument twice, whose trades would count as twice as much evidence.
        """
        found: list[Instrument] = []
        for bars in env.load_bars():
            if any(_same(bars, each.bars) for each in found):
                raise ConfigError(
                    f"{bars.source or bars.symbol} is there twice",
                    expected="each instrument once",
                    hint="leave one of the two --market out",
                )
            start, stop = bars.rows_between(env.start, env.end)
            features = compute_features(bars, env.features)
            start = max(start, features.warmup)
            if stop - start < 2:
                raise DataError(
                    f"{bars.source or bars.symbol}: {max(stop - start, 0)} bars from "
                    f"{env.start or 'the start'} to {env.end or 'the end'} after the warm-up",
                    expected="2 or more",
                )
            one = Instrument(bars, BarRange(start, stop), env.features)
            vars(one)["features"] = features
            found.append(one)
        return cls(tuple(found))

    @property
    def markets(self) -> list[MarketTensor]:
        """[K] one market an instrument."""
        return [each.market for each in self.instruments]

    @cached_property
    def periods_per_year(self) -> float:
        """Marks a year of the account: of the instrument that has most bars, times how much more
        densely the marks of all lie than its own (two sessions at different hours have twice
        as many)."""
        most = max(self.instruments, key=lambda each: each.bars.periods_per_year)
        own = most.judged.timestamps
        marks = union_of([each.judged.timestamps for each in self.instruments])
        if len(marks) == len(own):
            return most.bars.periods_per_year
        return most.bars.periods_per_year * _density(marks) / _density(own)

    @property
    def data_hash(self) -> str:
        """SHA-256 over symbols and judged bars."""
        return digest([[each.bars.symbol, each.judged.sha256] for each in self.instruments])

    def backtests(
        self, strategy: Strategy, scenarios: Sequence[Scenario], *, observe: bool = True
    ) -> list[list[Backtest]]:
        """For each scenario the backtest on each instrument; all of them in one pass.

        Args:
            strategy: a policy over raw observations, or an expert.
            scenarios: rules with the same action mode.
            observe: keep the observations that were decided on.
        """
        runs = [
            SideRun(_disturbed(each, scenario).market, scenario.rules, scenario.delay_bars)
            for scenario in scenarios
            for each in self.instruments
        ]
        found = backtests(strategy, runs, observe=observe)
        k = len(self.instruments)
        return [found[i * k : (i + 1) * k] for i in range(len(scenarios))]

    def account(self, strategy: Strategy, rules: SimulatorConfig) -> Account:
        """The account over all instruments of one deterministic pass, observations kept."""
        (backtests,) = self.backtests(strategy, [Scenario(rules)])
        return combine(backtests, self.periods_per_year)

    def accounts(self, strategy: Strategy, scenarios: Sequence[Scenario]) -> list[Account]:
        """For each scenario the account over all instruments."""
        rows = self.backtests(strategy, scenarios, observe=False)
        return [combine(backtests, self.periods_per_year) for backtests in rows]


def _same(one: Bars, other: Bars) -> bool:
    """Whether two instruments have the same bars, whatever they are called."""
    return np.array_equal(one.timestamps, other.timestamps) and np.array_equal(
        one.close, other.close
    )


def _density(times: NDArray[np.datetime64]) -> float:
    """Steps a nanosecond."""
    return (len(times) - 1) / float((times[-1] - times[0]).astype("timedelta64[ns]").astype(int))


def _disturbed(instrument: Instrument, scenario: Scenario) -> Instrument:
    if scenario.noise_bps == 0:
        return instrument
    # the symbol's own stream, so that adding an instrument changes the noise of no other
    own = int.from_bytes(instrument.bars.symbol.encode(), "little")
    rng = np.random.default_rng([*scenario.noise_seed, own])
    return replace(instrument, bars=noisy(instrument.bars, scenario.noise_bps, rng))


def noisy(bars: Bars, noise_bps: float, rng: np.random.Generator) -> Bars:
    """Bars whose four prices are multiplied by one log-normal draw a bar, sd ``noise_bps``.

    One factor a bar keeps low ≤ open, close ≤ high; what is disturbed is the way from bar to bar,
    which is what features and fills read.
    """
    factor = np.exp(rng.normal(0.0, noise_bps * 1e-4, len(bars)))
    return replace(
        bars,
        open=bars.open * factor,
        high=bars.high * factor,
        low=bars.low * factor,
        close=bars.close * factor,
    )
