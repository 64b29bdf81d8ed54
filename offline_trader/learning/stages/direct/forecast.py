"""A forecast of the realised gains, fitted out of fold: what a reward's noise is measured against.

The rewards of a policy hold ``carried · gain``. The gain's surprise, its difference to what the
features foretell, has mean zero given all that the policy knows, so ``carried · surprise`` has
too, whatever the policy does: taking it off the rewards changes no expectation and takes their
noise away (a control variate). That holds for a forecast that is right on average given the
features, and only for one that has not seen the row's own gain: a forecast fitted on it would
hand the row's noise back as signal. Hence the rows are cut into blocks in time, and a block is
forecast by a ridge regression (Hoerl & Kennard 1970) that was fitted on the other blocks, less an
embargo around the block. The penalty is the one with the smallest out-of-fold error; a penalty
without bound, which foretells the mean, is among them.

Thirty features of which one tells something hide it from a ridge regression: each of them gets its
share of what the penalty leaves. So the features are also tried scaled by the size of their own
correlation with the gain, and by its square (marginal regression as the weights of an adaptive
penalty: Zou 2006; Huang, Ma & Zhang 2008), computed where the regression is fitted. Where all
features tell a little, plain ridge has the smaller error and is taken. For the same reason a user's
own features are also tried alone: who brings a signal beside the built-in features knows more of it
than a penalty that treats all alike (groups with penalties of their own: Boulesteix et al. 2017).
Alone they are taken unless others' error is less by more than chance: the least of thirty errors is
less by luck, and the simplest model that the errors do not speak against forecasts best (the rule
of one standard error: Breiman et al. 1984; here with the 95 % interval of the paired difference).

What lasts one bar is seldom worth its costs, and a regression on the next gain finds that first.
With a ``horizon`` of h bars it is the mean gain of the next h that is regressed: what persists
keeps its size, what is gone after a bar has the h-th part of it, and weights and penalty are chosen
by what persists (signals that decay slowly weigh more under costs: Gârleanu & Pedersen 2013). The
slope of the next gain on the out-of-fold forecast then makes it one of the next gain.

The best of several errors is too good: where nothing can be foretold some penalty wins by luck. So
the forecast's distance to the mean is shrunk by ``max(0, 1 − 1/t²)``, the positive part of James &
Stein's factor, t being the ratio of the slope of the gains on their out-of-fold forecasts to its
standard error: a slope within one standard error of zero, or below zero, leaves the mean alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from offline_trader.learning.stages.batch_means import paired_interval
from offline_trader.learning.stages.direct.market import Log
from offline_trader.types import BoolArray, FloatArray, IntArray

__all__ = ["Forecast", "fit_forecast"]

_TINY = 1e-300
_PENALTIES = (1e-4, 1e-3, 1e-2, 3e-2, 0.1, 0.3, 1.0, 3.0, 10.0, np.inf)
_POWERS = (0.0, 1.0, 2.0)
"""Of the correlations that features are scaled by; 0: plain ridge."""


@dataclass(frozen=True)
class Forecast:
    """Out-of-fold forecasts of a log's gains.

    Attributes:
        values: [R, G] float64; row t's model has not seen the gains of its block.
        penalties: [G] chosen penalty, per row fitted on and unit variance of a feature.
        powers: [G] chosen power of the correlations by which features were scaled.
        alone: [G] bool, the user's own features were taken alone.
        r2: [G] out-of-fold share of the gains' variance around their mean that is foretold;
            below 0 where there is nothing to foretell (the mean has not seen its block either),
            0 for gains that do not vary.
        shrinkage: [G] in [0, 1], what is left of the forecasts' distance to the mean; with a
            horizon above 1 times the slope of the next gain on them.
        coefficients: [F, G] of raw features, intercept: [G]: the same model fitted on all rows,
            for rows that the log does not hold.
    """

    values: FloatArray
    penalties: FloatArray
    powers: FloatArray
    alone: BoolArray
    r2: FloatArray
    shrinkage: FloatArray
    coefficients: FloatArray
    intercept: FloatArray

    def told(self) -> tuple[str, ...]:
        """What a user should know of how it was made: a sentence, or none."""
        alone = self.alone & (self.shrinkage > 0.0)
        if not alone.any():
            return ()
        of = "" if alone.all() else f" of {alone.sum()} of {len(alone)} gains"
        return (
            f"the forecast{of} takes your own features alone: with the built-in ones beside them "
            "its error on bars not fitted on was not smaller by more than chance",
        )


def fit_forecast(
    log: Log,
    folds: int = 5,
    embargo: int = 5,
    powers: Sequence[float] = _POWERS,
    horizon: int = 1,
    weights: FloatArray | None = None,
) -> Forecast:
    """Cross-fitted ridge forecasts of ``log.gains`` from ``log.features``.

    Args:
        log: R rows; every series is cut at the same shares of its length, so instruments that
            share a calendar are cut at the same dates.
        folds: blocks in time.
        embargo: rows before and after a block that are not fitted on either.
        powers: of the correlations that features are scaled by, the first taken where they tie.
        horizon: bars whose mean gain is regressed; no row is fitted on whose mean reaches into
            the block that is forecast.
        weights: [R] of the rows' squared errors where slopes are fitted, chosen and shrunk; None:
            all alike. The forecasts' mean stays that of the gains: calm days may have another one.
    """
    blocks, aims = _blocks(log, folds), _mean_ahead(log, horizon)
    w = np.ones(len(aims)) if weights is None else weights / weights.mean()
    x = np.asarray(log.features, dtype=np.float64)
    centre, spread = x.mean(axis=0), x.std(axis=0)
    x = (x - centre) / np.where(spread > 0.0, spread, 1.0)
    kinds = _Candidates(tuple(powers), None if log.own is None or log.own.all() else log.own)
    found = np.zeros((kinds.count, *log.gains.shape))
    for block in range(folds):
        inside = blocks == block
        if inside.any():
            fitted_on = ~inside & ~_near(log.series, inside, max(embargo, horizon - 1))
            found[:, inside] = kinds.forecasts(
                x[fitted_on], aims[fitted_on], x[inside], w[fitted_on]
            )
    best = kinds.chosen(w[:, None] * np.square(found - aims))
    columns = np.arange(log.gains.shape[1])
    variance, mean = log.gains.var(axis=0), log.gains.mean(axis=0)
    values, means = found[best, :, columns].T, found[-1]  # the last penalty leaves the mean
    pairs = zip((values - means).T, log.gains.T, strict=True)
    kept = np.array([_shrinkage(*pair, w, scaled=horizon > 1) for pair in pairs])
    values = np.ascontiguousarray(means + kept * (values - means))
    error = np.square(values - log.gains).mean(axis=0)
    fitted = kinds.coefficients(x, aims, w)[best, :, columns].T * kept
    fitted /= np.where(spread > 0.0, spread, 1.0)[:, None]
    kind = best // len(_PENALTIES)
    return Forecast(
        values=values,
        penalties=np.array(_PENALTIES)[best % len(_PENALTIES)],
        powers=np.array([*powers, 0.0])[kind],
        alone=kind == len(powers),
        r2=np.where(variance > 0.0, 1.0 - error / np.maximum(variance, _TINY), 0.0),
        shrinkage=kept,
        coefficients=fitted,
        intercept=mean - centre @ fitted,
    )


def _mean_ahead(log: Log, horizon: int) -> FloatArray:
    """[R, G] mean gain of a row and of those behind it, ``horizon`` in all or what a series has."""
    if horizon == 1:
        return log.gains
    ahead = np.empty_like(log.gains)
    for first, stop in log.series:
        sums = np.cumsum(np.pad(log.gains[first:stop], ((1, 0), (0, 0))), axis=0)
        begin = np.arange(stop - first)
        end = np.minimum(begin + horizon, stop - first)
        ahead[first:stop] = (sums[end] - sums[begin]) / (end - begin)[:, None]
    return ahead


def _shrinkage(forecast: FloatArray, gains: FloatArray, w: FloatArray, *, scaled: bool) -> float:
    """``max(0, 1 − 1/t²)`` of the slope of ``gains`` [R] on ``forecast`` [R]; 0 below zero.

    ``w`` [R] weighs squared errors, mean 1; ``scaled``: times the slope.
    """
    x, y = (each - np.average(each, weights=w) for each in (forecast, gains))
    power, rows = float((w * x) @ x), len(x)
    if power <= _TINY or rows < 3:
        return 0.0
    slope = float((w * x) @ y) / power
    noise = float(w @ np.square(y - slope * x)) / (rows - 2) / power
    kept = 0.0 if slope <= 0.0 else max(0.0, 1.0 - noise / slope**2)
    return kept * slope if scaled else kept


@dataclass(frozen=True, eq=False)
class _Candidates:
    """The regressions that are tried: all penalties of the first power, then of the next one, then
    of the features ``own`` [F] bool alone."""

    powers: tuple[float, ...]
    own: BoolArray | None

    @property
    def count(self) -> int:
        return (len(self.powers) + (self.own is not None)) * len(_PENALTIES)

    def chosen(self, errors: FloatArray) -> IntArray:
        """[G] of squared errors [candidates, R, G] the candidate with the least; the least of the
        own features alone where the 95 % interval of what it is worse by holds zero."""
        mean = errors.mean(axis=1)
        best: IntArray = mean.argmin(axis=0)
        if self.own is None:
            return best
        first = len(self.powers) * len(_PENALTIES)
        alone = first + mean[first:].argmin(axis=0)
        for gain, (own, least) in enumerate(zip(alone, best, strict=True)):
            _, low, _ = paired_interval(errors[own, :, gain] - errors[least, :, gain])
            best[gain] = own if low <= 0.0 else least
        return best

    def forecasts(
        self, x: FloatArray, gains: FloatArray, at: FloatArray, w: FloatArray
    ) -> FloatArray:
        """[candidates, rows of ``at``, G]."""
        if len(x) < 2:
            return np.zeros((self.count, len(at), gains.shape[1]))
        found = self.coefficients(x, gains, w)
        return np.asarray(gains.mean(axis=0) + (at - x.mean(axis=0)) @ found)

    def coefficients(self, x: FloatArray, gains: FloatArray, w: FloatArray) -> FloatArray:
        """[candidates, F, G]."""
        centred, gained = (each - np.average(each, axis=0, weights=w) for each in (x, gains))
        weighted = (w / w.sum())[:, None] * centred
        among, with_gains = weighted.T @ centred, weighted.T @ gained
        spread = np.sqrt(np.maximum(among.diagonal(), _TINY))
        size = np.abs(with_gains) / spread[:, None]
        size = size / np.maximum(size.max(axis=0), _TINY)
        found = []
        for power in self.powers:
            if power == 0.0:
                found.append(_penalised(among, with_gains))
                continue
            columns = [
                scale[:, None]
                * _penalised(scale[:, None] * among * scale, (scale * covariance)[:, None])
                for scale, covariance in zip((size**power).T, with_gains.T, strict=True)
            ]
            found.append(np.concatenate(columns, axis=2))
        if self.own is not None:
            alone = np.zeros_like(found[0])
            alone[:, self.own] = _penalised(among[np.ix_(self.own, self.own)], with_gains[self.own])
            found.append(alone)
        return np.concatenate(found)


def _penalised(among: FloatArray, with_gains: FloatArray) -> FloatArray:
    """[penalties, F, G] ridge coefficients, by the eigenvectors of the features' covariance."""
    values, vectors = np.linalg.eigh(among)
    covariance = vectors.T @ with_gains
    shrunk = [1.0 / (np.maximum(values, 0.0) + penalty) for penalty in _PENALTIES]
    return np.stack([vectors @ (each[:, None] * covariance) for each in shrunk])


def _blocks(log: Log, folds: int) -> IntArray:
    """[R] number of each row's block."""
    blocks = np.empty(len(log.features), dtype=np.int64)
    for first, stop in log.series:
        n = stop - first
        blocks[first:stop] = np.arange(n) * folds // n
    return blocks


def _near(series: IntArray, inside: BoolArray, embargo: int) -> BoolArray:
    """[R] rows of the same series within ``embargo`` rows of an ``inside`` row."""
    near = np.zeros_like(inside)
    for first, stop in series:
        part, reached = inside[first:stop], near[first:stop]
        for shift in range(1, min(embargo, stop - first - 1) + 1):
            reached[shift:] |= part[:-shift]
            reached[:-shift] |= part[shift:]
    return near
