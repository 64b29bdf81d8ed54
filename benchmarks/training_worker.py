"""Contestants of ``benchmarks.training`` that live in this environment, one process for all.

Reads JSON lines ``{"contestant": c, "algorithm": a, "hidden": H, ...}`` and answers each with
``{"rate": updates a second, sampling included, "by_processor": the same by processor time}``. The
parent pins the process to its cores.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from offline_trader.learning.agents import Learner, make_learner
from offline_trader.learning.data import Transitions
from offline_trader.learning.settings import CloneConfig, LearnerConfig

# Untimed updates of a new contestant: compilation, allocation, on a GPU the capture of its graphs.
WARMUP = 10

Run = Callable[[int], None]
Job = dict[str, Any]


def dataset(size: int, rows: int) -> Transitions:
    """Random transitions in episodes of 500 steps."""
    rng = np.random.default_rng(0)
    ends = np.arange(1, rows + 1) % 500 == 0
    ends[-1] = True
    return Transitions(
        observations=rng.normal(size=(rows, size)).astype(np.float32),
        actions=rng.uniform(-1, 1, (rows, 1)).astype(np.float32),
        rewards=rng.normal(size=rows).astype(np.float32),
        next_observations=rng.normal(size=(rows, size)).astype(np.float32),
        terminals=np.zeros(rows, bool),
        timeouts=ends,
        episode_ids=(np.arange(rows) // 500).astype(np.int64),
    )


def learner_for(job: Job, engine: str) -> Learner:
    """A learner with the networks and the batch of the job."""
    config = LearnerConfig(
        algorithm=job["algorithm"],
        hidden=(job["hidden"],) * 2,
        batch_size=job["batch"],
        engine="stock" if engine == "stock" else "fast",
        reward_scaling="none",
        device=job["device"],
    )
    return make_learner(config, job["size"], None, 0)


def ours(job: Job) -> Run:
    """The toolkit's loop: gather, fast update."""
    return _our_loop(job, "fast")


def ours_uncaptured(job: Job) -> Run:
    """The toolkit's loop around d3rlpy's own update: what the gather alone gains on a GPU."""
    return _our_loop(job, "stock")


def _our_loop(job: Job, engine: str) -> Run:
    from offline_trader.learning.data import Sampler, pack

    learner = learner_for(job, engine)
    data = dataset(job["size"], job["rows"])
    rows = pack(data, learner.preprocessing, device=job["device"])
    sampler = Sampler(rows, batch_size=job["batch"], seed=0)

    def run(updates: int) -> None:
        with learner.randomness():
            for _ in range(updates):
                learner.engine.update(sampler.sample())

    return run


def stock(job: Job) -> Run:
    """d3rlpy alone: its replay buffer, its ``update``."""
    from offline_trader.networks import import_d3rlpy

    d3rlpy = import_d3rlpy()
    data = dataset(job["size"], job["rows"])
    learner = learner_for(job, "stock")
    replay = d3rlpy.dataset.MDPDataset(
        observations=data.observations,
        actions=data.actions,
        rewards=data.rewards,
        terminals=data.terminals,
        timeouts=data.timeouts,
    )

    def run(updates: int) -> None:
        for _ in range(updates):
            learner.algo.update(replay.sample_transition_batch(job["batch"]))

    return run


def sb3(job: Job) -> Run:
    """stable-baselines3's SAC on its own replay buffer."""
    import gymnasium as gym
    from stable_baselines3 import SAC
    from stable_baselines3.common.logger import configure

    space = gym.spaces.Box(-np.inf, np.inf, (job["size"],), np.float32)
    env = gym.Env()  # its spaces are all that is read
    env.observation_space, env.action_space = space, gym.spaces.Box(-1.0, 1.0, (1,), np.float32)
    net = {"net_arch": [job["hidden"]] * 2}
    model = SAC(
        "MlpPolicy",
        env,
        policy_kwargs=net,
        buffer_size=job["rows"],
        verbose=0,
        device=job["device"],
    )
    model.set_logger(configure(None, []))
    rng, buffer = np.random.default_rng(0), model.replay_buffer
    assert buffer is not None
    for array in (buffer.observations, buffer.next_observations, buffer.rewards):
        array[:] = rng.normal(size=array.shape)
    buffer.actions[:] = rng.uniform(-1, 1, buffer.actions.shape)
    buffer.full = True
    return lambda updates: model.train(gradient_steps=updates, batch_size=job["batch"])


def our_cloning(job: Job) -> Run:
    """The toolkit's behaviour cloning: imitation's BC, ready batches."""
    from offline_trader.learning.stages import clone

    learner, data = learner_for(job, "fast"), dataset(job["size"], job["rows"])

    def run(updates: int) -> None:
        clone(learner, data, CloneConfig(updates=updates, batch_size=job["batch"], holdout=0.0))

    return run


def imitation_cloning(job: Job) -> Run:
    """imitation's own loop over its own loader, on stable-baselines3's squashed policy."""
    import gymnasium as gym
    from imitation.algorithms.bc import BC
    from imitation.data.types import Transitions as Demonstrations
    from imitation.util.logger import configure
    from stable_baselines3.common.policies import ActorCriticPolicy

    data = dataset(job["size"], job["rows"])
    spaces = (
        gym.spaces.Box(-np.inf, np.inf, (job["size"],), np.float32),
        gym.spaces.Box(-1.0, 1.0, (1,), np.float32),
    )
    policy = ActorCriticPolicy(*spaces, lambda _: 1e-3, net_arch=[job["hidden"]] * 2)
    trainer = BC(
        observation_space=spaces[0],
        action_space=spaces[1],
        rng=np.random.default_rng(0),
        policy=policy,
        batch_size=job["batch"],
        device=job["device"],
        custom_logger=configure(None, []),
        demonstrations=Demonstrations(
            obs=data.observations,
            acts=data.actions,
            next_obs=data.next_observations,
            dones=data.timeouts,
            infos=np.array([{}] * len(data)),
        ),
    )
    return lambda updates: trainer.train(n_batches=updates, progress_bar=False, log_interval=10**9)


CONTESTANTS: dict[str, Callable[[Job], Run]] = {
    "ours": ours,
    "ours, uncaptured": ours_uncaptured,
    "stock": stock,
    "sb3": sb3,
    "our cloning": our_cloning,
    "imitation": imitation_cloning,
}


def wait_for(device: str) -> None:
    """Until a GPU has done what it was given: it answers before it has."""
    if device.startswith("cuda"):
        torch.cuda.synchronize(device)


def main() -> None:
    """Answer every line."""
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    runs: dict[str, Run] = {}
    for line in sys.stdin:
        job = json.loads(line)
        key = json.dumps({name: job[name] for name in sorted(job) if name != "seconds"})
        if key not in runs:
            runs.clear()
            runs[key] = CONTESTANTS[job["contestant"]](job)
            runs[key](WARMUP)
        run, updates = runs[key], 1
        while True:
            wait_for(job["device"])
            start, busy = time.perf_counter(), time.process_time()
            run(updates)
            wait_for(job["device"])
            elapsed, busy = time.perf_counter() - start, time.process_time() - busy
            if elapsed > 0.5 * job["seconds"]:
                break
            updates = max(2 * updates, int(0.9 * updates * job["seconds"] / max(elapsed, 1e-6)))
        answer = {"rate": updates / elapsed, "by_processor": updates / busy}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
