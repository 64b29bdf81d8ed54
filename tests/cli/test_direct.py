"""The direct stage from the command line: in pretraining, and where the optimum is known."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from offline_trader.cli.main import main
from offline_trader.runs import Run

COLLECT = [
    *("collect", "--market", "synthetic:ou", "--end", "2004-12-31", "--id", "small/experts-v0"),
    *("--transitions", "1000", "--set", "env.episode_bars=200", "--set", "score_episodes=2"),
    *("--set", "env.simulator.action_mode=target_long_short"),
]
PRETRAIN = [
    *("pretrain", "--dataset", "small/experts-v0", "--validate-until", "2005-12-31"),
    *("--set", "clone.updates=40", "--set", "clone.checkpoint_interval=40"),
    *("--set", "direct.updates=12", "--set", "direct.windows=16", "--set", "direct.bars=8"),
    *("--set", "direct.evaluate_interval=6", "--set", "direct.checkpoint_interval=5"),
    *("--set", "direct.log_interval=4", "--set", "offline.critic_updates=5"),
    *("--set", "offline.updates=10", "--set", "learner.batch_size=32"),
    *("--set", "learner.hidden=16,16", "--set", "validation.min_trades_per_1000=0"),
]


def code_of(words: list[str]) -> int:
    """Exit code of ``offline-trader WORDS``."""
    with pytest.raises(SystemExit) as stop:
        main(words)
    return stop.value.code if isinstance(stop.value.code, int) else 0


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """``--root FOLDER`` with a small dataset in it."""
    root = ["--root", str(tmp_path_factory.mktemp("data"))]
    assert code_of([*COLLECT, *root, "-q"]) == 0
    return root


def test_pretraining_has_a_direct_stage_between_clone_and_offline(
    data: list[str], tmp_path: Path
) -> None:
    assert code_of([*PRETRAIN, *data, "-q", "--run", str(tmp_path / "run")]) == 0
    run = Run.open(tmp_path / "run")
    assert run.facts["direct"]["updates"] == 12
    assert run.facts["direct"]["kept"] in ("best", "warm_start")
    rows = [row for row in run.metrics() if "direct/objective" in row]
    assert [row["step"] for row in rows] == [44, 48, 52]
    scored = [row["step"] for row in run.metrics() if "validation/score" in row]
    assert {40, 46, 52} <= set(scored)


def test_an_interrupted_direct_stage_goes_on_to_the_same_policy(
    data: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from offline_trader.learning.stages.direct import training

    whole, cut = tmp_path / "whole", tmp_path / "cut"
    assert code_of([*PRETRAIN, *data, "-q", "--run", str(whole)]) == 0
    update = training.DirectTraining.update
    done: list[float] = []

    def stops(self: Any, rate: float) -> None:
        if len(done) == 7:
            raise KeyboardInterrupt
        update(self, rate)
        done.append(rate)

    with monkeypatch.context() as patch:
        patch.setattr(training.DirectTraining, "update", stops)
        assert code_of([*PRETRAIN, *data, "-q", "--run", str(cut)]) == 130
    assert code_of([*PRETRAIN, *data, "-q", "--run", str(cut), "--resume"]) == 0
    assert (cut / "policy.d3").read_bytes() == (whole / "policy.d3").read_bytes()
    assert Run.open(cut).facts == Run.open(whole).facts


def test_without_updates_there_is_no_direct_stage(data: list[str], tmp_path: Path) -> None:
    words = [*PRETRAIN, *data, "-q", "--run", str(tmp_path / "run"), "--set", "direct.updates=0"]
    assert code_of(words) == 0
    assert "direct" not in Run.open(tmp_path / "run").facts


def test_the_stages_are_those_that_are_named_in_their_order(
    data: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [*PRETRAIN, *data, "--run", str(tmp_path / "run"), "--stages", "direct,bc,sac"]
    assert code_of([*words, "-q"]) == 0
    said = capsys.readouterr()
    facts, config = Run.open(tmp_path / "run").facts, Run.open(tmp_path / "run").config()
    assert config["stages"] == ["direct", "clone", "offline"]
    assert config["learner"]["algorithm"] == "sac"
    rows = facts["history"]
    assert [row["stage"] for row in rows] == ["direct", "clone", "offline"]
    assert [row["updates"] for row in rows] == [12, 40, 15]
    assert rows[2]["reason"] == facts["offline"]["reason"] != ""
    low, high = rows[2]["interval"]
    assert low < rows[2]["difference"] < high
    assert "net log growth a year" in said.out + said.err
    steps = [row["step"] for row in Run.open(tmp_path / "run").metrics()]
    assert steps == sorted(steps)


def test_a_limit_that_later_stages_may_break_is_told(
    data: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [*PRETRAIN, *data, "--set", "direct.drawdown_limit=0.3", "--set", "clone.updates=4"]
    for name, stages in (("broken", "bc,direct,iql"), ("kept", "bc,direct")):
        assert code_of([*words, "--stages", stages, "--run", str(tmp_path / name)]) == 0
        told = " ".join(capsys.readouterr().err.split())
        broken = "training after it (offline) may break it, --stages clone,direct keeps it"
        assert (broken in told) == (name == "broken")


@pytest.mark.parametrize(
    ("stages", "message"),
    [
        (["--stages", "bc,drect"], "did you mean 'direct'"),
        (["--stages", "bc,bc"], "each at most once"),
        (["--stages", "online"], "each at most once"),
        (["--stages", "bc,iql", "--algorithm", "cql"], "iql, but learner.algorithm is cql"),
    ],
)
def test_stages_that_cannot_be_are_refused(
    data: list[str],
    tmp_path: Path,
    stages: list[str],
    message: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = [*PRETRAIN, *data, "-q", "--run", str(tmp_path / "run"), *stages]
    assert code_of(words) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_without_validation_the_log_keeps_the_policy_that_does_best_on_it(
    data: list[str], tmp_path: Path
) -> None:
    words = [word for word in PRETRAIN if word not in ("--validate-until", "2005-12-31")]
    run = tmp_path / "run"
    assert code_of([*words, *data, "-q", "--run", str(run), "--set", "direct.updates=60"]) == 0
    facts = Run.open(run).facts
    assert facts["direct"]["kept"] == "best"
    assert facts["offline"]["kept"] == "warm_start"
    assert facts["offline"]["warm_score"] == pytest.approx(facts["direct"]["kept_score"])
    assert [row["validation_sharpe"] for row in facts["history"]] == [None] * 3


def test_the_default_chain_is_scored_where_the_optimum_is_known(
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = [
        *("known-optimum", "M3-narrow", "--train", "default", "--realised", "--json", "-q"),
        *("--set", "clone.updates=20", "--set", "direct.updates=60", "--set", "direct.bars=48"),
        *("--set", "learner.hidden=32,32", "--set", "offline.critic_updates=10"),
        *("--set", "offline.updates=20", "--set", "score_lanes=32", "--set", "score_steps=300"),
    ]
    assert code_of(words) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["subject"] == "default"
    assert 80 < found["scores"][0]["value"] < 101


@pytest.mark.slow
def test_the_line_on_m3_as_bars_comes_near_to_what_its_features_allow(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Experts, dataset, features, forecast, direct stage, simulator: the whole line."""
    words = [
        *("known-optimum", "M3-bars", "--train", "direct", "--seed", "7", "--json", "-q"),
        *("--set", "direct.updates=120", "--set", "bars=60000", "--set", "paths=20"),
    ]
    assert code_of(words) == 0
    (score,) = json.loads(capsys.readouterr().out)["scores"]
    assert 75 < score["value"] < 100


