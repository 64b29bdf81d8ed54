"""A disk without room: the message names the file, the code is 3, and nothing stays behind."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from offline_trader.datasets import load_transitions

resource = pytest.importorskip("resource")
COLLECT = """
import resource, sys
limit = int(sys.argv.pop(1))
if limit:
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
from offline_trader.cli.main import main
main(["collect", "--quiet", *sys.argv[1:]])
"""
SETTINGS = (
    *("--start", "2003-01-01", "--end", "2006-12-31", "--id", "tests/full-v0"),
    *("--transitions", "2000", "--set", "env.episode_bars=60", "--set", "lanes=10"),
    *("--set", "score_episodes=2"),
)


def run(root: Path, limit: int, *more: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", COLLECT, str(limit), *SETTINGS, "--root", str(root), *more]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("limit", [100, 2_000, 6_000, 300_000])
def test_no_room_is_told_with_the_file_and_leaves_nothing(tmp_path: Path, limit: int) -> None:
    """From a limit that the settings do not fit in to one that only the finished file exceeds."""
    done = run(tmp_path, limit)
    assert done.returncode == 3, done.stderr
    assert f"error: {tmp_path}/" in done.stderr
    assert re.search("cannot be written: (File too large|No space left on device)", done.stderr)
    assert "make room" in done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_no_room_for_another_keeps_the_one_that_is_there(tmp_path: Path) -> None:
    assert run(tmp_path, 0).returncode == 0
    before = load_transitions("tests/full-v0", tmp_path)
    assert run(tmp_path, 120_000, "--overwrite", "--seed", "5").returncode == 3
    after = load_transitions("tests/full-v0", tmp_path)
    assert (after.rewards == before.rewards).all()
    assert [path.name for path in tmp_path.iterdir()] == ["tests"]
