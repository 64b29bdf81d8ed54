"""Optimizers without torch's compiler: the same results, and nothing left behind."""

from __future__ import annotations

import subprocess
import sys

import torch

from offline_trader.learning.engines import PlainAdam, without_dynamo

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
