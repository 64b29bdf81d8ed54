"""A policy that takes a goal, from fine-tuning over export and evaluation to a session."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from offline_trader.cli.main import main
from offline_trader.envs import EnvConfig
from offline_trader.errors import ConfigError, DataError
from offline_trader.evaluation.backtest import EvaluationRange, Scenario
from offline_trader.evaluation.judging import Evaluation
from offline_trader.export import OnnxPolicy
from offline_trader.goals import GoalTask
from offline_trader.hashing import file_sha256
from offline_trader.markets import load_market
from offline_trader.pipeline.evaluating import goal_sweep
from offline_trader.pipeline.goal_training import GoalValidator
from offline_trader.pipeline.strategies import find_strategy
from offline_trader.pipeline.trained_runs import acting_policy, finished_run
from offline_trader.runs import Run
from offline_trader.serving import AuditLog, Desk, Session, replay

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
    *("--set", "online.critic_updates=10", "--set", "online.checkpoint_interval=128"),
    *("--set", "goal.horizon=10", "--set", "online.evaluate_interval=160"),
]
EVALUATE = ["--set", "options.noise_draws=0", "--set", "options.replicates=200"]


def code_of(words: list[str]) -> int:
    with pytest.raises(SystemExit) as stop:
        main(words)
    return stop.value.code if isinstance(stop.value.code, int) else 0


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pretrained run, two that take goals, and their models."""
    folder = tmp_path_factory.mktemp("goals")
    data = ["--root", str(folder / "data")]
    assert code_of([*COLLECT, *data, "-q"]) == 0
    parent = str(folder / "pretrain")
    assert code_of([*PRETRAIN, *data, "-q", "--run", parent]) == 0
    for kind in ("exposure", "return"):
        run = str(folder / kind)
        assert code_of(["finetune", parent, "--her", kind, *FINETUNE, *data, "--run", run]) == 0
        assert code_of(["export", run, "-q", "--force"]) == 0
    return folder


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def model(line: Path, kind: str) -> Path:
    return line / kind / "export" / "policy.onnx"


def test_a_warm_start_ignores_the_goal_until_it_is_trained(line: Path) -> None:
    from offline_trader.pipeline.goal_training import learner_for
    from offline_trader.pipeline.trained_runs import trained_policy

    source = trained_policy(finished_run(line / "pretrain"))
    config = source.config.with_tag("sac")
    task = GoalTask("return")
    learner = learner_for(source, config, task, 0, widen=True)
    rng = np.random.default_rng(0)
    seen = rng.normal(0, 0.1, (50, len(source.preprocessing.mean))).astype(np.float32)
    wide = task.widened(seen, rng.normal(size=(50, 3)), rng.normal(size=50))
    np.testing.assert_allclose(learner.act(wide), source.act(seen), atol=1e-6)
    assert learner.preprocessing.reward is None
    tuned = trained_policy(finished_run(line / "exposure"))
    wide = GoalTask("exposure").widened(seen, np.ones((50, 1)), 0.1)
    other = wide.copy()
    other[:, -1] = 0.9
    assert np.abs(tuned.act(wide) - tuned.act(other)).max() > 1e-4


def test_the_manifest_states_the_default_goal_and_how_it_was_chosen(line: Path) -> None:
    stated = json.loads((line / "exposure" / "export" / "manifest.json").read_text())["facts"]
    assert stated["goal"]["task"]["kind"] == "exposure"
    assert stated["goal"]["task"]["goal"] == 0.5
    assert "default of the kind" in stated["goal"]["chosen"]
    stated = json.loads((line / "return" / "export" / "manifest.json").read_text())["facts"]
    assert "validation range" in stated["goal"]["chosen"]
    facts = finished_run(line / "return").facts
    assert facts.goal is not None
    assert facts.goal.task.goal == stated["goal"]["task"]["goal"]
    assert facts.online is not None
    assert facts.online.kept_score is not None
    assert all(row.validation_sharpe is None for row in facts.history if row.stage == "online")
    rows = Run.open(line / "return").metrics()
    assert any("validation/goal_success" in row for row in rows)


