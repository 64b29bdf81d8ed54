"""A policy that takes a preference, from fine-tuning over export and evaluation to a session."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from offline_trader.cli.main import main
from offline_trader.envs import EnvConfig
from offline_trader.errors import ConfigError, DataError
from offline_trader.evaluation.judging import Evaluation, not_dominated
from offline_trader.export import OnnxPolicy
from offline_trader.learning.settings import COMPONENTS
from offline_trader.pipeline.trained_runs import acting_policy, finished_run
from offline_trader.serving import Session

COLLECT = [
    *("collect", "--market", "sp500", "--end", "2004-12-31", "--id", "small/experts-v0"),
    *("--transitions", "1500", "--set", "env.episode_bars=200", "--set", "score_episodes=2"),
]
PRETRAIN = [
    *("pretrain", "--dataset", "small/experts-v0", "--validate-until", "2005-06-30"),
    *("--stages", "clone", "--set", "clone.updates=60", "--set", "learner.batch_size=32"),
    *("--set", "learner.hidden=16,16"),
]
FINETUNE = [
    *("--steps", "320", "--lanes", "4", "--set", "online.warmup_steps=32", "-q"),
    *("--set", "online.critic_updates=10", "--set", "online.evaluate_interval=160"),
    *("--set", "online.objectives.candidates=3"),
]
RANGE = ["--start", "2006-01-01", "--end", "2006-12-31"]
EVALUATE = [*RANGE, "--set", "options.noise_draws=0", "--set", "options.replicates=200", "-q"]


def code_of(words: list[str]) -> int:
    with pytest.raises(SystemExit) as stop:
        main(words)
    return stop.value.code if isinstance(stop.value.code, int) else 0


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pretrained run, one whose policy takes weights and one that has its own; their models."""
    folder = tmp_path_factory.mktemp("objectives")
    data = ["--root", str(folder / "data")]
    assert code_of([*COLLECT, *data, "-q"]) == 0
    parent = str(folder / "pretrain")
    assert code_of([*PRETRAIN, *data, "-q", "--run", parent]) == 0
    for kind, more in (
        ("learned", []),
        ("fixed", ["--set", "online.objectives.weights=0.7,0.3,0,0,0,0", "--steps", "64"]),
    ):
        run = str(folder / kind)
        words = ["finetune", parent, "--objectives", kind, *FINETUNE, *more, *data, "--run", run]
        assert code_of(words) == 0
    assert code_of(["export", str(folder / "learned"), "-q", "--force"]) == 0
    return folder


def model(line: Path, kind: str) -> Path:
    return line / kind / "export" / "policy.onnx"


def test_the_graph_takes_the_weights_beside_the_observation(line: Path) -> None:
    graph = onnx.load(model(line, "learned")).graph
    shapes = {i.name: i.type.tensor_type.shape.dim[1].dim_value for i in graph.input}
    assert shapes == {"observation": 37, "preference": len(COMPONENTS)}
    policy = OnnxPolicy(model(line, "learned"))
    live: Any = acting_policy(finished_run(line / "learned"))
    seen = np.random.default_rng(0).normal(0, 0.1, (40, 37)).astype(np.float32)
    np.testing.assert_allclose(policy(seen), live(seen), atol=1e-5)
    for weights in np.eye(len(COMPONENTS)).tolist():
        found = policy.preferring(weights)(seen)
        np.testing.assert_allclose(found, live.preferring(weights)(seen), atol=1e-5)
        np.testing.assert_allclose(
            found, policy(seen, preference=np.array(weights, np.float32)), atol=1e-6
        )
    with pytest.raises(ConfigError, match="6 numbers from 0 that add up to 1"):
        policy.preferring([1, 1, 0, 0, 0, 0])
    with pytest.raises(DataError, match="not finite"):
        policy(seen, preference=np.full(6, np.nan, np.float32))


def test_other_weights_give_other_actions(tmp_path: Path) -> None:
    """In a network that reads them; and what is no preference is refused."""
    from offline_trader.export import export_onnx
    from offline_trader.goals import Preference
    from offline_trader.learning.agents import DeterministicActor, make_learner
    from offline_trader.learning.settings import LearnerConfig

    layout = EnvConfig().layout
    learner = make_learner(LearnerConfig(algorithm="sac", hidden=(16, 16)), layout.size + 6)
    preference = Preference(COMPONENTS, (0.5, 0.1, 0.1, 0.1, 0.1, 0.1), given=True)
    path = tmp_path / "policy.onnx"
    export_onnx(
        *(DeterministicActor(learner), learner.preprocessing, layout, path, {}),
        preference=preference,
    )
    policy = OnnxPolicy(path)
    seen = np.random.default_rng(0).normal(0, 1, (40, layout.size)).astype(np.float32)
    drawn = preference.drawn(40, np.random.default_rng(1)).astype(np.float32)
    wanted = learner.act(preference.widened(seen, drawn))
    np.testing.assert_allclose(policy(seen, preference=drawn), wanted, atol=1e-5)
    alone = policy.preferring((1.0, 0.0, 0.0, 0.0, 0.0, 0.0))
    assert np.abs(alone(seen) - policy(seen)).max() > 1e-3
    plain = make_learner(learner.config, layout.size)
    export_onnx(DeterministicActor(plain), plain.preprocessing, layout, tmp_path / "plain.onnx")
    with pytest.raises(ConfigError, match=r"a preference for plain\.onnx"):
        OnnxPolicy(tmp_path / "plain.onnx").preferring((1.0, 0.0, 0.0, 0.0, 0.0, 0.0))
    with pytest.raises(DataError, match=r"a preference of shape \(5,\)"):
        policy(seen, preference=np.ones(5, np.float32))


