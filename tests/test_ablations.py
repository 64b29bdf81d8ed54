"""The parts of the benchmark of fine-tuning's parts that decide what its tables say."""

from __future__ import annotations

import importlib
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import pytest

from offline_trader.learning.agents import make_learner
from offline_trader.learning.settings import LearnerConfig, OnlineConfig

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def ablations(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(ROOT))  # the folder is no installed package
    return importlib.import_module("benchmarks.ablations")


def test_each_arm_changes_one_thing_of_the_full_setting(ablations: Any) -> None:
    full = OnlineConfig(**ablations.online_of(ablations.ARMS[ablations.FULL], 12_000))
    learner = LearnerConfig(algorithm="sac", **ablations.setting.LEARNER)
    for title, arm in ablations.ARMS.items():
        online = OnlineConfig(**ablations.online_of(arm, 12_000))
        changed = LearnerConfig(algorithm="sac", **{**ablations.setting.LEARNER, **arm.learner})
        moved = [f.name for f in fields(online) if getattr(online, f.name) != getattr(full, f.name)]
        moved += [name for name, value in asdict(changed).items() if value != vars(learner)[name]]
        moved += [name for name in ("fresh", "dataset") if getattr(arm, name)]
        assert len(moved) == (title != ablations.FULL), f"{title}: {moved}"
        assert online.steps == 12_000, title


def test_fewer_steps_have_the_shape_of_the_setting(ablations: Any) -> None:
    whole = ablations.setting.ONLINE
    now = ablations.online_of(ablations.ARMS[ablations.FULL], whole["steps"] // 4)
    usual = OnlineConfig()
    assert now["warmup_steps"] == usual.warmup_steps // 4
    assert now["critic_updates"] == usual.critic_updates // 4
    for share in ("entropy_hold", "entropy_decay", "rate_decay"):
        assert now[share] == whole[share]


def test_differences_are_paired_by_seed(ablations: Any) -> None:
    def runs(*kept: float) -> list[dict[str, float]]:
        return [{"kept": each, "last": each - 1.0} for each in kept]

    found = {ablations.FULL: runs(90.0, 70.0), "less": runs(88.0, 66.0)}
    told = {figure.name: figure for figure in ablations.figures("M1", found)}
    assert told["M1, less: kept"].value == 77.0
    assert told["M1, less: last, worst seed"].value == 65.0
    apart = told["M1, less: kept less the full setting's"]
    assert apart.value == -3.0
    # Student's 97.5 % quantile of one degree of freedom is 12.706; the deviation is √2
    assert apart.interval == pytest.approx((-3.0 - 12.706, -3.0 + 12.706), abs=1e-3)
    assert f"M1, {ablations.FULL}: kept less the full setting's" not in told


def test_arms_take_the_same_steps_and_updates(
    ablations: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    scored: list[str] = []

    def fresh_score(name: str, policy: Any, seed: int) -> float:
        scored.append(name)
        return float(len(scored))

    def clone(*_: Any) -> Any:
        return make_learner(LearnerConfig(hidden=(8,)), 2, seed=1)

    monkeypatch.setattr(ablations, "clone_of", clone)
    monkeypatch.setattr(ablations.setting, "fresh_score", fresh_score)
    monkeypatch.setattr(ablations.setting, "VALIDATION", (16, 100))
    monkeypatch.setattr(ablations, "LOOKS", 2)
    several = (ablations.FULL, "without the warm start", "with the dataset in half of each batch")
    found = {title: ablations.train(title, "M3", 0, 320) for title in several}
    for title, run in found.items():
        assert run["kept"] - run["last"] == 1.0, f"{title}: the last policy is scored once"
        assert run["last"] - run["warm"] == 1.0, title
    assert {run["updates"] for run in found.values()} == {320 - 256 + 8}


def test_finished_runs_are_not_done_again(
    ablations: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    made: list[tuple[Any, ...]] = []

    def train(*of: Any) -> dict[str, Any]:
        made.append(of)
        return {"kept": float(len(made))}

    monkeypatch.setattr(ablations, "train", train)
    asked = [(ablations.FULL, 1_600), ("without replays", 1_600), (ablations.FULL, 3_200)]
    for _ in range(2):
        cache = ablations.Finished(tmp_path / "runs.jsonl")
        kept = [ablations.found_of(cache, arm, "M1", 0, steps)["kept"] for arm, steps in asked]
        assert kept == [1.0, 2.0, 3.0]
    assert len(made) == 3
