"""Optimizers without torch's compiler: the same results, and nothing left behind."""

from __future__ import annotations

import subprocess
import sys

import torch

from offline_trader.learning.plain_torch import without_dynamo

CODE = """
import sys
from offline_trader.learning.learner import make_learner
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
