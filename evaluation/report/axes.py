"""Where the ticks of an axis go."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np

from offline_trader.evaluation.report.charts import NumberFormat, format_number
from offline_trader.types import FloatArray

__all__ = ["Axis", "date_axis", "linear_axis", "log_axis"]


@dataclass(frozen=True)
class Axis:
    """A scale from data to [0, 1] with its ticks.

    Attributes:
        lower, upper: data range that is shown.
        log: logarithmic.
        ticks: (data value, text) in ascending order.
    """

    lower: float
    upper: float
    log: bool
    ticks: tuple[tuple[float, str], ...]

    def __call__(self, values: FloatArray | float) -> FloatArray:
        """Positions in [0, 1]; NaN stays NaN."""
        data = np.asarray(values, dtype=np.float64)
        if self.log:
            low, high = math.log(self.lower), math.log(self.upper)
            with np.errstate(divide="ignore", invalid="ignore"):
                return np.asarray((np.log(data) - low) / (high - low))
        if self.lower == self.upper:  # a single point lies in the middle
            return np.asarray(0.5 + 0.0 * data)
        return np.asarray((data - self.lower) / (self.upper - self.lower))


def linear_axis(values: FloatArray, unit: NumberFormat, *, wanted: int = 5) -> Axis:
    """An axis with about ``wanted`` round ticks that spans the finite ``values``."""
    low, high = _range(values)
    step = _round_step((high - low) / max(wanted - 1, 1))
    lower, upper = math.floor(low / step) * step, math.ceil(high / step) * step
    if lower == upper:
        lower, upper = lower - step, upper + step
    count = round((upper - lower) / step)
    marks = [lower + i * step for i in range(count + 1)]
    marks = [0.0 if abs(mark) < step * 1e-9 else mark for mark in marks]
    return Axis(lower, upper, False, tuple((mark, _text(mark, step, unit)) for mark in marks))


def log_axis(values: FloatArray, unit: NumberFormat) -> Axis:
    """A logarithmic axis over the positive ``values``; its ticks are round numbers 1, 2, 5 or, on a
    short range, finer."""
    data = np.asarray(values, dtype=np.float64)
    low, high = _range(data[data > 0])
    low = low or high / 10.0
    span = math.log10(high / low)
    pad = 10 ** (0.04 * max(span, 0.05))
    lower, upper = low / pad, high * pad
    if span > 0.6:
        factors = (1, 2, 5) if span < 3 else (1,)
        marks = [
            factor * 10.0**power
            for power in range(math.floor(math.log10(lower)), math.ceil(math.log10(upper)) + 1)
            for factor in factors
        ]
        marks = [mark for mark in marks if lower <= mark <= upper]
        if len(marks) < 4:
            marks = [
                factor * 10.0**power
                for power in range(math.floor(math.log10(lower)), math.ceil(math.log10(upper)) + 1)
                for factor in (1, 1.5, 2, 3, 5, 7)
                if lower <= factor * 10.0**power <= upper
            ]
    else:
        marks = []
        for wanted in (5, 8, 12):
            ticks = linear_axis(np.array([low, high]), unit, wanted=wanted).ticks
            marks = [v for v, _ in ticks if lower <= v <= upper]
            if len(marks) >= 4:
                break
    return Axis(lower, upper, True, tuple((mark, format_number(mark, unit)) for mark in marks))


def date_axis(seconds: FloatArray, *, wanted: int = 8) -> Axis:
    """A time axis whose ticks fall on year, month, or day starts (UTC)."""
    low, high = _range(seconds)
    if low == high:
        low, high = low - 86_400, high + 86_400
    days = (high - low) / 86_400
    if days > 365 * 2.5:
        step = max(1, math.ceil(days / 365.25 / wanted))
        first, last = datetime.fromtimestamp(low, UTC).year, datetime.fromtimestamp(high, UTC).year
        dates = [datetime(y, 1, 1, tzinfo=UTC) for y in range(first, last + 2) if y % step == 0]
        texts = [f"{date:%Y}" for date in dates]
    elif days > 45:
        step = max(1, math.ceil(days / 30.4 / wanted))
        start = datetime.fromtimestamp(low, UTC)
        months = [start.year * 12 + start.month - 1 + i for i in range(int(days / 28) + 3)]
        dates = [datetime(m // 12, m % 12 + 1, 1, tzinfo=UTC) for m in months if m % step == 0]
        texts = [f"{date:%b %Y}" for date in dates]
    else:
        step_s = max((high - low) / wanted, 60.0)
        unit = next((u for u in (60, 300, 900, 3600, 14400, 86_400) if u >= step_s), 86_400)
        unit = max(unit, math.ceil(step_s / 86_400) * 86_400 if step_s > 86_400 else unit)
        first_s = math.ceil(low / unit) * unit
        dates = [
            datetime.fromtimestamp(first_s + i * unit, UTC)
            for i in range(int((high - first_s) // unit) + 1)
        ]
        texts = [f"{date:%d %b}" if unit >= 86_400 else f"{date:%d %H:%M}" for date in dates]
    ticks = [(date.timestamp(), text) for date, text in zip(dates, texts, strict=True)]
    return Axis(low, high, False, tuple(t for t in ticks if low <= t[0] <= high))


def _range(values: FloatArray) -> tuple[float, float]:
    finite = np.asarray(values, dtype=np.float64)
    finite = finite[np.isfinite(finite)]
    if finite.size == 0:
        return 0.0, 1.0
    return float(finite.min()), float(finite.max())


def _round_step(raw: float) -> float:
    """The next of 1, 2, 2.5, 5 × 10^k at or above ``raw``."""
    if raw <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(raw))
    return next(
        factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= raw * (1 - 1e-9)
    )


def _text(value: float, step: float, unit: NumberFormat) -> str:
    if unit == "money":
        return format_number(value, unit)
    factor = {"percent": 100.0, "bp": 1e4}.get(unit, 1.0)
    scaled, grid = factor * value, factor * step
    digits = max(0, -math.floor(math.log10(grid) + 1e-9))
    if round(grid, digits) != round(grid, digits + 2):
        digits += 1
    text = f"{scaled:,.{digits}f}" + (" %" if unit == "percent" else "")
    return text.replace("-", "−")
