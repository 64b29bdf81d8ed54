"""The feature schema: names, formulas, version, and the hash that travels with every artefact."""

from __future__ import annotations

from dataclasses import dataclass

from offline_trader.errors import ConfigError
from offline_trader.types import ObservationLayout, digest

__all__ = [
    "FEATURE_FORMULAS",
    "FEATURE_NAMES",
    "RETURN_BARS",
    "WARMUP_BARS",
    "FeatureSchema",
]

VERSION = 1
RETURN_BARS = (1, 5, 10, 20, 60, 252)
WARMUP_BARS = 252
"""Rows without features at the start: the longest window reaches 252 bars back."""

FEATURE_FORMULAS: dict[str, str] = {
    "return_1": "log(close_t / close_{t-1})",
    "return_5": "log(close_t / close_{t-5})",
    "return_10": "log(close_t / close_{t-10})",
    "return_20": "log(close_t / close_{t-20})",
    "return_60": "log(close_t / close_{t-60})",
    "return_252": "log(close_t / close_{t-252})",
    "volatility_20": "population standard deviation of the last 20 values of return_1",
    "volatility_60": "population standard deviation of the last 60 values of return_1",
    "volatility_ratio": "log(volatility_20 / volatility_60); 0 where either is 0",
    "rsi_14": "Wilder's RSI over 14 bars / 100; 0.5 where the last 252 closes are equal",
    "macd": "(EMA12 - EMA26 of close) / close",
    "macd_hist": "(MACD - EMA9 of MACD) / close",
    "bollinger_position": "(close - lower) / (upper - lower), SMA20 ± 2 sd; 0.5 where sd is 0",
    "bollinger_width": "(upper - lower) / SMA20",
    "atr_14": "Wilder's average true range over 14 bars / close",
    "adx_14": "Wilder's ADX over 14 bars / 100",
    "volume_ratio_20": "volume / mean volume of the last 20 bars; 1 where the mean is 0",
    "sma_distance_20": "log(close / SMA20)",
    "sma_distance_50": "log(close / SMA50)",
    "sma_distance_200": "log(close / SMA200)",
    "sma_cross_50_200": "log(SMA50 / SMA200)",
    "donchian_position_20": "(close - low20) / (high20 - low20) over the 20 bars before t, "
    "within [-1, 2]; 0.5 where high20 = low20",
    "donchian_position_55": "the same over the 55 bars before t",
    "high_distance_252": "log(close / highest high of the last 252 bars)",
    "close_location": "(close - low) / (high - low) of bar t; 0.5 where high = low",
    "gap": "log(open_t / close_{t-1})",
    "day_sin": "sin(2π · share of the UTC day that has passed at t)",
    "day_cos": "cos(2π · share of the UTC day that has passed at t)",
    "week_sin": "sin(2π · share of the UTC week, from Monday 00:00, that has passed at t)",
    "week_cos": "cos(2π · share of the UTC week that has passed at t)",
    "year_sin": "sin(2π · share of the calendar year that has passed at t)",
    "year_cos": "cos(2π · share of the calendar year that has passed at t)",
}
"""Name → formula, in column order. "The last n bars" includes bar t."""

FEATURE_NAMES: tuple[str, ...] = tuple(FEATURE_FORMULAS)


@dataclass(frozen=True)
class FeatureSchema:
    """Names [F] in column order with the formulas behind them.

    Attributes:
        names: F feature names.
        version: raised when a formula's numbers change though its text does not.
        formulas: F texts; none: those of the built-in features.

    Raises:
        ConfigError: no features, a name twice, or one without a formula.
    """

    names: tuple[str, ...] = FEATURE_NAMES
    version: int = VERSION
    formulas: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        stated = self.stated
        wrong = len(stated) != len(self.names) or not all(stated)
        if wrong or not self.names or len(set(self.names)) < len(self.names):
            raise ConfigError(
                f"features {', '.join(self.names)} with {len(list(filter(None, stated)))} formulas",
                expected="one or more features, each with its own name and its formula",
            )

    @property
    def stated(self) -> tuple[str, ...]:
        """[F] the formulas."""
        return self.formulas or tuple(FEATURE_FORMULAS.get(name, "") for name in self.names)

    @property
    def hash(self) -> str:
        """SHA-256 (hex) of names, formulas and version."""
        formulas = [list(pair) for pair in zip(self.names, self.stated, strict=True)]
        return digest({"features": formulas, "version": self.version})

    @property
    def layout(self) -> ObservationLayout:
        """The layout of observations of these features: they, then the portfolio."""
        return ObservationLayout(self.names, self.hash)
