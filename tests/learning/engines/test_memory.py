"""Training takes no more memory the longer it goes on; rows too large for it lie on disk."""

from __future__ import annotations

import gc
from pathlib import Path
from typing import Any

import pytest
import torch

from offline_trader.learning.agents import make_learner
from offline_trader.learning.data import Transitions
from offline_trader.learning.data import rows as rows_module
from offline_trader.learning.settings import LearnerConfig, LeashConfig, OfflineConfig
from offline_trader.learning.stages import train_offline

STATUS = Path("/proc/self/status")


def resident_bytes() -> int:
    """Resident memory of this process."""
    gc.collect()
    for line in STATUS.read_text(encoding="utf-8").splitlines():
        if line.startswith("VmRSS"):
            return 1024 * int(line.split()[1])
    raise AssertionError("no VmRSS")


@pytest.mark.skipif(not STATUS.exists(), reason="needs Linux's /proc")
@pytest.mark.parametrize("engine", ["fast", "stock"])
def test_resident_memory_does_not_grow_with_the_updates(
    engine: Any, uniform_data: Transitions
) -> None:
    config = LearnerConfig(algorithm="sac", hidden=(16, 16), engine=engine)
    learner, seen = make_learner(config, 2, None, 0), []
    updates = 1_000 if engine == "fast" else 300
    settings = OfflineConfig(
        critic_updates=0, updates=3 * updates, log_interval=updates, evaluate_interval=0,
        leash=LeashConfig(distance=0.0),
    )  # fmt: skip
    train_offline(learner, uniform_data, settings, lambda *_: seen.append(resident_bytes()))
    # Kept batches alone would be 12 kB an update.
    assert seen[2] - seen[0] < 2 * updates * 2_000, [value >> 10 for value in seen]


def test_rows_beyond_a_quarter_of_the_memory_go_to_the_disk_and_leave_no_file(
    uniform_data: Transitions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    learner = make_learner(LearnerConfig(algorithm="sac", hidden=(16, 16)), 2, None, 0)
    size = 4 * len(uniform_data) * 10  # two observations of 2, two actions, four numbers
    seen: list[int] = []

    def packed(memory_bytes: int) -> torch.Tensor:
        monkeypatch.setattr(rows_module, "_memory_bytes", lambda: memory_bytes)
        found = rows_module.pack(uniform_data, learner.preprocessing, directory=tmp_path)
        seen.append(len(list(tmp_path.iterdir())))
        return found.values.clone()

    assert torch.equal(packed(4 * size), packed(4 * size - 4))
    assert seen == [0, 1]
    gc.collect()
    assert list(tmp_path.iterdir()) == []
