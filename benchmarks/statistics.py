"""Whether the statistics keep their word, by simulation: coverage, size, null strategies, optima.

Nothing here is timed. Each share has a standard error, which is its interval here: of 500 series
a true 95 % gives less than 93 or more than 97 in one try of 25, so 1,000 are drawn for each law,
where the standard error is seven tenths of a point.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator

import numpy as np

from benchmarks.record import Figure, publish
from offline_trader.evaluation.known_optimum import (
    AlmgrenChriss,
    GarleanuPedersen,
    MeanReversion,
    behaviour_policy,
    get_market,
    score_policy,
)
from offline_trader.evaluation.statistics import (
    bootstrap_interval,
    sharpe_difference,
    sharpe_evidence,
    superior_to_benchmark,
    wilson_interval,
)
from offline_trader.types import FloatArray

LAWS = ((0.1, 0.05, 101), (0.3, 0.05, 102), (0.0, 0.0, 103), (0.1, 0.05, 104))
"""Autocorrelation, Sharpe ratio a bar, seed."""


def ar_garch(
    n_series: int, n_bars: int, autocorrelation: float, sharpe: float, seed: int
) -> FloatArray:
    """[S, T] returns: AR(1) with GARCH(1,1) (.1, .85) normal shocks and a known Sharpe ratio."""
    rng = np.random.default_rng(seed)
    variance, shock, level = np.ones(n_series), np.zeros(n_series), np.zeros(n_series)
    out = np.empty((n_series, n_bars))
    for t in range(-300, n_bars):
        variance = 0.05 + 0.1 * shock**2 + 0.85 * variance
        shock = np.sqrt(variance) * rng.standard_normal(n_series)
        level = autocorrelation * level + shock
        if t >= 0:
            out[:, t] = level
    return np.asarray(0.01 * (out * math.sqrt(1 - autocorrelation**2) + sharpe))


def coverage(n_series: int) -> Iterator[Figure]:
    """Share of 95 % intervals of the Sharpe ratio that hold the truth."""
    total = 0
    for autocorrelation, sharpe, seed in LAWS:
        covered = 0
        for k, returns in enumerate(ar_garch(n_series, 1000, autocorrelation, sharpe, seed)):
            found = bootstrap_interval(returns, "sharpe", 1.0, rng=np.random.default_rng(k))
            assert found is not None
            covered += found.low <= sharpe <= found.high
        total += covered
        name = f"sharpe_coverage_ar{autocorrelation:g}_seed{seed}"
        yield _share(name, covered, n_series, (0.93, 0.97))
    yield _share("sharpe_coverage_all", total, n_series * len(LAWS), (0.93, 0.97))


def size_of_spa(repeats: int) -> Figure:
    """How often the test at 5 % rejects a policy that earns exactly what the benchmark earns."""
    rng = np.random.default_rng(40)
    rejected = 0
    for _ in range(repeats):
        market = rng.standard_t(6, 750) * 0.01 + 0.0003
        policy = 0.7 * market + rng.standard_t(6, 750) * 0.005 + 0.3 * 0.0003
        p = superior_to_benchmark(policy, market, rng=rng, replicates=299)
        rejected += p is not None and p < 0.05
    return _share("spa_size_at_5_percent", rejected, repeats, (0.03, 0.07))


def coverage_of_differences(n_series: int) -> Iterator[Figure]:
    """The same of the difference of the Sharpe ratios of two series that are nearly equal."""
    for correlation, n_bars in ((0.99, 120), (0.999, 120), (0.99, 1000), (0.999, 1000)):
        rng = np.random.default_rng(60)
        covered = 0
        for k in range(n_series):
            one, own = rng.standard_normal((2, n_bars))
            other = correlation * one + math.sqrt(1.0 - correlation**2) * own
            draws = np.random.default_rng(k)
            found = sharpe_difference(0.01 * (one + 0.06), 0.01 * (other + 0.05), 1.0, rng=draws)
            assert found is not None
            covered += found.low <= 0.01 <= found.high
        name = f"sharpe_difference_coverage_correlation{correlation:g}_bars{n_bars}"
        yield _share(name, covered, n_series, (0.93, 0.97))


def size_of_spa_of_several(repeats: int, n_models: int = 20) -> Figure:
    """How often it rejects where none of several models of unequal risk earns more."""
    rng = np.random.default_rng(41)
    rejected = 0
    for _ in range(repeats):
        market = rng.standard_t(6, 500) * 0.01
        own = rng.standard_t(6, (500, n_models)) * np.geomspace(0.001, 0.03, n_models)
        p = superior_to_benchmark(market[:, None] + own, market, rng=rng, replicates=299)
        rejected += p is not None and p < 0.05
    return _share(f"spa_size_at_5_percent_{n_models}_models", rejected, repeats, (0.03, 0.07))


def null_strategies(repeats: int) -> Iterator[Figure]:
    """The best of 50 worthless strategies over 750 bars: who believes in it?"""
    rng = np.random.default_rng(50)
    psr, dsr = 0, 0
    for _ in range(repeats):
        returns = rng.normal(0.0, 0.01, (50, 750))
        ratios = returns.mean(axis=1) / returns.std(axis=1, ddof=1)
        best = sharpe_evidence(returns[ratios.argmax()], 252.0, ratios.tolist())
        psr += best.psr is not None and best.psr > 0.95
        dsr += best.dsr is not None and best.dsr > 0.95
    yield _share("null_best_of_50_psr_above_95", psr, repeats, (0.85, 0.97))
    yield _share("null_best_of_50_dsr_above_95", dsr, repeats, (0.0, 0.02))


def known_optima() -> Iterator[Figure]:
    """Anchors of the known-optimum markets."""
    m1, m3, m4 = GarleanuPedersen(), MeanReversion(), AlmgrenChriss()
    yield _near("m1_optimum", m1.optimum, 0.388078, 1e-6, "reward")
    yield _near("m3_optimum_bp", m3.optimum * 1e4, 9.750, 5e-4, "bp")
    error = m3.band_continuous / m3.band - 1.0
    yield _near("m3_band_continuous_error", error, 0.0, 0.02, "share")
    yield _near("m4_optimum_cost", m4.permanent_cost - m4.optimum, 1_275_356, 1.0, "cost")
    yield _near("m4_twap_cost", m4.permanent_cost - m4.base, 1_745_500, 1e-6, "cost")
    for name, expected in (("M1", 52.0), ("M3", 50.0)):
        market = get_market(name)
        found = score_policy(market, behaviour_policy(market), n_lanes=1000)
        yield Figure(
            f"{name.lower()}_behaviour_score",
            found.value,
            "score",
            found.interval,
            target=f"{expected:g} ± 2",
            holds=abs(found.value - expected) <= 2.0,
        )


def _share(name: str, count: int, n: int, limits: tuple[float, float]) -> Figure:
    share = count / n
    return Figure(
        name,
        share,
        "share",
        wilson_interval(count, n),
        target=f"{limits[0]:g} to {limits[1]:g}",
        holds=limits[0] <= share <= limits[1],
    )


def _near(name: str, value: float, expected: float, tolerance: float, unit: str) -> Figure:
    holds = abs(value - expected) <= tolerance
    return Figure(name, value, unit, target=f"{expected:g} ± {tolerance:g}", holds=holds)


def main() -> None:
    """Run it: ``python -m benchmarks.statistics``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--series", type=int, default=1000, help="series a law")
    parser.add_argument("--repeats", type=int, default=2000, help="repeats of the SPA test")
    chosen = parser.parse_args()
    figures = [
        *known_optima(),
        *null_strategies(300),
        size_of_spa(chosen.repeats),
        size_of_spa_of_several(chosen.repeats),
        *coverage(chosen.series),
        *coverage_of_differences(chosen.series),
    ]
    publish(
        "statistics",
        figures,
        seeds=[40, 41, 50, 60, *(seed for _, _, seed in LAWS)],
        facts={"series": chosen.series, "bars": 1000, "spa_repeats": chosen.repeats},
    )


if __name__ == "__main__":
    main()