@pytest.mark.slow
def test_the_deviation_as_a_feature_of_ones_own_leads_to_the_optimum(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own.py").write_text(
        "import numpy as np\ndef deviation(bars):\n    return np.log(bars['close'] / 100.0)\n"
    )
    monkeypatch.chdir(tmp_path)
    words = [
        *("known-optimum", "M3-bars", "--train", "direct", "--features", "own.py:deviation"),
        *("--seed", "7", "--json", "-q", "--set", "direct.updates=120"),
        *("--set", "bars=60000", "--set", "paths=20"),
    ]
    assert code_of(words) == 0
    (score,) = json.loads(capsys.readouterr().out)["scores"]
    assert 93 < score["value"] < 101


def test_the_direct_stage_is_scored_where_the_optimum_is_known(
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = [
        *("known-optimum", "M3-narrow", "--train", "direct", "--realised", "--json", "-q"),
        *("--set", "direct.updates=40", "--set", "learner.hidden=32,32"),
        *("--set", "direct.learning_rate=0.01", "--set", "score_lanes=32"),
        *("--set", "score_steps=300"),
    ]
    assert code_of(words) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["subject"] == "direct"
    assert 80 < found["scores"][0]["value"] < 101


def test_realised_rewards_are_what_a_method_gets(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """M1's realised rewards are ten times as noisy as the expected ones."""
    (tmp_path / "method.py").write_text(
        "import numpy as np\n"
        "def show(data, seed):\n"
        "    print(float(np.corrcoef(data.rewards[1:], data.rewards[:-1])[0, 1]))\n"
        "    return lambda seen: np.zeros(len(seen))\n"
    )
    monkeypatch.chdir(tmp_path)
    shown = []
    for extra in ([], ["--realised"]):
        words = ["known-optimum", "M1-narrow", "--train", "method.py:show", "-q", *extra]
        assert code_of([*words, "--set", "score_lanes=2", "--set", "score_steps=2"]) == 0
        shown.append(float(capsys.readouterr().out.split()[0]))
    assert shown[0] > 0.5  # expected rewards follow the slow signal
    assert np.abs(shown[1]) < 0.1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["M2", "--train", "direct"], "the direct stage on M2"),
        (["M2", "--train", "default"], "the default chain on M2"),
        (["M3-bars", "--train", "cql"], "training on M3-bars"),
        (["M1-wide", "--train", "default", "--set", "stages=bc,drect"], "'direct'"),
        (["M3", "--policy", "optimal", "--realised"], "--realised with --policy"),
        (["M3", "--train", "direct", "--set", "online.steps=5"], "changes nothing"),
        (["M3-narrow", "--train", "sac", "--set", "direct.updates=5"], "changes nothing"),
        (["M3", "--train", "direct", "--set", "direct.objective=profit"], "profit"),
        (["--realised"], "no market or dataset"),
    ],
)
def test_what_does_not_go_together_is_refused(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert code_of(["known-optimum", *words]) == 2
    assert message in capsys.readouterr().err


def test_replays_that_cannot_be_are_refused_before_anything_is_trained(
    data: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    moved = ["--id", "small/impact-v0", "--set", "env.simulator.impact_bps=20"]
    assert code_of([*COLLECT, *moved, *data, "-q"]) == 0
    asked = ["pretrain", "--replay", *data, "--run", str(tmp_path / "run")]
    for words, reason in (
        (["--dataset", "small/impact-v0"], "simulator.impact_bps = 20: an order moves the price"),
        (["--dataset", "small/experts-v0", "--algorithm", "iql"], "learner.algorithm = iql"),
        (["--dataset", "small/experts-v0", "--stages", "bc,direct"], "stages = clone, direct"),
    ):
        assert code_of([*asked, *words]) == 2
        assert reason in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
