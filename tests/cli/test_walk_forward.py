"""The whole line on windows, in order and in parallel, from the command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from offline_trader.cli.main import main

SMALL = (
    "windows.train_bars=900",
    "windows.validation_bars=300",
    "windows.test_bars=1700",
    "transitions=2000",
    "clone.updates=40",
    "offline.updates=20",
    "offline.critic_updates=20",
    "online.steps=64",
    "online.warmup_steps=16",
    "online.critic_updates=2",
    "learner.hidden=16,16",
)


def _walk(folder: Path, *arguments: str) -> dict[str, Any]:
    settings = [part for setting in SMALL for part in ("--set", setting)]
    with pytest.raises(SystemExit) as stop:
        main(["walk-forward", "--run", str(folder), "--quiet", "--json", *settings, *arguments])
    assert not stop.value.code
    payload: dict[str, Any] = json.loads((folder / "walk_forward.json").read_text())
    return payload


@pytest.mark.slow
def test_windows_in_parallel_give_the_same_result(tmp_path: Path) -> None:
    serial = _walk(tmp_path / "serial")
    parallel = _walk(tmp_path / "parallel", "--workers", "2")
    assert serial["summary"]["windows"] == 2
    assert serial["results"] == parallel["results"]
    assert serial["table"] == parallel["table"]
    page = (tmp_path / "serial" / "report.html").read_text()
    assert "walk-forward" in page.lower()
