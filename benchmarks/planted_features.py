"""Features as users write them: some that read the future, in the ways people do, and causal ones.

A name that begins with ``leak_`` reads the future; ``causal_`` does not. What ends with ``_by_day``
needs several bars a day. Some read ``sentiment``, a signal with gaps.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from scipy.signal import filtfilt, lfilter, savgol_filter
from sklearn.decomposition import PCA
from sklearn.linear_model import LinearRegression
from sklearn.preprocessing import StandardScaler

from offline_trader.features.leaks import bars_frame
from offline_trader.markets import load_market

_CACHE: dict[str, pd.Series[float]] = {}


def _returns(bars: pd.DataFrame) -> pd.Series[float]:
    return np.log(bars["close"]).diff()


def _day(bars: pd.DataFrame) -> Any:
    return pd.DatetimeIndex(bars.index).normalize()


def leak_next_return(bars: pd.DataFrame) -> Any:
    """The label among the features."""
    return _returns(bars).shift(-1)


def leak_centred_mean(bars: pd.DataFrame) -> Any:
    """A smoother that looks to both sides."""
    return bars["close"] / bars["close"].rolling(11, center=True, min_periods=1).mean() - 1.0


def leak_full_sample_zscore(bars: pd.DataFrame) -> Any:
    """Mean and deviation of all bars."""
    volume = np.log1p(bars["volume"])
    return (volume - volume.mean()) / volume.std()


def leak_filled_backwards(bars: pd.DataFrame) -> Any:
    """The warm-up filled with what comes after it."""
    return (bars["close"] / bars["close"].rolling(50).mean() - 1.0).bfill()


def leak_fitted_pca(bars: pd.DataFrame) -> Any:
    """Scaler and components fitted on all bars."""
    r = _returns(bars)
    table = pd.DataFrame({f"lag_{k}": r.shift(k) for k in range(5)}).fillna(0.0)
    return PCA(2).fit_transform(StandardScaler().fit_transform(table))


def leak_future_high(bars: pd.DataFrame) -> Any:
    """How far the highest of the next ten bars is."""
    ahead = bars["high"][::-1].rolling(10, min_periods=1).max()[::-1]
    return ahead / bars["close"] - 1.0


def leak_week_label(bars: pd.DataFrame) -> Any:
    """The week's last close, from its first day on."""
    week = pd.DatetimeIndex(bars.index).tz_localize(None).to_period("W")
    return bars["close"].groupby(week).transform("last") / bars["close"] - 1.0


def leak_rare_large_moves(bars: pd.DataFrame) -> Any:
    """Right but where the move is among the thousandth largest."""
    r = _returns(bars)
    return r.where(r.abs() < 5.0 * r.rolling(250, min_periods=20).std(), r.shift(-1))


def leak_rare_dates(bars: pd.DataFrame) -> Any:
    """Momentum, and on the first trading day of each quarter the return that comes."""
    quarter = pd.DatetimeIndex(bars.index).quarter
    first = np.append(True, quarter[1:] != quarter[:-1])
    momentum = bars["close"].pct_change(20)
    return momentum.where(~first, momentum + _returns(bars).shift(-1))


def leak_one_bar_in_a_thousand(bars: pd.DataFrame) -> Any:
    """Right but where the close's third decimal happens to be nine."""
    cents = (bars["close"] * 1000.0).round().astype("int64") % 997 == 9
    return _returns(bars).where(~cents, _returns(bars).shift(-1))


def leak_tiny(bars: pd.DataFrame) -> Any:
    """A millionth of the return that comes, on top of a mean of prices."""
    return bars["close"].rolling(20).mean() + 1e-6 * _returns(bars).shift(-1).fillna(0.0)


def leak_last_of_the_day_by_day(bars: pd.DataFrame) -> Any:
    """The day's close, in its morning."""
    return bars["close"].groupby(_day(bars)).transform("last") / bars["close"] - 1.0


def leak_gradient(bars: pd.DataFrame) -> Any:
    """A derivative by central differences."""
    return np.gradient(np.log(bars["close"].to_numpy()))


def leak_filtfilt(bars: pd.DataFrame) -> Any:
    """A filter without delay: it runs back, too."""
    x = np.log(bars["close"].ffill().to_numpy())
    return filtfilt([0.1], [1.0, -0.9], x) - x


def leak_interpolated_month_ends(bars: pd.DataFrame) -> Any:
    """Month-end values, with straight lines in between."""
    month = pd.DatetimeIndex(bars.index).month
    known = np.append(month[1:] != month[:-1], False)
    return bars["close"].where(known).interpolate() / bars["close"]


def leak_rank(bars: pd.DataFrame) -> Any:
    """The rank among all volumes."""
    return bars["volume"].rank(pct=True)


