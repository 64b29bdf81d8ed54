"""Known-optimum markets from the command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from offline_trader.cli.main import main


def _run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as stop:
        main(["known-optimum", *arguments])
    return int(stop.value.code or 0)


def _json(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    payload: dict[str, Any] = json.loads(capsys.readouterr().out)
    return payload


def test_lists_markets_and_datasets(capsys: pytest.CaptureFixture[str]) -> None:
    assert _run("--json") == 0
    listed = _json(capsys)
    assert [m["name"] for m in listed["markets"]] == ["M0", "M1", "M2", "M3", "M4"]
    assert set(listed["datasets"]) == {"M1-wide", "M1-narrow", "M3-wide", "M3-narrow"}


@pytest.mark.parametrize("name", ["M1", "M2", "M3", "M4"])
def test_the_optimum_scores_100(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert _run(name, "--policy", "optimal", "--json", "--set", "score_steps=100") == 0
    assert _json(capsys)["scores"][0]["value"] == pytest.approx(100.0, abs=0.5)


def test_a_policy_of_ones_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "mine.py"
    path.write_text("def flat(seen):\n    return 0.0 * seen[:, 0]\n")
    assert _run("M1", "--policy", f"{path}:flat", "--json") == 0
    score = _json(capsys)["scores"][0]
    assert score["interval"][0] - 1e-9 <= 0.0 <= score["interval"][1] + 1e-9


def test_training_beats_its_teacher(capsys: pytest.CaptureFixture[str]) -> None:
    code = _run(
        "M3-wide", "--train", "sac", "--json", "--quiet", "--seeds", "2", "--set",
        "offline.updates=1500", "--set", "learner.actor_lr=0.001", "--set",
        "learner.critic_lr=0.001",
    )  # fmt: skip
    assert code == 0
    result = _json(capsys)
    assert min(score["value"] for score in result["scores"]) > 55.0, "the teacher scores 50"
    assert result["summary"]["n"] == 2


@pytest.mark.parametrize(
    "arguments", [("M9", "--policy", "optimal"), ("M1",), ("M1", "--policy", "a", "--train", "sac")]
)
def test_wrong_use(arguments: tuple[str, ...]) -> None:
    assert _run(*arguments) == 2
