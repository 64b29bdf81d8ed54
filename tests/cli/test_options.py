"""Options from the command line: train, resume, export, evaluate; and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from offline_trader.cli.main import main
from offline_trader.evaluation.backtest import EvaluationRange
from offline_trader.export import open_model
from offline_trader.pipeline.trained_runs import acting_policy, finished_run
from offline_trader.runs import Run

SMALL = [
    *("--steps", "600", "--lanes", "4", "--set", "online.warmup_steps=100"),
    *("--set", "online.evaluate_interval=0", "--set", "online.log_interval=200"),
    *("--set", "online.checkpoint_interval=200", "--set", "learner.batch_size=32"),
    *("--set", "options_agent.hidden=8,8", "--set", "options_agent.exploration_steps=400"),
]


def code_of(words: list[str]) -> int:
    with pytest.raises(SystemExit) as stop:
        main(words)
    return stop.value.code if isinstance(stop.value.code, int) else 0


@pytest.fixture(scope="module")
def parent(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("line")
    root = ["--root", str(place / "data"), "-q"]
    collect = [
        *("collect", "--market", "synthetic:ou", "--end", "2002-12-31", "--id", "small/experts-v0"),
        *("--transitions", "1000", "--set", "env.episode_bars=200", "--set", "score_episodes=2"),
    ]
    assert code_of([*collect, *root]) == 0
    pretrain = [
        *("pretrain", "--dataset", "small/experts-v0", "--stages", "bc"),
        *("--set", "clone.updates=20", "--set", "learner.hidden=8,8"),
        *("--run", str(place / "pretrain")),
    ]
    assert code_of([*pretrain, *root]) == 0
    return place / "pretrain"


def tuning(parent: Path, run: Path, *words: str) -> list[str]:
    """A small training from ``parent``, which knows its dataset by name alone."""
    root = ["--root", str(parent.parent / "data"), "-q"]
    return ["finetune", str(parent), "--run", str(run), *SMALL, *root, *words]


@pytest.fixture(scope="module")
def trained(parent: Path) -> dict[str, Path]:
    found = {}
    for method in ("smdp", "option_critic"):
        found[method] = parent.parent / method
        asked = ["--agent", "options", "--set", f"options_agent.method={method}"]
        assert code_of(tuning(parent, found[method], *asked)) == 0
    return found


@pytest.mark.slow
def test_a_controller_is_trained_exported_and_judged(
    trained: dict[str, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, place in trained.items():
        run = Run.open(place)
        assert run.facts["options"]["settings"]["method"] == name
        assert any("online/chosen_wait" in row for row in run.metrics())
    method = "option_critic"
    model = tmp_path / "model" / "policy.onnx"
    assert code_of(["export", str(trained[method]), "--output", str(model), "--force", "-q"]) == 0
    finished = finished_run(trained[method])
    span = EvaluationRange.from_env(finished.facts.env)
    rules = finished.facts.env.simulator
    ours, theirs = (
        span.account(each, rules).backtests[0].actions
        for each in (acting_policy(finished), open_model(model))
    )
    np.testing.assert_allclose(ours, theirs, atol=1e-6)
    capsys.readouterr()
    judge = ["evaluate", str(model), "--market", "synthetic:ou", "--start", "2003-01-01"]
    small = [
        "--set",
        "options.noise_draws=0",
        "--set",
        "options.replicates=100",
        "--end",
        "2003-06-30",
    ]
    assert code_of([*judge, *small, "--json", "-q", "--output", str(tmp_path / "report")]) == 0
    told: dict[str, Any] = json.loads((tmp_path / "report" / "evaluation.json").read_text())
    rows = told["options"]["rows"]
    assert [row["name"] for row in rows] == list(finished.facts.options.settings.names)  # type: ignore[union-attr]
    assert sum(row["share"] for row in rows) == pytest.approx(1.0)
    assert "Which option ran when" in (tmp_path / "report" / "report.html").read_text()


def test_an_interrupted_training_ends_at_the_same_bytes(
    parent: Path, trained: dict[str, Path], tmp_path: Path
) -> None:
    words = tuning(parent, tmp_path / "again", "--agent", "options")
    save = Run.save_checkpoint

    def interrupted(self: Run, *args: Any, **kwargs: Any) -> Path:
        save(self, *args, **kwargs)
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Run, "save_checkpoint", interrupted)
        assert code_of(words) == 130
    assert code_of([*words, "--resume"]) == 0
    for name in ("options.pt", "policy.d3", "metrics.jsonl"):
        ours, theirs = (each / name for each in (tmp_path / "again", trained["option_critic"]))
        assert ours.read_bytes() == theirs.read_bytes()


def test_a_controller_goes_on_as_a_controller(
    trained: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ["--agent", "options"]
    assert code_of(tuning(trained["option_critic"], tmp_path / "on", *asked)) == 0
    assert Run.open(tmp_path / "on").facts["options"]["sha256"]
    capsys.readouterr()
    assert code_of(tuning(trained["option_critic"], tmp_path / "other")) == 2
    assert "chooses among options, and agent is sac" in capsys.readouterr().err
    asked += ["--set", "options_agent.names=wait,close"]
    assert code_of(tuning(trained["option_critic"], tmp_path / "other", *asked)) == 2
    assert "expected: the parent's" in capsys.readouterr().err
    assert not (tmp_path / "other").exists()


def test_what_does_not_go_together_is_refused_before_anything_is_written(
    parent: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = tuning(parent, tmp_path / "run", "--agent", "options")
    for asked, told in (
        (["--her", "exposure"], "agent=options with a goal"),
        (["--set", "online.curiosity.weight=0.1"], "agent=options with online.curiosity.weight"),
        (["--set", "options_agent.names=wait,trend"], "unknown option 'trend'"),
        (["--set", "options_agent.names=close,scalp"], "may begin whatever is held"),
        (["--set", "options_agent.method=q"], "options_agent.method is 'q'"),
        (["--set", "options_agent.least_share=0.5"], "least_share=0.5"),
    ):
        assert code_of([*words, *asked]) == 2
        assert told in " ".join(capsys.readouterr().err.split())
        assert not (tmp_path / "run").exists()


def test_a_changed_controller_is_not_opened(
    trained: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import shutil

    copy = tmp_path / "run"
    shutil.copytree(trained["option_critic"], copy)
    with (copy / "options.pt").open("ab") as file:
        file.write(b"x")
    assert code_of(["export", str(copy), "--output", str(tmp_path / "m" / "policy.onnx")]) == 3
    assert "changed or damaged" in capsys.readouterr().err
