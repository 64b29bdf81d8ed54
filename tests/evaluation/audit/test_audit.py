"""The leak detector finds every planted leak and none where there is none."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.ndimage import gaussian_filter1d
from scipy.signal import detrend, fftconvolve, filtfilt, savgol_filter

from offline_trader.errors import ConfigError, DataError
from offline_trader.evaluation.audit import AuditConfig, audit_function

Planted = Callable[[pd.DataFrame], Any]


def _frame(n_bars: int = 600, seed: int = 3) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    close = 100.0 * np.exp(np.cumsum(rng.normal(0.0, 0.01, n_bars)))
    open_ = close * np.exp(rng.normal(0.0, 0.002, n_bars))
    spread = np.abs(rng.normal(0.0, 0.004, n_bars))
    return pd.DataFrame(
        {
            "open": open_,
            "high": np.maximum(open_, close) * (1 + spread),
            "low": np.minimum(open_, close) * (1 - spread),
            "close": close,
            "volume": rng.lognormal(10.0, 0.3, n_bars),
        },
        index=pd.date_range("2015-01-02", periods=n_bars, freq="B", tz="UTC"),
    )


def _returns(frame: pd.DataFrame) -> pd.Series:
    return np.log(frame["close"]).diff()  # type: ignore[no-any-return]


def _regression_residual(frame: pd.DataFrame) -> Any:
    y = _returns(frame).fillna(0.0).to_numpy()
    x = np.roll(y, 1)
    slope = (x @ y) / (x @ x)
    return y - slope * x


def _target_mean_encoding(frame: pd.DataFrame) -> Any:
    target = _returns(frame).shift(-1)
    return target.groupby(pd.DatetimeIndex(frame.index).day_of_week).transform("mean")


def _nearest_merge(frame: pd.DataFrame) -> Any:
    weekly = frame["close"].resample("W-WED").last().rename("weekly").reset_index()
    weekly["timestamp"] = weekly.pop(weekly.columns[0])
    left = pd.DataFrame({"timestamp": frame.index})
    merged = pd.merge_asof(left, weekly, on="timestamp", direction="nearest")
    return merged["weekly"].to_numpy()


def _zigzag(frame: pd.DataFrame) -> Any:
    close = frame["close"]
    return ((close.shift(1) < close) & (close.shift(-1) < close)).astype(float)


LEAKS: dict[str, Planted] = {
    "shift -1": lambda f: f["close"].shift(-1) / f["close"],
    "next return as feature": lambda f: _returns(f).shift(-1),
    "five-bar target": lambda f: f["close"].pct_change(5).shift(-5),
    "next open": lambda f: f["open"].shift(-1),
    "centred window": lambda f: f["close"].rolling(5, center=True).mean(),
    "centred volatility": lambda f: _returns(f).rolling(21, center=True).std(),
    "full-sample z-score": lambda f: (f["close"] - f["close"].mean()) / f["close"].std(),
    "full-sample min-max": lambda f: f["close"] / f["close"].max(),
    "full-sample rank": lambda f: f["volume"].rank(pct=True),
    "full-sample quantile bins": lambda f: np.digitize(
        f["volume"], np.nanquantile(f["volume"], [0.2, 0.4, 0.6, 0.8])
    ).astype(float),
    "back-filled gaps": lambda f: f["close"].bfill(),
    "interpolated gaps": lambda f: f["close"].interpolate(),
    "back-filled warm-up": lambda f: f["close"].rolling(200).mean().bfill(),
    "weekly label left": lambda f: f["close"].resample("W", label="left").last(),
    "weekly label left, spread over days": lambda f: (
        f["close"].resample("W-FRI", label="left").last().reindex(f.index, method="ffill")
    ),
    "month's own mean": lambda f: (
        f["close"].groupby(pd.DatetimeIndex(f.index).month).transform("mean")
    ),
    "reversed moving average": lambda f: f["close"][::-1].ewm(span=10).mean()[::-1],
    "numpy gradient": lambda f: np.gradient(f["close"].to_numpy()),
    "zero-phase filter": lambda f: filtfilt([0.2], [1.0, -0.8], f["close"].ffill().to_numpy()),
    "Savitzky-Golay": lambda f: savgol_filter(f["close"].ffill().to_numpy(), 7, 2),
    "gaussian smoothing": lambda f: gaussian_filter1d(f["close"].ffill().to_numpy(), 2.0),
    "detrended": lambda f: detrend(np.log(f["close"].ffill().to_numpy())),
    "residual of a regression on everything": _regression_residual,
    "target mean encoding": _target_mean_encoding,
    "nearest merge": _nearest_merge,
    "pivot points": _zigzag,
    "Fourier low-pass": lambda f: np.fft.irfft(
        np.fft.rfft(f["close"].ffill().to_numpy())[:20], n=len(f)
    ),
}


def _needs_every_bar(frame: pd.DataFrame) -> Any:
    """The next bar's body, by code that refuses fewer bars than it was written for."""
    assert len(frame) == 600
    return (frame["close"] / frame["open"]).shift(-1)