@pytest.mark.parametrize(("kind", "width"), [("exposure", 1), ("return", 3)])
def test_the_graph_takes_goal_and_progress_beside_the_observation(
    line: Path, kind: str, width: int
) -> None:
    graph = onnx.load(model(line, kind)).graph
    shapes = {
        each.name: [d.dim_value or d.dim_param for d in each.type.tensor_type.shape.dim]
        for each in graph.input
    }
    assert list(shapes) == ["observation", "progress", "goal"]
    assert [shape[1] for shape in shapes.values()] == [37, width, 1]
    policy = OnnxPolicy(model(line, kind))
    live: Any = acting_policy(finished_run(line / kind))
    rng = np.random.default_rng(0)
    seen = rng.normal(0, 0.1, (40, 37)).astype(np.float32)
    progress = rng.uniform(0, 0.1, (40, width)).astype(np.float32)
    for goal in (None, 0.01, 0.7):
        np.testing.assert_allclose(
            policy(seen, progress, goal), live(seen, progress, goal), atol=1e-5
        )
        np.testing.assert_allclose(policy(seen, None, goal), live(seen, None, goal), atol=1e-5)
    assert OnnxPolicy(model(line, kind), goal=0.25).goal == 0.25


def test_a_goal_that_cannot_be_is_refused(line: Path, capsys: Any) -> None:
    path = model(line, "exposure")
    with pytest.raises(ConfigError, match="goal of 3"):
        OnnxPolicy(path, goal=3.0)
    policy = OnnxPolicy(path)
    with pytest.raises(DataError, match="time_left"):
        policy(np.zeros((2, 37), np.float32), np.zeros((2, 2), np.float32))
    with pytest.raises(DataError, match="finite"):
        policy(np.zeros((2, 37), np.float32), None, float("nan"))
    assert code_of(["finetune", str(line / "pretrain"), "--her", "speed", "--dry-run"]) == 2
    assert "goal.kind is 'speed'" in capsys.readouterr().err
    assert code_of(["finetune", str(line / "exposure"), "--her", "return", "--dry-run"]) == 2
    assert "the parent's" in capsys.readouterr().err
    for agent in ("direct", "hybrid"):
        asked = ["finetune", str(line / "pretrain"), "--her", "return", "--agent", agent]
        assert code_of([*asked, "--dry-run"]) == 2
        assert "what the others learn from is what is earned" in capsys.readouterr().err
    for setting in ("transforms=replay", "forecast_weight=1"):
        asked = ["finetune", str(line / "pretrain"), "--her", "return", "--dry-run"]
        assert code_of([*asked, "--set", f"online.{setting}"]) == 2
        assert f"goal.kind=return with online.{setting.split('=1')[0]}" in capsys.readouterr().err
    assert code_of(["finetune", str(line / "pretrain"), "--goal", "0.5", "--dry-run"]) == 2
    assert "--her" in capsys.readouterr().err
    assert code_of(["evaluate", str(line / "pretrain"), "--goal", "0.5", "--dry-run"]) == 2
    assert "takes none" in capsys.readouterr().err


def test_an_outcome_asks_for_bars_that_hold_its_horizon(line: Path, capsys: Any) -> None:
    """Of horizons that never end nothing would be learned, and nothing could be said."""
    asked = ["finetune", str(line / "pretrain"), "--her", "return", "--dry-run"]
    assert code_of([*asked, "--set", "goal.horizon=201"]) == 2
    assert "goal.horizon=201 in episodes of 200 bars" in capsys.readouterr().err
    for name, switch in (("bars", "--adaptive"), ("exam_bars", "--curriculum")):
        small = ["--set", f"online.curriculum.{name}=20", "--set", "goal.horizon=21"]
        assert code_of([*asked, switch, *small]) == 2
        assert f"in episodes of 20 bars (online.curriculum.{name})" in capsys.readouterr().err
        assert code_of([*asked[:3], "exposure", "--dry-run", switch, *small]) == 0
    brief = EnvConfig(market=("sp500",), start="2005-01-01", end="2005-01-14")
    with pytest.raises(DataError, match="in a range of 9 decisions"):
        GoalValidator(brief, GoalTask("return", horizon=10))
    assert GoalValidator(brief, GoalTask("exposure", horizon=10))
    strategy = find_strategy(str(model(line, "return")))
    swept, (told,) = goal_sweep(strategy, brief)
    assert swept is None
    assert "horizon of 10 bars" in told
    assert goal_sweep(strategy, replace(brief, end="2005-01-19"))[0] is not None


