"""``power``: a finished market is kept, and what it lacks is added without training it again."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from offline_trader.config import to_dict
from offline_trader.envs import EnvConfig
from offline_trader.evaluation.power import judged_optimum, plant
from offline_trader.markets import load_market
from offline_trader.pipeline.power_study import PowerConfig, power
from offline_trader.types import digest


def test_a_result_of_before_the_optimum_gets_it(tmp_path: Path) -> None:
    config = PowerConfig(
        env=EnvConfig(market=("sp500",)), coefficients=(0.3,), seeds=1, train_years=4.0
    )
    history = load_market("sp500")
    trained = {
        "settings": digest({"config": to_dict(config), "history": history.sha256}),
        "coefficient": 0.3,
        "seed": 0,
        "sharpe": 9.25,
        "low": 1.0,
        "found": True,
        "rule_sharpe": 1.0,
        "rule_low": 0.5,
        "rule_found": True,
        "trades": 9,
        "exposure": 0.5,
        "verdicts": [],
    }
    file = tmp_path / "markets" / "0.3-0" / "result.json"
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps(trained), encoding="utf-8")
    (point,) = power(config, tmp_path)["points"]
    planted = plant(history, config.split(history), 0.3, seed=0)
    best = judged_optimum(planted, config.env.simulator, 0)
    assert json.loads(file.read_text(encoding="utf-8")) == {**trained, **best}
    assert (point["sharpe"], point["optimum_found"]) == (9.25, 1)  # 9.25: it was not trained again
    assert point["optimum_sharpe"] == pytest.approx(best["optimum_sharpe"])
    assert best["optimum_sharpe"] > 2.0
    written = file.stat().st_mtime_ns
    power(config, tmp_path)
    assert file.stat().st_mtime_ns == written