LEAKS |= {
    "shape of the next bar": lambda f: (f["close"] / f["open"]).shift(-1),
    "shape of the next bar, fixed length": _needs_every_bar,
    "bars until the end": lambda f: np.arange(len(f))[::-1],
    "rows by position": lambda f: f.reset_index()["close"].shift(-1),
    "index without its time zone": lambda f: f["close"].shift(-1).tz_localize(None),
    "index in another time zone": lambda f: f["close"].shift(-1).tz_convert("America/New_York"),
    "index of dates": lambda f: pd.Series(
        f["close"].shift(-1).to_numpy(), index=pd.DatetimeIndex(f.index).date
    ),
    "columns by number": lambda f: pd.DataFrame({0: f["close"], 1: f["close"].shift(-1)}),
    "two columns of one name": lambda f: pd.concat([f["close"], f["close"].shift(-1)], axis=1),
    "a dictionary": lambda f: {"fine": f["close"], "leaky": f["close"].shift(-1)},
}

LEAKS |= {
    "finite or infinite": lambda f: np.where(_returns(f).shift(-1) > 0, f["close"], np.inf),
    "infinite or infinite": lambda f: np.where(_returns(f).shift(-1) > 0, np.inf, -np.inf),
    "division by what is zero": lambda f: 1.0 / (_returns(f).shift(-1) > 0).astype(float),
    "Monday's open on Sunday": lambda f: f["open"].resample("W", label="left").first(),
    "stamped at the end of the day": lambda f: pd.Series(
        f["close"].shift(-1).to_numpy(), index=pd.DatetimeIndex(f.index) + pd.Timedelta(hours=16)
    ),
    "periods of a day": lambda f: pd.Series(
        f["close"].shift(-1).to_numpy(),
        index=pd.DatetimeIndex(f.index).tz_localize(None).to_period("D"),
    ),
    "days without bars, back-filled": lambda f: f["close"].resample("D").last().bfill(),
}

CAUSAL: dict[str, Planted] = {
    "log return": _returns,
    "moving average": lambda f: f["close"].rolling(20).mean(),
    "exponential average": lambda f: f["close"].ewm(span=10, adjust=False).mean(),
    "expanding z-score": lambda f: (
        (f["close"] - f["close"].expanding().mean()) / f["close"].expanding().std()
    ),
    "forward-filled gaps": lambda f: f["close"].ffill(),
    "weekly label right": lambda f: f["close"].resample("W", label="right").last(),
    "high of the last year": lambda f: f["high"].rolling(252, min_periods=1).max(),
    "several": lambda f: np.column_stack([f["close"], f["open"].shift(1)]),
    "Fourier convolution, whose rounding reads everything": lambda f: fftconvolve(
        np.nan_to_num(_returns(f).to_numpy()), np.linspace(1.0, 0.1, 30)
    )[: len(f)],
    "rows by position": lambda f: f.reset_index()["close"].rolling(5).mean(),
    "index without its time zone": lambda f: f["close"].tz_localize(None),
    "infinite": lambda f: 1.0 / (f["close"] > f["open"]).astype(float),
    "stamped at the end of the day": lambda f: pd.Series(
        f["close"].to_numpy(), index=pd.DatetimeIndex(f.index) + pd.Timedelta(hours=16)
    ),
    "periods of a week": lambda f: (
        f["close"].groupby(pd.DatetimeIndex(f.index).tz_localize(None).to_period("W-FRI")).last()
    ),
    "days without bars, forward-filled": lambda f: f["close"].resample("D").last().ffill(),
    "written into its argument": lambda f: f.pop("close").pct_change(),
}


@pytest.mark.parametrize("name", LEAKS)
def test_finds_planted_leak(name: str) -> None:
    result = audit_function(LEAKS[name], _frame())
    assert not result.clean, name


@pytest.mark.parametrize("name", CAUSAL)
def test_causal_function_is_clean(name: str) -> None:
    result = audit_function(CAUSAL[name], _frame())
    assert result.clean, result.leaks
    assert result.comparisons > 50


