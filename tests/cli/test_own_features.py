"""The line on features and signals of the user's own: recorded, never imported on a file's word."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from offline_trader.cli.main import main
from offline_trader.features import admission, own

CODE = """
import numpy as np
import pandas as pd

def signals(bars):
    r = np.log(bars["close"]).diff()
    return pd.DataFrame({"mom_5": r.rolling(5).sum(), "calm": bars["mood"].ffill() * r.abs()})

def peeks(bars):
    return bars["close"].shift(-1) / bars["close"]
"""
NAMED = ("--features", "mine.py:signals")
OWN = (*NAMED, "--signal", "mood", "--signal-file", "mood.csv", "--features-only")
COLLECT = [
    *("collect", "--market", "prices.csv", "--end", "2020-12-31", "--transitions", "400", "-q"),
    *("--expert", "buy_and_hold", "--expert", "random", "--root", "data"),
    *("--set", "env.episode_bars=100", "--set", "score_episodes=2"),
]
SMALL = ("--set", "learner.batch_size=32", "--set", "learner.hidden=8,8")
PRETRAIN = [
    *("pretrain", "--dataset", "own/mine-v0", "--root", "data", "-q", *SMALL),
    *("--set", "clone.updates=20", "--set", "clone.checkpoint_interval=20"),
    *("--set", "offline.critic_updates=5", "--set", "offline.updates=10"),
    *("--validate-until", "2021-06-30"),
]
FINETUNE = [
    *("finetune", "runs/pretrain", "--root", "data", "-q", "--steps", "64", "--lanes", "4"),
    *("--set", "online.warmup_steps=32", "--set", "online.critic_updates=5"),
]
EXPORT = ["export", "runs/finetune", "-q", "--force"]
EVALUATE = [
    *("evaluate", "runs/finetune/export/policy.onnx", "-q", "--overwrite"),
    *("--set", "options.noise_draws=0", "--set", "options.replicates=200"),
]


def code_of(*words: str) -> int:
    """Exit code of ``offline-trader WORDS``, in a process that nothing was named in."""
    patch = pytest.MonkeyPatch()
    with patch.context() as context:
        for module, name in ((own, "_NAMED"), (own, "_LOADED"), (admission, "_ADMITTED")):
            context.setattr(module, name, {})
        context.setattr(admission, "_SECONDS", 0.05)
        with pytest.raises(SystemExit) as stop:
            main(list(words))
    return stop.value.code if isinstance(stop.value.code, int) else 0


def write_files(folder: Path) -> None:
    """Daily bars of a random walk, a signal beside them, and features in a file."""
    rng = np.random.default_rng(3)
    close = 50.0 * np.exp(np.cumsum(rng.normal(0.0, 0.01, 600)))
    days = np.busday_offset(np.datetime64("2019-06-03"), np.arange(len(close)))
    lines = ["date,open,high,low,close,volume"]
    for day, price in zip(days, close, strict=True):
        cells = (price, 1.01 * price, 0.99 * price, price)
        lines.append(f"{day}," + ",".join(f"{each:.4f}" for each in cells) + ",1000")
    (folder / "prices.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    rows = [f"{day},{rng.normal():.4f}" for day in days[4::3]]
    (folder / "mood.csv").write_text("\n".join(["date,mood", *rows]) + "\n", encoding="utf-8")
    (folder / "mine.py").write_text(CODE, encoding="utf-8")


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the whole line, on own features and a signal alone."""
    folder = tmp_path_factory.mktemp("own")
    write_files(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert code_of(*COLLECT, "--id", "own/mine-v0", *OWN) == 0
        assert code_of(*PRETRAIN, *NAMED, "--run", "runs/pretrain") == 0
        assert code_of(*FINETUNE, *NAMED, "--run", "runs/finetune") == 0
        assert code_of(*EXPORT, *NAMED) == 0
    return folder


def metadata(line: Path) -> dict[str, Any]:
    file = line / "data" / "own" / "mine-v0" / "data" / "metadata.json"
    found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))["offline_trader"]
    return found


