"""How far fitted Q evaluation can be believed on an offline dataset, beside true scores.

The policy in question is ranked among others whose scores are known as well: the optimum, the
behaviour that the data came from, inaction, and a contrarian, which trades against the signal and
is what an estimate on narrow data overrates.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from offline_trader.evaluation.known_optimum.garleanu_pedersen import GarleanuPedersen
from offline_trader.evaluation.known_optimum.interface import KnownMarket, KnownPolicy
from offline_trader.evaluation.known_optimum.mean_reversion import MeanReversion
from offline_trader.evaluation.known_optimum.offline_data import (
    OFFLINE_DATASETS,
    behaviour_policy,
    make_dataset,
)
from offline_trader.evaluation.known_optimum.scoring import optimal_policy, score_policy
from offline_trader.types import FloatArray, Observations

if TYPE_CHECKING:
    from offline_trader.evaluation.known_optimum.fqe import FqeConfig, RankCheck

__all__ = ["off_policy_check", "reference_policies"]


def reference_policies(market: KnownMarket) -> dict[str, KnownPolicy]:
    """Policies on M1 or M3 whose scores lie far apart, by name.

    Raises:
        ConfigError: another market.
    """
    behave = behaviour_policy(market)

    def flat(seen: Observations) -> FloatArray:
        return np.zeros(len(seen))

    def contrarian(seen: Observations) -> FloatArray:
        turned = seen * np.array([-1.0, 1.0], dtype=np.float32)
        return np.asarray(behave(turned))

    return {
        "optimal": optimal_policy(market),
        "behaviour": behave,
        "flat": flat,
        "contrarian": contrarian,
    }


def off_policy_check(
    name: str, policies: dict[str, KnownPolicy], config: FqeConfig | None = None, *, seed: int = 0
) -> RankCheck:
    """Fitted Q evaluation of ``policies`` and the references on dataset ``name``, beside scores.

    Args:
        name: key of :data:`OFFLINE_DATASETS`.
        policies: in question, by name; one of a reference's name replaces it.
        config: of the fit.
        seed: of dataset, scoring and fit.
    """
    from offline_trader.evaluation.known_optimum.fqe import rank_check

    data = make_dataset(name, seed=seed).transitions()
    market: KnownMarket = (
        GarleanuPedersen() if OFFLINE_DATASETS[name].market == "M1" else MeanReversion()
    )
    known = policies | {
        key: policy for key, policy in reference_policies(market).items() if key not in policies
    }
    scores = [score_policy(market, policy, seed=seed).value for policy in known.values()]
    return rank_check(data, known, scores, config, seed=seed)
