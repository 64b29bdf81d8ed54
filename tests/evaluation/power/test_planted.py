"""Planted markets: a signal as strong as asked for, disjoint stretches, nothing else to earn."""

from __future__ import annotations

import numpy as np
import pytest

from offline_trader.errors import ConfigError, DataError
from offline_trader.evaluation.power import PowerPoint, Split, plant, power_curve, power_sentence
from offline_trader.markets import load_market
from offline_trader.markets.spacing import infer_periods_per_year
from offline_trader.markets.synthetic import TurbulentMarket

HISTORY = load_market("sp500")
LONG = Split(warm_up=253, train=30_000, validation=2_500, test=10_000)


@pytest.mark.parametrize("coefficient", [0.0, 0.05, 0.2])
def test_the_signal_is_as_strong_as_was_asked_for(coefficient: float) -> None:
    made = plant(HISTORY, LONG, coefficient, seed=3)
    r = made.bars.close[1:] / made.bars.close[:-1] - 1.0
    found = float(np.corrcoef(made.signal[:-1], r)[0, 1])
    # neighbouring values of the signal are alike, returns hardly: one standard error 1/√T
    assert found == pytest.approx(coefficient, abs=4.0 / np.sqrt(len(r)))
    assert made.signal.std() == pytest.approx(1.0, abs=0.05)
    assert float(np.corrcoef(made.signal[:-1], made.signal[1:])[0, 1]) == pytest.approx(
        0.95, abs=0.01
    )
    later = float(np.corrcoef(made.signal[1:], r)[0, 1])  # what is known after the bar, not before
    assert later == pytest.approx(0.95 * coefficient, abs=4.0 / np.sqrt(len(r)))


def test_without_a_signal_holding_earns_nothing() -> None:
    scores = []
    for seed in range(8):
        close = plant(HISTORY, LONG, 0.0, seed=seed).bars.close
        r = close[1:] / close[:-1] - 1.0
        scores.append(r.mean() / r.std() * np.sqrt(252.0))
    assert abs(np.mean(scores)) < 3.5 / np.sqrt(8 * LONG.total / 252.0) + 0.05


def test_no_row_of_the_history_is_on_both_sides() -> None:
    made = plant(HISTORY, LONG, 0.0, seed=1)
    parts = np.split(made.bars.volume, [LONG.warm_up + LONG.train, LONG.total - LONG.test])
    ranges = [np.flatnonzero(np.isin(HISTORY.volume, part)) for part in parts]
    unique = [set(HISTORY.volume[rows]) for rows in ranges]
    shared = [unique[0] & unique[1], unique[1] & unique[2], unique[0] & unique[2]]
    twice = {
        v for v, n in zip(*np.unique(HISTORY.volume, return_counts=True), strict=True) if n > 1
    }
    assert all(common <= twice for common in shared)
    assert all(len(part) > 200 for part in unique)


def test_no_row_is_drawn_twice_while_there_are_others() -> None:
    """A copy in a block that is forecast would be known from the blocks that are fitted on."""
    split = Split(253, 3_000, 250, 1_000)
    drawn = plant(HISTORY, split, 0.0, seed=1).bars.volume
    known, counts = np.unique(HISTORY.volume, return_counts=True)
    once = set(known[counts == 1])
    values, times = np.unique(drawn, return_counts=True)
    assert len(drawn) < len(HISTORY)
    assert not once & set(values[times > 1])
    # blocks of 20 bars: neighbours stay neighbours nineteen times in twenty
    place = {volume: row for row, volume in enumerate(HISTORY.volume) if volume in once}
    rows = np.array([place.get(volume, -1) for volume in drawn])
    steps = np.diff(rows)[(rows[1:] >= 0) & (rows[:-1] >= 0)]
    assert 0.92 < np.mean(steps == 1) < 0.98


