"""What every test begins with, whatever the machine or an earlier test left behind."""

from __future__ import annotations

import pytest

_OF_THE_TERMINAL = (
    *("COLUMNS", "LINES", "FORCE_COLOR", "NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE"),
    *("TTY_COMPATIBLE", "TTY_INTERACTIVE", "JUPYTER_COLUMNS", "TERMINAL_WIDTH"),
)


@pytest.fixture(autouse=True)
def no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Output is as wide and as plain as into a file; libraries set such variables for good."""
    for name in _OF_THE_TERMINAL:
        monkeypatch.delenv(name, raising=False)
