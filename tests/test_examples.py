"""The examples do what they say."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from offline_trader.evaluation.backtest import backtest
from offline_trader.experts import get_expert
from offline_trader.features import compute_features, observation_layout
from offline_trader.markets import BarRange, load_market
from offline_trader.simulator import MarketTensor, SimulatorConfig
from offline_trader.types import Observations

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
FREE = SimulatorConfig(
    commission_bps=0.0, half_spread_bps=0.0, slippage_bps=0.0, min_notional=0.0, dust_notional=0.0
)


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def tail(n: int) -> MarketTensor:
    bars = load_market("sp500")
    part = BarRange(len(bars) - n, len(bars))
    return MarketTensor.from_bars([bars], [compute_features(bars)], [part])


def test_acting_bar_by_bar_is_what_the_simulator_does(monkeypatch: pytest.MonkeyPatch) -> None:
    """The paper account and the streamed features give the simulator's observations."""
    layout = observation_layout()
    weights = np.zeros((layout.size, 1))
    for name, weight in (("return_1", 60.0), ("close_location", 0.5), ("exposure", -0.6)):
        weights[layout.names.index(name)] = weight
    weights[[layout.names.index(n) for n in ("unrealised_return", "hold_time", "drawdown")]] = 0.4

    def policy(seen: Observations) -> Observations:
        return np.tanh(seen @ weights).astype(np.float32)

    example = load("act_bar_by_bar")
    monkeypatch.setattr(example, "OnnxPolicy", lambda path, expected_layout: policy)
    acted = example.main(["policy.onnx", "--bars", "60"])
    run = backtest(policy, tail(60), FREE)
    assert np.count_nonzero(run.traded) > 20
    np.testing.assert_allclose(acted[:-1], run.actions.ravel(), atol=1e-4)


@pytest.mark.parametrize("name", ["dips", "trend"])
def test_the_rules_trade(name: str) -> None:
    run = backtest(get_expert(f"{EXAMPLES / 'my_rules.py'}:{name}"), tail(1_000), SimulatorConfig())
    assert np.count_nonzero(run.traded) >= 5
