"""The whole line on windows, in order and in parallel, from the command line."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from offline_trader.cli.line_job import WalkForwardConfig
from offline_trader.cli.main import main
from offline_trader.config import to_dict
from offline_trader.evaluation.record import Evaluation
from offline_trader.evaluation.walk_forward import WindowConfig
from offline_trader.runs import Run

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
def test_windows_in_parallel_give_the_same_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    serial = _walk(tmp_path / "serial")
    parallel = _walk(tmp_path / "parallel", "--workers", "2")
    assert serial["summary"]["windows"] == 2
    for number in (0, 1):
        name = f"fold-{number:03d}/result.json"
        one, other = ((tmp_path / side / name).read_bytes() for side in ("serial", "parallel"))
        assert one == other
    assert serial == parallel
    page = (tmp_path / "serial" / "report.html").read_text()
    assert "walk-forward" in page.lower()
    assert (tmp_path / "serial" / "plots" / "walk_forward.png").is_file()
    evaluation = Evaluation.load(tmp_path / "serial" / "evaluation.json")
    assert [w.n for w in evaluation.windows] == [1700, 1700]
    assert evaluation.comparators[0].name == "buy_and_hold"
    assert evaluation.measures["sharpe"] == pytest.approx(serial["summary"]["sharpe"])
    ledger = (tmp_path / "runs" / "trials.jsonl").read_text().split("\n")
    assert len({json.loads(line)["key"] for line in ledger if line}) == 1


@pytest.mark.slow
def test_a_walk_that_was_killed_goes_on_to_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    whole = _walk(tmp_path / "whole")
    broken = tmp_path / "broken"
    marks = [
        "fold-000/pretrain/manifest.json",  # the dataset is there, the clone has begun
        "fold-000/finetune/manifest.json",
        "fold-000/result.json",
        "fold-001/pretrain/checkpoints",
    ]
    for mark in marks:
        _kill_at(broken / mark, broken)
    assert _walk(broken) == whole
    for number in (0, 1):
        name = f"fold-{number:03d}/result.json"
        assert (broken / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def _kill_at(mark: Path, folder: Path) -> None:
    """Begin or go on with a walk in a process of its own; kill -9 when ``mark`` appears."""
    settings = [part for setting in SMALL for part in ("--set", setting)]
    code = "from offline_trader.cli.main import main; main()"
    command = [sys.executable, "-c", code, "walk-forward", "--run", str(folder), *settings]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as walk:
        while walk.poll() is None and not mark.exists():
            time.sleep(0.01)
        walk.kill()
    assert walk.returncode == -9, "it ended before it could be killed"


def test_a_walk_of_other_settings_in_the_same_folder_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = WalkForwardConfig(windows=WindowConfig(train_bars=900))
    Run.create(tmp_path / "walk", to_dict(plan), command="walk-forward", seed=0, data_hash="0")
    code = _refused("--run", str(tmp_path / "walk"), "--set", "windows.train_bars=800")
    assert code == 2
    assert "windows.train_bars" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "code", "named"),
    [
        (("--set", "windows.train_bars=6000"), 3, "5031 bars"),
        (("--set", "windows.train_bars=1"), 2, "windows.train_bars"),
        (("--set", "windows.validation_bars=1"), 2, "windows.validation_bars"),
        (("--set", "windows.warm_start=true", "--set", "finetune=false"), 2, "warm_start"),
        (("--workers", "0"), 2, "--workers 0"),
    ],
)
def test_bad_settings_are_named_before_anything_is_written(
    arguments: tuple[str, ...],
    code: int,
    named: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert _refused("--run", str(tmp_path / "walk"), *arguments) == code
    said = capsys.readouterr().err
    assert said.startswith("error: ")
    assert named in said
    assert not (tmp_path / "walk").exists()


def _refused(*arguments: str) -> int:
    with pytest.raises(SystemExit) as stop:
        main(["walk-forward", *arguments])
    assert isinstance(stop.value.code, int)
    return stop.value.code


@pytest.mark.slow
def test_a_warm_start_goes_on_from_the_window_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    warm = _walk(tmp_path / "warm", "--set", "windows.warm_start=true")
    parallel = _walk(tmp_path / "two", "--set", "windows.warm_start=true", "--workers", "2")
    assert warm == parallel
    first, second = (tmp_path / "warm" / f"fold-{number:03d}" for number in (0, 1))
    parents = Run.open(second / "finetune").manifest["parents"]
    assert parents[0]["path"] == str(first / "finetune")
    assert not (second / "pretrain").exists()
    assert warm["table"][1]["kept"] in ("online", "previous window")


@pytest.mark.slow
def test_windows_between_trainings_use_the_last_policy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    walk = _walk(tmp_path / "walk", "--set", "windows.retrain_every=2", "--set", "finetune=false")
    first, second = (tmp_path / "walk" / f"fold-{number:03d}" for number in (0, 1))
    assert (first / "pretrain" / "policy.d3").is_file()
    assert not (first / "finetune").exists()
    assert sorted(path.name for path in second.iterdir()) == ["result.json"]
    assert [row["kept"] in ("clone", "offline") for row in walk["table"]] == [True, True]
    assert walk["table"][0]["validation_sharpe"] == walk["table"][1]["validation_sharpe"]
    assert walk["results"][0]["timestamps"][-1] < walk["results"][1]["timestamps"][0]
