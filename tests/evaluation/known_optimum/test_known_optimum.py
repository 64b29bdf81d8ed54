"""Markets with a known optimum: closed forms against Riccati, DP and brute force."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import ndtr

from offline_trader.errors import ConfigError, DataError
from offline_trader.evaluation.known_optimum import (
    KNOWN_MARKETS,
    OFFLINE_DATASETS,
    AlmgrenChriss,
    GarleanuPedersen,
    Kelly,
    KnownOptimumLanes,
    MeanReversion,
    Placebo,
    band_positions,
    behaviour_policy,
    get_market,
    make_dataset,
    optimal_policy,
    score_policy,
)
from offline_trader.types import FloatArray, Observations


def _riccati(phi: float, ell: float) -> tuple[FloatArray, float]:
    """Gains of (z, p₋) and J*, by iterating the Riccati equation of the average-reward problem."""
    rho = 1.0 - phi
    value = np.zeros((2, 2))  # V(x) = xᵀ value x, maximised
    gains = np.zeros(2)
    move = np.diag([rho, 0.0])
    for _ in range(20_000):
        later = move.T @ value @ move
        # in u = p, the next state is (ρz + noise, u)
        uu = -0.5 - ell / 2 + value[1, 1]
        ux = np.array([0.5 + rho * value[1, 0], ell / 2])
        xx = later + np.diag([0.0, -ell / 2])
        gains = -ux / uu
        updated = xx - np.outer(ux, ux) / uu
        if np.abs(updated - value).max() < 1e-15:
            break
        value = updated
    return gains, float(value[0, 0] * (1 - rho**2))


@pytest.mark.parametrize(("phi", "ell"), [(0.05, 10.0), (0.1, 2.0), (0.3, 25.0)])
def test_m1_equals_riccati(phi: float, ell: float) -> None:
    market = GarleanuPedersen(phi=phi, ell=ell)
    gains, value = _riccati(phi, ell)
    assert market.rate * market.aim == pytest.approx(gains[0], abs=1e-9)
    assert 1 - market.rate == pytest.approx(gains[1], abs=1e-9)
    assert market.optimum == pytest.approx(value, abs=1e-9)


def test_m1_anchors() -> None:
    market = GarleanuPedersen()
    assert market.optimum == pytest.approx(0.388078, abs=1e-6)
    assert market.linear_value(0.0, 1.0) == pytest.approx(0.0, abs=1e-12)
    unshrunk = market.linear_value(1 - market.rate, market.rate)
    assert 100 * unshrunk / market.optimum == pytest.approx(98.2, abs=0.05)


@pytest.mark.parametrize(("keep", "gain"), [(0.4, 0.15), (0.8, 0.1), (0.0, 0.3)])
def test_m1_regret_equals_the_loss_of_reward(keep: float, gain: float) -> None:
    """Performance-difference lemma: mean regret = J* − J, J from stationary moments."""
    market = GarleanuPedersen()

    def policy(seen: Observations) -> FloatArray:
        return (keep * seen[:, 1] + gain * seen[:, 0].astype(np.float64)) / market.scale

    score = score_policy(market, policy, n_lanes=500, n_steps=1500)
    exact = 100 * market.linear_value(keep, gain) / market.optimum
    assert score.value == pytest.approx(exact, abs=1.5)
    assert score.interval[0] - 0.5 <= exact <= score.interval[1] + 0.5


def _grid_dp(market: MeanReversion, positions: FloatArray) -> tuple[float, float]:
    """J* and band by relative value iteration over (y, position): independent of the module's."""
    y = np.linspace(-6, 6, 241) * market.deviation
    edges = np.concatenate(([-np.inf], (y[1:] + y[:-1]) / 2, [np.inf]))
    move = np.diff(ndtr((edges - (1 - market.k) * y[:, None]) / market.sigma), axis=1)
    trade = market.cost * np.abs(positions[:, None] - positions)  # [before, after]
    value, level = np.zeros((y.size, positions.size)), 0.0
    for _ in range(3000):
        q = -market.k * y[:, None] * positions + move @ value  # [y, after]
        best = (q[:, None, :] - trade).max(axis=2)
        level = float(best[120, 1])
        if np.abs(best - level - value).max() < 1e-14:
            break
        value = best - level
    # going short from a long position pays where y is beyond the root of this difference
    gained = q[:, 0] - trade[-1, 0] - q[:, -1]
    return level, float(np.interp(0.0, gained, y))


