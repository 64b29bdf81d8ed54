"""Every feature against an independent formula: plain Python over lists, one bar at a time."""

from __future__ import annotations

import datetime
import math
import statistics
from collections.abc import Callable

import numpy as np
import pytest

from offline_trader.features import FEATURE_NAMES, compute_features
from offline_trader.markets import Bars, load_market

ROWS = (252, 253, 400, 1000, 3000, 5030)


def window_features(bars: Bars, t: int) -> dict[str, float]:
    """Features of row t that read a window, from the definitions in the documentation."""
    c, h, lo = bars.close.tolist(), bars.high.tolist(), bars.low.tolist()
    o, v = bars.open.tolist(), bars.volume.tolist()
    out = {f"return_{k}": math.log(c[t] / c[t - k]) for k in (1, 5, 10, 20, 60, 252)}
    ones = [math.log(c[i] / c[i - 1]) for i in range(t - 59, t + 1)]
    out["volatility_20"], out["volatility_60"] = (statistics.pstdev(ones[-n:]) for n in (20, 60))
    out["volatility_ratio"] = math.log(out["volatility_20"] / out["volatility_60"])
    sma = {n: statistics.fmean(c[t - n + 1 : t + 1]) for n in (20, 50, 200)}
    out |= {f"sma_distance_{n}": math.log(c[t] / sma[n]) for n in sma}
    out["sma_cross_50_200"] = math.log(sma[50] / sma[200])
    sd = statistics.pstdev(c[t - 19 : t + 1])
    out["bollinger_position"] = (c[t] - (sma[20] - 2 * sd)) / (4 * sd)
    out["bollinger_width"] = 4 * sd / sma[20]
    for n in (20, 55):
        top, bottom = max(h[t - n : t]), min(lo[t - n : t])
        out[f"donchian_position_{n}"] = min(max((c[t] - bottom) / (top - bottom), -1.0), 2.0)
    out["high_distance_252"] = math.log(c[t] / max(h[t - 251 : t + 1]))
    out["volume_ratio_20"] = v[t] / statistics.fmean(v[t - 19 : t + 1])
    out["close_location"] = (c[t] - lo[t]) / (h[t] - lo[t])
    out["gap"] = math.log(o[t] / c[t - 1])
    return out


def wilder(values: list[float], n: int = 14) -> list[float]:
    """Wilder's average: the mean of the first n, then (13 · previous + x) / 14."""
    out = [statistics.fmean(values[:n])]
    for x in values[n:]:
        out.append(out[-1] + (x - out[-1]) / n)
    return out


def exponential(values: list[float], n: int) -> list[float]:
    out = [statistics.fmean(values[:n])]
    for x in values[n:]:
        out.append(out[-1] + 2.0 / (n + 1) * (x - out[-1]))
    return out


def recursive_features(bars: Bars) -> dict[str, list[float]]:
    """Wilder (1978) and Appel's MACD from their definitions; lists end at the last bar."""
    c, h, lo = bars.close.tolist(), bars.high.tolist(), bars.low.tolist()
    n = len(c)
    change = [c[i] - c[i - 1] for i in range(1, n)]
    gain, loss = wilder([max(x, 0.0) for x in change]), wilder([max(-x, 0.0) for x in change])
    rsi = [g / (g + x) for g, x in zip(gain, loss, strict=True)]
    ranges = [max(h[i] - lo[i], abs(h[i] - c[i - 1]), abs(lo[i] - c[i - 1])) for i in range(1, n)]
    atr = wilder(ranges)
    slow = exponential(c, 26)
    fast = exponential(c, 12)[-len(slow) :]
    macd = [a - b for a, b in zip(fast, slow, strict=True)]
    signal = exponential(macd, 9)
    up = [h[i] - h[i - 1] for i in range(1, n)]
    down = [lo[i - 1] - lo[i] for i in range(1, n)]
    plus = [u if u > d and u > 0 else 0.0 for u, d in zip(up, down, strict=True)]
    minus = [d if d > u and d > 0 else 0.0 for u, d in zip(up, down, strict=True)]
    # Wilder's sums start from the first 13 movements
    smooth = []
    for series in (plus, minus, ranges):
        total, sums = sum(series[:13]), []
        for x in series[13:]:
            total += x - total / 14
            sums.append(total)
        smooth.append(sums)
    index = [abs(p / r - m / r) / (p / r + m / r) for p, m, r in zip(*smooth, strict=True)]
    return {
        "rsi_14": rsi,
        "macd": [m / x for m, x in zip(macd, c[-len(macd) :], strict=True)],
        "macd_hist": [
            (m - s) / x
            for m, s, x in zip(macd[-len(signal) :], signal, c[-len(signal) :], strict=True)
        ],
        "atr_14": [a / x for a, x in zip(atr, c[-len(atr) :], strict=True)],
        "adx_14": wilder(index),
    }


