"""Leak detector: perturb the future and report which outputs moved, and at which bar.

A causal function's rows up to bar t are the same whatever happens after t. The auditor
therefore computes the outputs once on the bars as they are and once on bars that differ only
after a cut t, for many cuts and several kinds of change, and compares rows ``<= t``. What moved
has read the future. This is an observation, not a proof of absence: a leak that only shows for
particular data can be missed, which is why several perturbations are used together.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from offline_trader.errors import ConfigError, DataError
from offline_trader.features.frame_outputs import FrameFunction, outputs_of
from offline_trader.markets import BAR_COLUMNS
from offline_trader.types import FloatArray

if TYPE_CHECKING:
    import pandas as pd

    from offline_trader.markets import Bars

__all__ = [
    "AuditConfig",
    "AuditResult",
    "Leak",
    "audit_function",
    "bars_frame",
    "moved",
]

_PRICES = ["open", "high", "low", "close"]
_ROUNDING = 1e-12
"""Change, as a share of an output's greatest value, that transforms over all bars (Fourier,
matrix products) leave in rows that read the past only."""


@dataclass(frozen=True)
class AuditConfig:
    """How hard to look.

    Attributes:
        cuts: number of cut regions; each is tried at ``run`` neighbouring bars, so that weekly
            and monthly groupings are cut in their middle.
        run: neighbouring cuts per region.
        tolerance: relative change that counts as moved; smaller ones are rounding.
        seed: of the cuts and the perturbations.
    """

    cuts: int = 6
    run: int = 3
    tolerance: float = 1e-9
    seed: int = 0

    def __post_init__(self) -> None:
        if self.cuts < 1 or self.run < 1:
            raise ConfigError(f"audit: cuts {self.cuts}, run {self.run}", expected="at least 1")
        for name in ("tolerance", "seed"):
            if getattr(self, name) < 0:
                raise ConfigError(f"audit: {name} {getattr(self, name)}", expected="0 or more")


@dataclass(frozen=True)
class Leak:
    """One output that read the future.

    Attributes:
        output: column name.
        bar: first row that moved although it lies before the change.
        timestamp: of that row.
        cut: last unchanged bar of the perturbation that showed it.
        reach_bars: bars of the future that the row is seen to read, from changing single bars;
            None where no single bar moved it (whole-sample statistics).
        perturbation: what was changed after the cut.
        rows_moved: how many rows up to the cut moved.
        before, after: the output at ``bar`` on the two versions of the future.
    """

    output: str
    bar: int
    timestamp: str
    cut: int
    reach_bars: int | None
    perturbation: str
    rows_moved: int
    before: float
    after: float


@dataclass(frozen=True)
class AuditResult:
    """Outcome of one audit.

    Attributes:
        outputs: names of every output looked at.
        leaks: one entry for each output that moved.
        comparisons: pairs of computations that were compared.
        skipped: perturbations that the function refused, with its message.
        unread: outputs that stay the same when all prices and volumes change, such as a calendar;
            what a function reads elsewhere than in its argument cannot be audited.
    """

    outputs: tuple[str, ...]
    leaks: tuple[Leak, ...]
    comparisons: int
    skipped: tuple[str, ...]
    unread: tuple[str, ...] = ()

    @property
    def clean(self) -> bool:
        """True where nothing before a cut moved."""
        return not self.leaks

    def to_dict(self) -> dict[str, Any]:
        """JSON form."""
        return {"clean": self.clean, **asdict(self)}


def bars_frame(bars: Bars) -> pd.DataFrame:
    """Frame [T] with columns open, high, low, close, volume, the signals, and times (UTC)."""
    return bars.to_frame()


def audit_function(
    function: FrameFunction, frame: pd.DataFrame, config: AuditConfig | None = None
) -> AuditResult:
    """Audit ``function`` on ``frame`` [T].

    Causality is judged by timestamp: a row stamped τ is taken to be known at τ, so outputs with
    their own, coarser index (resampled bars) are judged by their labels, also between two bars.

    Raises:
        ConfigError: the function fails on the untouched bars or on all that were changed, returns
            no numbers, or gives two different answers for the same bars.
        DataError: fewer bars than the cuts need.
    """
    config = config or AuditConfig()
    if len(frame) < 20 * config.run:
        raise DataError(f"audit: {len(frame)} bars", expected=f"at least {20 * config.run}")
    rng = np.random.default_rng(config.seed)
    baseline = outputs_of(function, frame)
    if baseline.empty:
        raise ConfigError("the audited function returned no rows", expected="at least one number")
    _check_deterministic(function, frame, baseline)
    found: dict[str, Leak] = {}
    skipped: list[str] = []
    comparisons = 0
    gapped = _with_gaps(frame, rng)
    references: dict[str, Any] = {"as is": (frame, baseline)}
    try:
        references["with gaps"] = (gapped, outputs_of(function, gapped))
    except ConfigError as error:
        skipped.append(f"bars with gaps: {error.found}")
    for cut in _cuts(len(frame), config, rng):
        for label, (source, reference) in references.items():
            for name, changed in _perturbations(source, cut, rng):
                kind = name if label == "as is" else f"{name}, {label}"
                try:
                    other = outputs_of(function, changed)
                except ConfigError as error:
                    skipped.append(f"{kind} after bar {cut}: {error.found}")
                    continue
                comparisons += 1
                _compare(reference, other, frame, cut, kind, config, found)
    if not comparisons:
        raise ConfigError(
            f"nothing could be compared: {skipped[-1]}",
            expected="a function that takes other bars of the same form, too",
        )
    leaks = tuple(
        _with_reach(function, frame, baseline, leak, config, rng) for leak in found.values()
    )
    return AuditResult(
        outputs=tuple(baseline.columns),
        leaks=leaks,
        comparisons=comparisons,
        skipped=tuple(skipped),
        unread=_unread(function, frame, baseline, config),
    )


def _unread(
    function: FrameFunction, frame: pd.DataFrame, baseline: pd.DataFrame, config: AuditConfig
) -> tuple[str, ...]:
    """Outputs on which the bars, all changed from the second on, have no influence."""
    _, changed = next(_perturbations(frame, 0, np.random.default_rng([config.seed, 1])))
    try:
        other = outputs_of(function, changed).reindex(baseline.index)
    except ConfigError:
        return ()
    return tuple(
        name
        for name in baseline.columns
        if name in other
        and not moved(baseline[name].to_numpy(), other[name].to_numpy(), config.tolerance).any()
    )


def _check_deterministic(
    function: FrameFunction, frame: pd.DataFrame, baseline: pd.DataFrame
) -> None:
    again = outputs_of(function, frame)
    same = again.shape == baseline.shape and np.array_equal(
        again.to_numpy(), baseline.to_numpy(), equal_nan=True
    )
    if not same:
        raise ConfigError(
            "the audited function gave two different answers for the same bars",
            expected="the same output for the same input",
            hint="seed its random numbers and clear its state between calls",
        )


def _with_gaps(frame: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """About 8 % of the bars lost: prices and volume not a number, as after a reindex."""
    gapped = frame.copy()
    gapped.iloc[np.flatnonzero(rng.random(len(frame)) < 0.08)] = np.nan
    return gapped


def _cuts(n_bars: int, config: AuditConfig, rng: np.random.Generator) -> Sequence[int]:
    low, high = n_bars // 4, n_bars - 2 - config.run
    anchors = rng.choice(np.arange(low, high), size=min(config.cuts, high - low), replace=False)
    return sorted({int(a) + k for a in anchors for k in range(config.run)})


def _perturbations(
    frame: pd.DataFrame, cut: int, rng: np.random.Generator
) -> Iterator[tuple[str, pd.DataFrame]]:
    """Versions of the bars that differ only after ``cut``."""
    later = len(frame) - cut - 1
    walk = np.exp(np.cumsum(rng.normal(0.0, 0.03, later)))
    prices = frame[_PRICES].to_numpy(dtype=np.float64)
    volume = frame["volume"].to_numpy(dtype=np.float64)
    signals = [name for name in frame.columns if name not in BAR_COLUMNS]
    paths = {
        "new path": walk,
        "prices × 3": np.full(later, 3.0),
        "prices ÷ 3": np.full(later, 1.0 / 3.0),
    }
    for name, factor in paths.items():
        changed = frame.copy()
        scaled, traded = prices.copy(), volume.copy()
        scaled[cut + 1 :] *= factor[:, None]
        if name == "new path":
            scaled[cut + 1 :] = _reshaped(scaled[cut + 1 :], rng)
        traded[cut + 1 :] *= rng.uniform(0.1, 8.0, later)
        changed[_PRICES] = scaled
        changed["volume"] = traded
        for column in signals:
            changed[column] = _redrawn(frame[column].to_numpy(dtype=np.float64), cut, rng)
        yield name, changed
    yield "bars removed", frame.iloc[: cut + 1]


def _redrawn(signal: FloatArray, cut: int, rng: np.random.Generator) -> FloatArray:
    """[T] the signal with other values, and others missing, after ``cut``."""
    later = rng.permutation(signal[cut + 1 :])
    spread = np.nanstd(signal) if np.isfinite(signal).any() else 1.0
    later = later + rng.normal(0.0, spread or 1.0, len(later))
    return np.concatenate([signal[: cut + 1], later])


def _reshaped(prices: FloatArray, rng: np.random.Generator) -> FloatArray:
    """[M, 4] bars with another body and other wicks each: ratios inside a bar change too."""
    body = prices[:, [0, 3]] * np.exp(rng.normal(0.0, 0.02, (len(prices), 2)))
    wick = np.exp(np.abs(rng.normal(0.0, 0.01, (len(prices), 2))))
    high, low = body.max(axis=1) * wick[:, 0], body.min(axis=1) / wick[:, 1]
    return np.stack([body[:, 0], high, low, body[:, 1]], axis=1)


def moved(before: FloatArray, after: FloatArray, tolerance: float) -> Any:
    finite = np.abs(before[np.isfinite(before)])
    rounding = _ROUNDING * finite.max(initial=0.0)
    with np.errstate(invalid="ignore"):
        largest = np.maximum(np.abs(before), np.abs(after))
        close = np.abs(before - after) <= np.maximum(tolerance * largest, rounding)
    close &= np.isfinite(largest)  # infinity is near nothing but itself
    same = (before == after) | close | (np.isnan(before) & np.isnan(after))
    return ~same


def _bar_at(frame: pd.DataFrame, stamp: pd.Timestamp) -> int:
    """Row of the last bar that is known at ``stamp``; 0 before the first."""
    return max(0, int(frame.index.searchsorted(stamp, side="right")) - 1)


def _compare(
    reference: pd.DataFrame,
    other: pd.DataFrame,
    frame: pd.DataFrame,
    cut: int,
    kind: str,
    config: AuditConfig,
    found: dict[str, Leak],
) -> None:
    # Between the cut and the next bar only what is there without that bar, too.
    between = (reference.index < frame.index[cut + 1]) & reference.index.isin(other.index)
    known = (reference.index <= frame.index[cut]) | between
    left = reference[known]
    right = other.reindex(index=left.index, columns=left.columns)
    for column in left.columns:
        name = str(column)
        before, after = left[column].to_numpy(), right[column].to_numpy()
        rows = np.flatnonzero(moved(before, after, config.tolerance))
        if rows.size and (name not in found or rows.size > found[name].rows_moved):
            first = int(rows[0])
            stamp = left.index[first]
            bar = _bar_at(frame, stamp)
            found[name] = Leak(
                output=name,
                bar=bar,
                timestamp=str(stamp),
                cut=cut,
                reach_bars=None,
                perturbation=kind,
                rows_moved=int(rows.size),
                before=float(before[first]),
                after=float(after[first]),
            )


def _with_reach(
    function: FrameFunction,
    frame: pd.DataFrame,
    baseline: pd.DataFrame,
    leak: Leak,
    config: AuditConfig,
    rng: np.random.Generator,
) -> Leak:
    """The leak with the number of future bars read, found by changing one bar at a time."""
    target = len(frame) // 2
    reach = 0
    for bar in range(target, min(target + 8, len(frame))):
        changed = frame.copy()
        one = slice(bar, bar + 1)
        # up and down in turn, so that what reads a sign moves too
        factor = 1.07 if bar % 2 else 1.0 / 1.07
        prices = frame[_PRICES].to_numpy(dtype=np.float64, copy=True)
        prices[one] = _reshaped(prices[one] * factor, rng)
        volume = frame["volume"].to_numpy(dtype=np.float64, copy=True)
        volume[one] *= 1.5
        changed[_PRICES], changed["volume"] = prices, volume
        try:
            other = outputs_of(function, changed)
        except ConfigError:
            continue
        early = baseline.index < frame.index[bar]
        before = baseline.loc[early, leak.output].to_numpy()
        after = other.reindex(baseline.index[early])[leak.output].to_numpy()
        rows = np.flatnonzero(moved(before, after, config.tolerance))
        if rows.size:
            reach = max(reach, bar - _bar_at(frame, baseline.index[early][rows[0]]))
    whole_sample = reach == 0 or reach >= target // 2
    return Leak(**{**asdict(leak), "reach_bars": None if whole_sample else reach})