def test_m3_equals_dynamic_programming() -> None:
    market = MeanReversion()
    value, band = _grid_dp(market, np.array([-1.0, 0.0, 1.0]))
    assert market.optimum == pytest.approx(value, rel=2e-3)
    assert market.optimum * 1e4 == pytest.approx(9.750, abs=5e-4)
    assert market.band == pytest.approx(band, rel=0.005)
    assert market.band_continuous == pytest.approx(market.band, rel=0.02)
    assert market.band_continuous == pytest.approx(band, rel=0.02)


def test_m3_finer_positions_do_not_help() -> None:
    """Bang-bang is optimal: eleven positions earn what three do."""
    market = MeanReversion()
    three, _ = _grid_dp(market, np.linspace(-1, 1, 3))
    eleven, _ = _grid_dp(market, np.linspace(-1, 1, 11))
    assert eleven == pytest.approx(three, rel=1e-6)


@pytest.mark.parametrize("name", ["M1", "M2", "M3"])
def test_scores_from_regret_agree_with_rewards(name: str) -> None:
    """The mean expected reward, a much noisier estimate, must tell the same story."""
    market = get_market(name)
    rng = np.random.default_rng(5)
    policy = behaviour_policy(market) if name != "M2" else lambda seen: 0.3 * seen[:, 0]
    state = market.reset(2000, rng)
    rewards = []
    for step in range(900):
        actions = np.clip(np.asarray(policy(market.observe(state))), -1, 1)
        outcome = market.step(state, actions, rng)
        state = outcome.state
        if step >= 150:
            rewards.append(outcome.expected_rewards.mean())
    from_rewards = 100 * (float(np.mean(rewards)) - market.base) / (market.optimum - market.base)
    assert score_policy(market, policy).value == pytest.approx(from_rewards, abs=2.5)


@pytest.mark.parametrize("name", ["M1", "M2", "M3"])
def test_realised_rewards_have_the_expected_mean(name: str) -> None:
    market, rng = get_market(name), np.random.default_rng(0)
    state = market.reset(400_000, rng)
    outcome = market.step(state, np.full(400_000, 0.5), rng)
    difference = outcome.rewards - outcome.expected_rewards
    assert abs(difference.mean()) < 4 * difference.std() / math.sqrt(difference.size)
    assert difference.std() > 0


def test_anchor_scores() -> None:
    m1, m2, m3, m4 = (get_market(f"M{i}") for i in range(1, 5))
    kelly = optimal_policy(m2)
    assert score_policy(m1, lambda seen: seen[:, 0] / 4).value == pytest.approx(0, abs=3)
    assert score_policy(m2, lambda seen: kelly(seen) / 2).value == pytest.approx(75, abs=1)
    assert score_policy(m3, lambda seen: -np.sign(seen[:, 0])).value == pytest.approx(48, abs=1)
    equal = score_policy(m4, lambda seen: 2 / (5 - 5 * seen[:, 1]) - 1)
    assert equal.value == pytest.approx(0, abs=1e-4)
    assert score_policy(m1, behaviour_policy(m1)).value == pytest.approx(52, abs=1.5)
    assert score_policy(m3, behaviour_policy(m3)).value == pytest.approx(50, abs=1)


def test_m2_twice_kelly_is_worthless() -> None:
    """Fractions small enough that twice Kelly stays within the action's range."""
    market = Kelly(fractions=(0.4, 0.0, -0.3))
    best = optimal_policy(market)
    assert score_policy(market, lambda seen: 2 * best(seen)).value == pytest.approx(0, abs=2)


