"""Tables on terminals of any width: no value is cut, every column is there."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offline_trader.cli.console import Percent, Terminal

COLUMNS = ("window", "start", "max_drawdown", "its Sharpe", "kept", "trades", "verdict")
ROWS = [
    (1, "2006-01-24", Percent(-0.1001), -0.02966, "previous window", 1_038, "–"),
    (2, "2008-06-12", Percent(-0.4074), 1.188, "clone", 4, "STATE-BLIND, SATURATED"),
]
VALUES = ["2006-01-24", "-10.01 %", "-0.02966", "1,038", "-40.74 %", "1.188", "clone", "Sharpe"]


@pytest.mark.parametrize("width", [40, 60, 80, 120, 200])
def test_no_value_is_cut(
    width: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    Terminal().table("walk", COLUMNS, ROWS)
    shown = capsys.readouterr().out
    assert all(len(line) <= width for line in shown.splitlines())
    for value in (*VALUES, "previous window", "SATURATED", "STATE-BLIND", "walk"):
        assert value in shown


def test_columns_that_do_not_fit_follow_below_beside_the_first(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    Terminal().table("walk", COLUMNS, ROWS)
    shown = capsys.readouterr().out
    assert shown.count("window") == 3  # twice as a heading, once in a value
    assert shown.count("walk") == 1
    monkeypatch.setenv("COLUMNS", "120")
    Terminal().table("walk", COLUMNS, ROWS)
    assert capsys.readouterr().out.count("window") == 2


@given(
    cells=st.lists(
        st.text(st.characters(categories=("L", "N")), min_size=1, max_size=8),  # 16 places
        min_size=1,
        max_size=9,
    ),
    width=st.integers(40, 100),
)
def test_every_short_cell_is_in_one_piece(cells: list[str], width: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COLUMNS", str(width))
        terminal = Terminal()
        with terminal._out.capture() as captured:
            terminal.table("", [f"c{i}" for i in range(len(cells))], [cells])
    for cell in cells:
        assert cell in captured.get()


def test_with_json_no_table_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    Terminal(as_json=True).table("walk", COLUMNS, ROWS)
    assert capsys.readouterr().out == ""
