"""The trial ledger: counted once, by many writers, through crashes."""

from __future__ import annotations

import errno
import json
import math
import os
import re
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from offline_trader.errors import DataError
from offline_trader.evaluation.judging import LEDGER_NAME, TrialLedger, TrialRecord, judge


def _record(ledger: TrialLedger, rate: float, seed: int, sharpe: float | None = 0.1) -> None:
    ledger.record(
        {"learning_rate": rate}, seed=seed, data_hash="d", sharpe=sharpe, n_bars=100, name="x"
    )


def test_a_trial_counts_once(tmp_path: Path) -> None:
    ledger = TrialLedger(tmp_path / "project")
    assert ledger.count() == 0
    _record(ledger, 0.1, 1, 0.5)
    _record(ledger, 0.1, 2)
    _record(ledger, 0.2, 1)
    _record(ledger, 0.1, 1, 0.7)
    assert TrialLedger(tmp_path / "project").count() == 3
    assert ledger.counted().sharpes().tolist() == [0.7, 0.1, 0.1]


def test_order_of_keys_is_no_difference(tmp_path: Path) -> None:
    ledger = TrialLedger(tmp_path)
    for config in ({"a": 1, "b": 2}, {"b": 2, "a": 1}):
        ledger.record(config, seed=0, data_hash="d", sharpe=None, n_bars=5)
    assert ledger.count() == 1


def test_data_sets_are_told_apart(tmp_path: Path) -> None:
    ledger = TrialLedger(tmp_path)
    for data in "ab":
        ledger.record({}, seed=0, data_hash=data, sharpe=0.0, n_bars=5)
    assert ledger.count() == 2
    assert ledger.count("a") == 1


def test_undefined_ratios_count_as_trials(tmp_path: Path) -> None:
    ledger = TrialLedger(tmp_path)
    _record(ledger, 0.1, 1, None)
    _record(ledger, 0.1, 2, math.nan)
    assert ledger.count() == 2
    assert np.isnan(ledger.counted().sharpes()).all()


def test_trials_on_a_few_bars_count_but_are_no_part_of_the_spread(tmp_path: Path) -> None:
    ledger = TrialLedger(tmp_path)
    _record(ledger, 0.1, 1, 0.05)
    ledger.record({}, seed=0, data_hash="d", sharpe=2.5, n_bars=5)
    assert ledger.count() == 2
    assert np.array_equal(ledger.counted().sharpes(), [0.05, math.nan], equal_nan=True)


def test_trials_on_bars_of_other_lengths_are_put_into_the_unit_of_the_result(
    tmp_path: Path,
) -> None:
    ledger = TrialLedger(tmp_path)
    for seed, (sharpe, periods) in enumerate([(0.2, 12.0), (0.05, 252.0), (0.05, None)]):
        ledger.record(
            {}, seed=seed, data_hash="d", sharpe=sharpe, n_bars=100, periods_per_year=periods
        )
    daily = ledger.counted().sharpes(periods_per_year=252.0)
    np.testing.assert_allclose(daily, [0.2 * math.sqrt(12 / 252), 0.05, 0.05])
    monthly = ledger.counted().sharpes(periods_per_year=12.0)
    np.testing.assert_allclose(monthly[:2], [0.2, 0.05 * math.sqrt(252 / 12)])


def test_a_line_cut_short_spoils_no_other(tmp_path: Path) -> None:
    ledger = TrialLedger(tmp_path)
    _record(ledger, 0.1, 1)
    with (tmp_path / LEDGER_NAME).open("a") as file:
        file.write('\n{"key": "abc", "na')
    _record(ledger, 0.1, 2)
    assert [trial.seed for trial in ledger.trials()] == [1, 2]


def _write_many(arguments: tuple[str, int]) -> None:
    directory, worker = arguments
    ledger = TrialLedger(directory)
    for seed in range(50):
        _record(ledger, float(worker), seed)
        _record(ledger, -1.0, seed)


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ('{"sharpe": "high"}', "the trial: sharpe is text"),
        ('{"sharpe": [1]}', "the trial: sharpe is a list"),
        ('{"sharpe": true}', "the trial: sharpe is true or false"),
        ('{"sharpe": 9e18}', r"a Sharpe ratio of 9e\+18 a bar"),
        ('{"sharpe": -101}', "a Sharpe ratio of -101 a bar"),
        ('{"key": [1]}', "the trial: key is a list"),
        ('{"name": null}', "the trial: name is null"),
        ('{"n_bars": "many"}', "the trial: n_bars is text"),
        ('{"n_bars": false}', "the trial: n_bars is true or false"),
        ('{"n_bars": 0}', "0 bars"),
        ('{"periods_per_year": -1}', r"100 bars, -1\.0 a year"),
        ('{"periods_per_year": 1e300}', r"100 bars, 1e\+300 a year"),
        ('{"markets": "sp500"}', "the trial: markets is text"),
        ('{"markets": [1]}', r"the trial: markets\[0\] is a whole number"),
    ],
)
def test_a_line_of_another_kind_is_no_trial_and_is_named(
    tmp_path: Path, wrong: str, reason: str
) -> None:
    ledger = TrialLedger(tmp_path)
    trial = ledger.record({"a": 1}, seed=0, data_hash="d", sharpe=0.1, n_bars=100)
    with ledger.path.open("a") as file:
        file.write(json.dumps(vars(trial) | {"key": "other"} | json.loads(wrong)) + "\n")
    counted = ledger.counted()
    assert counted.count == ledger.count() == 1
    assert counted.sharpes().tolist() == [0.1]
    (named,) = counted.damaged
    assert re.search(rf"trials\.jsonl line 2: {reason}.*; it is not counted\.", named), named


