"""What was done with options, counted from decisions that are known."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from offline_trader.evaluation.judging import OptionUse, option_trace, option_use
from offline_trader.evaluation.report.options import options_section

Array = NDArray[np.float32]


class Turns:
    """``long`` for three bars, ``short`` for one; ``never`` might begin at every choice, too."""

    names = ("long", "short", "never")
    lasting = (3.0, 1.0, 1.0)

    def decide(self, observations: Array, state: Array | None = None) -> tuple[Array, Array, Array]:
        option, age = (-1.0, 0.0) if state is None else state[0, :2].tolist()
        if option < 0 or age >= self.lasting[int(option)]:
            option, age = float(option == 0.0), 0.0
        after = np.array([[option, age + 1.0, 0.0]], np.float32)
        may = np.array([[1.0, option == 1.0 or age > 0.0, 1.0]], np.float32)
        return np.zeros((1, 1), np.float32), after, may


def runs(*lengths: int) -> Any:
    return [SimpleNamespace(observations=np.zeros((n, 2), np.float32), symbol="X") for n in lengths]


def test_a_trace_says_which_option_ran_and_where_it_began() -> None:
    trace = option_trace(Turns(), np.zeros((9, 2), np.float32))
    assert trace.option.tolist() == [0, 0, 0, 1, 0, 0, 0, 1, 0]
    assert np.flatnonzero(trace.begins).tolist() == [0, 3, 4, 7, 8]
    assert trace.offered.shape == (9, 3)


def test_use_is_counted_over_all_runs_and_by_regime() -> None:
    """Nine decisions and four: 7 + 3 of ``long`` in 3 + 1 beginnings, 2 + 1 of ``short`` in 2 + 1.
    The first three decisions of each run are of regime 0, all ``long``; the others of regime 1."""
    labels = [np.where(np.arange(n) < 3, 0, 1) for n in (9, 4)]
    found = option_use(Turns(), runs(9, 4), labels)
    long, short, never = found.rows
    assert (long.bars, long.starts, long.duration) == (10, 4, 2.5)
    assert (short.bars, short.starts, short.duration) == (3, 3, 1.0)
    assert long.share == pytest.approx(10 / 13)
    assert long.chosen == pytest.approx(4 / 7)
    assert short.chosen == 1.0  # it might begin where it did alone
    assert (never.starts, never.duration, never.chosen) == (0, None, 0.0)
    assert long.regimes[:2] == pytest.approx((1.0, 4 / 7))
    assert found.switches[:2] == pytest.approx((2 / 6, 5 / 7))
    assert long.regimes[2:] == found.switches[2:] == (None, None)
    assert found.timeline.tolist() == [0, 0, 0, 1, 0, 0, 0, 1, 0]


def test_the_section_shows_table_timeline_and_regimes() -> None:
    found = option_use(Turns(), runs(9), [np.zeros(9, np.int64)])
    section = options_section(found)
    assert [chart.name for chart in section.charts] == ["options", "option_regimes"]
    texts = [[cell.text for cell in row] for row in section.blocks[0].rows]  # type: ignore[union-attr]
    assert texts[0] == ["long", "3", "2.33", "77.8 %", "60.0 %"]
    assert texts[2] == ["never", "0", "–", "0.0 %", "0.0 %"]


def test_without_regimes_there_is_no_map_of_them() -> None:
    found = option_use(Turns(), runs(9))
    assert isinstance(found, OptionUse)
    assert [chart.name for chart in options_section(found).charts] == ["options"]
    assert options_section(replace(found, timeline=np.zeros(0))).charts
