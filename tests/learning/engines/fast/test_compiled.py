"""The process that compiles the kernels trains to the same bits as those that load them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

CODE = """
import hashlib
import numpy as np
from offline_trader.learning.agents.learner import make_learner
from offline_trader.learning.stages.offline import train_offline
from offline_trader.learning.settings import LearnerConfig, OfflineConfig
from offline_trader.learning.data.transitions import Transitions
rng = np.random.default_rng(0)
seen = rng.normal(size=(513, 17)).astype(np.float32)
actions = np.tanh(rng.normal(size=(512, 1))).astype(np.float32)
rewards = rng.normal(size=512).astype(np.float32)
ends, episodes = np.arange(512) % 64 == 63, np.arange(512) // 64
data = Transitions(seen[:-1], actions, rewards, seen[1:], ends & False, ends, episodes)
learner = make_learner(LearnerConfig(), 17, None, 0)
assert learner.engine.name == "fast"
train_offline(learner, data, OfflineConfig(updates=30, critic_updates=10), seed=0)
learner.engine.flush()
weights = learner.algo.impl.policy.state_dict().values()
print(hashlib.sha256(b"".join(each.numpy().tobytes() for each in weights)).hexdigest())
"""


@pytest.mark.slow
def test_the_first_training_is_that_of_every_later_one(tmp_path: Path) -> None:
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
    found = [
        subprocess.run(
            [sys.executable, "-c", CODE],
            check=True,
            capture_output=True,
            text=True,
            timeout=600,
            env=environment,
        ).stdout
        for _ in ("compiles", "loads")
    ]
    assert list(tmp_path.rglob("*.nbc")), "the kernels were not kept"
    assert found[0] == found[1]
