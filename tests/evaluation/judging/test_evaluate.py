"""The whole evaluation: what it holds, that it repeats, and that it counts its trials."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from offline_trader.envs import EnvConfig
from offline_trader.errors import DataError, SchemaMismatch
from offline_trader.evaluation.judging import EvaluateOptions, Evaluation, TrialLedger, evaluate
from offline_trader.experts import get_expert
from offline_trader.export import OnnxPolicy, export_onnx
from offline_trader.export.onnx_model import torch_policy
from offline_trader.features import (
    WARMUP_BARS,
    FeatureScaler,
    compute_features,
    observation_layout,
)
from offline_trader.markets import load_market
from offline_trader.types import ObservationLayout, Observations

ENV = EnvConfig(market=("sp500",), start="2016-01-01", end="2017-06-30")
QUICK = EvaluateOptions(costs_bps=(0.0, 10.0), noise_draws=1, replicates=200)


class LinearActor(nn.Module):
    """tanh of a fixed linear map: an actor whose action depends on the state."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(observation_layout().size, 1)
        with torch.no_grad():
            weights = np.random.default_rng(0).normal(0.0, 0.5, (1, observation_layout().size))
            self.linear.weight.copy_(torch.as_tensor(weights, dtype=torch.float32))
            self.linear.bias.zero_()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.tanh(self.linear(x))


def scaler() -> FeatureScaler:
    values = compute_features(load_market("sp500", end="2012-12-31")).values
    return FeatureScaler.fit(values[WARMUP_BARS:], observation_layout())


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "policy.onnx"
    export_onnx(LinearActor(), scaler(), observation_layout(), path)
    return path


@pytest.fixture(scope="module")
def evaluation(model: Path) -> Evaluation:
    return evaluate(OnnxPolicy(model), ENV, EvaluateOptions(experts=("technical",), replicates=200))


def test_it_holds_every_part(evaluation: Evaluation) -> None:
    assert evaluation.kind == "policy"
    assert len(evaluation.fingerprint) == len(evaluation.data_hash) == 64
    assert evaluation.start[:10] == "2016-01-04"
    assert evaluation.end[:10] == "2017-06-30"
    assert evaluation.n_bars == len(evaluation.curve.returns) == 376
    assert [each.name for each in evaluation.comparators] == ["buy_and_hold", "technical"]
    assert evaluation.verdicts == ()
    assert evaluation.collapse is not None
    assert evaluation.action_map is not None
    assert evaluation.action_map.histogram.sum() == pytest.approx(1.0)
    assert evaluation.robustness is not None
    assert len(evaluation.robustness.noise) == 5
    sweep = [point.cagr for point in evaluation.robustness.costs if point.cagr is not None]
    assert len(sweep) == 12
    assert sweep[0] > sweep[-1]
    assert sum(row.n for row in evaluation.regimes) == evaluation.n_bars
    (capture,) = evaluation.oracle
    assert capture.value is not None
    assert capture.value < 1.0
    assert any("years long" in note for note in evaluation.notes)


def test_the_curve_and_the_measures_agree(evaluation: Evaluation) -> None:
    equity = evaluation.curve.equity
    assert evaluation.measures["total_return"] == pytest.approx(equity[-1] / equity[0] - 1.0)
    returns = evaluation.curve.returns
    expected = returns.mean() / returns.std(ddof=1) * np.sqrt(252.0)
    assert evaluation.measures["sharpe"] == pytest.approx(expected)
    net = sum(trade.net_profit for trade in evaluation.trades)
    assert evaluation.measures["trades"] == len(evaluation.trades)
    assert abs(net) < 10 * abs(equity[-1] - equity[0]) + 1e3


def test_json_round_trip_is_the_identity(evaluation: Evaluation, tmp_path: Path) -> None:
    path = tmp_path / "evaluation.json"
    evaluation.save(path)
    again = Evaluation.load(path)
    assert again.to_dict() == evaluation.to_dict()
    np.testing.assert_array_equal(again.curve.equity, evaluation.curve.equity)
    assert again.comparators[0].sharpe_difference_interval == (
        evaluation.comparators[0].sharpe_difference_interval
    )


def test_broken_and_foreign_files_are_refused(tmp_path: Path, evaluation: Evaluation) -> None:
    path = tmp_path / "x.json"
    with pytest.raises(DataError, match=r"x\.json is not there"):
        Evaluation.load(path)
    path.write_text("{")
    with pytest.raises(DataError, match=r"x\.json is not readable"):
        Evaluation.load(path)
    path.write_text('{"format": "else"}')
    with pytest.raises(DataError, match="format 'else'"):
        Evaluation.load(path)
    with pytest.raises(DataError, match="unknown fields extra"):
        Evaluation.from_dict({**evaluation.to_dict(), "extra": 1})


def test_it_repeats_to_the_bit_and_onnx_decides_as_torch(model: Path) -> None:
    first = evaluate(OnnxPolicy(model), ENV, QUICK)
    assert evaluate(OnnxPolicy(model), ENV, QUICK).to_dict() == first.to_dict()
    live = evaluate(torch_policy(LinearActor(), scaler(), observation_layout()), ENV, QUICK)
    np.testing.assert_allclose(live.curve.equity, first.curve.equity, rtol=1e-5)


def test_a_constant_policy_is_collapsed() -> None:
    def half(observations: Observations, /) -> NDArray[np.float32]:
        return np.full((len(observations), 1), 0.5, dtype=np.float32)

    found = evaluate(half, ENV, QUICK)
    assert found.verdicts == ("COLLAPSED", "STATE-BLIND")


def test_another_range_is_other_data(model: Path) -> None:
    other = EnvConfig(market=("sp500",), start="2016-01-01", end="2017-06-29")
    hashes = {evaluate(OnnxPolicy(model), env, QUICK).data_hash for env in (ENV, other)}
    assert len(hashes) == 2


def test_the_ledger_counts_each_configuration_once(model: Path, tmp_path: Path) -> None:
    ledger = TrialLedger(tmp_path)
    policy = OnnxPolicy(model)
    counts = [
        evaluate(policy, ENV, QUICK, ledger=ledger, trial={"seed": seed}).trials
        for seed in (1, 2, 2, 3)
    ]
    assert counts == [1, 2, 2, 3]
    expert = evaluate(get_expert("momentum"), ENV, QUICK, ledger=ledger)
    assert expert.trials == 4
    assert expert.kind == "expert"


def test_a_model_for_another_layout_is_refused(tmp_path: Path) -> None:
    layout = observation_layout()
    other = ObservationLayout(layout.features[::-1], layout.feature_hash)
    path = tmp_path / "other.onnx"
    export_onnx(LinearActor(), scaler(), other, path)
    with pytest.raises(SchemaMismatch, match=layout.hash[:12]):
        evaluate(OnnxPolicy(path), ENV, QUICK)


def test_several_instruments(model: Path) -> None:
    env = EnvConfig(market=("sp500", "nasdaq"), start="2016-01-01", end="2016-12-31")
    found = evaluate(OnnxPolicy(model), env, QUICK)
    assert [row.symbol for row in found.instruments] == ["sp500", "nasdaq"]
    assert found.curve.close is None
    assert len({row.sha256 for row in found.instruments}) == 2


def test_a_range_without_bars_is_an_error(model: Path) -> None:
    with pytest.raises(DataError, match="bars"):
        evaluate(OnnxPolicy(model), EnvConfig(start="1999-01-01", end="1999-06-30"), QUICK)
