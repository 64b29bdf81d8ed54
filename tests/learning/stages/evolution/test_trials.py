"""A generation tried by workers: the bytes of one process, whoever tries what and who is lost."""

from __future__ import annotations

import importlib
import io
import multiprocessing
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from offline_trader.errors import ConfigError, OfflineTraderError
from offline_trader.evaluation.known_optimum.direct_market import logged_market
from offline_trader.learning.agents import Learner, make_learner
from offline_trader.learning.settings import EvolutionConfig, HybridAgentConfig, LearnerConfig
from offline_trader.learning.stages.direct import DirectMarket
from offline_trader.learning.stages.evolution import (
    HybridAgent,
    Strategy,
    evolve,
    require_cpu,
    shared_trials,
)
from offline_trader.learning.stages.evolution.training import EvolutionTraining
from offline_trader.pipeline.phases import _canonical

# Imported by a bare name, because new processes inherit sys.path and not pytest's import mode.
sys.path.insert(0, str(Path(__file__).parent))
GROUNDS: Any = importlib.import_module("trial_grounds")
sys.path.pop(0)

MANY = EvolutionConfig(
    generations=3, population=38, windows=5, bars=7, market_input="features",
    log_interval=3, evaluate_interval=3, sigma=0.1, learning_rate=0.05,
)  # fmt: skip
M3 = logged_market("M3", seed=2)


@pytest.fixture(autouse=True)
def _importable_grounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parent))


def learner_of(seed: int = 0) -> Learner:
    config = LearnerConfig(algorithm="sac", reward_scaling="none", hidden=(8, 8))
    return make_learner(config, 2, seed=seed)


def saved(state: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(_canonical(state), buffer)
    return buffer.getvalue()


def evolved(config: EvolutionConfig, market: DirectMarket = M3, **given: Any) -> bytes:
    learner = learner_of()
    evolve(learner, market, config, seed=4, **given)
    return saved(learner.state_dict())


def test_members_by_their_numbers_are_those_that_are_asked_to_the_bit() -> None:
    strategy = Strategy(np.random.default_rng(0).standard_normal(9), MANY, seed=7)
    strategy.ask()
    strategy.tell(np.arange(MANY.population, dtype=float))
    whole, question = strategy.ask(), strategy.question()
    for numbers in (range(38), range(16), range(16, 32), range(32, 38), range(15, 22)):
        np.testing.assert_array_equal(question.members(numbers), whole[numbers])


@pytest.mark.parametrize("engine", ["fast", "torch"])
def test_workers_change_no_bit(engine: Any) -> None:
    config = replace(MANY, engine=engine, population=38 if engine == "fast" else 80)
    assert evolved(config, workers=2) == evolved(config)


def test_where_members_go_together_a_block_s_scores_are_its_own() -> None:
    """Nothing that is not among a block's members moves its last bits."""
    config = replace(MANY, engine="torch", population=80)
    training = EvolutionTraining(learner_of(), M3, config, 4)
    members, ground = training.strategy.ask(), training._ground
    batch = training._batch(0, MANY.windows)
    whole = ground.scores(members, batch)
    block = ground.population.block
    assert block < len(members)
    for first in range(0, len(members), block):
        chosen = slice(first, first + block)
        np.testing.assert_array_equal(ground.scores(members[chosen], batch), whole[chosen])


def test_turns_of_the_hybrid_with_workers_have_the_bytes_of_one_process() -> None:
    turns = HybridAgentConfig(generations=2, population=32, windows=4, bars=6)
    found = []
    for workers in (1, 2):
        with shared_trials(workers) as trials:
            agent = HybridAgent(learner_of(), lambda: [M3], turns, 3, trials)
            for _ in range(2):  # a turn has a ground of its own
                agent._evolve()
            found.append(saved(agent.state_dict()))
    assert found[0] == found[1]


def test_a_worker_that_is_killed_is_replaced_and_its_block_is_tried_again(tmp_path: Path) -> None:
    training = EvolutionTraining(learner_of(), M3, MANY, 4)
    question, batch = training.strategy.question(), training._batch(0, MANY.windows)
    with shared_trials(2) as trials:
        assert trials is not None
        found = trials.on(GROUNDS.Mortal(training._ground, tmp_path / "once")).scores(
            question, batch
        )
        assert trials.replaced == 1
        for process in multiprocessing.active_children():
            process.kill()  # between two generations
        training = EvolutionTraining(learner_of(), M3, MANY, 4, trials)
        training.update()
        assert training.measures()["evolution/replaced"] > 1.0
    np.testing.assert_array_equal(found, training._ground.scores(training_members(), batch))


def training_members() -> Any:
    return EvolutionTraining(learner_of(), M3, MANY, 4).strategy.ask()


def test_a_block_that_kills_whoever_tries_it_ends_with_one_message(tmp_path: Path) -> None:
    training = EvolutionTraining(learner_of(), M3, MANY, 4)
    question, batch = training.strategy.question(), training._batch(0, MANY.windows)
    with shared_trials(2) as trials:
        assert trials is not None
        tried = trials.on(GROUNDS.Mortal(training._ground, tmp_path / "nowhere" / "once"))
        with pytest.raises(OfflineTraderError, match="lost 3 times"):
            tried.scores(question, batch)


def test_several_workers_on_a_gpu_are_refused() -> None:
    require_cpu(1, "cuda")
    with pytest.raises(ConfigError, match=r"--workers 2 with learner\.device=cuda"):
        require_cpu(2, "cuda")
    with pytest.raises(ConfigError), shared_trials("ray", "cuda:0"):
        raise AssertionError


@pytest.mark.slow
def test_a_ray_cluster_changes_no_bit() -> None:
    pytest.importorskip("ray", reason="needs the extra: pip install 'offline-trader[ray]'")
    assert evolved(MANY, workers="ray") == evolved(MANY)