def test_dataset_run_model_and_manifest_name_and_hash_them(line: Path) -> None:
    stored = metadata(line)
    assert stored["layout"]["features"] == ["mom_5", "calm", "mood"]
    assert stored["env_config"]["features"] == ["mine.py:signals", "signal:mood"]
    (found,) = stored["own_features"]
    assert found["name"] == "mine.py:signals"
    assert found["window"] == 16
    assert not found["trusted"]
    manifest = json.loads((line / "runs" / "finetune" / "manifest.json").read_text("utf-8"))
    assert manifest["facts"]["own_features"] == [found]
    model = onnx.load(line / "runs" / "finetune" / "export" / "policy.onnx")
    said = {each.key: json.loads(each.value) for each in model.metadata_props if "{" in each.value}
    assert said["offline_trader.layout"]["features"] == ["mom_5", "calm", "mood"]
    facts = said["offline_trader.metadata"]
    assert facts["own_features"] == [found]
    assert facts["features"] == ["mine.py:signals", "signal:mood"]
    assert facts["signal_files"] == ["mood.csv"]
    beside = line / "runs" / "finetune" / "export" / "manifest.json"
    assert json.loads(beside.read_text("utf-8"))["facts"]["own_features"] == [found]


def test_the_model_is_evaluated_on_what_it_observed(
    line: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(line)
    assert code_of(*EVALUATE, *NAMED, "-o", "report") == 0
    report = json.loads((line / "report" / "evaluation.json").read_text("utf-8"))
    assert len(report["curve"]["equity"]) > 50


@pytest.mark.parametrize(
    "command",
    [
        [*PRETRAIN, "--run", "runs/again"],
        [*FINETUNE, "--run", "runs/again"],
        [*EXPORT, "--output", "again/policy.onnx"],
        [*EVALUATE, "-o", "again"],
        ["evaluate", "runs/pretrain", "-o", "again"],
    ],
    ids=lambda words: " ".join(words[:2]),
)
def test_no_command_imports_code_that_the_user_did_not_name(
    line: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    command: list[str],
) -> None:
    monkeypatch.chdir(line)
    before = (line / "mine.py").read_text(encoding="utf-8")
    (line / "mine.py").write_text("open('imported', 'w').close()\n" + before, encoding="utf-8")
    try:
        assert code_of(*command) == 2
    finally:
        (line / "mine.py").write_text(before, encoding="utf-8")
    assert not (line / "imported").exists()
    assert "--features mine.py:signals" in capsys.readouterr().err
    assert not (line / "runs" / "again").exists()
    assert not (line / "again").exists()


@pytest.mark.parametrize(
    "command",
    [[*PRETRAIN, "--run", "runs/again"], [*EVALUATE, "-o", "again"]],
    ids=lambda words: " ".join(words[:2]),
)
def test_changed_code_is_told_with_both_hashes(
    line: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    command: list[str],
) -> None:
    monkeypatch.chdir(line)
    (line / "changed").mkdir(exist_ok=True)
    (line / "changed" / "mine.py").write_text(CODE + "\n# more\n", encoding="utf-8")
    assert code_of(*command, "--features", "changed/mine.py:signals") == 2
    said = " ".join(capsys.readouterr().err.split())
    assert "mine.py:signals has SHA-256 " in said
    assert "take the file as it was" in said


def test_one_that_reads_the_future_is_refused_before_anything_is_written(
    line: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(line)
    peeks = ("--features", "mine.py:peeks")
    assert code_of(*COLLECT, "--id", "own/peeks-v0", *peeks, "--features-only") == 2
    assert "reads the future: peeks at bar" in " ".join(capsys.readouterr().err.split())
    assert not (line / "data" / "own" / "peeks-v0").exists()
    walk = ("walk-forward", "--market", "prices.csv", "--run", "runs/walk", *peeks)
    assert code_of(*walk) == 2
    assert not (line / "runs" / "walk").exists()


def test_a_trusted_one_is_recorded(line: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(line)
    trusted = ("--features", "mine.py:peeks", "--features-only", "--trust-features")
    assert code_of(*COLLECT, "--id", "own/trusted-v0", *trusted) == 0
    file = line / "data" / "own" / "trusted-v0" / "data" / "metadata.json"
    (found,) = json.loads(file.read_text("utf-8"))["offline_trader"]["own_features"]
    assert found["trusted"]
    assert found["leaks"][0]["feature"] == "peeks"


def test_options_that_do_nothing_are_refused(line: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(line)
    assert code_of(*COLLECT, "--features-only") == 2
    assert code_of(*COLLECT, "--trust-features") == 2
    assert code_of(*COLLECT, "--features", "mine.py:signal") == 2
    assert code_of(*COLLECT, "--signal", "moon", "--signal-file", "mood.csv") == 3


def test_the_next_command_names_the_features_again(
    line: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(line)
    words = [word for word in COLLECT if word != "-q"]
    assert code_of(*words, "--id", "own/again-v0", *OWN) == 0
    said = " ".join(capsys.readouterr().err.split())
    assert "--dataset own/again-v0 --root data --features mine.py:signals" in said