def test_a_session_decides_under_the_weights_of_its_model(line: Path) -> None:
    """And the vectors beside the model tell them."""
    from offline_trader.markets import load_market

    bars = list(load_market("sp500"))[:300]
    made = {}
    for weights in (None, (0.0, 0.0, 0.0, 0.0, 0.0, 1.0)):
        policy = OnnxPolicy(model(line, "learned"), preference=weights)
        made[weights] = [Session(policy, bars_per_year=252).on_bar(b) for b in bars][-1:]
    folder = model(line, "learned").parent / "vectors"
    told = json.loads((folder / "vectors.json").read_text())["preference"]
    assert told["columns"] == list(COMPONENTS)
    assert sum(told["asked"]) == pytest.approx(1.0)
    head = (folder / "decisions.csv").read_text().splitlines()[0].split(",")
    assert set(COMPONENTS) <= set(head)


def test_the_manifest_tells_weights_and_engine(line: Path) -> None:
    """Learned ones are no larger than 0.6 and chosen on the validation range."""
    stated = json.loads((line / "learned" / "export" / "manifest.json").read_text())["facts"]
    assert max(stated["preference"]["weights"]) <= 0.6
    assert stated["engine"] == {"name": "torch", "reason": "a critic head per objective"}
    facts = finished_run(line / "fixed").facts
    assert facts.preference is not None
    assert facts.preference.weights == (0.7, 0.3, 0.0, 0.0, 0.0, 0.0)
    assert not facts.preference.given


@pytest.mark.slow
def test_the_gate_on_balance_judges_the_weights(
    line: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those that a user has set may break it."""
    monkeypatch.chdir(tmp_path)
    words = ["evaluate", str(line / "fixed"), *EVALUATE, "--gates", "default"]
    assert code_of([*words, "--output", str(tmp_path)]) == 4
    rows = {row.name: row for row in Evaluation.load(tmp_path / "evaluation.json").gates}
    assert rows["objective_balance"].verdict == "fail"
    assert rows["objective_balance"].value == 0.7


def test_a_preference_can_be_asked_for(
    line: Path, tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the policy takes one; the report has the front, whatever was asked for."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "report"
    words = ["evaluate", str(model(line, "learned")), *EVALUATE, "--output", str(folder)]
    assert code_of([*words, "--preference", "0,1,0,0,0,0"]) == 0
    found = Evaluation.load(folder / "evaluation.json").preferences
    assert found is not None
    assert [p.name for p in found.points][:2] == ["default", "profit alone"]
    assert found.points[0].weights == (0.0, 1.0, 0.0, 0.0, 0.0, 0.0)
    growth, drawdown = (np.array([getattr(p, n) for p in found.points])
                        for n in ("growth", "drawdown"))  # fmt: skip
    assert [p.on_front for p in found.points] == not_dominated(growth, drawdown).tolist()
    assert 'id="fig-preferences"' in (folder / "report.html").read_text()
    assert (folder / "plots" / "preferences.png").is_file()
    capsys.readouterr()
    for kind, text, told in (
        ("fixed", "0,1,0,0,0,0", "which takes none"),
        ("learned", "0,1", "6 numbers from 0"),
        ("learned", "much", "numbers with commas between"),
    ):
        assert code_of(["evaluate", str(line / kind), *EVALUATE, "--preference", text]) == 2
        assert told in capsys.readouterr().err


def test_what_does_not_go_together_is_refused(line: Path, tmp_path: Path, capsys: Any) -> None:
    for run, more, told in (
        ("learned", [], "takes a preference"),
        ("pretrain", ["--objectives", "fixed", "--agent", "direct"], "agent=direct"),
        ("pretrain", ["--objectives", "fixed", "--her", "exposure"], "a goal has a reward"),
        ("pretrain", ["--objectives", "best"], "'fixed', 'given', 'learned'"),
    ):
        words = ["finetune", str(line / run), *more, *FINETUNE, "--run", str(tmp_path / "x")]
        assert code_of(words) == 2
        assert told in capsys.readouterr().err
    assert not (tmp_path / "x").exists()


def test_the_front_is_what_nothing_beats() -> None:
    """Worked out by hand: a tie is on the front, and so is a copy."""
    growth, drawdown = np.array([1.0, 2.0, 3.0, 2.0, 1.5]), np.array([0.1, 0.2, 0.3, 0.2, 0.25])
    assert not_dominated(growth, drawdown).tolist() == [True, True, True, True, False]
