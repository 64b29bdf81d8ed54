"""The evolution stage: the strategy on known functions, its population, markets with an optimum."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from offline_trader.errors import ConfigError
from offline_trader.evaluation.known_optimum import get_market, make_dataset, score_policy
from offline_trader.evaluation.known_optimum.direct_market import logged_market, position_market
from offline_trader.learning.agents import Learner, make_learner
from offline_trader.learning.engines import EngineFacts
from offline_trader.learning.settings import (
    DirectConfig,
    EvolutionAgentConfig,
    EvolutionConfig,
    HybridAgentConfig,
    LearnerConfig,
)
from offline_trader.learning.stages.direct import (
    BarMarket,
    Batch,
    CompiledUnroll,
    DirectMarket,
    Log,
    PositionMarket,
    TorchUnroll,
    objective,
)
from offline_trader.learning.stages.evolution import Population, Strategy, evolve
from offline_trader.learning.stages.evolution.training import EvolutionTraining
from offline_trader.markets import load_market
from offline_trader.pipeline.phases import _canonical
from offline_trader.simulator import MarketTensor, SimulatorConfig
from offline_trader.types import ObservationLayout

SMALL = EvolutionConfig(
    generations=4, population=8, windows=4, bars=6, log_interval=2, checkpoint_interval=2
)


def learner_of(size: int = 2, seed: int = 0, hidden: tuple[int, ...] = (8, 8)) -> Learner:
    return make_learner(LearnerConfig(reward_scaling="none", hidden=hidden), size, seed=seed)


def signal_market(seed: int = 0) -> PositionMarket:
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((800, 1))
    gains = 0.5 * x + rng.standard_normal((800, 1))
    ends = np.arange(1, 5) * 200
    log = Log(x.astype(np.float32), gains, np.stack([ends - 200, ends], axis=1))
    return PositionMarket(log, proportional_cost=0.05)


def bar_market(**rules: Any) -> BarMarket:
    bars = load_market("synthetic:walk?bars=300&seed=1")
    rng = np.random.default_rng(0)
    tensor = MarketTensor(
        prices=np.stack([bars.open, bars.high, bars.low, bars.close, bars.volume], axis=1),
        features=rng.standard_normal((300, 2)).astype(np.float32),
        start=np.array([0]),
        stop=np.array([300]),
        periods_per_year=np.array([252.0]),
        symbols=("A",),
        timestamps=bars.timestamps,
        layout=ObservationLayout(("a", "b"), "test"),
    )
    return BarMarket(tensor, SimulatorConfig(action_mode="target_long_short", **rules))


def test_a_sphere_of_twenty_numbers_is_minimised() -> None:
    config = EvolutionConfig(generations=1_500, population=64)
    strategy = Strategy(np.random.default_rng(0).uniform(-1.0, 1.0, 20), config)
    for _ in range(config.generations):
        strategy.tell(-np.square(strategy.ask().astype(float)).sum(axis=1))
    assert np.square(strategy.centre).sum() <= 1e-6


class Carts:
    """Gymnasium's CartPole-v1 for many linear policies at once (Barto, Sutton & Anderson 1983)."""

    def lengths(self, members: NDArray[np.float32], rng: np.random.Generator) -> NDArray[Any]:
        """[P] steps until the pole falls, of policies ``a = [w·s > 0]``, at most 500."""
        states = np.repeat(rng.uniform(-0.05, 0.05, (8, 4))[None], len(members), axis=0)
        alive, steps = np.ones(states.shape[:2], bool), np.zeros(states.shape[:2])
        for _ in range(500):
            force = np.where((states * members[:, None]).sum(axis=2) > 0, 10.0, -10.0)
            x, v, theta, omega = np.moveaxis(states, 2, 0)
            cos, sin = np.cos(theta), np.sin(theta)
            temp = (force + 0.05 * omega**2 * sin) / 1.1
            turn = (9.8 * sin - cos * temp) / (0.5 * (4.0 / 3.0 - 0.1 * cos**2 / 1.1))
            push = temp - 0.05 * turn * cos / 1.1
            states = np.stack(
                [x + 0.02 * v, v + 0.02 * push, theta + 0.02 * omega, omega + 0.02 * turn], axis=2
            )
            steps += alive
            alive &= (np.abs(states[..., 0]) < 2.4) & (np.abs(states[..., 2]) < np.pi / 15.0)
            if not alive.any():
                break
        return np.asarray(steps.mean(axis=1))


