"""SBX's SAC for ``benchmarks.training``: runs in SBX's own environment, knows nothing of ours.

Reads JSON lines ``{"hidden": H, "steps": gradient steps a call, "seconds": s, ...}`` and answers
each with ``{"rate": updates a second, sampling included}``.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

import gymnasium as gym
import numpy as np
from sbx import SAC
from stable_baselines3.common.logger import configure

MODELS: dict[tuple[int, int, int], Any] = {}


class Still(gym.Env):  # type: ignore[misc,type-arg]
    """An environment for its spaces only."""

    def __init__(self, size: int) -> None:
        self.observation_space = gym.spaces.Box(-np.inf, np.inf, (size,), np.float32)
        self.action_space = gym.spaces.Box(-1.0, 1.0, (1,), np.float32)

    def reset(self, **_: Any) -> tuple[Any, dict[str, Any]]:
        return self.observation_space.sample(), {}

    def step(self, _: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        return self.observation_space.sample(), 0.0, False, False, {}


def model(hidden: int, size: int, batch: int, rows: int) -> Any:
    """A SAC with a filled replay buffer."""
    key = (hidden, size, batch)
    if key not in MODELS:
        made = SAC(
            "MlpPolicy",
            Still(size),
            policy_kwargs={"net_arch": [hidden, hidden]},
            batch_size=batch,
            buffer_size=rows,
            verbose=0,
        )
        made.set_logger(configure(None, []))
        rng, buffer = np.random.default_rng(0), made.replay_buffer
        buffer.observations[:] = rng.normal(size=buffer.observations.shape)
        buffer.next_observations[:] = rng.normal(size=buffer.observations.shape)
        buffer.actions[:] = rng.uniform(-1, 1, buffer.actions.shape)
        buffer.rewards[:] = rng.normal(size=buffer.rewards.shape)
        buffer.full = True
        MODELS[key] = made
    return MODELS[key]


def main() -> None:
    """Answer every line."""
    for line in sys.stdin:
        job = json.loads(line)
        sac = model(job["hidden"], job["size"], job["batch"], job["rows"])
        sac.train(gradient_steps=job["steps"], batch_size=job["batch"])
        updates, start = 0, time.perf_counter()
        while time.perf_counter() - start < job["seconds"]:
            sac.train(gradient_steps=job["steps"], batch_size=job["batch"])
            updates += job["steps"]
        # JAX answers before it is done: read a weight, so that all of it is in the time.
        np.asarray(next(iter(_leaves(sac.policy.actor_state.params))))
        print(json.dumps({"rate": updates / (time.perf_counter() - start)}), flush=True)


def _leaves(tree: Any) -> Any:
    import jax

    return jax.tree_util.tree_leaves(tree)


if __name__ == "__main__":
    main()
