"""Synthetic markets whose law is known: ``synthetic:ou?bars=50000&seed=1`` and others by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from offline_trader.lazy import lazy_names

if TYPE_CHECKING:
    from offline_trader.markets.synthetic.fitting import fit_turbulent
    from offline_trader.markets.synthetic.law import LAWS, Law, make_synthetic, synthetic_law
    from offline_trader.markets.synthetic.ou import OuMarket, RandomWalk, ou_market
    from offline_trader.markets.synthetic.turbulent import (
        REGIME_MIXTURES,
        TurbulentMarket,
        turbulent_market,
    )

__all__ = [
    "LAWS",
    "REGIME_MIXTURES",
    "Law",
    "OuMarket",
    "RandomWalk",
    "TurbulentMarket",
    "fit_turbulent",
    "make_synthetic",
    "ou_market",
    "synthetic_law",
    "turbulent_market",
]

__getattr__ = lazy_names(__name__)
