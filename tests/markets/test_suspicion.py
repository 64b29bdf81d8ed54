"""Bars that are valid and likely to be wrong: told with their row, and nothing else is told."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from offline_trader.markets import Bars, load_market
from offline_trader.markets.suspicion import suspicious_bars


def write(folder: Path, close: np.ndarray, changed: dict[tuple[int, int], float]) -> Bars:
    """Bars of a walk; ``changed``: (row, column) → factor, columns open, high, low, close."""
    days = np.datetime64("2015-01-01") + np.arange(len(close))
    open_ = np.concatenate([close[:1], close[:-1]])
    prices = np.stack([open_, np.maximum(open_, close), np.minimum(open_, close), close], axis=1)
    for (row, column), factor in changed.items():
        prices[row, column] *= factor
    cells = [
        ",".join([str(day), *map(repr, row)])
        for day, row in zip(days, prices.tolist(), strict=True)
    ]
    file = folder / "a.csv"
    file.write_text("date,open,high,low,close\n" + "\n".join(cells) + "\n")
    return load_market(file)


def walk(sigma: float = 0.01, bars: int = 400) -> np.ndarray:
    return 100.0 * np.exp(np.cumsum(np.random.default_rng(7).normal(0.0, sigma, bars)))


def told(bars: Bars) -> list[str]:
    return [note for note in bars.notes if "suspicious" in note]


@pytest.mark.parametrize("sigma", [0.0005, 0.01, 0.05, 0.1, 0.15])
def test_a_walk_is_not_suspicious(tmp_path: Path, sigma: float) -> None:
    assert told(write(tmp_path, walk(sigma), {})) == []


@pytest.mark.parametrize("market", ["sp500", "nasdaq"])
def test_twenty_years_of_an_index_are_not_suspicious(tmp_path: Path, market: str) -> None:
    bars = load_market(market)
    rows = zip(bars.timestamps, bars.open, bars.high, bars.low, bars.close, strict=True)
    text = "".join(f"{str(t)[:10]},{o},{h},{lo},{c}\n" for t, o, h, lo, c in rows)
    (tmp_path / "a.csv").write_text("date,open,high,low,close\n" + text)
    assert told(load_market(tmp_path / "a.csv")) == []


def test_a_split_that_is_not_adjusted(tmp_path: Path) -> None:
    close = walk()
    close[200:] /= 4.0
    bars = write(tmp_path, close, {(200, 0): 0.25, (200, 1): 0.25})
    (note,) = told(bars)
    factor = bars.close[200] / bars.close[199]
    assert note == (
        f"suspicious row 202 (2015-07-20): the close is {factor:.4g} times the one before: "
        "a 4:1 split that is not adjusted?"
    )


@pytest.mark.parametrize("factor", [2.0, 1 / 2, 1 / 3])
def test_an_exact_split_is_told_where_prices_move_much(tmp_path: Path, factor: float) -> None:
    """At 8 % a day a factor of 2 is 13 times the usual move, and of 3 it is 20 times."""
    close = walk(0.08)
    close[200:] *= factor * close[199] / close[200]
    high, low = (200, 1), (200, 2)
    bars = write(tmp_path, close, {(200, 0): factor, (low if factor > 1 else high): factor})
    (note,) = told(bars)
    ratio = f"1:{factor:.0f}" if factor > 1 else f"{1 / factor:.0f}:1"
    assert note.startswith("suspicious row 202 (2015-07-20): the close is ")
    assert note.endswith(f"a {ratio} split that is not adjusted?")


def test_heavy_tails_are_seldom_taken_for_splits() -> None:
    """Of 100,000 bars that move 3 % a bar, Student's t with 5 degrees: beside those of 25 times
    the usual one, told whatever their factor, two halve or double to 1 % by chance."""
    by_factor = 0
    stamps = np.datetime64("2000-01-01", "D") + np.arange(5_000)
    for seed in range(20):
        moves = np.random.default_rng(seed).standard_t(5, 5_000) * 0.04
        close = 100.0 * np.exp(np.cumsum(moves))
        open_ = np.append(close[:1], close[:-1])
        columns = {
            "open": open_, "high": np.maximum(open_, close), "low": np.minimum(open_, close),
            "close": close,
        }  # fmt: skip
        size = np.abs(np.diff(np.log(close), prepend=np.log(close[0])))
        far = int(np.count_nonzero(size > 25.0 * np.median(size)))
        by_factor += len(suspicious_bars(stamps.astype("datetime64[ns]"), columns, str)) - far
    assert by_factor <= 2


def test_prices_in_another_unit_from_a_row_on(tmp_path: Path) -> None:
    close = walk()
    close[300:] *= 1e6
    (note,) = told(write(tmp_path, close, {(300, 0): 1e6, (300, 2): 1e6}))
    assert note.startswith("suspicious row 302 (2015-10-28): the close is 1")
    assert note.endswith(
        "e+06 times the one before: a decimal point in another place, or another unit?"
    )


def test_a_stray_tick_is_told_where_it_is(tmp_path: Path) -> None:
    (note,) = told(write(tmp_path, walk(), {(50, 1): 1e5}))
    assert note.startswith("suspicious row 52 (2015-02-20): the high is 1e+05 times open and close")
    (low,) = told(write(tmp_path, walk(), {(50, 2): 0.1}))
    assert low.startswith("suspicious row 52 (2015-02-20): the low is 0.1 times open and close")


def test_many_are_counted(tmp_path: Path) -> None:
    notes = told(write(tmp_path, walk(), {(row, 1): 100.0 for row in range(20, 320, 30)}))
    assert len(notes) == 4
    assert notes[-1] == "7 more suspicious rows of this kind"
