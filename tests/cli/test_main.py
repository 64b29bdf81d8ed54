"""The entry point: lazy loading, exit codes, error blocks."""

from __future__ import annotations

import errno
import importlib.util
import io
import os
import sys
import types
from collections.abc import Callable
from pathlib import Path

import pytest

from offline_trader import __version__
from offline_trader.cli import main as entry
from offline_trader.errors import ConfigError, DataError, GateFailed, RiskHalt


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of ``offline-trader WORDS``."""
    with pytest.raises(SystemExit) as stop:
        entry.main(list(words))
    code = stop.value.code
    streams = capsys.readouterr()
    return (code if isinstance(code, int) else 0), streams.out, streams.err


@pytest.fixture
def probe(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], None]], None]:
    """Registers a function as the command ``probe``."""

    def register(function: Callable[[], None]) -> None:
        module = types.ModuleType("offline_trader.cli.probe")
        module.__dict__.update(command=function, EXAMPLES="")
        monkeypatch.setitem(sys.modules, module.__name__, module)
        monkeypatch.setitem(entry.COMMANDS, "probe", "A command for tests.")

    return register


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "--version") == (0, f"offline-trader {__version__}\n", "")


def test_help_lists_every_command_with_its_line(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "--help")
    assert code == 0
    for name, summary in entry.COMMANDS.items():
        assert name in out
        assert summary.split()[0] in out


@pytest.mark.parametrize("name", list(entry.COMMANDS))
def test_every_command_has_a_module_and_help_with_examples(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert importlib.util.find_spec(f"offline_trader.cli.{name.replace('-', '_')}")
    code, out, _ = run(capsys, name, "--help")
    assert code == 0
    assert "Usage:" in out


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ConfigError("a"), 2),
        (DataError("a"), 3),
        (GateFailed("a"), 4),
        (RiskHalt("a"), 5),
        (KeyboardInterrupt(), 130),
        (ZeroDivisionError("a"), 1),
    ],
)
def test_each_error_has_its_exit_code(
    error: BaseException,
    code: int,
    probe: Callable[[Callable[[], None]], None],
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fails() -> None:
        raise error

    probe(fails)
    found, out, _ = run(capsys, "probe")
    assert (found, out) == (code, "")


def test_a_users_mistake_is_one_short_block_without_traceback(
    probe: Callable[[Callable[[], None]], None], capsys: pytest.CaptureFixture[str]
) -> None:
    def fails() -> None:
        raise DataError("bars.csv row 17: high 10 < close 11", expected="high ≥ close", hint="fix")

    probe(fails)
    assert run(capsys, "probe")[2].splitlines() == [
        "error: bars.csv row 17: high 10 < close 11",
        "  expected: high ≥ close",
        "  what to do: fix",
    ]


def test_our_own_fault_shows_where_and_how_to_report(
    probe: Callable[[Callable[[], None]], None], capsys: pytest.CaptureFixture[str]
) -> None:
    def fails() -> None:
        raise ZeroDivisionError("what a surprise")

    probe(fails)
    err = run(capsys, "probe")[2]
    assert "ZeroDivisionError: what a surprise" in err
    assert err.splitlines()[-1].startswith(f"This is a bug in offline-trader {__version__}")


@pytest.mark.parametrize(
    "words",
    [("nonsense",), ("--nonsense",), ("markets", "--nonsense")],
)
def test_wrong_usage_exits_with_two(
    words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = run(capsys, *words)
    assert (code, out) == (2, "")
    assert "nonsense" in err


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (OSError(errno.EROFS, "Read-only file system", "runs/x"), "Read-only file system"),
        (PermissionError(errno.EACCES, "Permission denied", "runs/x"), "Permission denied"),
        (NotADirectoryError(errno.ENOTDIR, "Not a directory", "runs/x"), "Not a directory"),
    ],
)
def test_a_place_that_cannot_be_written_is_a_short_block(
    error: OSError,
    reason: str,
    probe: Callable[[Callable[[], None]], None],
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fails() -> None:
        raise error

    probe(fails)
    code, out, err = run(capsys, "probe")
    assert (code, out) == (2, "")
    assert err.splitlines()[0] == f"error: runs/x cannot be used: {reason}"
    assert "Traceback" not in err


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_a_disk_without_room_has_the_code_of_data_in_every_command(
    number: int,
    probe: Callable[[Callable[[], None]], None],
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fails() -> None:
        raise OSError(number, os.strerror(number), "runs/x")

    probe(fails)
    code, out, err = run(capsys, "probe")
    assert (code, out) == (3, "")
    assert err.splitlines()[0] == f"error: runs/x cannot be written: {os.strerror(number)}"
    assert "make room" in err


def test_a_file_where_a_folder_belongs_is_a_short_block(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "root").write_text("no folder")
    words = ["collect", "-q", "--market", "sp500", "--root", str(tmp_path / "root")]
    code, out, err = run(capsys, *words, "--end", "2001-12-31", "--transitions", "10")
    assert (code, out) == (2, "")
    assert "root" in err.splitlines()[0]
    assert "Traceback" not in err


@pytest.mark.parametrize("day", ["2012-13-45", "2012-02-30", "2012-06-30 25:00:00"])
def test_a_day_that_is_none_is_a_short_block(day: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, "collect", "--dry-run", "--market", "sp500", "--end", day)
    assert (code, out) == (2, "")
    assert f"error: date {day!r} cannot be read" in err


def test_a_character_that_the_stream_lacks_is_replaced(
    probe: Callable[[Callable[[], None]], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding="latin-1"))

    def prints() -> None:
        print("Sharpe \u2013 \u2265 0")

    probe(prints)
    with pytest.raises(SystemExit) as stop:
        entry.main(["probe"])
    sys.stdout.flush()
    assert not stop.value.code
    assert written.getvalue() == b"Sharpe ? ? 0\n"


@pytest.mark.parametrize(
    "line",
    [
        "known-optimum M1 --policy optimal --set seed=-1",
        "walk-forward --set seed=-1 --dry-run",
        "collect --set seed=-1 --dry-run",
    ],
)
def test_a_seed_that_no_generator_takes_is_refused(
    line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, err = run(capsys, *line.split())
    assert code == 2
    assert "seed = -1" in err


@pytest.mark.parametrize("resumable", [True, False])
def test_an_interrupted_command_says_how_it_goes_on(
    resumable: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    def trains(resume: bool = False) -> None:
        raise KeyboardInterrupt

    def judges() -> None:
        raise KeyboardInterrupt

    with pytest.raises(SystemExit) as stop:
        entry._guarded(trains if resumable else judges)()
    assert stop.value.code == 130
    told = capsys.readouterr().err
    assert told.startswith("interrupted\n")
    assert ("the same command with --resume goes on" in told) == resumable
