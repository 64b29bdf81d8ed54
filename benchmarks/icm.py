"""What curiosity adds: states that are seen, a chain that is solved, its price in memory and time.

**Chain**: 30 states in a row, from the left end on; an action above 0 goes right, one below 0
left; only the right end pays, and an episode has 45 steps, so a random walk hardly ever arrives.
A table of Q-values learns from sampled batches, ε-greedy; solved where the greedy policy walks to
the end. **Sparse market**: S&P 500 bars whose costs are felt at once and whose gains come at an
episode's end alone, so that holding is best early on and SAC collapses to it; it begins with a
policy that holds. What counts is how many cells of the portfolio's state (exposure, holding time,
profit) the first steps have seen. **Models**: on random steps in that market, the forward model's
loss over 1,000 batches and how much the intrinsic rewards differ. **Price**: processor time and
memory of SAC in that market, and its time with curiosity where it pursues goals with hindsight.

Each training, and each measurement of memory and time, is a process of its own; with and without
curiosity alternate.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.record import Figure, publish
from benchmarks.sparse import SparseLanes, SparseStep

ROOT = Path(__file__).resolve().parent.parent
STATES, CHAIN_STEPS, LANES, COST_BPS = 30, 45, 8, 30.0
LEARNER: dict[str, Any] = {
    "algorithm": "sac",
    "hidden": (64, 64),
    "gamma": 0.99,
    "actor_lr": 1e-3,
    "critic_lr": 1e-3,
    "temp_lr": 1e-3,
}
CURIOSITY: dict[str, Any] = {"weight": 0.1, "eta": 1.0, "half_life": 0}
CHAIN: dict[str, Any] = {
    "steps": 48_000,
    "epsilon": 0.1,
    "rate": 0.2,
    "batch": 256,
    "curiosity": {
        "weight": 0.1,
        "eta": 1.0,
        "half_life": 1_000,
        "train_interval": 1,
        "learning_rate": 3e-3,
    },
}
MARKET: dict[str, Any] = {"steps": 6_000, "update_ratio": 0.5}
COMMON: dict[str, Any] = {
    "offline_share": 0.0,
    "critic_updates": 0,
    "warmup_steps": 500,
    "exploring_starts": 0.0,
    "evaluate_interval": 0,
    "log_interval": 1_000_000,
}
TIMED: dict[str, Any] = {"steps": 12_000, "update_ratio": 1.0}


class ChainLanes:
    """The chain in N lanes; an observation is the one-hot state."""

    def __init__(self, n: int) -> None:
        self._n = n
        self._at = np.zeros(n, np.int64)
        self._left = np.full(n, CHAIN_STEPS, np.int64)
        self.final_observations = np.zeros((n, STATES), np.float32)
        self.arrived = 0

    def _seen(self) -> NDArray[np.float32]:
        return np.eye(STATES, dtype=np.float32)[self._at]

    def reset(self) -> NDArray[np.float32]:
        """All lanes at the left end."""
        self._at[:], self._left[:] = 0, CHAIN_STEPS
        return self._seen()

    def step(self, actions: NDArray[Any]) -> SparseStep:
        """A state to the right or to the left."""
        self._at = np.clip(self._at + np.where(actions[:, 0] > 0, 1, -1), 0, STATES - 1)
        self._left -= 1
        won, over = self._at == STATES - 1, self._left == 0
        self.arrived += int(won.sum())
        self.final_observations[:] = self._seen()
        ended = won | over
        self._at[ended], self._left[ended] = 0, CHAIN_STEPS
        return SparseStep(self._seen(), won.astype(float), won, over & ~won)


def sparse_market(n: int, seed: int) -> SparseLanes:
    """The S&P 500 until 2012 with rare rewards, 60 bars an episode."""
    from offline_trader.envs import EnvConfig, make_simulator
    from offline_trader.simulator import SimulatorConfig

    rules = SimulatorConfig(commission_bps=COST_BPS, half_spread_bps=0.0, slippage_bps=0.0)
    env = EnvConfig(market=("sp500",), end="2012-12-31", episode_bars=60, simulator=rules)
    return SparseLanes(make_simulator(env, n, seed))


def _learner(width: int, seed: int) -> Any:
    """A fresh SAC learner."""
    from offline_trader.learning.agents import make_learner
    from offline_trader.learning.settings import LearnerConfig

    return make_learner(LearnerConfig(**LEARNER), width, None, seed)


def _train(lanes: Any, learner: Any, online: dict[str, Any], curious: bool, seed: int) -> None:
    """Train ``learner`` on."""
    import torch

    torch.set_num_threads(1)
    from offline_trader.learning.settings import CuriosityConfig, OnlineConfig
    from offline_trader.learning.stages import finetune

    config = OnlineConfig(**COMMON, **online)
    if curious:
        config = replace(config, curiosity=CuriosityConfig(**CURIOSITY))
    finetune(learner, lanes, None, config, seed=seed)


def chain(curious: bool, seed: int) -> dict[str, float]:
    """Whether the greedy policy walks to the end, and how often training arrived there."""
    from offline_trader.learning.data import (
        FACTS,
        Curiosity,
        Preprocessing,
        RingBuffer,
        RowLayout,
        Sampler,
    )
    from offline_trader.learning.settings import CuriosityConfig

    lanes, rng = ChainLanes(LANES), np.random.default_rng(seed)
    scales = Preprocessing(np.zeros(STATES), np.ones(STATES), None, 0.99)
    buffer = RingBuffer(CHAIN["steps"], RowLayout(STATES, 1, FACTS), scales)
    sampler = Sampler(buffer, batch_size=CHAIN["batch"], seed=seed)
    ours = Curiosity(CuriosityConfig(**CHAIN["curiosity"]), STATES, 1, seed=seed)
    values, before = np.zeros((STATES, 2)), lanes.reset()
    for step in range(CHAIN["steps"] // LANES):
        at = before.argmax(axis=1)
        best = values[at] + 1e-9 * rng.random((LANES, 2))  # ties are broken by chance
        right = np.where(
            rng.random(LANES) < CHAIN["epsilon"], rng.integers(0, 2, LANES), best.argmax(axis=1)
        )
        actions = np.where(right, 0.5, -0.5).astype(np.float32)[:, None]
        done = lanes.step(actions)
        ended = done.terminated | done.truncated
        after = np.where(ended[:, None], lanes.final_observations, done.observations)
        buffer.add(
            {
                "observations": before,
                "actions": actions,
                "rewards": done.rewards,
                "raw_rewards": done.rewards,
                "next_observations": after,
                "terminals": done.terminated,
                "timeouts": done.truncated,
            }
        )
        before = done.observations
        if step < 20:
            continue
        batch = sampler.draw()
        batch = ours.sampled(batch) if curious else batch
        rows = {name: batch[name].numpy() for name in ("rewards", "terminals", "actions")}
        here, there = (
            batch[name].numpy().argmax(axis=1) for name in ("observations", "next_observations")
        )
        taken = (rows["actions"][:, 0] > 0).astype(int)
        aim = rows["rewards"][:, 0] + 0.99 * (1 - rows["terminals"][:, 0]) * values[there].max(1)
        # a cell moves by the mean of its rows
        sums, counts = np.zeros((STATES, 2)), np.zeros((STATES, 2))
        np.add.at(sums, (here, taken), aim - values[here, taken])
        np.add.at(counts, (here, taken), 1.0)
        values += CHAIN["rate"] * sums / np.maximum(counts, 1.0)
    at = 0
    for _ in range(STATES - 1):
        at = min(max(at + (1 if values[at, 1] > values[at, 0] else -1), 0), STATES - 1)
    return {"solved": float(at == STATES - 1), "arrived": float(lanes.arrived)}


def holding(lanes: Any, seed: int) -> Any:
    """A learner whose policy holds: a clone of doing nothing on random steps."""
    import torch

    torch.set_num_threads(1)
    from offline_trader.learning.data import Transitions
    from offline_trader.learning.settings import CloneConfig
    from offline_trader.learning.stages.cloning import clone

    rng, seen = np.random.default_rng(seed), [lanes.reset().copy()]
    for _ in range(150):
        actions = rng.uniform(-1, 1, (LANES, 1)).astype(np.float32)
        seen.append(np.array(lanes.step(actions).observations))
    rows = np.concatenate(seen)
    nothing, none = np.zeros((len(rows), 1), np.float32), np.zeros(len(rows), bool)
    data = Transitions(
        rows, nothing, nothing[:, 0], rows, none, none, np.zeros(len(rows), np.int64)
    )
    learner = _learner(rows.shape[1], seed)
    clone(learner, data, CloneConfig(updates=300, fit="mean", holdout=0.0), seed=seed)
    return learner


def market(curious: bool, seed: int) -> dict[str, float]:
    """Cells of the portfolio's state that were seen."""
    learner = holding(sparse_market(LANES, seed + 1_000), seed)
    lanes = sparse_market(LANES, seed)
    _train(lanes, learner, MARKET, curious, seed)
    return {"cells": float(len(lanes.cells))}


