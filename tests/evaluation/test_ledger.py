"""The trial ledger: counted once, by many writers, through crashes."""

from __future__ import annotations

import json
import math
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from offline_trader.errors import DataError
from offline_trader.evaluation.ledger import LEDGER_NAME, TrialLedger


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
    assert ledger.sharpes().tolist() == [0.7, 0.1, 0.1]


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
    assert np.isnan(ledger.sharpes()).all()


def test_trials_on_a_few_bars_count_but_are_no_part_of_the_spread(tmp_path: Path) -> None:
    ledger = TrialLedger(tmp_path)
    _record(ledger, 0.1, 1, 0.05)
    ledger.record({}, seed=0, data_hash="d", sharpe=2.5, n_bars=5)
    assert ledger.count() == 2
    assert np.array_equal(ledger.sharpes(), [0.05, math.nan], equal_nan=True)


def test_trials_on_bars_of_other_lengths_are_put_into_the_unit_of_the_result(
    tmp_path: Path,
) -> None:
    ledger = TrialLedger(tmp_path)
    for seed, (sharpe, periods) in enumerate([(0.2, 12.0), (0.05, 252.0), (0.05, None)]):
        ledger.record(
            {}, seed=seed, data_hash="d", sharpe=sharpe, n_bars=100, periods_per_year=periods
        )
    daily = ledger.sharpes(periods_per_year=252.0)
    np.testing.assert_allclose(daily, [0.2 * math.sqrt(12 / 252), 0.05, 0.05])
    monthly = ledger.sharpes(periods_per_year=12.0)
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
    "wrong",
    ['{"sharpe": "high"}', '{"sharpe": [1]}', '{"key": [1]}', '{"n_bars": "many"}'],
)
def test_a_line_of_another_kind_is_no_trial(tmp_path: Path, wrong: str) -> None:
    ledger = TrialLedger(tmp_path)
    trial = ledger.record({"a": 1}, seed=0, data_hash="d", sharpe=0.1, n_bars=100)
    with ledger.path.open("a") as file:
        file.write(json.dumps(vars(trial) | {"key": "other"} | json.loads(wrong)) + "\n")
    assert ledger.count() == 1
    assert ledger.sharpes().tolist() == [0.1]


def test_concurrent_writers(tmp_path: Path) -> None:
    with ProcessPoolExecutor(4) as pool:
        list(pool.map(_write_many, [(str(tmp_path), worker) for worker in range(4)]))
    assert TrialLedger(tmp_path).count() == 5 * 50


def test_unwritable_directory_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match=r"trials\.jsonl cannot be written"):
        _record(TrialLedger(tmp_path / "file"), 0.1, 1)
