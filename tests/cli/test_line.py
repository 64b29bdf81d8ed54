"""The line of commands on a small scale: what each writes, prints, refuses and resumes."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from offline_trader.cli.main import main
from offline_trader.export import OnnxPolicy
from offline_trader.hashing import file_sha256
from offline_trader.markets import Bars, load_market
from offline_trader.markets.synthetic import TurbulentMarket, fit_turbulent
from offline_trader.monitoring import summary_beside
from offline_trader.runs import Run
from offline_trader.types import Policy

COLLECT = [
    *("collect", "--market", "sp500", "--end", "2004-12-31", "--id", "small/experts-v0"),
    *("--transitions", "2000", "--set", "env.episode_bars=200", "--set", "score_episodes=2"),
]
PRETRAIN = [
    *("pretrain", "--dataset", "small/experts-v0", "--validate-until", "2005-12-31"),
    *("--set", "clone.updates=120", "--set", "clone.checkpoint_interval=50"),
    *("--set", "direct.updates=4", "--set", "direct.windows=8", "--set", "direct.bars=8"),
    *("--set", "offline.critic_updates=30", "--set", "offline.updates=60"),
    *("--set", "offline.checkpoint_interval=40", "--set", "learner.batch_size=32"),
    *("--set", "learner.hidden=16,16", "--set", "validation.min_trades_per_1000=0"),
]
FINETUNE = [
    *("--steps", "192", "--lanes", "4", "--set", "online.warmup_steps=32"),
    *("--set", "online.critic_updates=10", "--set", "online.checkpoint_interval=64"),
]
EVALUATE = ["--set", "options.noise_draws=0", "--set", "options.replicates=200"]


def code_of(words: list[str]) -> int:
    """Exit code of ``offline-trader WORDS``."""
    with pytest.raises(SystemExit) as stop:
        main(words)
    return stop.value.code if isinstance(stop.value.code, int) else 0


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the four commands were run with one seed."""
    folder = tmp_path_factory.mktemp("line")
    data = ["--root", str(folder / "data")]
    assert code_of([*COLLECT, *data, "-q"]) == 0
    pretrained, tuned = str(folder / "pretrain"), str(folder / "finetune")
    assert code_of([*PRETRAIN, *data, "-q", "--run", pretrained]) == 0
    assert code_of(["finetune", pretrained, *FINETUNE, *data, "-q", "--run", tuned]) == 0
    assert code_of(["export", tuned, "-q", "--force"]) == 0
    return folder


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory: the trial ledger and default folders go there."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def output(capsys: pytest.CaptureFixture[str], words: list[str]) -> dict[str, Any]:
    """The JSON that a command prints with ``--json --quiet``; stderr must stay empty."""
    capsys.readouterr()
    assert code_of([*words, "--json", "--quiet"]) == 0
    streams = capsys.readouterr()
    assert streams.err == ""
    return dict(json.loads(streams.out))


def test_each_stage_leaves_a_finished_run(line: Path) -> None:
    for name in ("pretrain", "finetune"):
        run = Run.open(line / name)
        assert run.status == "done"
        assert (run.path / "policy.d3").is_file()
        assert run.metrics()
    facts = Run.open(line / "pretrain").facts
    assert facts["clone"]["updates"] == 120
    assert facts["offline"]["updates"] == 90
    assert facts["env"]["end"] == "2004-12-31"
    assert facts["validation_env"]["end"] == "2005-12-31"
    # Five bars lie between the last training bar (2004-12-31) and the first of validation.
    assert facts["validation_env"]["start"] == "2005-01-10"


def test_a_run_names_its_parents_by_content(line: Path) -> None:
    from offline_trader.hashing import content_sha256

    (parent,) = Run.open(line / "finetune").manifest["parents"]
    assert parent["sha256"] == content_sha256(line / "pretrain")
    (data,) = Run.open(line / "pretrain").manifest["parents"]
    assert data["sha256"] == content_sha256(line / "data" / "small" / "experts-v0" / "data")
    for name in ("pretrain", "finetune"):
        assert Run.open(line / name).manifest["data_hash"] == load_market("sp500").sha256


def test_metrics_and_checkpoints_count_on_through_the_phases(line: Path) -> None:
    run = Run.open(line / "pretrain")
    steps = [row["step"] for row in run.metrics()]
    assert steps == sorted(steps)
    assert steps[-1] == 120 + 4 + 30 + 60
    latest = run.latest_checkpoint()
    assert latest is not None
    assert latest[0] == 120 + 4 + 80