@pytest.mark.parametrize(
    "line",
    [
        *("{", "[]", "null", "7", '"x"', "[" * 100_000, "{}", "\x00", "9" * 400, "9" * 5000),
        '{"sharpe": NaN}',
    ],
)
def test_a_line_of_anything_spoils_no_evaluation(tmp_path: Path, line: str) -> None:
    ledger = TrialLedger(tmp_path)
    with ledger.path.open("w") as file:
        file.write(line)
    _record(ledger, 0.1, 1)
    counted = ledger.counted()
    assert counted.count == 1
    assert len(counted.damaged) == 1
    assert len(counted.damaged[0]) < 400


def test_of_many_damaged_lines_a_few_are_named(tmp_path: Path) -> None:
    ledger = TrialLedger(tmp_path)
    ledger.path.write_bytes(b"\xff\xfe\n" * 50)
    named = ledger.counted().damaged
    assert len(named) == 4
    assert "47 further lines" in named[-1]


def test_keys_of_a_later_version_are_passed_over(tmp_path: Path) -> None:
    ledger = TrialLedger(tmp_path)
    trial = ledger.record({"a": 1}, seed=0, data_hash="d", sharpe=0.1, n_bars=100)
    with ledger.path.open("a") as file:
        file.write(json.dumps(vars(trial) | {"key": "other", "venue": 1}) + "\n")
    assert ledger.counted().count == 2
    assert not ledger.counted().damaged


def test_a_ratio_of_returns_that_hardly_vary_is_recorded_as_none(tmp_path: Path) -> None:
    ledger = TrialLedger(tmp_path)
    _record(ledger, 0.1, 1, 9e18)
    assert ledger.counted().count == 1
    assert np.isnan(ledger.counted().sharpes()).all()
    assert not ledger.counted().damaged


def test_trials_on_other_markets_do_not_raise_this_ones_hurdle(tmp_path: Path) -> None:
    """The deflated ratio of a result after 13 trials elsewhere is that of a single trial."""
    returns = np.random.default_rng(0).normal(0.0004, 0.01, 1000)
    alone = judge(returns, 252.0, trial=_trial(TrialLedger(tmp_path / "alone"), "sp500"))
    ledger = TrialLedger(tmp_path / "many")
    for k in range(13):
        wild = np.random.default_rng(k).normal(0.0002 * (k - 6), 0.01, 1000)
        judge(wild, 252.0, trial=_trial(ledger, f"coin-{k}"))
    scoped = judge(returns, 252.0, trial=_trial(ledger, "sp500"))
    assert scoped.trials == 1
    assert scoped.statistics["dsr"] == alone.statistics["dsr"] == alone.statistics["psr"]
    assert scoped.trials_counted == "on sp500; 13 on other markets not counted"
    project = judge(returns, 252.0, trial=replace(_trial(ledger, "sp500"), scope="project"))
    assert project.trials == 14
    dsr, before = project.statistics["dsr"], alone.statistics["dsr"]
    assert dsr is not None
    assert before is not None
    assert dsr < before / 10
    assert project.trials_counted == "of the whole project"


def test_trials_of_the_same_search_raise_the_hurdle(tmp_path: Path) -> None:
    """Other dates of the market, several markets with it among them, unknown markets: all count."""
    ledger = TrialLedger(tmp_path)
    for seed, (data, markets) in enumerate(
        [("2015", ["sp500"]), ("2016", ["sp500", "nasdaq"]), ("x", []), ("y", ["nasdaq"])]
    ):
        ledger.record({}, seed=seed, data_hash=data, sharpe=0.1, n_bars=100, markets=markets)
    counted = ledger.counted(["sp500"])
    assert [trial.data_hash for trial in counted.trials] == ["2015", "2016", "x"]
    assert counted.described == (
        "on sp500; 1 of them without a known market; 1 on other markets not counted"
    )
    assert ledger.counted(["renamed"], "2015").count == 2  # the same bars under another name


def _trial(ledger: TrialLedger, market: str) -> TrialRecord:
    return TrialRecord(ledger, {"policy": "p"}, 0, f"bars of {market}", "p", (market,))


def test_a_full_disk_leaves_the_ledger_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = TrialLedger(tmp_path)
    _record(ledger, 0.1, 1)
    before = ledger.path.read_bytes()

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DataError, match=r"trials\.jsonl cannot be written: No space left"):
        _record(ledger, 0.1, 2)
    assert ledger.path.read_bytes() == before


def test_concurrent_writers(tmp_path: Path) -> None:
    with ProcessPoolExecutor(4) as pool:
        list(pool.map(_write_many, [(str(tmp_path), worker) for worker in range(4)]))
    assert TrialLedger(tmp_path).count() == 5 * 50


def test_unwritable_directory_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match=r"trials\.jsonl cannot be written"):
        _record(TrialLedger(tmp_path / "file"), 0.1, 1)
