"""Seeds of one configuration: rows, interquartile means, the median seed, the ledger."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from offline_trader.envs import EnvConfig
from offline_trader.errors import ConfigError
from offline_trader.evaluation.judging import (
    EvaluateOptions,
    SeedRun,
    TrialLedger,
    evaluate,
    seed_study,
)
from offline_trader.evaluation.statistics import interquartile_mean
from offline_trader.types import Policy

ENV = EnvConfig(market=("sp500",), start="2016-01-01", end="2017-06-30")
OPTIONS = EvaluateOptions(costs_bps=(), noise_draws=0, delay_bars=0, replicates=200)


def steady(share: float, column: int = 0) -> Policy:
    """Buys ``share`` on rising days, sells it on falling ones."""

    def act(seen: NDArray[np.float32], /) -> NDArray[np.float32]:
        return np.where(seen[:, [column]] > 0, share, -share).astype(np.float32)

    return act


RUNS = [
    SeedRun(seed, steady(share, column), {"config_hash": str(seed)})
    for seed, share, column in ((0, 0.9, 0), (1, 0.4, 1), (2, 0.7, 2), (5, 0.3, 3))
]


def test_rows_are_the_seeds_own_evaluations_and_their_middle_half() -> None:
    study = seed_study(RUNS, ENV, OPTIONS)
    *rows, summary = study.rows
    assert [row.name for row in rows] == ["seed 0", "seed 1", "seed 2", "seed 5"]
    for run, row in zip(RUNS, rows, strict=True):
        alone = evaluate(
            run.strategy,
            ENV,
            EvaluateOptions(
                costs_bps=(),
                noise_draws=0,
                delay_bars=0,
                oracle=False,
                replicates=200,
                seed=run.seed,
            ),
        )
        assert row.value == alone.measures["sharpe"]
        assert row.interval == alone.intervals["sharpe"]
        assert row.measures["max_drawdown"] == alone.measures["max_drawdown"]
    sharpes = [row.value for row in rows]
    assert summary.summary
    assert summary.value == pytest.approx(interquartile_mean(np.array(sharpes, dtype=float)))
    assert summary.interval is not None
    low, high = summary.interval
    assert low < high
    drawdowns = np.array([row.measures["max_drawdown"] for row in rows], dtype=float)
    assert summary.measures["max_drawdown"] == pytest.approx(interquartile_mean(drawdowns))
    # of four the lower of the two in the middle
    assert study.median == int(np.argsort(np.array(sharpes, dtype=float))[1])


def test_each_seed_is_one_trial_however_often_it_is_looked_at(tmp_path: Path) -> None:
    ledger = TrialLedger(tmp_path)
    seed_study(RUNS[:3], ENV, OPTIONS, ledger=ledger)
    assert ledger.count() == 3
    evaluate(
        RUNS[1].strategy, ENV, EvaluateOptions(seed=1, oracle=False, noise_draws=0, costs_bps=()),
        ledger=ledger, trial=RUNS[1].trial,
    )  # fmt: skip
    assert ledger.count() == 3


def test_two_seeds_have_no_interval_and_say_so() -> None:
    summary = seed_study(RUNS[:2], ENV, OPTIONS).rows[-1]
    assert summary.interval is None
    assert "an interval needs three" in summary.note


def test_over_instruments_the_bootstrap_is_stratified() -> None:
    env = EnvConfig(market=("sp500", "nasdaq"), start="2016-01-01", end="2017-06-30")
    study = seed_study(RUNS[:3], env, OPTIONS)
    assert [row.name for row in study.rows if row.summary] == [
        "interquartile mean",
        "interquartile mean by instrument",
    ]
    assert "2 instruments, 3 seeds each" in study.rows[-1].note
    assert study.rows[-1].interval is not None


@pytest.mark.parametrize("runs", [RUNS[:1], [RUNS[0], RUNS[0]]], ids=["one", "twice"])
def test_seeds_have_to_be_several_and_different(runs: list[SeedRun]) -> None:
    with pytest.raises(ConfigError, match="seeds 0"):
        seed_study(runs, ENV, OPTIONS)