def test_cart_pole_stands_after_ten_generations() -> None:
    """Judged by Gymnasium's own environment."""
    config = EvolutionConfig(generations=10, population=256, sigma=0.5, learning_rate=0.5)
    strategy, carts, rng = Strategy(np.zeros(4), config), Carts(), np.random.default_rng(0)
    for _ in range(config.generations):
        strategy.tell(carts.lengths(strategy.ask(), rng))
    env = gymnasium.make("CartPole-v1")
    lengths = []
    for seed in range(20):
        seen, _ = env.reset(seed=seed)
        length, fell, over = 0, False, False
        while not (fell or over):
            seen, _, fell, over, _ = env.step(int(strategy.centre @ seen > 0.0))
            length += 1
        lengths.append(length)
    assert np.mean(lengths) >= 490


def test_a_strategy_that_goes_on_is_the_one_that_never_stopped() -> None:
    config = EvolutionConfig(generations=6, population=4)

    def climb(strategy: Strategy, until: int) -> None:
        while strategy.generation < until:
            strategy.tell(-np.abs(strategy.ask()).sum(axis=1).astype(float))

    whole, begun = (Strategy(np.ones(3), config, seed=2) for _ in range(2))
    climb(whole, 6)
    climb(begun, 3)
    going = Strategy(np.zeros(3), config, seed=2)
    going.load_state_dict(begun.state_dict())
    climb(going, 6)
    np.testing.assert_array_equal(going.centre, whole.centre)


@pytest.mark.parametrize(
    "market", [signal_market(), bar_market(), bar_market(lot_size=1.0)], ids=["x", "bars", "lots"]
)
def test_every_member_has_the_score_of_its_policy_alone(market: DirectMarket) -> None:
    """Compiled and batched beside one policy after another, written into the actor."""
    size = market.log.features.shape[1] + market.portfolio_size
    learner = learner_of(size)
    rows, generator = torch.arange(3, 9)[:, None] + torch.tensor([0, 40, 80]), torch.Generator()
    batch = Batch(rows, market.random_state(rows[0], generator), None)
    surprises = 0.5 * torch.from_numpy(market.log.gains.copy())
    rng, scale = np.random.default_rng(4), float(market.log.gains.std())

    def score(climbed: torch.Tensor, realised: torch.Tensor) -> float:
        return float(objective(climbed, DirectConfig(objective="sharpe"), scale, realised))

    lots = isinstance(market, BarMarket) and market.rules.lot_size > 0
    found = []
    for engine in ("torch",) if lots else ("torch", "fast"):
        population = Population(learner, market, surprises, EngineFacts(engine))
        members = population.vector + rng.standard_normal((5, len(population.vector))) * 0.5
        rng = np.random.default_rng(4)
        found.append(population.scores(members.astype(np.float32), batch, score))
    expected = []
    for member in members:
        population.write(member)
        np.testing.assert_allclose(population.vector, member, rtol=1e-6)
        with torch.no_grad():
            done = TorchUnroll(learner, market, surprises, pulled=False)(batch)
        expected.append(score(done.climbed, done.rewards))
    assert np.ptp(expected) > 0.01
    for each in found:
        np.testing.assert_allclose(each, expected, rtol=1e-4, atol=1e-5)
    if not lots:  # that hidden layers are not kept changes no bit
        with torch.no_grad():
            done = CompiledUnroll(learner, market, surprises, pulled=False)(batch)
        assert score(done.climbed, done.rewards) == found[-1][-1]


@pytest.mark.parametrize(("name", "least"), [("M1-narrow", 85.0), ("M3-narrow", 90.0)])
def test_realised_rewards_lead_to_the_optimum_without_a_gradient(name: str, least: float) -> None:
    market = get_market(name[:2])
    data = make_dataset(name, seed=3, realised=True)
    learner = learner_of(seed=3, hidden=(16, 16))
    config = EvolutionConfig(generations=80, population=64, learning_rate=0.03)
    evolve(learner, position_market(market, data), config, seed=3)
    assert score_policy(market, learner.act, n_lanes=64, n_steps=500, seed=1).value > least


