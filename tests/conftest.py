"""What every test begins with, whatever the machine or an earlier test left behind."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

# A busy machine may take more than 200 ms over a draw, which says nothing of the code.
settings.register_profile("any machine", deadline=None)
settings.load_profile("any machine")

_OF_THE_TERMINAL = (
    *("COLUMNS", "LINES", "FORCE_COLOR", "NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE"),
    *("TTY_COMPATIBLE", "TTY_INTERACTIVE", "JUPYTER_COLUMNS", "TERMINAL_WIDTH"),
)


@pytest.fixture(autouse=True)
def no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Output is as wide and as plain as into a file; libraries set such variables for good."""
    for name in _OF_THE_TERMINAL:
        monkeypatch.delenv(name, raising=False)


_TRIALS = Path(__file__).resolve().parent.parent / "runs" / "trials.jsonl"


@pytest.fixture(autouse=True)
def no_trials() -> Iterator[None]:
    """No test adds to the trials that are counted of a user's own evaluations in this folder."""
    before = _TRIALS.stat().st_size if _TRIALS.exists() else 0
    yield
    assert before == (_TRIALS.stat().st_size if _TRIALS.exists() else 0), _TRIALS
