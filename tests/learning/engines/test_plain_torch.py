"""Optimizers without torch's compiler: the same results, and nothing left behind."""

from __future__ import annotations

import copy
import io
import subprocess
import sys

import pytest
import torch

from offline_trader.learning.engines import PlainAdam, RowAdam, without_dynamo

CODE = """
import sys
from offline_trader.learning.agents.learner import make_learner
from offline_trader.learning.settings import LearnerConfig
learner = make_learner(LearnerConfig(hidden=(4,)), 2)
learner.restore(learner.snapshot())
assert learner.engine.name == "fast"
assert "d3rlpy" in sys.modules
print("torch._dynamo" in sys.modules)
"""


def test_a_learner_is_built_saved_and_restored_without_torchs_compiler() -> None:
    done = subprocess.run(
        [sys.executable, "-c", CODE], check=True, capture_output=True, text=True, timeout=120
    )
    assert done.stdout.split() == ["False"]


def test_nothing_outlasts_the_block() -> None:
    weight = torch.ones(2, requires_grad=True)
    with without_dynamo():
        optimizer = torch.optim.Adam([weight], lr=0.1)
        state = optimizer.state_dict()
    for name in ("add_param_group", "state_dict", "zero_grad"):
        method = getattr(torch.optim.Optimizer, name).__wrapped__
        assert getattr(method, "__dynamo_disable", None) is not method
    assert state["param_groups"][0]["lr"] == 0.1


def test_plain_adam_is_adam_to_the_bit() -> None:
    start = torch.linspace(-1.0, 1.0, 7)
    found = []
    for kind in (torch.optim.Adam, PlainAdam):
        weight = start.clone().requires_grad_()
        optimizer = kind([weight], lr=0.1, weight_decay=0.01)
        for _ in range(5):
            optimizer.zero_grad()
            (gradient,) = torch.autograd.grad(weight.pow(2).sum(), weight)
            weight.grad = gradient
            optimizer.step()
        found.append(weight.detach())
    assert torch.equal(*found)
    assert not torch.equal(found[0], start)


CLONED = """
import numpy as np
from offline_trader.learning.stages.cloning import clone
from offline_trader.learning.settings import CloneConfig
from offline_trader.learning.data.transitions import Transitions
seen, ends = np.ones((8, 2), np.float32), np.arange(8) % 4 == 3
data = Transitions(seen, seen[:, :1], seen[:, 0], seen, ends & False, ends, np.arange(8) // 4)
assert clone(learner, data, CloneConfig(updates=3, holdout=0.0)).updates == 3
"""


def test_a_clone_is_trained_without_torchs_compiler() -> None:
    code = CODE.replace("learner.restore(learner.snapshot())", CLONED)
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=120
    )
    assert done.stdout.split() == ["False"]


def small_network(seed: int) -> torch.nn.Sequential:
    torch.manual_seed(seed)
    return torch.nn.Sequential(torch.nn.Linear(3, 17), torch.nn.Tanh(), torch.nn.Linear(17, 1))


def train(
    network: torch.nn.Module, optimizer: torch.optim.Optimizer, steps: int, *, bare: int = -1
) -> None:
    """``steps`` of a loss; in step ``bare`` the last bias has no gradient."""
    for step in range(steps):
        optimizer.zero_grad()
        seen = torch.linspace(-1.0, 1.0 + step, 12).reshape(4, 3)
        network(seen).square().mean().backward()
        if step == bare:
            list(network.parameters())[-1].grad = None
        optimizer.step()


@pytest.mark.parametrize("bare", [-1, 0, 2], ids=["all", "first step", "third step"])
def test_adam_in_a_row_is_adam_to_the_bit(bare: int) -> None:
    found = []
    for kind in (torch.optim.Adam, RowAdam):
        network = small_network(0)
        optimizer = kind(network.parameters(), lr=0.05)
        train(network, optimizer, 5, bare=bare)
        found.append((list(network.parameters()), optimizer.state_dict()["state"]))
    (expected, state), (got, ours) = found
    assert all(map(torch.equal, got, expected))
    assert list(ours) == list(state)
    for index, values in state.items():
        assert list(ours[index]) == list(values)
        assert all(torch.equal(ours[index][name], values[name]) for name in values)
    assert not torch.equal(got[0], next(small_network(0).parameters()))


@pytest.mark.parametrize("first", [torch.optim.Adam, RowAdam])
def test_adam_in_a_row_goes_on_from_a_saved_state(first: type[torch.optim.Adam]) -> None:
    straight, stopped = small_network(1), small_network(1)
    optimizer = RowAdam(straight.parameters(), lr=0.05)
    train(straight, optimizer, 4)
    train(straight, optimizer, 3)
    before = first(stopped.parameters(), lr=0.05)
    train(stopped, before, 4)
    after = RowAdam(stopped.parameters(), lr=0.9)
    train(stopped, after, 0)
    after.load_state_dict(before.state_dict())
    train(stopped, after, 3)
    assert all(map(torch.equal, straight.parameters(), stopped.parameters()))
    kept = [io.BytesIO(), io.BytesIO()]
    for each, file in zip((optimizer, after), kept, strict=True):
        torch.save(each.state_dict()["state"], file)
    assert kept[0].getvalue() == kept[1].getvalue()


def test_a_copy_of_adam_in_a_row_goes_on_alone() -> None:
    straight, network = small_network(2), small_network(2)
    train(straight, torch.optim.Adam(straight.parameters(), lr=0.05), 6)
    optimizer = RowAdam(network.parameters(), lr=0.05)
    for step in range(6):
        if step == 3:  # with the network in one go: the copy steps the copied parameters
            before = network
            network, optimizer = copy.deepcopy((network, optimizer))
        optimizer.zero_grad()
        network(torch.linspace(-1.0, 1.0 + step, 12).reshape(4, 3)).square().mean().backward()
        optimizer.step()
    assert all(map(torch.equal, straight.parameters(), network.parameters()))
    assert not torch.equal(next(before.parameters()), next(network.parameters()))
