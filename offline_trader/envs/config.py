"""What a market environment is made of: sources, dates, episodes, trading rules."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from offline_trader.config import from_dict
from offline_trader.errors import ConfigError, DataError, did_you_mean
from offline_trader.simulator import SimulatorConfig

if TYPE_CHECKING:
    from offline_trader.markets import Bars, SignalColumns
    from offline_trader.simulator import MarketTensor, Simulator
    from offline_trader.types import ObservationLayout

__all__ = ["EnvConfig", "make_market", "make_simulator"]


@dataclass(frozen=True)
class EnvConfig:
    """A market environment, shared by collecting, fine-tuning and evaluating.

    Attributes:
        market: sources of bars: built-in names or files, each with one or more instruments.
        tz: time zone of times that carry none.
        start, end: first and last day, included; None for all. Features read the bars before
            ``start`` too, where there are any.
        episode_bars: steps of an episode; None for the whole range.
        random_start: whether episodes start at random bars.
        simulator: the trading rules.
        features: names of the feature sets whose columns are observed, in order: ``builtin``,
            others that are registered, ``signal:NAME`` for a further column of the market, and
            ``my_features.py:function`` for features of the user's own, after he named them
            (:func:`offline_trader.features.name_features`).
        signal_files: files that hold the signals that the price files do not.
        bar_end: how long after its stamp a bar ends, as ``1min``, ``16h``: what a signal file says
            until then is known at the bar. Empty: its stamp.
    """

    market: tuple[str, ...] = ("sp500",)
    tz: str | None = None
    start: str | None = None
    end: str | None = None
    episode_bars: int | None = 1000
    random_start: bool = True
    simulator: SimulatorConfig = field(default_factory=SimulatorConfig)
    features: tuple[str, ...] = ("builtin",)
    signal_files: tuple[str, ...] = ()
    bar_end: str = ""

    def __post_init__(self) -> None:
        for name in ("market", "features", "signal_files"):
            given = getattr(self, name)
            given = (given,) if isinstance(given, str) else tuple(given)
            object.__setattr__(self, name, tuple(map(str, given)))
        if self.simulator is None:
            object.__setattr__(self, "simulator", SimulatorConfig())
        if isinstance(self.simulator, dict):
            object.__setattr__(self, "simulator", from_dict(SimulatorConfig, self.simulator))
        if not self.market:
            raise ConfigError(
                "env.market names no market",
                expected="at least one source of bars",
                hint="--market with a file of bars, or sp500 or nasdaq",
            )
        if not self.features:
            raise ConfigError("env.features is empty", expected="at least one feature set")
        if self.signal_files or any(":" in name for name in self.features):
            _ = self.signals  # refuses columns that are none
        if self.episode_bars is not None and self.episode_bars < 1:
            raise ConfigError(f"env.episode_bars = {self.episode_bars}", expected="1 or more")

    @classmethod
    def of(cls, market: str | Sequence[str], **settings: Any) -> EnvConfig:
        """The environment over ``market`` with some ``settings`` by name, the others as they are.

        Raises:
            ConfigError: an unknown setting, or a wrong value.
        """
        known = [each.name for each in fields(cls)]
        unknown = next((name for name in settings if name not in known), None)
        if unknown is not None:
            raise ConfigError(
                f"an environment has no setting {unknown!r}",
                expected=f"one of {', '.join(known)}",
                hint=did_you_mean(unknown, known),
            )
        return cls(market, **settings)  # type: ignore[arg-type]

    @property
    def layout(self) -> ObservationLayout:
        """The layout of its observations.

        Raises:
            ConfigError: an unknown feature set.
        """
        from offline_trader.features import observation_layout

        return observation_layout(self.features)

    @property
    def signals(self) -> SignalColumns:
        """The columns that are read beside those of the bars."""
        from offline_trader.markets import SignalColumns, signal_names

        return SignalColumns(signal_names(self.features), self.signal_files, self.bar_end)

    def load_bars(self) -> list[Bars]:
        """All bars of every instrument, with their signals; the dates are not looked at.

        Raises:
            DataError, ConfigError: as :func:`offline_trader.markets.load_markets`.
        """
        from offline_trader.markets import load_markets

        return load_markets(self.market, tz=self.tz, signals=self.signals)

    def to_kwargs(self) -> dict[str, Any]:
        """JSON-able keyword arguments of the environments."""
        lists = ("market", "features", "signal_files")
        return {**asdict(self), **{name: list(getattr(self, name)) for name in lists}}


@lru_cache(maxsize=16)
def _market(
    config: EnvConfig,
    stamps: tuple[tuple[int, int] | None, ...],
    schema_hash: str,
) -> MarketTensor:
    from offline_trader.features import compute_features
    from offline_trader.markets import BarRange
    from offline_trader.simulator import MarketTensor

    bars, start, end = config.load_bars(), config.start, config.end
    computed_of = [compute_features(b, config.features) for b in bars]
    ranges = []
    for one, computed in zip(bars, computed_of, strict=True):
        first, stop = one.rows_between(start, end)
        first = max(first, computed.warmup)
        if stop - first < 2:
            raise DataError(
                f"{one.source or one.symbol}: {max(stop - first, 0)} bars from "
                f"{start or 'the start'} to {end or 'the end'} after the features' warm-up",
                expected="2 or more",
                hint=f"the first {computed.warmup} bars of the history have no features",
            )
        ranges.append(BarRange(first, stop))
    return MarketTensor.from_bars(bars, computed_of, ranges)


def make_market(config: EnvConfig) -> MarketTensor:
    """Packed bars and features of the sources and dates, kept while the files stay the same.

    Raises:
        DataError, ConfigError: as :func:`offline_trader.markets.load_markets`, or an unknown
            feature set.
    """
    stamps = (*map(_stamp, config.market), *map(_stamp, config.signal_files))
    # what does not change the market is left out of what it is kept under
    same = replace(config, episode_bars=None, random_start=False, simulator=SimulatorConfig())
    return _market(same, stamps, config.layout.feature_hash)


def _stamp(source: str) -> tuple[int, int] | None:
    """What tells a changed file from the one that was read; None: not a file."""
    from offline_trader.markets import parse_source

    kind, name, _ = parse_source(source)
    if kind != "file":
        return None
    try:
        found = Path(name).stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size


def make_simulator(
    config: EnvConfig, n_lanes: int, seed: int = 0, *, auto_reset: bool = True
) -> Simulator:
    """A simulator of ``n_lanes`` lanes over :func:`make_market`."""
    from offline_trader.simulator import Simulator

    return Simulator(
        make_market(config),
        config.simulator,
        n_lanes,
        episode_bars=config.episode_bars,
        seed=seed,
        random_start=config.random_start,
        auto_reset=auto_reset,
    )
