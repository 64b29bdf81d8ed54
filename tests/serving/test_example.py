"""The example of a production loop prints what the session decides."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path

import pytest

from offline_trader.markets import load_market
from offline_trader.serving import Session
from offline_trader.simulator import SimulatorConfig

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "act_bar_by_bar.py"


def test_the_loop_obeys_the_models_rules(
    make_model: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    """Target weights are weights, and not orders."""
    model = make_model(SimulatorConfig(action_mode="target_long", smoothing_alpha=0.5))
    spec = importlib.util.spec_from_file_location("act_bar_by_bar", EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    decisions = module.main([str(model), "--bars", "40"])
    bars = load_market("sp500")
    session = Session(model).warm_up(bars.slice(0, len(bars) - 40))
    expected = [session.on_bar(bar) for bar in bars.slice(len(bars) - 40, len(bars))]
    assert [d.portfolio for d in decisions] == [d.portfolio for d in expected]
    shown = capsys.readouterr().out.splitlines()
    assert len(shown) == 40
    orders = [d.order for d in expected if d.order is not None]
    assert sum(" buy " in line or " sell " in line for line in shown) == len(orders) > 10
    assert all(d.because in line for d, line in zip(expected, shown, strict=True))
