"""Fitted Q evaluation: known values, ends of episodes, and how well it ranks."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch

from offline_trader.errors import ConfigError, DataError
from offline_trader.evaluation.known_optimum import (
    behaviour_policy,
    get_market,
    make_dataset,
    off_policy,
    optimal_policy,
    score_policy,
)
from offline_trader.evaluation.known_optimum.fqe import FqeConfig, fitted_q_evaluation, rank_check
from offline_trader.evaluation.known_optimum.off_policy import off_policy_check, reference_policies
from offline_trader.learning.data import Transitions
from offline_trader.types import FloatArray, Observations

FAST = FqeConfig(gamma=0.8, hidden=32, batch_size=128, learning_rate=3e-3)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Networks this small lose time to threads, and all of it on a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def _independent_states(rewards: FloatArray | None = None, ends: str = "never") -> Transitions:
    """States drawn afresh at every step, actions uniform, reward −(a − s)² unless told."""
    rng = np.random.default_rng(0)
    n = 4000
    states = rng.uniform(-0.5, 0.5, (n + 1, 1)).astype(np.float32)
    actions = rng.uniform(-1, 1, (n, 1)).astype(np.float32)
    paid = -((actions[:, 0] - states[:-1, 0]) ** 2) if rewards is None else rewards
    last = np.ones(n, dtype=np.bool_)
    return Transitions(
        observations=states[:-1],
        actions=actions,
        rewards=np.asarray(paid, dtype=np.float32),
        next_observations=states[1:],
        terminals=last if ends == "terminal" else ~last,
        timeouts=last if ends == "timeout" else ~last,
        episode_ids=np.arange(n) if ends != "never" else np.zeros(n, dtype=np.int64),
    )


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_value_of_a_known_policy(sign: float) -> None:
    """a = s loses nothing; a = −s loses 4·Var(s) = 1/3 a step, from every state on average."""
    found = fitted_q_evaluation(_independent_states(), lambda seen: sign * seen, FAST)
    expected = 0.0 if sign > 0 else -1 / 3
    assert found.value_a_step == pytest.approx(expected, abs=0.03)
    assert found.value == pytest.approx(found.value_a_step / 0.2)


@pytest.mark.parametrize(("ends", "value"), [("timeout", 5.0), ("terminal", 1.0)])
def test_truncation_bootstraps_and_termination_does_not(ends: str, value: float) -> None:
    data = _independent_states(np.ones(4000), ends)
    found = fitted_q_evaluation(data, lambda seen: 0 * seen, FAST)
    assert found.value == pytest.approx(value, rel=0.05)


def test_enough_bellman_iterations() -> None:
    config = FqeConfig(gamma=0.97, tau=0.05)
    assert config.updates * config.tau >= 5 / (1 - 0.97)
    with pytest.raises(ConfigError, match=r"at least 5/\(1 − γ\) = 167"):
        FqeConfig(gamma=0.97, iterations=100)


def test_same_seed_same_value_and_the_global_generator_is_left_alone() -> None:
    data, config = _independent_states(), FqeConfig(gamma=0.5, hidden=8)
    before = torch.random.get_rng_state()
    one, two, three = (
        fitted_q_evaluation(data, lambda seen: seen, config, seed=seed) for seed in (1, 1, 2)
    )
    assert one == two
    assert one != three
    assert torch.equal(before, torch.random.get_rng_state())


def _contrarian(seen: Observations) -> FloatArray:
    return 0.9 * seen[:, 1] + 0.1 * np.clip(0.6 * seen[:, 0].astype(np.float64), -1, 1)


@pytest.mark.slow
def test_ranks_policies_on_wide_data() -> None:
    market = get_market("M3")
    policies = {
        "optimal": optimal_policy(market),
        "behaviour": behaviour_policy(market),
        "flat": lambda seen: 0 * seen[:, 0],
        "contrarian": _contrarian,
    }
    scores = [score_policy(market, policy).value for policy in policies.values()]
    data = make_dataset("M3-wide").transitions()
    check = rank_check(data, policies, scores)
    assert check.rank_correlation == pytest.approx(1.0)
    assert check.names == tuple(policies)


@pytest.mark.parametrize("name", ["M1", "M3"])
def test_references_score_far_apart(name: str) -> None:
    market = get_market(name)
    scores = {
        key: score_policy(market, policy, n_lanes=64, n_steps=500).value
        for key, policy in reference_policies(market).items()
    }
    assert scores["contrarian"] < -40 < scores["flat"] < 5 < 40 < scores["behaviour"]
    assert scores["behaviour"] < 60 < 99 < scores["optimal"]


def test_a_policy_is_ranked_among_the_references(monkeypatch: pytest.MonkeyPatch) -> None:
    small = make_dataset("M1-wide", seed=1, n_lanes=40, n_steps=100)
    monkeypatch.setattr(off_policy, "make_dataset", lambda name, seed: small)
    config = FqeConfig(gamma=0.8, hidden=16, tau=0.2)
    better = {"mine": lambda seen: 0.9 * optimal_policy(get_market("M1"))(seen)}
    check = off_policy_check("M1-wide", better, config, seed=1)
    assert check.names == ("mine", "optimal", "behaviour", "flat", "contrarian")
    assert dict(zip(check.names, check.true, strict=True))["mine"] > 60
    assert check.rank_correlation is not None
    assert -1.0 <= check.rank_correlation <= 1.0


def test_equal_policies_have_no_rank_correlation() -> None:
    data, config = _independent_states(), FqeConfig(gamma=0.5, hidden=8)
    same = dict.fromkeys("abc", lambda seen: 0 * seen)
    assert rank_check(data, same, [1.0, 2.0, 3.0], config).rank_correlation is None


def test_refusals() -> None:
    data = _independent_states()
    with pytest.raises(DataError, match="actions of shape"):
        fitted_q_evaluation(data, lambda seen: np.zeros((3, 1)), FAST)
    with pytest.raises(DataError, match="transition 0 is nan"):
        fitted_q_evaluation(data, lambda seen: seen * np.nan, FAST)
    with pytest.raises(ConfigError, match="three or more"):
        rank_check(data, {"a": lambda seen: seen}, [1.0])
    with pytest.raises(ConfigError):
        FqeConfig(gamma=1.0)
