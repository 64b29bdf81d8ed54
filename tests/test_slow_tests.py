"""The script that runs the slow tests in a given time says what became of each."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parent.parent / "scripts" / "slow_tests.py"
HEAD = "import subprocess, sys, time\nimport pytest\nslow = pytest.mark.slow\n"
PASSES = "@slow\ndef test_passes(): pass\n"
FAILS = "@slow\ndef test_fails(): assert 1 + 1 == 3\n"
SLEEPS = "@slow\ndef test_sleeps(): time.sleep(300)\n"
QUICK = "def test_quick(): assert False\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "pytest.ini").write_text(
        "[pytest]\naddopts = -m 'not slow' --strict-markers\nmarkers = slow: long\n"
    )
    return tmp_path


def run(folder: Path, body: str, minutes: float = 2.0) -> tuple[int, str]:
    """Exit code and output of the script on a file of tests."""
    (folder / "test_made.py").write_text(HEAD + body)
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "--minutes", str(minutes), "test_made.py"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def test_only_slow_tests_run_and_success_is_said(folder: Path) -> None:
    code, output = run(folder, PASSES + QUICK)
    assert code == 0
    assert "test_made.py::test_passes" in output
    assert "test_quick" not in output
    assert "1 passed, 0 FAILED, 0 not run" in output


def test_a_failure_fails_and_shows_why(folder: Path) -> None:
    code, output = run(folder, FAILS + PASSES)
    assert code == 1
    assert "assert (1 + 1) == 3" in output
    assert "FAILED: test_made.py::test_fails" in output
    assert "1 passed, 1 FAILED, 0 not run" in output


@pytest.mark.slow
def test_what_the_time_cuts_off_is_listed(folder: Path) -> None:
    """Of two workers one is caught in its sleep; the sleepers behind never begin."""
    body = SLEEPS + PASSES + SLEEPS.replace("sleeps", "sleeps_too") + FAILS.replace("fails", "last")
    begun = time.monotonic()
    code, output = run(folder, body, minutes=0.6)
    assert time.monotonic() - begun < 200
    for name in ("test_sleeps", "test_sleeps_too", "test_last"):
        assert f"not run: test_made.py::{name}\n" in output
    assert "1 passed, 0 FAILED, 3 not run" in output
    assert code == 0


@pytest.mark.slow
def test_processes_that_a_test_started_end_with_it(folder: Path) -> None:
    beat = "import time\nwhile True: open('beats', 'a').write('x'); time.sleep(0.1)"
    body = f"@slow\ndef test_starts(): subprocess.run([sys.executable, '-c', {beat!r}])\n"
    _, output = run(folder, body, minutes=0.6)
    assert "not run: test_made.py::test_starts" in output
    beats = (folder / "beats").stat().st_size
    assert beats > 0
    time.sleep(3)
    assert (folder / "beats").stat().st_size == beats


def test_no_slow_test_is_no_failure(folder: Path) -> None:
    code, output = run(folder, QUICK)
    assert code == 0
    assert "0 passed, 0 FAILED, 0 not run" in output


def test_a_file_that_cannot_be_imported_is_one(folder: Path) -> None:
    code, output = run(folder, "import no_such_module_anywhere\n" + PASSES)
    assert code == 1
    assert "no_such_module_anywhere" in output
    assert "could not be collected" in output
