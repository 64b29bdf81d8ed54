"""The line on windows of bars: two settings, from the dataset to the exported model."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from offline_trader.cli.main import main
from offline_trader.runs import Run

COLLECT = [
    *("collect", "--market", "synthetic:ou", "--end", "2004-12-31", "--transitions", "500"),
    *("--set", "env.episode_bars=100", "--set", "score_episodes=2", "-q"),
]
PRETRAIN = [
    *("pretrain", "--validate-until", "2005-03-31", "--set", "learner.hidden=8,8"),
    *("--set", "clone.updates=4", "--set", "offline.critic_updates=2"),
    *("--set", "offline.updates=4", "--set", "learner.batch_size=16"),
    *("--set", "validation.min_trades_per_1000=0"),
]
DIRECT = (
    *("--set", "direct.updates=2", "--set", "direct.windows=4", "--set", "direct.bars=4"),
    *("--set", "direct.market_input=features"),
)


def code_of(*words: str) -> int:
    """Exit code of ``offline-trader WORDS``."""
    with pytest.raises(SystemExit) as stop:
        main(list(words))
    return stop.value.code if isinstance(stop.value.code, int) else 0


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """``--root FOLDER --dataset ID`` of a small dataset with windows."""
    root = str(tmp_path_factory.mktemp("data"))
    words = ("--root", root, "--id", "small/windows-v0", "--features", "window:4:return_1")
    assert code_of(*COLLECT, *words) == 0
    return ["--root", root, "--dataset", "small/windows-v0"]


def test_a_stage_that_cannot_train_it_and_data_without_windows_are_told_at_once(
    data: list[str], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    place = ("--run", str(tmp_path / "run"))
    assert code_of(*PRETRAIN, *data, *place, "--set", "learner.encoder=gru") == 2
    said = " ".join(capfd.readouterr().err.split())
    assert "learner.encoder=gru with direct.market_input=forecast" in said
    assert not (tmp_path / "run").exists()
    flat = str(tmp_path / "flat")
    assert code_of(*COLLECT, "--root", flat, "--id", "small/flat-v0") == 0
    words = ("--root", flat, "--dataset", "small/flat-v0", "--stages", "bc,cql", *place)
    assert code_of(*PRETRAIN, *words, "--set", "learner.encoder=gru") == 2
    said = " ".join(capfd.readouterr().err.split())
    assert "learner.encoder=gru on observations with no window" in said
    assert "--features window:8:builtin" in said


@pytest.mark.slow
def test_the_line_from_the_dataset_to_the_exported_model(
    data: list[str], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    kind, warm, tuned = "gru", tmp_path / "warm", tmp_path / "tuned"
    encoder = ("--set", f"learner.encoder={kind}", *DIRECT)
    assert code_of(*PRETRAIN, *data, *encoder, "--run", str(warm)) == 0
    stock = f"stock, for the fast one does not cover encoder {kind}"
    said = "".join(capfd.readouterr()).replace("\n", " ")
    assert f"engine: {stock}" in said
    assert "direct/engine: torch, for the fast one does not cover an actor of other layers" in said
    facts = Run.open(warm).facts
    assert facts["engine"] == {"name": "stock", "reason": f"encoder {kind}"}
    assert facts["direct"]["engine"]["name"] == "torch"
    words = ("--steps", "64", "--lanes", "4", "--set", "online.warmup_steps=32", "-q")
    assert code_of("finetune", str(warm), *data[:2], *words, "--run", str(tuned)) == 0
    assert Run.open(tuned).facts["engine"] == facts["engine"]
    other = ("--set", "learner.encoder=mlp", "--run", str(tmp_path / "other"))
    assert code_of("finetune", str(warm), *data[:2], *words, *other) == 2
    assert f"expected: the parent's, {kind}" in " ".join(capfd.readouterr().err.split())
    model = tmp_path / "export" / "policy.onnx"
    assert code_of("export", str(tuned), "--output", str(model), "--force", "-q") == 0
    stated = json.loads((model.parent / "manifest.json").read_text(encoding="utf-8"))["facts"]
    assert stated["engine"] == facts["engine"]
    assert stated["features"] == ["builtin", "window:4:return_1"]
