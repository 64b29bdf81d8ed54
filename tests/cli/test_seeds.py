"""Seeds side by side: the bytes of single runs, the summary, the choice, resuming, errors."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from offline_trader.cli.main import main
from offline_trader.locks import locked
from offline_trader.runs import Run

COLLECT = [
    *("collect", "--market", "sp500", "--end", "2004-12-31", "--id", "small/experts-v0"),
    *("--transitions", "1000", "--set", "env.episode_bars=200", "--set", "score_episodes=2"),
]
PRETRAIN = [
    *("pretrain", "--dataset", "small/experts-v0", "--set", "validation.min_trades_per_1000=0"),
    *("--set", "clone.updates=60", "--set", "clone.checkpoint_interval=20"),
    *("--set", "direct.updates=4", "--set", "direct.windows=8", "--set", "direct.bars=8"),
    *("--set", "offline.critic_updates=10", "--set", "offline.updates=30"),
    *("--set", "learner.batch_size=32", "--set", "learner.hidden=16,16"),
]
VALIDATED = ["--validate-until", "2005-12-31"]
FILES = ("policy.d3", "metrics.jsonl", "config.yaml")


def code_of(words: list[str]) -> int:
    """Exit code of ``offline-trader WORDS``."""
    with pytest.raises(SystemExit) as stop:
        main(words)
    return stop.value.code if isinstance(stop.value.code, int) else 0


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """``--root`` with one small dataset."""
    root = ["--root", str(tmp_path_factory.mktemp("data"))]
    assert code_of([*COLLECT, *root, "-q"]) == 0
    return root


@pytest.fixture(scope="module")
def group(data: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Seeds 4, 5 and 6, two at once."""
    folder = tmp_path_factory.mktemp("seeds") / "group"
    words = [*PRETRAIN, *VALIDATED, *data, "-q", "--run", str(folder), "--seed", "4"]
    assert code_of([*words, "--seeds", "3", "--workers", "2"]) == 0
    return folder


def record(folder: Path) -> dict[str, Any]:
    """What ``seeds.json`` holds."""
    return dict(json.loads((folder / "seeds.json").read_text(encoding="utf-8")))


def test_side_by_side_gives_the_bytes_of_single_runs(
    group: Path, data: list[str], tmp_path: Path
) -> None:
    single = tmp_path / "single"
    words = [*PRETRAIN, *VALIDATED, *data, "-q", "--run", str(single), "--seed", "5"]
    assert code_of(words) == 0
    for name in FILES:
        assert (single / name).read_bytes() == (group / "seed-5" / name).read_bytes(), name
    other = (group / "seed-6" / "policy.d3").read_bytes()
    assert (single / "policy.d3").read_bytes() != other


def test_the_summary_names_the_best_by_validation(group: Path) -> None:
    found = record(group)
    scores = {
        seed: Run.open(group / f"seed-{seed}").facts["offline"]["kept_score"] for seed in (4, 5, 6)
    }
    assert found["status"] == "done"
    assert {row["seed"]: row["kept_score"] for row in found["seeds"]} == scores
    known = {seed: score for seed, score in scores.items() if score is not None}
    assert found["best"]["seed"] == max(known, key=lambda seed: known[seed])
    summary = found["validation"]
    assert summary["n"] == len(known)
    assert min(known.values()) <= summary["iqm"] <= max(known.values())
    assert (summary["interval"] is None) == (len(known) < 3)