def test_the_exported_policy_is_the_runs_policy(line: Path) -> None:
    from offline_trader.pipeline.strategies import find_strategy

    rng = np.random.default_rng(0)
    observations = rng.normal(size=(200, 37)).astype(np.float32) * 0.1
    onnx = find_strategy(str(line / "finetune" / "export" / "policy.onnx"))
    run = find_strategy(str(line / "finetune"))
    exported, trained = cast(Policy, onnx.open()), cast(Policy, run.open())
    np.testing.assert_allclose(exported(observations), trained(observations), atol=1e-5)
    assert onnx.seen_until == run.seen_until == "2005-12-31"
    assert onnx.experts == run.experts != ()


def test_test_vectors_lie_beside_the_model_and_in_its_manifest(line: Path) -> None:
    folder = line / "finetune" / "export"
    stated = json.loads((folder / "manifest.json").read_text())["vectors"]
    assert set(stated) == {
        f"vectors/{name}" for name in ("bars.csv", "features.csv", "decisions.csv", "vectors.json")
    }
    assert {name: file_sha256(folder / name) for name in stated} == stated
    about = json.loads((folder / "vectors" / "vectors.json").read_text())
    assert about["model_sha256"] == file_sha256(folder / "policy.onnx")


def test_the_manifest_sums_up_the_features_and_actions_of_training(line: Path) -> None:
    policy = OnnxPolicy(line / "finetune" / "export" / "policy.onnx")
    summary = summary_beside(policy)
    assert summary is not None
    assert tuple(summary.columns) == policy.layout.features
    assert summary.rows > 1_000
    for each in (*summary.columns.values(), summary.action):
        assert sum(each.shares) == pytest.approx(1.0)
    assert summary_beside(OnnxPolicy(line / "finetune" / "export" / "policy.onnx")) == summary


def test_one_seed_gives_one_model(line: Path, tmp_path: Path) -> None:
    data = ["--root", str(tmp_path / "data"), "-q"]
    assert code_of([*COLLECT, *data]) == 0
    pretrained, tuned = str(tmp_path / "a"), str(tmp_path / "b")
    assert code_of([*PRETRAIN, *data, "--run", pretrained]) == 0
    assert code_of(["finetune", pretrained, *FINETUNE, *data, "--run", tuned]) == 0
    model = tmp_path / "policy.onnx"
    assert code_of(["export", tuned, "-q", "--force", "-o", str(model)]) == 0
    assert model.read_bytes() == (line / "finetune" / "export" / "policy.onnx").read_bytes()


def test_another_seed_gives_another_model(line: Path, tmp_path: Path) -> None:
    data = ["--root", str(line / "data"), "-q"]
    assert code_of([*PRETRAIN, *data, "--run", str(tmp_path / "a"), "--seed", "1"]) == 0
    first, second = line / "pretrain" / "policy.d3", tmp_path / "a" / "policy.d3"
    assert first.read_bytes() != second.read_bytes()


def kept(run: Path) -> dict[str, str]:
    """Hashes of what a run keeps, checkpoints as files too."""
    files = [run / "policy.d3", run / "metrics.jsonl", *(run / "checkpoints").iterdir()]
    assert len(files) > 3
    return {each.name: hashlib.sha256(each.read_bytes()).hexdigest() for each in files}