def calendar_features(stamp: np.datetime64) -> dict[str, float]:
    t = stamp.astype("datetime64[us]").astype(datetime.datetime)
    midnight = datetime.datetime(t.year, t.month, t.day)
    monday = midnight - datetime.timedelta(days=t.weekday())
    new_year = datetime.datetime(t.year, 1, 1)
    spans = {
        "day": (t - midnight) / datetime.timedelta(days=1),
        "week": (t - monday) / datetime.timedelta(days=7),
        "year": (t - new_year) / (datetime.datetime(t.year + 1, 1, 1) - new_year),
    }
    waves = {"sin": math.sin, "cos": math.cos}
    return {
        f"{name}_{wave}": function(2 * math.pi * share)
        for name, share in spans.items()
        for wave, function in waves.items()
    }


@pytest.mark.parametrize("market", ["sp500", "nasdaq"])
def test_every_feature_on_real_bars(market: str) -> None:
    bars = load_market(market)
    features = compute_features(bars)
    recursive = recursive_features(bars)
    for t in ROWS:
        expected = window_features(bars, t) | calendar_features(bars.timestamps[t])
        expected |= {name: series[t - len(bars)] for name, series in recursive.items()}
        assert set(expected) == set(FEATURE_NAMES)
        got = {name: float(features.column(name)[t]) for name in FEATURE_NAMES}
        assert got == pytest.approx(expected, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize(
    "step", [np.timedelta64(60, "s"), np.timedelta64(5400, "s"), np.timedelta64(7, "D")]
)
def test_calendar_on_any_spacing(make_bars: Callable[..., Bars], step: np.timedelta64) -> None:
    bars = make_bars(600, seed=1, step=step.astype("timedelta64[ns]"))
    features = compute_features(bars)
    for t in range(252, 600, 29):
        for name, expected in calendar_features(bars.timestamps[t]).items():
            assert features.column(name)[t] == pytest.approx(expected, abs=1e-9)


def test_shape_and_warm_up() -> None:
    features = compute_features(load_market("sp500"))
    assert features.values.shape == (5031, 32)
    assert len(features) == 5031
    assert features.values.dtype == np.float64
    assert not features.values.flags.writeable
    assert np.isnan(features.values[: features.warmup]).all()
    assert np.isfinite(features.values[features.warmup :]).all()
    assert features.warmup == 252


def test_features_are_of_the_order_of_their_names() -> None:
    """Bounds that follow from the definitions."""
    features = compute_features(load_market("nasdaq"))
    limits = {
        "rsi_14": (0, 1), "adx_14": (0, 1), "close_location": (0, 1), "volume_ratio_20": (0, 20),
        "donchian_position_20": (-1, 2), "donchian_position_55": (-1, 2),
        # a value lies within sqrt(19) population deviations of the mean of its 20
        "bollinger_position": (0.5 - 19**0.5 / 4, 0.5 + 19**0.5 / 4),
        "volatility_20": (0, 1), "volatility_60": (0, 1), "high_distance_252": (-2, 0),
        "day_sin": (0, 0), "day_cos": (1, 1),
    }  # fmt: skip
    for name, (low, high) in limits.items():
        column = features.column(name)[252:]
        assert low <= column.min() <= column.max() <= high, name