def test_a_folder_of_seeds_stands_for_its_best_run(
    group: Path, data: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    best = group / record(group)["best"]["run"]
    target = tmp_path / "policy.onnx"
    assert code_of(["export", str(group), "--force", "-o", str(target)]) == 0
    told = "".join(capsys.readouterr().err.split())  # a terminal wraps long lines
    assert f"{best}:thebestof3seedsbyvalidation" in told
    exported = json.loads((tmp_path / "manifest.json").read_text(encoding="utf-8"))
    from offline_trader.hashing import content_sha256

    assert exported["parents"]["policy"] == content_sha256(best / "policy.d3")
    small = ["--steps", "64", "--lanes", "4", "--set", "online.warmup_steps=32"]
    tuned = ["finetune", str(group), *small, "-q", "--run", str(tmp_path / "tuned")]
    assert code_of([*tuned, *data]) == 0
    (parent,) = Run.open(tmp_path / "tuned").manifest["parents"]
    assert parent["path"] == str(best)


def test_without_validation_no_run_is_chosen(
    data: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "plain"
    words = [*PRETRAIN, *data, "-q", "--run", str(folder), "--seeds", "2", "--workers", "1"]
    assert code_of(words) == 0
    assert record(folder)["best"] is None
    capsys.readouterr()
    assert code_of(["export", str(folder)]) == 3
    assert "no validation ranks the seeds" in capsys.readouterr().err


def test_settings_of_another_folder_are_refused(
    group: Path, data: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    words = [*PRETRAIN, *VALIDATED, *data, "-q", "--run", str(group), "--seed", "4"]
    assert code_of([*words, "--seeds", "3"]) == 2
    assert "add --resume" in capsys.readouterr().err
    assert code_of([*words, "--seeds", "3", "--resume", "--set", "learner.gamma=0.9"]) == 2
    assert "other settings" in capsys.readouterr().err
    assert code_of([*words, "--seeds", "2", "--resume"]) == 2
    assert "--seeds 3 or more" in capsys.readouterr().err
    assert code_of(words) == 2
    assert "is not a run directory" in capsys.readouterr().err
    assert record(group)["status"] == "done"


def test_an_interrupted_group_goes_on_to_the_same_bytes(
    group: Path, data: list[str], tmp_path: Path
) -> None:
    folder = tmp_path / "again"
    words = [*PRETRAIN, *VALIDATED, *data, "-q", "--run", str(folder), "--seed", "4"]
    words += ["--seeds", "3", "--workers", "2"]
    # Started in the background, this process may ignore SIGINT, and hand that on.
    code = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from offline_trader.cli.main import main; main()"
    )
    with subprocess.Popen([sys.executable, "-P", "-c", code, *words]) as process:
        deadline = time.monotonic() + 120.0
        while not list(folder.glob("seed-4/checkpoints/0*.json")):
            assert time.monotonic() < deadline
            time.sleep(0.002)
        os.kill(process.pid, signal.SIGINT)
        assert process.wait(60) == 130
    left = [path.name for path in folder.rglob("*") if path.name.endswith(".tmp")]
    assert left == []
    assert record(folder)["status"] == "running"
    begun = [each.parent for each in folder.glob("seed-*/manifest.json")]
    assert {Run.open(each).status for each in begun} <= {"interrupted", "done"}
    assert code_of([*words, "--resume"]) == 0
    for seed in (4, 5, 6):
        for name in FILES:
            ours, theirs = (each / f"seed-{seed}" / name for each in (folder, group))
            assert ours.read_bytes() == theirs.read_bytes(), f"{name} of seed {seed}"
    assert {**record(folder), "config": 0} == {**record(group), "config": 0}


def test_a_folder_of_seeds_that_another_process_works_on_is_refused(
    data: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "busy"
    words = [*PRETRAIN, *data, "-q", "--run", str(folder), "--seeds", "2"]
    with locked(folder / ".lock", "it"):
        assert code_of(words) == 2
    assert f"in use by process {os.getpid()}" in capsys.readouterr().err
    assert not (folder / "seeds.json").exists()


def test_a_device_that_is_not_there_is_refused(
    data: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import torch

    name = "cuda" if not torch.cuda.is_available() else "cuda:99"
    words = [*PRETRAIN, *data, "--run", str(tmp_path / "gpu"), "--device", name]
    assert code_of(words) == 2
    err = capsys.readouterr().err
    assert f"device {name!r} cannot be used here" in err
    assert "Traceback" not in err
    assert not (tmp_path / "gpu").exists()