def test_no_part_has_a_drift_of_its_own() -> None:
    """The S&P's year of the validation rose by more than the rest: holding it would be chosen."""
    split = Split(253, 3_000, 250, 1_000)
    for seed in range(3):
        close = plant(HISTORY, split, 0.0, seed=seed).bars.close
        r = np.split(close[1:] / close[:-1] - 1.0, [3_252, 3_502])
        for part in r:
            assert abs(part.mean() / part.std() * np.sqrt(252.0)) < 0.4


def test_coefficients_share_blocks_and_signal() -> None:
    split = Split(253, 2_000, 300, 900)
    none, some = (plant(HISTORY, split, c, seed=2) for c in (0.0, 0.1))
    np.testing.assert_array_equal(none.signal, some.signal)
    np.testing.assert_array_equal(none.bars.volume, some.bars.volume)
    r = [each.bars.close[1:] / each.bars.close[:-1] - 1.0 for each in (none, some)]
    ratio = (r[1] - r[0]) / none.signal[:-1]
    np.testing.assert_allclose(ratio, ratio[0], rtol=1e-6)
    again = plant(HISTORY, split, 0.1, seed=2)
    assert again.bars.sha256 == some.bars.sha256 != plant(HISTORY, split, 0.1, seed=3).bars.sha256


def test_what_cannot_be_planted_is_refused() -> None:
    short = TurbulentMarket(bars=600).make()
    with pytest.raises(DataError, match="stretches"):
        plant(short, Split(253, 300, 60, 120), 0.1)
    with pytest.raises(ConfigError, match="coefficient = 1"):
        plant(HISTORY, LONG, 1.0)


def result(coefficient: float, sharpe: float, *, found: bool, trades: int = 9) -> dict[str, object]:
    return {
        "coefficient": coefficient,
        "sharpe": sharpe,
        "found": found,
        "rule_sharpe": 1.5,
        "rule_found": True,
        "optimum_sharpe": 2.0,
        "optimum_found": found or coefficient > 0.0,
        "exposure": 0.5,
        "trades": trades,
        "verdicts": [],
    }


def test_the_curve_counts_and_the_sentence_says_it() -> None:
    strong = [result(0.1, 1.0, found=i < 8) for i in range(10)]
    points = power_curve([result(0.0, 0.0, found=False, trades=0), *strong])
    assert [each.coefficient for each in points] == [0.0, 0.1]
    assert isinstance(points[1], PowerPoint)
    assert (points[1].found, points[1].seeds, points[0].idle) == (8, 10, 1)
    assert (points[1].optimum_found, points[1].optimum_sharpe) == (10, 2.0)
    # Wilson's interval of 8 in 10, by hand
    assert points[1].share_low == pytest.approx(0.4902, abs=1e-4)
    assert points[1].share_high == pytest.approx(0.9433, abs=1e-4)
    said = power_sentence(points, 12.0, 6.0)
    assert said.startswith(
        "With 12 years of these bars to train on, at 6 bp a side, the line finds"
    )
    assert "0.1 8 times in ten (95 % interval 49% to 94%)" in said
    assert "claimed to find something in 0 of 1 markets" in said


@pytest.mark.parametrize(
    ("history", "train"),
    [("synthetic:walk?seed=1&bars=4000", 2_000), ("synthetic:walk?seed=1&bars=4000", 9_000)],
)
def test_bars_of_hours_stay_hours(history: str, train: int) -> None:
    """Costs of borrowing and the calendar's features read the times, of a stored market alone."""
    own = load_market(history)
    made = plant(own, Split(warm_up=253, train=train, validation=900, test=900), 0.1)
    stored = infer_periods_per_year(made.bars.timestamps)
    assert stored == pytest.approx(own.periods_per_year, rel=0.02)
    hours = own.timestamps.astype("datetime64[h]")
    assert np.median(np.diff(hours).astype(int)) == 1
    assert np.median(np.diff(made.bars.timestamps.astype("datetime64[h]")).astype(int)) == 1


def test_the_days_of_a_history_of_weekdays_are_weekdays() -> None:
    stamps = plant(HISTORY, LONG, 0.1).bars.timestamps
    assert np.is_busday(stamps.astype("datetime64[D]")).all()
    assert str(stamps[0])[:10] == "1980-01-01"
