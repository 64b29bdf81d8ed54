"""Dormant units and effective rank: known values, and the same from torch and the ONNX file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from offline_trader.envs import EnvConfig
from offline_trader.evaluation.backtest import Backtest, EvaluationRange, Scenario
from offline_trader.evaluation.measures import NetworkMeasures, network_measures
from offline_trader.experts import get_expert
from offline_trader.export import OnnxPolicy, export_onnx
from offline_trader.features import FeatureScaler, observation_layout
from offline_trader.learning.agents import Learner, make_learner
from offline_trader.learning.settings import LearnerConfig

SIZE = observation_layout().size


@pytest.fixture(scope="module")
def runs() -> list[Backtest]:
    """A backtest whose observations are standard normal."""
    env = EnvConfig(market=("sp500",), start="2017-01-01", end="2017-12-31")
    span = EvaluationRange.from_env(env)
    (found,) = span.backtests(get_expert("technical"), [Scenario(env.simulator)])
    seen = np.random.default_rng(0).normal(size=(4_000, SIZE)).astype(np.float32)
    return [replace(found[0], observations=seen)]


def neutral_scaler() -> FeatureScaler:
    return FeatureScaler.fit(
        np.tile([[-1.0], [1.0]], (1, len(observation_layout().features))), observation_layout()
    )


class Deterministic(torch.nn.Module):
    """tanh(mu) of a learner's actor, as the export writes it."""

    def __init__(self, learner: Learner) -> None:
        super().__init__()
        self.policy = learner.algo.impl.policy

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.tanh(self.policy(x).mu)


@pytest.fixture(scope="module", params=[False, True], ids=["plain", "layer-norm"])
def learner(request: pytest.FixtureRequest) -> Learner:
    """64 and 16 units; ten of the first layer's and four of the second's never fire."""
    config = LearnerConfig(hidden=(64, 16), layer_norm=request.param)
    made = make_learner(config, SIZE, seed=3)
    first, second = [
        each
        for each in made.algo.impl.policy._encoder.modules()
        if isinstance(each, torch.nn.Linear)
    ]
    with torch.no_grad():
        second.weight.abs_()  # every unit that is not silenced fires
        first.bias[:10] = -1e3
        second.bias[:4] = -1e3
    return made


def test_dormant_units_are_counted_over_all_layers(learner: Learner, runs: list[Backtest]) -> None:
    found = network_measures(learner, runs)
    assert found.hidden_units == 80
    assert found.feature_units == 16
    assert found.dormant_ratio == pytest.approx(14 / 80)
    assert found.effective_rank is not None
    assert found.effective_rank <= 16


def test_the_onnx_file_gives_the_same(
    learner: Learner, runs: list[Backtest], tmp_path: Path
) -> None:
    path = tmp_path / "policy.onnx"
    scaler = neutral_scaler()
    export_onnx(Deterministic(learner), scaler, observation_layout(), path)
    scaled = [
        replace(
            runs[0],
            observations=scaler.transform(runs[0].observations).astype(np.float32),
        )
    ]
    assert network_measures(OnnxPolicy(path), runs) == network_measures(learner, scaled)


def test_equal_units_have_rank_one(runs: list[Backtest]) -> None:
    made = make_learner(LearnerConfig(hidden=(32,)), SIZE, seed=1)
    (linear,) = [
        each
        for each in made.algo.impl.policy._encoder.modules()
        if isinstance(each, torch.nn.Linear)
    ]
    with torch.no_grad():
        linear.weight[:] = linear.weight[0]
        linear.bias[:] = 0.0
    found = network_measures(made, runs)
    assert (found.effective_rank, found.feature_units, found.dormant_ratio) == (1, 32, 0.0)


def test_experts_and_plain_functions_have_no_hidden_layers(runs: list[Backtest]) -> None:
    def flat(observations: NDArray[np.float32], /) -> NDArray[np.float32]:
        return np.zeros((len(observations), 1), np.float32)

    assert network_measures(get_expert("technical"), runs) == NetworkMeasures()
    assert network_measures(flat, runs) == NetworkMeasures()


def test_a_file_without_a_hidden_layer_is_not_measured(
    runs: list[Backtest], tmp_path: Path
) -> None:
    path = tmp_path / "linear.onnx"
    actor = torch.nn.Sequential(torch.nn.Linear(SIZE, 1), torch.nn.Tanh())
    export_onnx(actor, neutral_scaler(), observation_layout(), path)
    assert network_measures(OnnxPolicy(path), runs) == NetworkMeasures()


def test_onnx_measures_need_no_torch(learner: Learner, tmp_path: Path) -> None:
    """In a process where importing torch is an error."""
    import subprocess
    import sys

    path = tmp_path / "policy.onnx"
    export_onnx(Deterministic(learner), neutral_scaler(), observation_layout(), path)
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "import numpy as np\n"
        "from offline_trader.evaluation.measures.activations import onnx_hidden_layers\n"
        "from offline_trader.export import OnnxPolicy\n"
        f"layers, features = onnx_hidden_layers(OnnxPolicy({str(path)!r}), "
        f"np.zeros((3, {SIZE}), np.float32))\n"
        "print([layer.shape for layer in layers], features.shape)"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", code], capture_output=True, text=True, check=False
    )
    assert done.stdout.strip() == "[(3, 64), (3, 16)] (3, 16)", done.stderr
