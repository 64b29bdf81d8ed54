"""Policies from elsewhere: called like ours, checked at every call, refused with what is wrong."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from offline_trader.errors import ConfigError, DataError, SchemaMismatch
from offline_trader.features import observation_layout
from offline_trader.policies import ForeignPolicy, adapt
from offline_trader.types import BoolArray, LanePolicy, Observations

LAYOUT = observation_layout()
DRAWS = np.random.default_rng(1)
SEEN = np.random.default_rng(0).normal(size=(20, LAYOUT.size)).astype(np.float32)


def momentum(observations: Observations) -> Any:
    """Long after a rise, short after a fall."""
    return np.tanh(50.0 * observations[:, 0])


@pytest.mark.parametrize(
    "function",
    [
        momentum,
        lambda seen: momentum(seen)[:, None],
        lambda seen: momentum(seen).tolist(),
        lambda seen, size=1.0: size * momentum(seen),
    ],
)
def test_a_function_is_a_policy(function: Callable[..., Any]) -> None:
    policy = adapt(function)
    policy.require_layout(LAYOUT)
    found = policy(SEEN)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found[:, 0], momentum(SEEN).astype(np.float32))


def test_answers_beyond_the_range_are_clipped() -> None:
    assert np.abs(adapt(lambda seen: 7.0 * np.sign(seen[:, 0]))(SEEN)).max() == 1.0


def broken(observations: Observations) -> Any:
    """Fails."""
    raise KeyError("rsi")


@pytest.mark.parametrize(
    ("function", "error", "message"),
    [
        (lambda seen: seen, DataError, r"answers 3 observations with shape \(3, 37\)(.|\n)*a row"),
        (lambda seen: 0.5, DataError, r"shape \(\)"),
        (lambda seen: ["buy"] * len(seen), DataError, "with a list"),
        (lambda seen: np.where(seen[:, 0] > 0, np.nan, 0.5), DataError, "answers row 0 with nan"),
        (lambda seen: DRAWS.random(len(seen)), DataError, "a deterministic policy"),
        (lambda seen: seen[:, 0] - seen[:, 0].mean(), DataError, "a row alone otherwise"),
        (broken, ConfigError, r"broken failed at test_adapting.py line \d+: KeyError"),
    ],
)
def test_what_is_no_policy_of_a_row_is_refused(
    function: Callable[..., Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        adapt(function).require_layout(LAYOUT)


@pytest.mark.parametrize(
    ("thing", "message"),
    [
        (lambda seen, bars: bars, "cannot be called with observations alone"),
        (lambda: 1, "cannot be called with observations alone"),
        (3, "a int is no policy"),
        (torch.nn.Linear, "a type is no policy"),
    ],
)
def test_what_is_no_policy_at_all_is_refused(thing: object, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        adapt(thing)


class Counting:
    """Buys at every third bar: it remembers."""

    def __init__(self) -> None:
        self.bars = np.zeros(0)

    def restart(self, lanes: BoolArray) -> None:
        """Forget."""
        self.bars = np.where(lanes, 0.0, np.resize(self.bars, len(lanes)))

    def __call__(self, observations: Observations) -> Any:
        """Count."""
        self.bars = self.bars + 1
        return (self.bars % 3 == 0).astype(float)


def test_a_policy_that_remembers_is_told_where_episodes_begin() -> None:
    policy = adapt(Counting())
    policy.require_layout(LAYOUT)
    assert isinstance(policy, LanePolicy)
    policy.restart(np.ones(2, np.bool_))
    assert [policy(SEEN[:2])[0, 0] for _ in range(4)] == [0.0, 0.0, 1.0, 0.0]


def test_a_torch_module_is_run_as_it_is_evaluated() -> None:
    torch.manual_seed(0)
    last = torch.nn.Linear(8, 1)
    module = torch.nn.Sequential(torch.nn.Linear(LAYOUT.size, 8), torch.nn.Dropout(0.5), last)
    policy = adapt(module)
    policy.require_layout(LAYOUT)
    assert module.training
    module.eval()
    expected = module(torch.from_numpy(SEEN)).detach().numpy().clip(-1, 1)
    np.testing.assert_allclose(policy(SEEN), expected, atol=1e-6)
    before = policy.fingerprint(LAYOUT.size)
    assert before == adapt(module).fingerprint(LAYOUT.size)
    with torch.no_grad():
        last.bias.fill_(0.1)
    assert policy.fingerprint(LAYOUT.size) != before


def test_another_width_is_refused_with_both() -> None:
    policy = adapt(torch.nn.Linear(12, 1), name="actor")
    with pytest.raises(SchemaMismatch, match=r"actor reads 12 columns, layout \w+ has 37"):
        policy.require_layout(LAYOUT)


def test_a_function_has_no_graph() -> None:
    with pytest.raises(ConfigError, match="momentum is a function without a graph"):
        adapt(momentum).require_graph()


def test_an_adapted_policy_stays_as_it_is() -> None:
    policy = adapt(momentum, name="mine")
    assert adapt(policy) is policy
    assert isinstance(policy, ForeignPolicy)
    assert policy.name == "mine"
