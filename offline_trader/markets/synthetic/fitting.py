"""A synthetic market that resembles bars one has: same volatility, clusters, tails and volume."""

from __future__ import annotations

import numpy as np

from offline_trader.errors import DataError
from offline_trader.markets.bars import Bars
from offline_trader.markets.synthetic.turbulent import TurbulentMarket
from offline_trader.types import FloatArray

__all__ = ["fit_turbulent"]

_LEAST = 500
_MOST_PERSISTENT = 0.995
"""Of GARCH: nearer to 1 the variance of the fitted market has no mean within any sample."""


def fit_turbulent(bars: Bars, n_bars: int | None = None, seed: int = 0) -> TurbulentMarket:
    """The law whose GJR-GARCH with t-distributed shocks is fitted to ``bars`` by arch.

    Its signal is 0, its regime ``steady``, and it has no jumps: what GARCH and tails explain is
    taken from the bars, and nothing that could be earned. The share of the variance between close
    and open, and the persistence of log volume around its straight trend and its response to |r|,
    are those of the bars.

    Args:
        bars: at least 500 of one instrument.
        n_bars: of the market to be made; by default as many.
        seed: of the market to be made.

    Raises:
        DataError: too few bars, prices that do not move, or a fit that does not converge.
    """
    from arch import arch_model

    r = np.diff(np.log(bars.close))
    if len(bars) < _LEAST:
        raise DataError(
            f"{bars.name}: {len(bars)} bars", expected=f"at least {_LEAST} to fit a market to"
        )
    if float(r.std()) == 0.0:
        raise DataError(f"{bars.name}: prices do not move", expected="returns that vary")
    scaled = r / r.std()
    model = arch_model(scaled, mean="Constant", vol="GARCH", p=1, o=1, q=1, dist="t")
    fit = model.fit(disp="off", show_warning=False)
    if fit.convergence_flag != 0:
        raise DataError(
            f"{bars.name}: no GARCH could be fitted to its {len(bars)} bars",
            expected="returns with a volatility that changes",
            hint="take more bars, or give the parameters of synthetic:turbulent yourself",
        )
    alpha, gamma = (max(0.0, float(fit.params[name])) for name in ("alpha[1]", "gamma[1]"))
    beta = min(float(fit.params["beta[1]"]), _MOST_PERSISTENT - alpha - gamma / 2.0)
    overnight = float(np.log(bars.open[1:] / bars.close[:-1]).var() / r.var())
    persistence, response, noise = _volume_law(bars.volume[1:], np.abs(scaled))
    return TurbulentMarket(
        bars=n_bars or len(bars),
        seed=seed,
        bars_per_year=float(bars.periods_per_year),
        volatility=float(r.std() * np.sqrt(bars.periods_per_year)),
        regime="steady",
        alpha=alpha,
        gamma=gamma,
        beta=max(0.0, beta),
        tail=max(2.1, float(fit.params["nu"])),
        jumps=0.0,
        overnight=min(overnight, 0.95),
        level=float(bars.close[-1]),
        volume=float(np.median(bars.volume)),
        volume_persistence=persistence,
        volume_response=response,
        volume_noise=noise,
    )


def _volume_law(volume: FloatArray, moves: FloatArray) -> tuple[float, float, float]:
    """AR(1) coefficient, response to moves [T] in standard deviations, own deviation."""
    known = volume > 0.0
    if known.sum() < _LEAST // 2:
        return 0.0, 0.0, 0.0
    x, t, push = np.log(volume[known]), np.flatnonzero(known), moves[known]
    x = x - np.polynomial.Polynomial.fit(t, x, 1)(t)
    table = np.column_stack([x[:-1], push[1:], np.ones(len(x) - 1)])
    found = np.linalg.lstsq(table, x[1:], rcond=None)[0]
    noise = float((x[1:] - table @ found).std())
    return float(np.clip(found[0], 0.0, 0.99)), max(0.0, float(found[1])), noise