def leak_savgol(bars: pd.DataFrame) -> Any:
    """The slope of a local polynomial, around the bar."""
    return savgol_filter(np.log(bars["close"].ffill().to_numpy()), 11, 2, deriv=1)


def leak_regression(bars: pd.DataFrame) -> Any:
    """The fitted next return of a regression on all bars."""
    r = _returns(bars).fillna(0.0)
    x = pd.concat([r.shift(k).fillna(0.0) for k in range(3)], axis=1).to_numpy()
    target = r.shift(-1).fillna(0.0)
    return LinearRegression().fit(x, target).predict(x)


def leak_kept_from_the_first_call(bars: pd.DataFrame) -> Any:
    """What the first call saw is kept, and looked up."""
    kept = _CACHE.setdefault("next", _returns(bars).shift(-1))
    longer = kept if len(kept) >= len(bars) else _returns(bars).shift(-1)
    _CACHE["next"] = longer
    return longer.reindex(bars.index)


def leak_looked_up_elsewhere(bars: pd.DataFrame) -> Any:
    """Next returns by date, out of another copy of the prices."""
    if "prices" not in _CACHE:
        _CACHE["prices"] = bars_frame(load_market("sp500"))["close"]
    following = np.log(_CACHE["prices"]).diff().shift(-1)
    return following.reindex(bars.index)


def leak_signal_filled_backwards(bars: pd.DataFrame) -> Any:
    """A signal's gaps filled with its next value."""
    return bars["sentiment"].bfill()


def leak_reversed_ewm(bars: pd.DataFrame) -> Any:
    """An exponential mean from the last bar to the first."""
    return np.log(bars["close"])[::-1].ewm(span=10).mean()[::-1] - np.log(bars["close"])


def leak_next_open(bars: pd.DataFrame) -> Any:
    """The open at which the order fills."""
    return bars["open"].shift(-1) / bars["close"] - 1.0


def leak_bars_left(bars: pd.DataFrame) -> Any:
    """How many bars are left."""
    return np.arange(len(bars))[::-1] / 1000.0


def leak_quantile_bins(bars: pd.DataFrame) -> Any:
    """Five bins of all moves."""
    return pd.qcut(_returns(bars).fillna(0.0), 5, labels=False, duplicates="drop")


def causal_momentum(bars: pd.DataFrame) -> Any:
    """Returns over three lengths."""
    return pd.DataFrame({f"momentum_{k}": bars["close"].pct_change(k) for k in (5, 20, 120)})


def causal_ewm(bars: pd.DataFrame) -> Any:
    """Exponential mean and deviation of returns."""
    r = _returns(bars)
    return {"ewm_mean": r.ewm(span=20).mean(), "ewm_deviation": r.ewm(span=60).std()}


def causal_ten(bars: pd.DataFrame) -> Any:
    """Ten features, as a user's file has them."""
    close, r = bars["close"], _returns(bars)
    up, down = (
        r.clip(lower=0.0).ewm(alpha=1 / 14).mean(),
        (-r).clip(lower=0.0).ewm(alpha=1 / 14).mean(),
    )
    high, low = bars["high"].rolling(55).max(), bars["low"].rolling(55).min()
    return {
        "move_5": close.pct_change(5),
        "move_60": close.pct_change(60),
        "deviation_20": r.rolling(20).std(),
        "deviation_ewm": r.ewm(span=60).std(),
        "skew_60": r.rolling(60).skew(),
        "strength": up / (up + down),
        "place_55": (close - low) / (high - low),
        "rank_100": r.rolling(100).rank(pct=True),
        "volume": np.log1p(bars["volume"]).diff().rolling(10).mean(),
        "distance_200": close / close.rolling(200).mean() - 1.0,
    }


def causal_expanding_zscore(bars: pd.DataFrame) -> Any:
    """The volume against all volumes so far."""
    volume = np.log1p(bars["volume"])
    return (volume - volume.expanding(30).mean()) / volume.expanding(30).std()


def causal_day_sum_by_day(bars: pd.DataFrame) -> Any:
    """The return since the day began."""
    return _returns(bars).fillna(0.0).groupby(_day(bars)).cumsum()


def causal_month_sum(bars: pd.DataFrame) -> Any:
    """The return since the month began."""
    month = pd.DatetimeIndex(bars.index).tz_localize(None).to_period("M")
    return _returns(bars).fillna(0.0).groupby(month).cumsum()


def causal_rolling_rank(bars: pd.DataFrame) -> Any:
    """The rank of the move among the last hundred."""
    return _returns(bars).rolling(100).rank(pct=True)


def causal_rolling_extremes(bars: pd.DataFrame) -> Any:
    """The place within the range of the last 55 bars."""
    high, low = bars["high"].rolling(55).max(), bars["low"].rolling(55).min()
    return (bars["close"] - low) / (high - low)


