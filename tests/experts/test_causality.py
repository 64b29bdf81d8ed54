"""No expert but the oracle acts on bars that have not happened."""

from __future__ import annotations

import numpy as np
import pytest

from offline_trader.experts import Expert, ExpertPolicy, list_experts
from offline_trader.features import compute_features
from offline_trader.markets import BarRange, Bars, load_market
from offline_trader.simulator import MarketTensor, Simulator, SimulatorConfig

EXPERTS = list_experts()
STEPS = 120
CHANGED_AFTER = 70  # decisions 0 … 70 read unchanged bars


@pytest.fixture(scope="module")
def bars() -> Bars:
    return load_market("sp500", end="2001-12-31")


@pytest.fixture(scope="module")
def markets(bars: Bars) -> tuple[MarketTensor, MarketTensor]:
    """The same bars, and bars that differ from the one after row ``CHANGED_AFTER`` on."""
    first = compute_features(bars).warmup
    factor = np.ones(len(bars))
    later = slice(first + CHANGED_AFTER + 1, None)
    rng = np.random.default_rng(0)
    factor[later] = np.exp(np.cumsum(rng.normal(0.0, 0.03, len(bars)))[later])
    prices = {name: getattr(bars, name) * factor for name in ("open", "high", "low", "close")}
    changed = Bars(
        symbol=bars.symbol,
        timestamps=bars.timestamps,
        volume=bars.volume,
        periods_per_year=bars.periods_per_year,
        **prices,
    )
    span = BarRange(first, first + STEPS + 1)
    tensors = [
        MarketTensor.from_bars([one], [compute_features(one)], [span]) for one in (bars, changed)
    ]
    return tensors[0], tensors[1]


def acted(expert: Expert, market: MarketTensor, config: SimulatorConfig) -> np.ndarray:
    """[STEPS, 2] action and observed exposure of every step."""
    simulator = Simulator(market, config, 1)
    policy = ExpertPolicy(expert, market.layout, config, market=market)
    observations = simulator.reset()
    exposure = market.layout.names.index("exposure")
    rows = []
    for _ in range(STEPS):
        action = policy(observations, rows=simulator.bar_index)
        rows.append((float(action[0, 0]), float(observations[0, exposure])))
        observations = simulator.step(action).observations
    return np.array(rows)


@pytest.mark.parametrize("mode", ["order", "target_long", "target_long_short"])
@pytest.mark.parametrize("expert", EXPERTS, ids=[one.name for one in EXPERTS])
def test_actions_up_to_t_ignore_bars_after_t(
    expert: Expert, mode: str, markets: tuple[MarketTensor, MarketTensor]
) -> None:
    config = SimulatorConfig(action_mode=mode)  # type: ignore[arg-type]
    before, after = (acted(expert, market, config) for market in markets)
    upto = CHANGED_AFTER + 1
    if expert.privileged:
        assert not np.array_equal(before[:upto], after[:upto])
    else:
        np.testing.assert_array_equal(before[:upto], after[:upto])


def test_the_change_reaches_later_decisions(markets: tuple[MarketTensor, MarketTensor]) -> None:
    """The comparison above could fail: rules do read bars, and the bars do differ."""
    config = SimulatorConfig()
    differing = 0
    for expert in EXPERTS:
        before, after = (acted(expert, market, config) for market in markets)
        differing += not np.array_equal(before, after)
    assert differing >= 6