def price(curious: bool, seed: int) -> dict[str, float]:
    """Processor seconds of a training and the process's largest memory, MB."""
    lanes = sparse_market(LANES, seed)
    width = lanes.reset().shape[1]
    # compiled and warm
    _train(lanes, _learner(width, seed), {**TIMED, "steps": 1_000}, curious, seed)
    lanes, learner = sparse_market(LANES, seed), _learner(width, seed)
    begun = time.process_time()
    _train(lanes, learner, TIMED, curious, seed)
    spent = time.process_time() - begun
    return {"seconds": spent, "mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}


def goals(curious: bool, seed: int) -> dict[str, float]:
    """Processor seconds of a training towards goals, with hindsight."""
    from offline_trader.envs import EnvConfig, GoalLanes, make_simulator
    from offline_trader.goals import GoalTask
    from offline_trader.learning.agents import make_learner
    from offline_trader.learning.settings import LearnerConfig

    def train(steps: int) -> None:
        env = EnvConfig(market=("sp500",), end="2012-12-31", episode_bars=60)
        lanes = GoalLanes(
            make_simulator(env, LANES, seed), GoalTask("exposure").within(short=False), seed
        )
        config = LearnerConfig(**LEARNER, reward_scaling="none")
        learner = make_learner(config, lanes.reset().shape[1], None, seed)
        _train(lanes, learner, {**TIMED, "steps": steps}, curious, seed)

    train(1_000)  # compiled and warm
    begun = time.process_time()
    train(TIMED["steps"])
    return {"seconds": time.process_time() - begun}


def models(seed: int) -> dict[str, float]:
    """Forward loss in the first and last of 1,000 batches, and the rewards' spread in between."""
    from offline_trader.learning.data import (
        FACTS,
        Curiosity,
        Preprocessing,
        RingBuffer,
        RowLayout,
        Sampler,
    )
    from offline_trader.learning.settings import CuriosityConfig

    lanes = sparse_market(LANES, seed)
    before = lanes.reset().copy()
    width, rng = before.shape[1], np.random.default_rng(seed)
    scales = Preprocessing(np.zeros(width), np.ones(width), None, 0.99)
    buffer = RingBuffer(8_000, RowLayout(width, 1, FACTS), scales)
    for _ in range(1_000):
        actions = rng.uniform(-1, 1, (LANES, 1)).astype(np.float32)
        done = lanes.step(actions)
        ended = done.terminated | done.truncated
        buffer.add(
            {
                "observations": before,
                "actions": actions,
                "rewards": done.rewards,
                "raw_rewards": done.rewards,
                "next_observations": np.where(
                    ended[:, None], lanes.final_observations, done.observations
                ),
                "terminals": done.terminated,
                "timeouts": done.truncated,
            }
        )
        before = np.array(done.observations)
    config = CuriosityConfig(**{**CURIOSITY, "train_interval": 1})
    ours = Curiosity(config, width, 1, lanes.endogenous, seed)
    sampler, losses, spreads = Sampler(buffer, batch_size=256, seed=seed), [], []
    for step in range(1_000):
        batch = sampler.draw()
        ours.sampled(batch)
        losses.append(ours.metrics()["forward_loss"])
        if step % 100 == 99:
            rewards = ours.intrinsic(sampler.draw()).numpy()
            spreads.append(float(rewards.std() / rewards.mean()))
    return {
        "first": statistics.mean(losses[:50]),
        "last": statistics.mean(losses[-50:]),
        "spread": min(spreads),
    }


PARTS = {"chain": chain, "market": market, "price": price, "goals": goals}


def _run(part: str, curious: bool, seed: int) -> dict[str, float]:
    """One part in a process of its own."""
    words = [sys.executable, "-m", "benchmarks.icm", "--run", part, str(int(curious)), str(seed)]
    done = subprocess.run(words, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    print(f"{part} {'with' if curious else 'without'} seed {seed}: {found}", file=sys.stderr)
    return found


def main() -> None:
    """Measure and publish."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", nargs=3, metavar=("PART", "CURIOUS", "SEED"))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3])
    args = parser.parse_args()
    if args.run:
        part, curious, seed = args.run
        print(json.dumps(PARTS[part](curious == "1", int(seed))))
        return
    seeds = args.seeds
    found = {
        (part, curious): [_run(part, curious, seed) for seed in seeds]
        for part in ("chain", "market")
        for curious in (True, False)
    }
    turns = [
        (_run("price", True, seed), _run("price", False, seed), _run("goals", True, seed))
        for seed in seeds[:3]
    ]
    learned = [models(seed) for seed in seeds]
    publish(
        "icm", _figures(found, turns, learned), seeds=seeds, facts=_facts(found, turns, learned)
    )


def _figures(found: Any, turns: Any, learned: Any) -> list[Figure]:
    solved = {c: sum(each["solved"] for each in found["chain", c]) for c in (True, False)}
    ratios = [
        a["cells"] / b["cells"] - 1.0
        for a, b in zip(found["market", True], found["market", False], strict=True)
    ]
    cells = statistics.mean(ratios)
    seconds = [a["seconds"] / b["seconds"] - 1.0 for a, b, _ in turns]
    memory = [a["mb"] / b["mb"] - 1.0 for a, b, _ in turns]
    both = [b["seconds"] / c["seconds"] for _, b, c in turns]
    falls = [1.0 - each["last"] / each["first"] for each in learned]
    spread = [each["spread"] for each in learned]
    n = len(found["chain", True])
    time_more, memory_more = statistics.median(seconds), statistics.median(memory)
    return [
        Figure("chain of 30: seeds solved with curiosity", solved[True], "seeds",
               target=f"{n} of {n}", holds=solved[True] == n),
        Figure("chain of 30: seeds solved without", solved[False], "seeds",
               target="0", holds=solved[False] == 0),
        Figure("sparse market: more states seen", cells, "share", (min(ratios), max(ratios)),
               target="> 0.15", holds=cells > 0.15),
        Figure("variation of the intrinsic reward", min(spread), "sd/mean",
               (min(spread), max(spread)), target="> 0.3", holds=min(spread) > 0.3),
        Figure("forward loss: fall over 1,000 batches", statistics.mean(falls), "share",
               (min(falls), max(falls)), target="> 0", holds=min(falls) > 0.0),
        Figure("more memory", memory_more, "share", (min(memory), max(memory)),
               target="< 0.2", holds=memory_more < 0.2),
        Figure("more processor time", time_more, "share", (min(seconds), max(seconds)),
               target="< 0.25", holds=time_more < 0.25),
        Figure("speed with curiosity, goals and hindsight", statistics.median(both),
               "of plain SAC's", (min(both), max(both)),
               target="≥ 0.6", holds=statistics.median(both) >= 0.6),
    ]  # fmt: skip


def _facts(found: Any, turns: Any, learned: Any) -> dict[str, Any]:
    runs = {f"{p}, {'with' if c else 'without'}": rows for (p, c), rows in found.items()}
    settings = {"learner": LEARNER, "curiosity": CURIOSITY, "chain": CHAIN, "market": MARKET,
                "common": COMMON, "timed": TIMED}  # fmt: skip
    return {"settings": settings, "runs": runs, "turns": turns, "models": learned}


if __name__ == "__main__":
    main()