def test_a_fixed_cost_an_order_is_climbed_where_the_gradient_sees_none() -> None:
    """No surrogate: the score is that of the rules, minimum notional and lots included."""
    market = bar_market(lot_size=5.0)
    learner = learner_of(market.log.features.shape[1] + market.portfolio_size)
    rows = []
    result = evolve(learner, market, SMALL, lambda step, values: rows.append((step, values)))
    assert result.engine is not None
    assert result.engine.name == "torch"
    assert result.engine.fallback is not None
    assert "lots" in result.engine.fallback
    assert result.updates == 4
    assert [step for step, values in rows if "evolution/score" in values] == [2, 4]


def test_critics_stay_and_the_choice_is_the_direct_stage_s() -> None:
    learner, market = learner_of(), signal_market()
    critics = [p.clone() for p in learner.algo.impl.q_function.parameters()]
    config = replace(SMALL, generations=30, population=32, windows=32, sigma=0.1, learning_rate=0.1)
    seen: list[int] = []

    def evaluate(policy: Any) -> dict[str, float]:
        seen.append(1)
        x = np.array([[2.0, 0.0], [-2.0, 0.0]], np.float32)
        return {"score": float(np.diff(-policy(x)[:, 0])[0])}

    result = evolve(learner, market, config, evaluate=evaluate)
    assert result.kept == "best"
    assert len(seen) == 4
    acted = learner.act(np.array([[2.0, 0.0], [-2.0, 0.0]], np.float32))[:, 0]
    assert acted[0] > 0.7
    assert acted[1] < -0.7
    for before, after in zip(critics, learner.algo.impl.q_function.parameters(), strict=True):
        assert torch.equal(before, after)


def saved(state: dict[str, Any]) -> bytes:
    buffer = io.BytesIO()
    torch.save(_canonical(state), buffer)
    return buffer.getvalue()


@pytest.mark.parametrize("market_input", ["forecast", "features"])
def test_an_interrupted_evolution_goes_on_to_the_same_bytes(market_input: Any) -> None:
    config = replace(SMALL, market_input=market_input)
    states: dict[int, bytes] = {}

    def run(resume: Any = None) -> bytes:
        learner = learner_of()

        def keep(step: int, state: dict[str, Any]) -> None:
            states[step] = saved(state)

        evolve(learner, signal_market(), config, seed=1, resume=resume, checkpoint=keep)
        return saved(learner.state_dict())

    whole = run()
    assert sorted(states) == [2, 4]
    halfway = torch.load(io.BytesIO(states.pop(2)), weights_only=True)
    last = states.pop(4)
    assert run(halfway) == whole
    assert states[4] == last


@pytest.mark.parametrize(
    "config",
    [replace(SMALL, market_input="features"), EvolutionAgentConfig(), HybridAgentConfig()],
    ids=lambda each: type(each).__name__,
)
def test_a_policy_of_all_features_goes_on_from_the_weights_that_it_has(
    config: EvolutionConfig,
) -> None:
    learner, market = learner_of(), signal_market()
    rows = np.random.default_rng(0).standard_normal((50, 2)).astype(np.float32)
    before = learner.act(rows)
    EvolutionTraining(learner, market, config, seed=1).settle()
    np.testing.assert_allclose(learner.act(rows), before, rtol=0.0, atol=1e-6)
    EvolutionTraining(learner, market, SMALL, seed=1).settle()  # one of the forecasts begins anew
    assert np.abs(learner.act(rows) - before).max() > 1e-3


def test_settings_that_make_no_sense_are_refused() -> None:
    with pytest.raises(ConfigError, match="population=5"):
        EvolutionConfig(population=5)
    with pytest.raises(ConfigError, match="forecast_weight=2"):
        EvolutionConfig(forecast_weight=2.0)
    with pytest.raises(ConfigError, match="market_input=forecast"):
        EvolutionAgentConfig(market_input="forecast")
    with pytest.raises(ConfigError, match="observations have 2 columns"):
        evolve(learner_of(size=3), signal_market(), SMALL)


def test_a_log_of_m0_is_not_traded() -> None:
    learner = learner_of(seed=5)
    config = EvolutionConfig(generations=30, population=32, sigma=0.1, learning_rate=0.05)
    evolve(learner, logged_market("M0", seed=5), config, seed=5)
    wasted = score_policy(get_market("M0"), learner.act, n_lanes=64, n_steps=300).value
    assert wasted < 0.5  # basis points a step; trading all the time wastes 10 and more
