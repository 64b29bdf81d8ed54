"""The folder of a report: named by what was judged and where, and never taken from another."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from offline_trader.cli.main import main
from offline_trader.envs import EnvConfig
from offline_trader.errors import ConfigError
from offline_trader.pipeline.report_folder import claimed_folder, evaluation_folder
from offline_trader.pipeline.strategies import model_name

BRIEF = ["--market", "sp500", "--start", "2016-01-01", "--end", "2016-12-30", "-q"]
BRIEF += ["--set", "options.costs_bps=[]", "--set", "options.noise_draws=0"]
BRIEF += ["--set", "options.delay_bars=0", "--set", "options.replicates=100"]


def evaluate(*words: str) -> int:
    with pytest.raises(SystemExit) as stop:
        main(["evaluate", *words, *BRIEF])
    return int(stop.value.code or 0)


@pytest.mark.parametrize(
    ("name", "env", "folder"),
    [
        ("finetune", {"start": "2015-01-01"}, "finetune-sp500-from-2015-01-01"),
        (
            "a",
            {"start": "2015-01-01", "end": "2016-01-01"},
            "a-sp500-from-2015-01-01-to-2016-01-01",
        ),
        ("a", {"market": ("data/btc 1h.csv",)}, "a-btc-1h"),
        ("a", {"market": ("sp500", "nasdaq")}, "a-sp500+nasdaq"),
        ("a/../b", {"market": ("ou?k=0.1",)}, "a-..-b-ou"),
    ],
)
def test_the_name_tells_policy_market_and_dates(
    name: str, env: dict[str, object], folder: str
) -> None:
    assert evaluation_folder(name, EnvConfig(**env)) == Path("runs") / f"evaluation-{folder}"  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("runs/finetune/export/policy.onnx", "finetune"),
        ("runs/five/seed-3/export/policy.onnx", "five-seed-3"),
        ("models/july/policy.onnx", "july"),
        ("models/sp500.onnx", "sp500"),
    ],
)
def test_models_of_one_file_name_are_told_apart(path: str, name: str) -> None:
    assert model_name(Path(path)) == name


def test_a_second_report_takes_no_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for words in (["expert:technical", "-o", "mine"], ["expert:buy_and_hold"]):
        assert evaluate(*words) == 0
        (record,) = Path(words[2] if "-o" in words else "runs").rglob("evaluation.json")
        before, trials = record.read_bytes(), Path("runs/trials.jsonl").read_bytes()
        assert evaluate("expert:ma_cross", "-o", str(record.parent)) == 2
        told = capsys.readouterr().err
        assert f"{record.parent} holds an evaluation" in told
        assert "--overwrite" in told
        assert record.read_bytes() == before
        assert Path("runs/trials.jsonl").read_bytes() == trials  # nothing was judged
    assert evaluate("expert:ma_cross", "-o", "mine", "--overwrite") == 0
    assert json.loads(Path("mine/evaluation.json").read_text())["name"] == "ma_cross"
    assert not list(tmp_path.rglob("mine/.lock*"))


def test_two_processes_write_no_report_to_one_folder(tmp_path: Path) -> None:
    with (
        claimed_folder(tmp_path / "a", overwrite=True),
        pytest.raises(ConfigError, match="is in use by process"),
        claimed_folder(tmp_path / "a", overwrite=True),
    ):
        pass
