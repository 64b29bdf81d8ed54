"""The parts of the benchmarks of actions and walk-forward that decide what their tables say."""

from __future__ import annotations

import importlib
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from offline_trader.envs import EnvConfig
from offline_trader.evaluation.measures import sharpe_ratio
from offline_trader.evaluation.walk_forward import (
    FoldResult,
    WalkForwardResult,
    WindowConfig,
    make_folds,
)
from offline_trader.features import observation_layout
from offline_trader.markets import load_market

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def actions(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(ROOT))
    return importlib.import_module("benchmarks.actions")


def test_the_best_candidate_is_put_back_and_others_never_win(actions: Any) -> None:
    state = {"step": 0}
    scores = {2: math.nan, 4: 0.5, 6: 0.9, 8: math.nan, 10: 0.7}

    def update(count: int) -> None:
        state["step"] += count

    restored: list[int] = []
    contestant = actions.Contestant(update, lambda o: o, lambda: state["step"], restored.append)
    budget = actions.Budget(updates=10, every=2)
    assert actions.train(contestant, budget, lambda _: scores[state["step"]]) == 6
    assert restored == [6]
    state["step"] = 0
    assert actions.train(contestant, budget, lambda _: math.nan) == 10
    assert restored == [6], "where nothing is a candidate the last policy stays"


def test_rounded_orders_are_legacy_orders_of_the_same_side(actions: Any) -> None:
    rng = np.random.default_rng(0)
    observations = rng.normal(size=(500, observation_layout().size)).astype(np.float32)
    orders = rng.uniform(-1, 1, 500)
    executed = actions.rounded(lambda _: orders[:, None])(observations)[:, 0]
    assert set(executed) == {-1.0, -0.5, 0.0, 0.25, 0.5, 1.0}
    traded = np.abs(orders) >= 0.1
    assert (np.sign(executed[traded]) == np.sign(orders[traded])).all()
    assert not executed[~traded].any()
    named = actions.as_legacy(orders, observations)
    assert sorted(set(named)) == list(range(7)), "all seven occur in the discrete dataset"


def test_the_advantage_is_a_ratio_of_pairs(actions: Any) -> None:
    seeds = [
        {"continuous": {"h_norm": 1.5 * x}, "discrete": {"h_norm": x}} for x in (0.1, 0.2, 0.4)
    ]
    figure = actions._advantage("sp500", "h_norm", seeds)
    assert figure.value == pytest.approx(1.5)
    assert figure.interval == pytest.approx((1.5, 1.5)), "what pairs share cancels"
    assert figure.holds
    assert not actions._advantage(
        "sp500", "h_norm", [{**s, "discrete": s["continuous"]} for s in seeds]
    ).holds


def test_a_policy_is_judged_by_what_it_does(actions: Any) -> None:
    env = EnvConfig(market=("sp500",), start="2015-01-01", end="2015-12-31")
    size = observation_layout().size

    def always(observations: Any) -> Any:
        assert observations.shape[1] == size
        return np.full((len(observations), 1), 1.0)

    found = actions.judged(always, env, seed=0)
    assert found["occupied"] == 1
    assert found["h_norm"] == pytest.approx(0.0)
    assert found["verdicts"] == ["COLLAPSED", "STATE-BLIND", "SATURATED"]
    assert found["steps"] == 251
    assert found["trades_per_1000"] >= 1000 / 251
    market = load_market("sp500")
    first, stop = market.rows_between("2015-01-01", "2015-12-31")
    held = sharpe_ratio(np.diff(market.close[first:stop]) / market.close[first : stop - 1], 252)
    assert held is not None
    assert found["sharpe"] == pytest.approx(held, abs=0.1)


def test_a_finished_seed_is_not_run_again(
    actions: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(actions, "HOME", tmp_path)
    runs: list[int] = []

    def run(name: str, budget: Any, seed: int) -> dict[str, Any]:
        runs.append(seed)
        return {"continuous": {"sharpe": float(seed)}}

    monkeypatch.setattr(actions, "run_seed", run)
    first = actions.stored("sp500", actions.Budget(), 3)
    assert actions.stored("sp500", actions.Budget(), 3) == first
    actions.stored("sp500", actions.Budget(updates=1), 3)
    assert runs == [3, 3], "another budget is another run"
    assert len(list(tmp_path.glob("sp500-3-*.json"))) == 2


def test_the_walks_figures_are_those_of_its_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT))
    benchmark = importlib.import_module("benchmarks.walk_forward")
    folds = make_folds(95 + 30 * 4, WindowConfig(60, 20, 30, purge_bars=5))[:4]
    rng = np.random.default_rng(1)
    stamps = [str(np.datetime64("2010-01-01") + i) for i in range(30)]
    results = tuple(
        FoldResult(
            stamps,
            (rng.normal(0, 0.01, 30) + drift).tolist(),
            rng.normal(0, 0.01, 30).tolist(),
            {
                "verdicts": ["COLLAPSED"] if drift < 0 else [],
                "trades": trades,
                "mean_exposure": exposure,
                "kept": kept,
            },
        )
        for drift, trades, exposure, kept in (
            (0.01, 6, 0.5, "direct"),
            (0.01, 1, 0.5, "direct"),
            (0.01, 3, 0.04, "clone"),
            (-0.01, 0, 0.0, "clone"),
        )
    )
    walk = WalkForwardResult(folds, results, 252.0)
    figures = {f.name: f for f in benchmark.table_figures("sp500", walk)}
    share = figures["sp500: windows with a positive Sharpe ratio"]
    assert share.value == 0.75
    assert share.holds
    assert share.interval is not None
    assert share.interval[0] < 0.75 < share.interval[1]
    assert figures["sp500: windows judged COLLAPSED"].value == 1
    assert figures["sp500: windows judged STATE-BLIND"].value == 0
    idle = figures["sp500: windows that hardly trade"]  # a fiftieth of the bars is 0.6 orders
    assert idle.value == 1
    assert figures["sp500: windows that hardly invest"].value == 2
    assert figures["sp500: windows that kept direct"].value == 2
    both = [*figures.values(), *benchmark.table_figures("nasdaq", walk)]
    found = {f.name: (f.value, f.holds) for f in benchmark.joint_figures(both, 8)}
    assert found["all markets: windows that hardly trade"] == (2, False)
    assert found["all markets: windows judged COLLAPSED"] == (2, False)
    assert found["all markets: windows judged STATE-BLIND"] == (0, True)
    difference = figures["sp500: joined Sharpe ratio less buy-and-hold's"]
    joined, held = (figures[f"sp500: {k} Sharpe ratio"].value for k in ("joined", "buy-and-hold"))
    assert difference.value == pytest.approx(joined - held)
    json.dumps([vars(f) for f in figures.values()], allow_nan=False)