def interrupt_at(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    """Make the ``count``-th checkpoint of the next command the last thing it does."""
    save, seen = Run.save_checkpoint, [0]

    def interrupted(self: Run, *args: Any, **kwargs: Any) -> Path:
        path = save(self, *args, **kwargs)
        seen[0] += 1
        if seen[0] == count:
            raise KeyboardInterrupt
        return path

    monkeypatch.setattr(Run, "save_checkpoint", interrupted)


@pytest.mark.parametrize(
    "count", [1, 2, 3, 4], ids=["in cloning", "late in cloning", "after cloning", "in offline"]
)
def test_an_interrupted_pretraining_goes_on_to_the_same_bytes(
    line: Path, tmp_path: Path, count: int
) -> None:
    words = [*PRETRAIN, "--root", str(line / "data"), "--run", str(tmp_path / "a"), "-q"]
    with pytest.MonkeyPatch.context() as patch:
        interrupt_at(patch, count)
        assert code_of(words) == 130
    assert Run.open(tmp_path / "a").status == "interrupted"
    assert code_of(words) == 2
    assert code_of([*words, "--resume"]) == 0
    assert kept(tmp_path / "a") == kept(line / "pretrain")


def test_an_interrupted_finetuning_goes_on_to_the_same_bytes(line: Path, tmp_path: Path) -> None:
    words = ["finetune", str(line / "pretrain"), *FINETUNE, "--root", str(line / "data"), "-q"]
    words += ["--run", str(tmp_path / "a")]
    with pytest.MonkeyPatch.context() as patch:
        interrupt_at(patch, 2)
        assert code_of(words) == 130
    assert code_of([*words, "--resume"]) == 0
    assert kept(tmp_path / "a") == kept(line / "finetune")


def test_a_market_that_a_curriculum_s_are_like_is_fitted_once_a_training(
    line: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from offline_trader.markets import synthetic

    fitted: list[str] = []

    def fit(bars: Bars) -> TurbulentMarket:
        fitted.append(bars.sha256)
        return fit_turbulent(bars)

    monkeypatch.setattr(synthetic, "fit_turbulent", fit)
    words = ["finetune", str(line / "pretrain"), *FINETUNE, "--root", str(line / "data"), "-q"]
    words += ["--curriculum", "--set", "online.curriculum.like=sp500"]
    words += [*("--set", "online.curriculum.paths=1"), *("--set", "online.curriculum.bars=60")]
    assert code_of([*words, "--run", str(tmp_path / "a")]) == 0
    assert fitted == [load_market("sp500").sha256]


def test_resuming_with_other_settings_is_refused(
    line: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(line / "pretrain", tmp_path / "a")
    words = [*PRETRAIN, "--root", str(line / "data"), "--run", str(tmp_path / "a"), "--resume"]
    assert code_of([*words, "--set", "learner.gamma=0.9"]) == 2
    assert "learner.gamma was 0.99 and is 0.9" in capsys.readouterr().err


@pytest.mark.usefixtures("here")
def test_a_dry_run_writes_nothing(line: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = sorted(line.rglob("*"))
    data = ["--root", str(line / "data")]
    resolved = output(capsys, [*PRETRAIN, *data, "--dry-run"])
    assert resolved["config"]["learner"]["hidden"] == [16, 16]
    output(capsys, [*COLLECT, "--dry-run"])
    output(capsys, ["finetune", str(line / "pretrain"), *FINETUNE, *data, "--dry-run"])
    output(capsys, ["export", str(line / "finetune"), "--dry-run"])
    output(capsys, ["evaluate", str(line / "finetune"), "--dry-run"])
    output(capsys, ["demo", "--dry-run"])
    assert sorted(line.rglob("*")) == before
    assert list(Path.cwd().iterdir()) == []


def test_what_a_dry_run_prints_is_a_config_file(
    line: Path, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [*PRETRAIN, "--root", str(line / "data"), "--dry-run"]
    assert code_of(words) == 0
    (here / "pretrain.yaml").write_text(capsys.readouterr().out)
    first = output(capsys, words)
    plain = ["pretrain", "--config", str(here / "pretrain.yaml"), *words[-3:]]
    assert output(capsys, plain) == first


def test_evaluate_reports_unseen_bars_by_default(
    line: Path, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = line / "finetune" / "export" / "policy.onnx"
    words = ["evaluate", str(model), "--end", "2007-12-31", *EVALUATE]
    found = output(capsys, words)
    assert found["start"].startswith("2006-01-0")
    assert found["end"].startswith("2007-12-31")
    assert {c["name"] for c in found["comparators"]} >= {"buy_and_hold", "technical"}
    assert set(found["measures"]) >= {"sharpe", "max_drawdown", "total_return"}
    assert "curve" not in found
    (folder,) = (here / "runs").glob("evaluation-finetune-sp500-from-2006-01-*-to-2007-12-31")
    assert "<html" in (folder / "report.html").read_text(encoding="utf-8")
    assert list((folder / "plots").glob("*.png"))
    assert json.loads((folder / "evaluation.json").read_text())["curve"]["equity"][0] == 10_000.0
    assert (
        output(capsys, [*words, "--overwrite"])["trials"] == 1
    )  # the same trial again is not counted twice
    # neither another seed of the bootstrap nor the run that the model came from is another trial
    assert output(capsys, [*words, "--seed", "5", "--overwrite"])["trials"] == 1
    run = [str(line / "finetune") if word == str(model) else word for word in words]
    assert output(capsys, [*run, "--overwrite"])["trials"] == 1


@pytest.mark.usefixtures("here")
def test_evaluate_warns_of_bars_that_training_saw(
    line: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for start in ("2005-06-01", "2005", "2005-12-31T00:00"):
        words = ["evaluate", str(line / "finetune"), "--start", start, "--dry-run"]
        assert code_of(words) == 0
        assert "training saw bars until 2005-12-31" in capsys.readouterr().err


def test_a_run_of_another_layout_is_refused_with_both_hashes(
    line: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from offline_trader.features import observation_layout

    shutil.copytree(line / "pretrain", tmp_path / "old")
    manifest = tmp_path / "old" / "manifest.json"
    ours, theirs = observation_layout().hash, "0" * 64
    manifest.write_text(manifest.read_text().replace(ours, theirs))
    for words in (["export"], ["evaluate"], ["finetune"]):
        assert code_of([*words, str(tmp_path / "old")]) == 2
        err = capsys.readouterr().err
        assert ours in err
        assert theirs in err


def test_a_model_that_differs_from_torch_is_not_written(line: Path, tmp_path: Path) -> None:
    from offline_trader import export

    target = tmp_path / "policy.onnx"
    target.write_bytes(b"the one before")
    with pytest.MonkeyPatch.context() as patch:
        compare = export.parity
        patch.setattr(export, "parity", lambda *a, **k: replace(compare(*a, **k), holds=False))
        assert code_of(["export", str(line / "finetune"), "--force", "-o", str(target)]) == 4
    assert target.read_bytes() == b"the one before"
    assert [p.name for p in tmp_path.iterdir()] == ["policy.onnx"]


def test_an_export_into_a_run_is_refused_before_anything_is_written(
    line: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted((line / "finetune").iterdir())
    words = ["export", str(line / "finetune"), "-o", str(line / "finetune" / "policy.onnx")]
    assert code_of([*words, "--force"]) == 2
    assert "manifest of something else" in capsys.readouterr().err
    assert sorted((line / "finetune").iterdir()) == before


def test_a_killed_pretraining_goes_on_to_the_same_bytes(line: Path, tmp_path: Path) -> None:
    words = [*PRETRAIN, "--root", str(line / "data"), "--run", str(tmp_path / "a"), "-q"]
    code = "from offline_trader.cli.main import main; main()"
    with subprocess.Popen([sys.executable, "-P", "-c", code, *words]) as process:
        checkpoints = tmp_path / "a" / "checkpoints"
        deadline = time.monotonic() + 120.0
        while not list(checkpoints.glob("0*.json")) and time.monotonic() < deadline:
            time.sleep(0.002)
        process.kill()
    assert Run.open(tmp_path / "a").status == "running"
    assert code_of([*words, "--resume"]) == 0
    assert kept(tmp_path / "a") == kept(line / "pretrain")


@pytest.mark.usefixtures("here")
def test_a_collapsed_policy_needs_force(
    line: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [*PRETRAIN, "--root", str(line / "data"), "--run", str(tmp_path / "flat"), "-q"]
    stages = ("clone.updates", "direct.updates", "offline.critic_updates", "offline.updates")
    untrained = [f"{name}=0" for name in stages]
    assert code_of([*words, *(f"--set={item}" for item in untrained)]) == 0
    shutil.rmtree(tmp_path / "flat" / "checkpoints")
    constant_policy(tmp_path / "flat" / "policy.d3")
    assert code_of(["export", str(tmp_path / "flat")]) == 4
    assert "COLLAPSED" in capsys.readouterr().err
    refused = tmp_path / "flat" / "export" / "refused"
    assert not list(refused.parent.glob("*.*"))
    assert "COLLAPSED" in (refused / "report.html").read_text(encoding="utf-8")
    assert code_of(["export", str(tmp_path / "flat"), "--force"]) == 0
    manifest = json.loads((tmp_path / "flat" / "export" / "manifest.json").read_text())
    assert manifest["collapse_forced"] is True


def constant_policy(path: Path) -> None:
    """Make the policy in a ``.d3`` file one that always holds."""
    import torch

    from offline_trader.learning.agents import load_learner

    learner = load_learner(path)
    with torch.no_grad():
        for parameter in learner.algo.impl.policy.parameters():
            parameter.zero_()
    learner.engine.reload()
    learner.save(path)
    stated = path.with_name("manifest.json")
    manifest = json.loads(stated.read_text())
    manifest["facts"]["policy_sha256"] = file_sha256(path)
    stated.write_text(json.dumps(manifest))


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["pretrain", "--dataset", "none/of-these-v0"], 3, "no dataset 'none/of-these-v0'"),
        (["pretrain", "--set", "lerner.gamma=1"], 2, "did you mean 'learner'"),
        (["pretrain", "--config", "missing.yaml"], 2, "cannot read missing.yaml"),
        (["finetune", "nowhere"], 3, "nowhere is not a run directory"),
        (["export", "nowhere"], 3, "nowhere is not a run directory"),
        (["evaluate", "nowhere"], 2, "nowhere is not there"),
        (["evaluate", "expert:technicl"], 2, "unknown expert 'technicl'"),
        (["evaluate", "expert:technical?epsilon=0.1"], 2, "has noise"),
        (["evaluate", "expert:technical", "--market", "sp501"], 2, "unknown market 'sp501'"),
        (["experts", "--start", "2010-01-01"], 2, "add --market"),
        (["collect", "--market", "gone.csv", "--dry-run"], 3, "gone.csv"),
        (["collect", "--expert", "technicl", "--dry-run"], 2, "technicl"),
        (["collect", "--id", "no version", "--dry-run"], 2, "dataset id 'no version'"),
        (["datasets", "inspect", "none-v0"], 3, "no dataset 'none-v0'"),
    ],
)
def test_a_users_mistake_is_named(
    words: list[str],
    code: int,
    message: str,
    here: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(here / "datasets"))
    assert code_of(words) == code
    err = capsys.readouterr().err
    assert message in err
    assert "Traceback" not in err
    assert not (here / "runs").exists()


def test_the_lists_answer_in_json(line: Path, capsys: pytest.CaptureFixture[str]) -> None:
    markets = output(capsys, ["markets"])["markets"]
    assert [m["bars"] for m in markets] == [5031, 5031]
    experts = output(capsys, ["experts"])["experts"]
    assert {"technical", "oracle", "buy_and_hold"} <= {e["name"] for e in experts}
    data = ["--root", str(line / "data")]
    assert "small/experts-v0" in output(capsys, ["datasets", "list", *data])["datasets"]
    shown = output(capsys, ["datasets", "inspect", "small/experts-v0", *data])
    assert shown["metadata"]["total_steps"] == 2000


def test_scores_of_experts_are_those_of_evaluate(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    span = ["--market", "sp500", "--start", "2016-01-01", "--end", "2016-12-31"]
    experts = output(capsys, ["experts", *span])["experts"]
    (scored,) = [e["score"] for e in experts if e["name"] == "reversion"]
    found = output(capsys, ["evaluate", "expert:reversion", *span, *EVALUATE])
    for name in ("total_return", "sharpe", "max_drawdown"):
        assert scored[name] == pytest.approx(found["measures"][name], rel=1e-12)
    assert (here / "runs" / "trials.jsonl").exists()


def foreign_csv(path: Path, rows: int = 900) -> None:
    """Hourly bars as other programs write them: odd names, a time zone, newest volume column."""
    rng = np.random.default_rng(5)
    close = 50.0 * np.exp(np.cumsum(rng.normal(0, 0.004, rows)))
    open_ = close * np.exp(rng.normal(0, 0.001, rows))
    top = np.maximum(open_, close) * (1 + rng.uniform(0, 0.002, rows))
    bottom = np.minimum(open_, close) * (1 - rng.uniform(0, 0.002, rows))
    start = np.datetime64("2021-01-04T00:00")
    lines = ["Date Time,Open Price,HIGH,low,CLOSE,Vol."]
    for i in range(rows):
        stamp = str(start + np.timedelta64(i, "h")).replace("T", " ")
        cells = [f"{x[i]:.4f}" for x in (open_, top, bottom, close)]
        lines.append(",".join([stamp, *cells, str(1000 + i)]))
    path.write_text("\n".join(lines) + "\n")


def test_a_foreign_file_goes_through_the_line(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    foreign_csv(here / "bars.csv")
    (checked,) = output(capsys, ["markets", "bars.csv"])["markets"]
    assert checked["bars"] == 900
    data = ["--root", "data", "-q"]
    words = ["collect", "--market", "bars.csv", "--end", "2021-01-30", "--id", "bars-v0", *data]
    words += ["--transitions", "800", "--set", "env.episode_bars=100", "--set", "score_episodes=2"]
    assert code_of(words) == 0
    small = [word.replace("small/experts-v0", "bars-v0") for word in PRETRAIN]
    small = [word.replace("2005-12-31", "2021-02-03") for word in small]
    assert code_of([*small, *data]) == 0
    assert code_of(["finetune", "runs/pretrain", *FINETUNE, *data]) == 0
    assert code_of(["export", "runs/finetune", "--force", "-q"]) == 0
    model = "runs/finetune/export/policy.onnx"
    found = output(capsys, ["evaluate", model, "--market", "bars.csv", *EVALUATE])
    assert found["start"] > "2021-02-03"