def test_m4_golden() -> None:
    market = AlmgrenChriss()
    assert market.permanent_cost - market.optimum == pytest.approx(1_275_356, abs=1)
    assert market.permanent_cost - market.base == pytest.approx(1_745_500, abs=1e-6)
    state, found = market.reset(1, np.random.default_rng(0)), []
    for _ in range(5):
        found.append(float(market.optimal_actions(state)[0]))
        state = market.step(state, np.array(found[-1:]), np.random.default_rng(0)).state
    assert found == pytest.approx([-0.084, -0.070, -0.021, 0.160, 1.0], abs=1e-3)
    assert state[0, 0] == 0.0


@pytest.mark.parametrize("steps", [1, 3, 6, 7, 11, 29])
def test_m4_optimum_from_observations_for_any_number_of_steps(steps: int) -> None:
    """Seven steps as float32 shares of one are not whole when they are counted again."""
    market = AlmgrenChriss(steps=steps)
    score = score_policy(market, optimal_policy(market), n_lanes=2)
    assert score.regret == pytest.approx(0.0, abs=1e-6 * abs(market.optimum))


def test_m4_equals_the_papers_hyperbolic_sine() -> None:
    """x_k = X·sinh(κ(T − k))/sinh(κT), 2(cosh κτ − 1) = τ²λσ²/η̃ (Almgren & Chriss, eq. 20)."""
    market = AlmgrenChriss()
    kappa = math.acosh(1 + market.risk_aversion * market.sigma**2 / (2 * 2.375e-6))
    expected = 1e6 * np.sinh(kappa * (5 - np.arange(6))) / np.sinh(5 * kappa)
    state, left = market.reset(1, np.random.default_rng(0)), [1e6]
    for _ in range(5):
        state = market.step(state, market.optimal_actions(state), np.random.default_rng(0)).state
        left.append(float(state[0, 0]))
    assert left == pytest.approx(expected.tolist(), abs=1e-4)


def test_m4_regret_is_the_cost_above_the_optimum() -> None:
    market, rng = AlmgrenChriss(), np.random.default_rng(1)
    state, reward, regret = market.reset(50, rng), np.zeros(50), np.zeros(50)
    for _ in range(5):
        actions = rng.uniform(-1, 1, 50)
        regret += market.regret(state, actions)
        outcome = market.step(state, actions, rng)
        reward, state = reward + outcome.rewards, outcome.state
    assert reward + regret == pytest.approx(np.full(50, market.optimum), rel=1e-12)


def test_m4_equals_numerical_optimisation() -> None:
    market = AlmgrenChriss()

    def cost(first: FloatArray) -> float:
        sold = np.append(first, 1 - first.sum()) * 1e6
        left = 1e6 - np.cumsum(sold)
        impact = 2.375e-6 * np.sum(sold**2) + 0.9025e-6 * np.sum(left**2)
        return float(0.0625 * np.abs(sold).sum() + impact + 125_000) / 1e6

    best = minimize(cost, np.full(4, 0.2), method="Nelder-Mead", options={"xatol": 1e-9})
    assert best.fun * 1e6 == pytest.approx(market.permanent_cost - market.optimum, abs=1)


def test_m0_scores_the_cost_wasted() -> None:
    market = Placebo(cost=0.001)
    assert score_policy(market, optimal_policy(market)).value == 0.0
    turning = score_policy(market, lambda seen: np.where(seen[:, 1] > 0, -1.0, 1.0))
    assert turning.value == pytest.approx(20.0, rel=1e-9)
    assert turning.unit == "bp a step"


@pytest.mark.parametrize("name", sorted(KNOWN_MARKETS))
def test_contract(name: str) -> None:
    """Optimum scores 100 (M0: 0); regret ≥ 0 and = 0 at the optimum; shapes; the same stream."""
    market = get_market(name)
    found = score_policy(market, optimal_policy(market), n_lanes=64, n_steps=300)
    assert found.value == pytest.approx(0.0 if name == "M0" else 100.0, abs=1e-4)
    state = market.reset(500, np.random.default_rng(0))
    state = market.step(state, np.full(500, -0.3), np.random.default_rng(1)).state
    random = np.random.default_rng(2).uniform(-1, 1, 500)
    assert (market.regret(state, random) >= 0).all()
    size = 1e-9 * market.reward_scale
    assert np.abs(market.regret(state, market.optimal_actions(state))).max() <= max(size, 1e-20)
    seen = market.observe(state)
    assert seen.shape == (500, len(market.observation_names))
    assert seen.dtype == np.float32