def test_the_report_shows_desired_beside_achieved(line: Path, here: Path) -> None:
    words = ["evaluate", str(model(line, "exposure")), "--end", "2006-12-31", "--goal", "0.8"]
    assert code_of([*words, *EVALUATE, "-q", "-o", "report"]) == 0
    found = Evaluation.load(here / "report" / "evaluation.json")
    assert found.goals is not None
    assert (found.goals.kind, found.goals.horizon, found.goals.default) == ("exposure", 10, 0.8)
    assert [point.goal for point in found.goals.points] == np.linspace(0, 1, 9).tolist()
    assert Evaluation.from_dict(found.to_dict()).goals == found.goals
    page = (here / "report" / "report.html").read_text()
    assert "Desired and achieved exposure" in page
    assert list((here / "report").rglob("goals.png"))
    (trial,) = (json.loads(t) for t in (here / "runs" / "trials.jsonl").read_text().splitlines())
    assert trial["config"]["goal"] == 0.8 if "config" in trial else True
    # the account of the report is that of the point with the same goal
    exposure = found.curve.exposure
    assert exposure is not None
    env = EnvConfig(market=("sp500",), start=found.start[:10], end="2006-12-31")
    again = find_strategy(str(model(line, "exposure"))).asked_for(0.8)
    (runs,) = EvaluationRange.from_env(env).backtests(again.open(), [Scenario(env.simulator)])
    np.testing.assert_array_equal(runs[0].exposure, exposure)


def test_a_session_decides_as_the_evaluation_does_horizon_after_horizon(line: Path) -> None:
    env = EnvConfig(market=("sp500",), start="2005-07-01", end="2005-12-31")
    span = EvaluationRange.from_env(env)
    for goal in (None, 0.01):
        strategy = find_strategy(str(model(line, "return"))).asked_for(goal)
        ((run,),) = span.backtests(strategy.open(), [Scenario(env.simulator)])
        session = Session(model(line, "return"), goal=goal)
        (one,) = span.instruments
        session.warm_up(one.bars.slice(0, one.range.start))
        made = [session.on_bar(bar) for bar in one.judged]
        assert session.goal == (strategy.open().goal if goal is None else goal)  # type: ignore[union-attr]
        actions = np.array([each.action for each in made[:-1]], np.float64)
        np.testing.assert_allclose(actions, run.actions, atol=1e-6)
        assert made[-1].portfolio.equity == pytest.approx(run.equity[-1], rel=1e-9)


