"""``power``: a finished market is kept, and what it lacks is added without training it again."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from offline_trader.config import to_dict
from offline_trader.envs import EnvConfig
from offline_trader.errors import ConfigError
from offline_trader.evaluation.power import judged_optimum, plant
from offline_trader.markets import load_market
from offline_trader.pipeline.power_study import PowerConfig, _history, _Job, power
from offline_trader.pipeline.validation import ValidationConfig
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


def test_a_market_of_another_seed_or_range_is_another_one(tmp_path: Path) -> None:
    """What is kept is kept for the settings that it was made with: the seed and dates, too."""
    env = EnvConfig(market=("sp500",))
    first = PowerConfig(env=env, coefficients=(0.3,), seeds=1, train_years=4.0)
    jobs = [
        _Job(config, 0.3, 0, tmp_path)
        for config in (first, replace(first, seed=5), replace(first, seeds=9))
    ]
    stated = [to_dict(job._line_only()) for job in jobs]
    assert stated[0] != stated[1]
    assert stated[0] == stated[2]
    early = replace(first, env=replace(env, end="2003"))
    assert str(_history(early).timestamps[-1])[:4] == "2003"
    assert len(_history(early)) < len(_history(first))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"coefficients": (0.3, 0.0, 0.30)}, "each once"),
        ({"validation": ValidationConfig(end="2014")}, r"validation\.end = 2014 in power"),
    ],
)
def test_what_would_count_twice_or_not_at_all_is_refused(
    settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        PowerConfig(env=EnvConfig(market=("sp500",)), **settings)
