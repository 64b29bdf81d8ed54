"""M3 as a market: the optimal band scores 100 through the whole line, others less."""

from __future__ import annotations

import numpy as np
import pytest

from offline_trader.errors import ConfigError
from offline_trader.evaluation.backtest import backtest
from offline_trader.evaluation.known_optimum.mean_reversion import MeanReversion
from offline_trader.evaluation.known_optimum.ou_bars import (
    OU_RULES,
    band_actions,
    ou_tensor,
    score_on_bars,
)
from offline_trader.experts import get_expert
from offline_trader.markets.synthetic import OuMarket
from offline_trader.simulator import simulate_actions
from offline_trader.types import FloatArray, Observations

LAW = OuMarket(bars=6_000, seed=5)


class Replay:
    """A policy that plays given actions of each path one after another."""

    def __init__(self, actions: list[FloatArray]) -> None:
        self.actions = iter(np.stack(actions, axis=1).astype(np.float32))

    def __call__(self, observations: Observations) -> Observations:
        found: Observations = next(self.actions)[:, None]
        return found


def _paths(law: OuMarket, n: int) -> list[OuMarket]:
    """The paths that the score runs on, as its documentation says: n seeds, warm-up added."""
    each = law.bars // n
    warmup = each - len(ou_tensor(OuMarket(bars=each, seed=law.seed)))
    return [OuMarket(bars=each + warmup, seed=law.seed + k) for k in range(n)]


def test_the_band_scores_100_through_the_whole_line() -> None:
    actions = [band_actions(ou_tensor(path), path, 40.0)[:-1] for path in _paths(LAW, 2)]
    assert {each.size for each in actions} == {2999}
    found = score_on_bars(Replay(actions), LAW, n_paths=2)
    assert found.value == pytest.approx(100.0, abs=1e-6)
    assert found.n == 2 * 2999


def test_experts_score_less_and_inaction_zero() -> None:
    hold = score_on_bars(get_expert("buy_and_hold"), LAW, n_paths=2)
    reversion = score_on_bars(get_expert("reversion"), LAW, n_paths=2)
    assert abs(hold.value) < 15
    assert hold.value < reversion.value < 100
    assert score_on_bars(Replay([np.zeros(10_000)] * 2), LAW, n_paths=2).value == 0.0


def test_few_paths_give_a_wide_interval() -> None:
    """The jackknife of two paths has one degree of freedom: Student's 97.5 % quantile is 12.71."""
    growth, best = [], []
    for path in _paths(LAW, 2):
        tensor = ou_tensor(path)
        run = simulate_actions(tensor, OU_RULES, band_actions(tensor, path, 40.0)[:-1])
        best.append(run.log_growth[0])
        equity = backtest(get_expert("reversion"), tensor, OU_RULES).equity
        growth.append(np.log(equity[-1] / equity[0]))
    found = score_on_bars(get_expert("reversion"), LAW, n_paths=2)
    alone = 100.0 * np.array(growth) / np.array(best)
    half = 12.7062 * abs(alone[0] - alone[1]) / 2.0
    assert found.interval == pytest.approx((found.value - half, found.value + half), rel=1e-4)


def test_band_earns_about_the_optimum_a_bar() -> None:
    """Log growth of the band on bars is J* less the variance drag of holding ±1 (σ²/2)."""
    law = OuMarket(bars=40_000, seed=3)
    tensor = ou_tensor(law)
    run = simulate_actions(tensor, OU_RULES, band_actions(tensor, law, 40.0)[:-1])
    growth = run.log_growth[0] / run.bars[0]
    assert growth == pytest.approx(MeanReversion().optimum - 0.01**2 / 2, abs=1.5e-4)
    narrower = band_actions(tensor, law, 4.0)[:-1]
    wider = band_actions(tensor, law, 160.0)[:-1]
    others = simulate_actions(tensor, OU_RULES, np.stack([narrower, wider], axis=1))
    assert (others.log_growth < run.log_growth[0]).all()


def test_refusals() -> None:
    with pytest.raises(ConfigError, match="2 or more paths"):
        score_on_bars(get_expert("reversion"), LAW, n_paths=10)
    walk = OuMarket(bars=2_000, k=0.0)
    with pytest.raises(ConfigError, match="random walk"):
        band_actions(ou_tensor(walk), walk, 40.0)