def test_names_bar_and_reach_of_a_one_bar_leak() -> None:
    frame = _frame()

    def features(f: pd.DataFrame) -> pd.DataFrame:
        return pd.DataFrame({"fine": f["close"].diff(), "leaky": f["close"].shift(-1)})

    (leak,) = audit_function(features, frame).leaks
    assert leak.output == "leaky"
    assert leak.reach_bars == 1
    assert leak.bar == leak.cut, "a one-bar leak moves just the last known row"
    assert leak.timestamp == str(frame.index[leak.cut])


@pytest.mark.parametrize(("width", "reach"), [(5, 2), (9, 4)])
def test_reach_of_a_centred_window(width: int, reach: int) -> None:
    (leak,) = audit_function(
        lambda f: f["close"].rolling(width, center=True).mean(), _frame()
    ).leaks
    assert leak.reach_bars == reach


def test_reach_of_the_next_bars_shape() -> None:
    """Its ratio does not move when all prices of a bar move together."""
    (leak,) = audit_function(lambda f: (f["close"] / f["open"]).shift(-1), _frame()).leaks
    assert leak.reach_bars == 1


def test_two_columns_of_one_name_are_told_apart() -> None:
    result = audit_function(LEAKS["two columns of one name"], _frame())
    assert result.outputs == ("close", "close (2)")
    assert [leak.output for leak in result.leaks] == ["close (2)"]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda f: None, "NoneType"),
        (lambda f: 3.0, "a single number"),
        (lambda f: pd.Series(["buy"] * len(f), index=f.index), "no numbers"),
        (lambda f: pd.concat([f["close"], f["close"]]), "twice"),
        (lambda f: f[["close", "open"]].stack(), "index"),
        (lambda f: f.reset_index()["close"].dropna()[1:], "599 rows"),
        (lambda f: {"a": [1.0], "b": [1.0, 2.0]}, "cannot be read"),
        (lambda f: f["close"].iloc[:0], "no rows"),
        (lambda f: f[[]], "no rows"),
    ],
)
def test_what_is_no_output_is_refused(wrong: Planted, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        audit_function(wrong, _frame())


def test_a_row_between_two_bars_is_placed_at_the_bar_before() -> None:
    frame = _frame()
    (leak,) = audit_function(LEAKS["stamped at the end of the day"], frame).leaks
    assert leak.bar == leak.cut
    assert leak.reach_bars == 1
    assert leak.timestamp == str(frame.index[leak.cut] + pd.Timedelta(hours=16))


def test_whole_sample_statistic_has_no_reach() -> None:
    (leak,) = audit_function(lambda f: f["close"] - f["close"].mean(), _frame()).leaks
    assert leak.reach_bars is None


def test_what_is_read_elsewhere_is_told() -> None:
    """A function that looks its future up in a table of its own moves with no bar."""
    table = _frame()["close"].shift(-1)
    result = audit_function(
        lambda f: pd.DataFrame({"own": f["close"], "elsewhere": table.reindex(f.index)}), _frame()
    )
    assert result.clean
    assert result.unread == ("elsewhere",)
    assert result.to_dict()["unread"] == ("elsewhere",)


def test_random_function_is_refused() -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(ConfigError, match="two different answers"):
        audit_function(lambda f: rng.random(len(f)), _frame())


def test_a_function_that_takes_no_other_bars_is_not_called_clean() -> None:
    frame = _frame()

    def recorded(other: pd.DataFrame) -> Any:
        pd.testing.assert_frame_equal(other, frame)
        return other["close"].shift(-1)

    with pytest.raises(ConfigError, match="nothing could be compared"):
        audit_function(recorded, frame)


def test_failing_function_is_named() -> None:
    def broken(frame: pd.DataFrame) -> Any:
        return frame["no such column"]

    with pytest.raises(ConfigError, match="KeyError"):
        audit_function(broken, _frame())


def test_wrong_length_is_refused() -> None:
    with pytest.raises(ConfigError, match="600 bars"):
        audit_function(lambda f: f["close"].to_numpy()[1:], _frame())


def test_too_few_bars() -> None:
    with pytest.raises(DataError, match="bars"):
        audit_function(_returns, _frame(30))


def test_bad_config() -> None:
    with pytest.raises(ConfigError):
        AuditConfig(cuts=0)
    with pytest.raises(ConfigError, match="seed"):
        AuditConfig(seed=-1)