def test_market_stream_does_not_depend_on_the_policy() -> None:
    market, draws = MeanReversion(), np.random.default_rng(9)
    seen: list[list[FloatArray]] = [[], []]
    for k, scale in enumerate((0.0, 1.0)):

        def policy(obs: Observations, k: int = k, scale: float = scale) -> FloatArray:
            seen[k].append(obs[:, 0].astype(np.float64))
            return scale * draws.uniform(-1, 1, len(obs))

        score_policy(market, policy, n_lanes=8, n_steps=50, seed=4)
    assert np.array_equal(np.array(seen[0]), np.array(seen[1]))


@pytest.mark.parametrize("name", sorted(OFFLINE_DATASETS))
def test_datasets(name: str) -> None:
    data = make_dataset(name, seed=3)
    assert len(data.rewards) == 100_000
    assert data.rewards.mean() == pytest.approx(0, abs=1e-4)
    assert data.rewards.std() == pytest.approx(1, abs=1e-4)
    assert data.timeouts.sum() == 200
    assert not data.terminals.any()
    assert set(np.unique(data.noise)) == set(OFFLINE_DATASETS[name].noise)
    inside = ~data.timeouts[:-1]
    assert np.array_equal(data.next_observations[:-1][inside], data.observations[1:][inside])
    again = make_dataset(name, seed=3)
    assert data.observations.tobytes() == again.observations.tobytes()
    assert data.rewards.tobytes() == again.rewards.tobytes()
    assert make_dataset(name, seed=4).actions.tobytes() != data.actions.tobytes()


def test_dataset_rewards_are_the_markets() -> None:
    data = make_dataset("M3-wide", n_lanes=10, n_steps=50)
    market = MeanReversion()
    state = data.observations.astype(np.float64) * [market.deviation, 1.0]
    actions = data.actions[:, 0].astype(np.float64)
    expected = market.step(state, actions, np.random.default_rng(0)).expected_rewards
    unscaled = data.rewards * data.reward_sd + data.reward_mean
    assert unscaled == pytest.approx(expected, abs=1e-8)


def test_lanes_reset_within_the_step() -> None:
    lanes = KnownOptimumLanes(get_market("M3"), 5, episode_steps=3, seed=1)
    lanes.reset()
    for step in range(1, 7):
        result = lanes.step(np.full((5, 1), 0.5))
        assert result.truncated.all() == (step % 3 == 0)
        assert not result.terminated.any()
        if step % 3 == 0:
            assert (lanes.final_observations[:, 1] == 0.5).all()
            assert (result.observations[:, 1] == 0).all()
        else:
            assert np.array_equal(lanes.final_observations, result.observations)
    ends = KnownOptimumLanes(get_market("M4"), 2)
    for _ in range(4):
        assert not ends.step(np.zeros(2)).terminated.any()
    assert ends.step(np.zeros(2)).terminated.all()


def test_band_positions_hold_between_the_bands() -> None:
    found = band_positions(np.array([0.0, 0.5, 1.5, 0.2, -0.9, -1.1, 0.0, 1.2]), 1.0)
    assert found.tolist() == [0, 0, -1, -1, -1, 1, 1, -1]


def test_refusals() -> None:
    market = get_market("M1")
    with pytest.raises(ConfigError, match="unknown market 'M9'"):
        get_market("M9")
    with pytest.raises(ConfigError, match="unknown dataset"):
        make_dataset("M2-wide")
    with pytest.raises(DataError, match="NaN"):
        score_policy(market, lambda seen: np.full(len(seen), math.nan))
    with pytest.raises(DataError, match="shape"):
        score_policy(market, lambda seen: np.zeros((len(seen), 2)))
    with pytest.raises(ConfigError):
        score_policy(market, lambda seen: seen[:, 0], n_lanes=1)