def causal_filter(bars: pd.DataFrame) -> Any:
    """A filter that runs forward only."""
    x = np.log(bars["close"].ffill().to_numpy())
    return lfilter([0.1], [1.0, -0.9], x - x[0]) - (x - x[0])


def causal_difference(bars: pd.DataFrame) -> Any:
    """A derivative by backward differences."""
    return np.diff(np.log(bars["close"].to_numpy()), prepend=np.nan)


def causal_previous_week(bars: pd.DataFrame) -> Any:
    """The last close of the week before."""
    week = pd.DatetimeIndex(bars.index).tz_localize(None).to_period("W")
    last = bars["close"].groupby(week).last().shift(1)
    return last.reindex(week).to_numpy() / bars["close"].to_numpy() - 1.0


def causal_trailing_pca(bars: pd.DataFrame) -> Any:
    """Components fitted on the first 250 bars and kept."""
    r = _returns(bars)
    table = pd.DataFrame({f"lag_{k}": r.shift(k) for k in range(5)}).fillna(0.0)
    if len(table) < 250:
        return np.full((len(table), 2), np.nan)
    scaler = StandardScaler().fit(table.iloc[:250])
    found = PCA(2).fit(scaler.transform(table.iloc[:250])).transform(scaler.transform(table))
    found[:249] = np.nan
    return found


def causal_regime_counter(bars: pd.DataFrame) -> Any:
    """Bars since the last move of three deviations: a state."""
    r = _returns(bars).fillna(0.0).to_numpy()
    count, found = 0, np.empty(len(r))
    for t, move in enumerate(r):
        count = 0 if abs(move) > 0.03 else count + 1
        found[t] = np.log1p(count)
    return found


def causal_drawdown(bars: pd.DataFrame) -> Any:
    """How far below the highest close so far."""
    return bars["close"] / bars["close"].cummax() - 1.0


def causal_on_balance_volume(bars: pd.DataFrame) -> Any:
    """On-balance volume, a sum over all bars."""
    return (np.sign(_returns(bars)).fillna(0.0) * bars["volume"]).cumsum() / 1e6


def causal_rolling_beta(bars: pd.DataFrame) -> Any:
    """Slope of the return on the one before, over 120 bars."""
    r = _returns(bars)
    return r.rolling(120).cov(r.shift(1)) / r.shift(1).rolling(120).var()


def causal_convolution(bars: pd.DataFrame) -> Any:
    """Weights over the last 32 returns, by one product."""
    r = _returns(bars).fillna(0.0).to_numpy()
    if len(r) < 32:
        return np.full(len(r), np.nan)
    windows = np.lib.stride_tricks.sliding_window_view(r, 32)
    return np.concatenate([np.full(31, np.nan), windows @ np.linspace(0.0, 1.0, 32)])


def causal_signal_carried(bars: pd.DataFrame) -> Any:
    """A signal with its last value in its gaps."""
    return bars["sentiment"].ffill().rolling(5).mean()


def causal_trailing_quantile(bars: pd.DataFrame) -> Any:
    """The upper tail of the last 250 moves."""
    return _returns(bars).rolling(250).quantile(0.95)


def causal_calendar(bars: pd.DataFrame) -> Any:
    """Day of the week and of the month, which no price moves."""
    index = pd.DatetimeIndex(bars.index)
    return {"weekday": index.day_of_week.to_numpy(float), "monthday": index.day.to_numpy(float)}


def causal_kalman(bars: pd.DataFrame) -> Any:
    """A local level by Kalman's recursion."""
    x = np.log(bars["close"].to_numpy())
    level, spread, found = x[0], 1.0, np.empty(len(x))
    for t, seen in enumerate(x):
        spread += 1e-5
        gain = spread / (spread + 1e-4)
        level += gain * (seen - level)
        spread *= 1.0 - gain
        found[t] = seen - level
    return found


def causal_hurst(bars: pd.DataFrame) -> Any:
    """The ratio of variances over ten bars and one."""
    x = np.log(bars["close"])
    return x.diff(10).rolling(200).var() / (10.0 * x.diff().rolling(200).var())


def causal_supertrend(bars: pd.DataFrame) -> Any:
    """A trailing stop that flips: a state with a memory."""
    width = 3.0 * (bars["high"] - bars["low"]).rolling(10, min_periods=1).mean().to_numpy()
    close = bars["close"].to_numpy()
    side, stop, found = 1.0, close[0] - width[0], np.empty(len(close))
    for t, price in enumerate(close):
        stop = max(stop, price - width[t]) if side > 0 else min(stop, price + width[t])
        if (price - stop) * side < 0.0:
            side, stop = -side, price + side * width[t]
        found[t] = (price - stop) / price
    return found


LEAKS = tuple(name for name in globals() if name.startswith("leak_"))
CAUSAL = tuple(name for name in globals() if name.startswith("causal_"))