def test_a_desk_is_asked_for_a_goal_and_goes_on_with_it(
    line: Path, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    policy, bars = OnnxPolicy(model(line, "exposure")), load_market("sp500").slice(0, 420)

    def desk(file: str = "audit.db", goal: float | None = None) -> Desk:
        return Desk(policy, AuditLog(here / file), goal=goal, clock=lambda: 1.7e9)

    first = desk(goal=0.8).warm_up(bars.slice(0, 300))
    assert (first.stated["goal"], policy.goal) == (0.8, 0.5)
    made = [first.on_bar(bar).decision.action for bar in bars.slice(300, 360)]
    first.log.close()
    again = desk()
    assert again.session.goal == 0.8
    made += [again.on_bar(bar).decision.action for bar in bars.slice(360, 420)]
    for goal, same in ((0.8, True), (0.5, False)):
        whole = desk(f"{goal}.db", goal=goal).warm_up(bars.slice(0, 300))
        found = [whole.on_bar(bar).decision.action for bar in bars.slice(300, 420)]
        assert (made == found) == same
    assert replay(policy, AuditLog(here / "audit.db")) == 120
    with pytest.raises(ConfigError, match=r"goal 0\.8"):
        desk(goal=0.3)
    serve = ["serve", str(model(line, "exposure")), "--instrument", "SPX", "--dry-run", "-q"]
    assert code_of([*serve, "--goal", "0.8"]) == 0
    assert code_of([*serve, "--goal", "3"]) == 2
    assert "goal of 3" in capsys.readouterr().err


def kept(run: Path) -> dict[str, str]:
    files = [run / "policy.d3", run / "metrics.jsonl", *(run / "checkpoints").iterdir()]
    return {each.name: file_sha256(each) for each in files}


def test_an_interrupted_run_goes_on_to_the_same_bytes(line: Path, tmp_path: Path) -> None:
    words = ["finetune", str(line / "pretrain"), "--her", "exposure", *FINETUNE]
    words += ["--root", str(line / "data"), "--run", str(tmp_path / "again")]
    save = Run.save_checkpoint

    def interrupted(self: Run, *args: Any, **kwargs: Any) -> Path:
        save(self, *args, **kwargs)
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Run, "save_checkpoint", interrupted)
        assert code_of(words) == 130
    assert code_of([*words, "--resume"]) == 0
    assert kept(tmp_path / "again") == kept(line / "exposure")


@pytest.mark.parametrize("kind", ["exposure", "return"])
def test_goals_go_with_curriculum_adaptive_difficulty_and_curiosity(
    line: Path, tmp_path: Path, kind: str
) -> None:
    """On the stages' markets with exams of goals, validated on the user's range; an interrupted run
    goes on to the same bytes."""
    small = {
        "paths": 1, "bars": 60, "exam_interval": 128, "exam_episodes": 9, "exam_bars": 40,
        "passing": 0,
    }  # fmt: skip
    words = ["finetune", str(line / "pretrain"), "--her", kind, "--curriculum", "--adaptive"]
    words += [*FINETUNE, "--set", "online.curiosity.weight=0.1", "--set", "env.episode_bars=15"]
    words += [w for n, v in small.items() for w in ("--set", f"online.curriculum.{n}={v}")]
    words += ["--set", "online.log_interval=32", "--set", "online.difficulty.window=4"]
    words += ["--set", "online.difficulty.cooldown=4", "--root", str(line / "data")]
    assert code_of([*words, "--run", str(tmp_path / "whole")]) == 0
    rows = Run.open(tmp_path / "whole").metrics()
    exams = [row for row in rows if "curriculum/goal_reward" in row]
    assert [row["curriculum/stage"] for row in exams] == [1.0, 2.0]
    for row in exams:
        low, high = (-1.0, 0.0) if kind == "exposure" else (0.0, 1.0)
        assert low <= row["curriculum/goal_reward"] <= high
        assert low <= row["curriculum/goal_reference"] <= high
        assert "curriculum/sharpe" not in row
    assert len({row["online/noise"] for row in rows if "online/noise" in row}) > 1
    assert any("validation/goal_success" in row for row in rows)
    facts = finished_run(tmp_path / "whole").facts
    assert facts.goal is not None
    assert ("validation range" in facts.goal.chosen) == (kind == "return")
    save = Run.save_checkpoint

    def interrupted(self: Run, *args: Any, **kwargs: Any) -> Path:
        save(self, *args, **kwargs)
        raise KeyboardInterrupt

    words += ["--run", str(tmp_path / "again")]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Run, "save_checkpoint", interrupted)
        assert code_of(words) == 130
    assert code_of([*words, "--resume"]) == 0
    assert kept(tmp_path / "again") == kept(tmp_path / "whole")
