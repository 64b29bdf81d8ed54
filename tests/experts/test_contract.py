"""What every expert must be, in every action mode: one suite for all of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import FrozenInstanceError

import numpy as np
import pytest

from offline_trader.errors import ConfigError
from offline_trader.experts import (
    Behaviour,
    Expert,
    ExpertPolicy,
    MixtureActor,
    Noise,
    list_experts,
    mixture,
)
from offline_trader.experts.oracle import OracleParams, foresight_columns
from offline_trader.simulator import MarketTensor, SimulatorConfig
from offline_trader.types import IntArray, ObservationLayout, Observations

Draw = Callable[[int, int, SimulatorConfig], Observations]
MODES = ("order", "target_long", "target_long_short")
EXPERTS = list_experts()
N = 4000

pytestmark = [
    pytest.mark.parametrize("mode", MODES),
    pytest.mark.parametrize("expert", EXPERTS, ids=[expert.name for expert in EXPERTS]),
]


@pytest.fixture
def config(mode: str) -> SimulatorConfig:
    return SimulatorConfig(action_mode=mode)  # type: ignore[arg-type]


@pytest.fixture
def policy(
    expert: Expert, config: SimulatorConfig, layout: ObservationLayout, market: MarketTensor
) -> ExpertPolicy:
    return ExpertPolicy(expert, layout, config, market=market)


@pytest.fixture
def rows(market: MarketTensor) -> IntArray:
    return np.random.default_rng(5).integers(0, len(market), N)


def test_shape_type_and_bounds(
    policy: ExpertPolicy, config: SimulatorConfig, draw: Draw, rows: IntArray
) -> None:
    actions = policy(draw(N, 0, config), rows=rows)
    assert actions.shape == (N, 1)
    assert actions.dtype == np.float32
    assert np.isfinite(actions).all()
    assert actions.min() >= -1.0
    assert actions.max() <= 1.0


def test_says_something(
    policy: ExpertPolicy, config: SimulatorConfig, draw: Draw, rows: IntArray
) -> None:
    """Over the whole range of observations, no expert gives one answer."""
    actions = policy(draw(N, 0, config), rows=rows)
    assert len(np.unique(actions.round(2))) >= 2


def test_determined_by_the_observation(
    expert: Expert,
    policy: ExpertPolicy,
    config: SimulatorConfig,
    layout: ObservationLayout,
    market: MarketTensor,
    draw: Draw,
    rows: IntArray,
) -> None:
    """No hidden state: asked again, after other questions, by another instance: the same bits."""
    observations = draw(N, 0, config)
    first = policy.decide(observations, rows)
    policy.decide(draw(N, 1, config), rows[::-1])
    np.testing.assert_array_equal(policy.decide(observations, rows), first)
    other = ExpertPolicy(expert, layout, config, market=market)
    np.testing.assert_array_equal(other.decide(observations, rows), first)


def test_lanes_are_independent(
    policy: ExpertPolicy, config: SimulatorConfig, draw: Draw, rows: IntArray
) -> None:
    observations = draw(N, 0, config)
    together = policy.decide(observations, rows)
    order = np.random.default_rng(1).permutation(N)
    np.testing.assert_array_equal(policy.decide(observations[order], rows[order]), together[order])
    alone = [policy.decide(observations[i : i + 1], rows[i : i + 1])[0] for i in range(20)]
    np.testing.assert_array_equal(alone, together[:20])


def test_inputs_are_not_written_to(
    policy: ExpertPolicy, config: SimulatorConfig, draw: Draw, rows: IntArray
) -> None:
    observations = draw(N, 0, config)
    before = observations.copy()
    observations.flags.writeable = False
    policy.decide(observations, rows)
    np.testing.assert_array_equal(observations, before)


def test_params_are_frozen(expert: Expert, mode: str) -> None:
    name = next(iter(expert.params.__dataclass_fields__))
    with pytest.raises(FrozenInstanceError):
        setattr(expert.params, name, 0.5)


def test_only_privileged_experts_read_the_future(
    expert: Expert,
    config: SimulatorConfig,
    layout: ObservationLayout,
    market: MarketTensor,
    draw: Draw,
    rows: IntArray,
) -> None:
    """Without a market every rule still decides; the privileged one refuses."""
    if expert.privileged:
        with pytest.raises(ConfigError, match="market"):
            ExpertPolicy(expert, layout, config)
        with pytest.raises(ConfigError, match="rows"):
            ExpertPolicy(expert, layout, config, market=market).decide(draw(4, 0, config))
    else:
        blind = ExpertPolicy(expert, layout, config).decide(draw(N, 0, config))
        seeing = ExpertPolicy(expert, layout, config, market=market)
        np.testing.assert_array_equal(seeing.decide(draw(N, 0, config), rows), blind)


def test_a_foreign_width_is_refused(
    policy: ExpertPolicy, config: SimulatorConfig, draw: Draw, rows: IntArray
) -> None:
    with pytest.raises(ConfigError, match="shape"):
        policy.decide(draw(N, 0, config)[:, 1:], rows)


def test_noise_is_seeded_and_lanes_do_not_notice_each_other(
    expert: Expert,
    config: SimulatorConfig,
    layout: ObservationLayout,
    market: MarketTensor,
    draw: Draw,
    rows: IntArray,
) -> None:
    noise = (Noise("gaussian", 0.2), Noise("epsilon", 0.1), Noise("sticky", 0.2))
    blend = mixture([Behaviour(expert, noise), "random"])

    def acted(n: int, seed: int) -> list[np.ndarray]:
        actor = MixtureActor(blend, layout, config, n, seed=seed, market=market)
        actions = []
        for step in range(6):
            actions.append(actor.act(draw(N, step, config)[:n], rows[:n])[0])
            actor.begin(np.arange(n) % 3 == step % 3)
        return actions

    many, few = acted(300, 1), acted(7, 1)
    for a, b in zip(many, few, strict=True):
        np.testing.assert_array_equal(a[:7], b)
    assert not all(np.array_equal(a, b) for a, b in zip(many, acted(300, 2), strict=True))


def test_the_oracle_knows_each_instrument_apart(
    expert: Expert, config: SimulatorConfig, market: MarketTensor
) -> None:
    if not isinstance(expert.params, OracleParams):
        assert not expert.privileged
        return
    table = foresight_columns(market, config, expert.params)
    assert (table[:, 0] <= table[:, 1]).all()
    for k, (start, stop) in enumerate(zip(market.start, market.stop, strict=True)):
        alone = foresight_columns(market.instrument(k), config, expert.params)
        np.testing.assert_array_equal(table[start:stop], alone)
        assert len(np.unique(alone)) >= 2
