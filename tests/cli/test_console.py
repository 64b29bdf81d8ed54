"""Tables on terminals of any width: no value is cut, every column is there."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offline_trader.cli.console import Percent, Terminal
from offline_trader.cli.main import main
from offline_trader.errors import ConfigError, visible

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


EVIL = "a\x1b[2J\x07\x9b31m\x7f\r\u202eb"


@pytest.mark.parametrize("as_json", [False, True])
def test_nothing_that_drives_a_terminal_reaches_it(
    as_json: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    terminal = Terminal(as_json=as_json)
    terminal.note(EVIL)
    terminal.line(EVIL)
    terminal.table(EVIL, [EVIL, "x"], [[EVIL, 1], [f"{EVIL}\nforged row", 2]])
    with terminal.task(EVIL) as advance:
        advance(1, 1)
    terminal.result({EVIL: EVIL})
    streams = capsys.readouterr()
    for shown in (streams.out, streams.err):
        left = [c for c in shown if c != "\n" and (ord(c) < 32 or 127 <= ord(c) < 160)]
        assert not left, shown
        assert "\u202e" not in shown
    if as_json:
        assert json.loads(streams.out) == {EVIL: EVIL}
    else:
        assert streams.out.count("a\\x1b[2J\\x07\\x9b31m\\x7f\\r\\u202eb") == 5


@given(st.text())
def test_text_without_such_characters_is_as_it_was(text: str) -> None:
    shown = visible(text)
    assert visible(shown) == shown
    if text.isprintable():
        assert shown == text


def test_a_name_that_is_no_utf_8_is_told(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    name = os.fsdecode(b"pri\xffces\x1b[31m.csv")
    Path(name).write_text("not,bars\n1,2\n")
    for word in (name, os.fsdecode(b"missing\xfe.csv")):
        with pytest.raises(SystemExit) as stop:
            main(["markets", word])
        assert stop.value.code == 3
    told = capsys.readouterr().err
    assert "ces\\x1b[31m.csv: no column" in told
    assert "fe.csv: no such file" in told
    assert "\x1b" not in told


@pytest.mark.parametrize("columns", ["0", "-1", "wide", ""])
def test_a_width_that_is_none_is_passed_over(
    columns: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    for words, part in ((["experts"], "buy_and_hold"), (["--help"], "collect")):
        with pytest.raises(SystemExit):
            main(words)
        assert part in capsys.readouterr().out


def test_a_dash_is_explained_where_there_is_one(capsys: pytest.CaptureFixture[str]) -> None:
    Terminal().table("", ["", "Sharpe ratio"], [["a", None], ["b", 0.5]])
    assert " –: not defined here, or not measured" in capsys.readouterr().out
    Terminal().table("", ["", "Sharpe ratio"], [["b", 0.5]])
    assert "not measured" not in capsys.readouterr().out


def test_a_failure_is_told_without_a_bar(capsys: pytest.CaptureFixture[str]) -> None:
    def fail() -> None:
        with Terminal().task("collecting", 10) as advance:
            advance(3)
            raise ConfigError("no such expert")

    with pytest.raises(ConfigError):
        fail()
    assert "collecting" not in capsys.readouterr().err
    with Terminal().task("collecting", 10) as advance:
        advance(10)
    assert "collecting" in capsys.readouterr().err


def test_the_next_command_is_one_that_a_shell_takes(capsys: pytest.CaptureFixture[str]) -> None:
    Terminal().next_step("export", Path("my runs/a"))
    assert capsys.readouterr().err == "next: offline-trader export 'my runs/a'\n"
    Terminal(as_json=True).next_step("export", "a")
    Terminal(quiet=True).next_step("export", "a")
    assert capsys.readouterr().err == ""


def test_colons_in_names_are_no_pictures(capsys: pytest.CaptureFixture[str]) -> None:
    Terminal().line("log:smile:csv [red]x[/red]")
    assert capsys.readouterr().out == "log:smile:csv [red]x[/red]\n"
