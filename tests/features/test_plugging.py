"""A feature set that this file alone knows goes from bars to an exported policy."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from offline_trader.datasets.collection import collect
from offline_trader.datasets.loading import check_layout, load_transitions
from offline_trader.datasets.plan import CollectConfig
from offline_trader.envs import EnvConfig, TradingEnv, make_market, make_simulator
from offline_trader.errors import ConfigError, SchemaMismatch
from offline_trader.features import (
    FEATURE_SETS,
    WARMUP_BARS,
    FeatureScaler,
    FeatureSchema,
    compute_features,
)
from offline_trader.learning.agents import DeterministicActor, make_learner
from offline_trader.learning.settings import CloneConfig, LearnerConfig, OnlineConfig
from offline_trader.learning.stages import STAGES, StageData
from offline_trader.markets import Bar, BarRange, Bars, load_market
from offline_trader.simulator import MarketTensor
from offline_trader.simulator import kernel as simulator_kernel
from offline_trader.types import FloatArray, PortfolioField

MARKET = "synthetic:ou?bars=900&seed=5"


class Stream:
    """The features bar by bar."""

    def __init__(self) -> None:
        self._closes: list[float] = []

    def update(self, bar: Bar) -> FloatArray:
        self._closes.append(bar.close)
        if len(self._closes) < 4:
            return np.full(2, np.nan)
        last, before = self._closes[-1], self._closes[-4]
        return np.array([np.log(last / before), np.log(last / self._closes[-2])])


class TwoMoves:
    """Log returns over three bars and over one."""

    schema = FeatureSchema(
        ("move_3", "move_1"), formulas=("log(close_t / close_{t-3})", "log(close_t / close_{t-1})")
    )
    warmup = 3

    def compute(self, bars: Bars) -> FloatArray:
        values = np.zeros((len(bars), 2))
        values[3:, 0] = np.log(bars.close[3:] / bars.close[:-3])
        values[1:, 1] = np.log(bars.close[1:] / bars.close[:-1])
        return values

    def stream(self) -> Stream:
        return Stream()


@pytest.fixture(autouse=True)
def plugged() -> Iterator[None]:
    FEATURE_SETS.register("two", TwoMoves())
    yield
    FEATURE_SETS.remove("two")


@pytest.fixture
def bars() -> Bars:
    return load_market(MARKET)


def test_the_market_and_the_environment_carry_the_layout(bars: Bars) -> None:
    env = TradingEnv(MARKET, features="two")
    layout = env.simulator.market.layout
    assert layout.names[:3] == ("move_3", "move_1", "exposure")
    assert layout == env.config.layout == make_market(env.config).layout
    assert env.observation_space.shape == (2 + len(PortfolioField),)
    assert layout.hash != EnvConfig((MARKET,)).layout.hash
    observation, _ = env.reset(seed=1)
    assert env.observation_space.contains(observation)
    assert layout.column(PortfolioField.DRAWDOWN) == layout.names.index("drawdown")


def test_the_stream_equals_the_batch(bars: Bars) -> None:
    batch = compute_features(bars, "two")
    stream = FEATURE_SETS["two"].stream()
    rows = np.stack([stream.update(bar) for bar in bars])
    assert np.isnan(rows[:3]).all()
    np.testing.assert_allclose(rows[3:], batch.values[3:], rtol=1e-12)


def test_instruments_of_one_market_have_one_feature_set(bars: Bars) -> None:
    both = [compute_features(bars), compute_features(bars, "two")]
    with pytest.raises(SchemaMismatch, match="has features"):
        MarketTensor.from_bars([bars, bars], both, [BarRange(WARMUP_BARS, 400)] * 2)


def test_an_unknown_set_and_one_of_another_width_are_refused(bars: Bars) -> None:
    with pytest.raises(ConfigError, match="unknown feature set 'twoo'"):
        make_market(EnvConfig((MARKET,), features=("twoo",)))
    wrong = TwoMoves()
    wrong.compute = lambda bars: np.zeros((len(bars), 3))  # type: ignore[method-assign]
    FEATURE_SETS.register("wrong", wrong)
    try:
        with pytest.raises(ConfigError, match="a row a bar, a column a name"):
            compute_features(bars, "wrong")
    finally:
        FEATURE_SETS.remove("wrong")
    with pytest.raises(ConfigError, match="its own name and its formula"):
        FeatureSchema(("unheard_of",))


def test_the_whole_line_works_on_it(bars: Bars, tmp_path: Path) -> None:
    from offline_trader.export import OnnxPolicy, export_onnx

    env = EnvConfig((MARKET,), episode_bars=100, features=("two",))
    market = make_market(env)
    scaler = FeatureScaler.fit(market.features.astype(float), market.layout)
    learner = make_learner(
        LearnerConfig(algorithm="sac", hidden=(8, 8), batch_size=32), market.layout.size, scaler
    )
    lanes = make_simulator(env, 4, seed=1)
    stage = STAGES["online"](OnlineConfig(steps=400, warmup_steps=64, critic_updates=0))
    assert stage.fit(learner, StageData(lanes=lanes)).updates > 50
    path = tmp_path / "policy.onnx"
    export_onnx(DeterministicActor(learner), scaler, market.layout, path)
    policy = OnnxPolicy(path, expected_layout=env.layout)
    seen = lanes.observations
    np.testing.assert_allclose(policy(seen), learner.act(seen), atol=1e-5)
    with pytest.raises(SchemaMismatch):
        OnnxPolicy(path, expected_layout=EnvConfig((MARKET,)).layout)


def test_a_dataset_is_collected_and_cloned_on_it(tmp_path: Path) -> None:
    config = CollectConfig(
        dataset_id="own/two-v0",
        env=EnvConfig((MARKET,), episode_bars=100, features=("two",)),
        experts=("buy_and_hold", "random"),
        transitions=500,
        score_episodes=1,
    )
    collect(config, root=tmp_path)
    transitions = load_transitions(config.dataset_id, tmp_path)
    layout = config.env.layout
    assert transitions.observation_size == layout.size
    check_layout(config.dataset_id, layout, tmp_path)
    with pytest.raises(SchemaMismatch):
        check_layout(config.dataset_id, EnvConfig((MARKET,)).layout, tmp_path)
    learner = make_learner(LearnerConfig(hidden=(8, 8)), layout.size)
    done = STAGES["clone"](CloneConfig(updates=5)).fit(learner, StageData(transitions=transitions))
    assert done.updates == 5


def test_the_compiled_cores_know_the_portfolio_fields_by_the_same_numbers() -> None:
    from offline_trader.learning.stages.direct import bar_kernels

    names = ("EXPOSURE", "RETURN", "HOLD", "DRAWDOWN", "SMOOTHED")
    for core in (simulator_kernel, bar_kernels):
        assert [getattr(core, f"SEEN_{name}") for name in names] == list(PortfolioField)
    assert len(PortfolioField) == simulator_kernel.SEEN_SIZE
