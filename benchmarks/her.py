"""Hindsight: what it solves, what it costs, beside plain replay and stable-baselines3.

**Bit-flip** (Andrychowicz et al. 2017, section 3.1): n = 15 bits, an action flips one, every step
but a reached goal costs 1; 28,600 steps of a small DQN on our ring buffer, sampler and
relabelling; the greedy policy's success over 500 goals. **Trading goals**: SAC from random
weights on S&P 500 bars to 2012, with k = 4 and with plain replay; success over nine goals on the
years to 2014, for exposures and for returns over 20 bars. **Sampling**: a batch of 256 with
goals, ours and stable-baselines3's ``HerReplayBuffer`` over the same environment, alternating.
**Speed**: training with hindsight and curiosity beside training with neither. With ``--cache
FILE`` finished parts are kept and not done again.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.finished import Finished, own_process
from benchmarks.record import Figure, publish

BITS, BIT_STEPS, BIT_LANES, K = 15, 28_600, 10, 4.0
ROWS, BATCH, REPEATS, LARGEST = 20_000, 256, 400, 1_000_000
LEARNER: dict[str, Any] = {
    "algorithm": "sac",
    "hidden": (64, 64),
    "gamma": 0.95,
    "actor_lr": 1e-3,
    "critic_lr": 1e-3,
    "temp_lr": 1e-3,
    "reward_scaling": "none",
}
ONLINE: dict[str, Any] = {
    "steps": 24_000,
    "update_ratio": 0.5,
    "offline_share": 0.0,
    "critic_updates": 0,
    "evaluate_interval": 0,
    "log_interval": 1_000_000,
    "final_target_entropy": -3.0,
}


class BitFlip:
    """N lanes of bits and goals; an observation is the bits and the goal."""

    def __init__(self, n: int, seed: int) -> None:
        self._rng = np.random.default_rng(seed)
        self._bits = self._rng.integers(0, 2, (n, BITS))
        self._goal = self._rng.integers(0, 2, (n, BITS))
        self._left = np.full(n, BITS)

    def seen(self) -> Any:
        """[N, 2n] float32."""
        return np.hstack([self._bits, self._goal]).astype(np.float32)

    def step(self, actions: Any) -> dict[str, Any]:
        """A row of every lane, ready to be stored; lanes that ended begin anew."""
        before = self.seen()
        lanes = np.arange(len(actions))
        self._bits[lanes, actions] ^= 1
        self._left -= 1
        reached = (self._bits == self._goal).all(axis=1)
        row = {
            "observations": before,
            "next_observations": self.seen(),
            "actions": actions[:, None].astype(np.float32),
            "rewards": np.where(reached, 0.0, -1.0),
            "raw_rewards": np.where(reached, 0.0, -1.0),
            "terminals": reached,
            "timeouts": ~reached & (self._left == 0),
        }
        ended = reached | (self._left == 0)
        self._bits[ended] = self._rng.integers(0, 2, (int(ended.sum()), BITS))
        self._goal[ended] = self._rng.integers(0, 2, (int(ended.sum()), BITS))
        self._left[ended] = BITS
        return row


def bit_flip(k: float, seed: int, *, steps: int = BIT_STEPS) -> float:
    """Success of the greedy policy after ``steps`` steps.

    Args:
        k: relabelled rows for each one that keeps its goal; 0: plain replay.
        seed: of everything.
        steps: of all lanes.
    """
    import torch

    from offline_trader.learning.data import (
        FACTS,
        GoalColumns,
        Hindsight,
        Preprocessing,
        RingBuffer,
        RowLayout,
        Sampler,
    )

    torch.set_num_threads(1)
    torch.manual_seed(seed)

    def rewards(achieved: Any, goals: Any, over: Any) -> Any:
        return -1.0 * (achieved != goals).any(dim=1)

    scales = Preprocessing(np.zeros(2 * BITS), np.ones(2 * BITS), None, 0.98)
    goals = GoalColumns(slice(BITS, 2 * BITS), slice(0, BITS), rewards)
    ours = Hindsight(goals, BIT_STEPS, lambda: scales, k=k, seed=seed)
    layout = RowLayout(2 * BITS, 1, FACTS)
    buffer = RingBuffer(BIT_STEPS, layout, scales)
    sampler = Sampler(buffer, batch_size=128, seed=seed)
    values, target = _network(), _network()
    target.load_state_dict(values.state_dict())
    optimizer = torch.optim.Adam(values.parameters(), lr=1e-3)
    world, rng = BitFlip(BIT_LANES, seed), np.random.default_rng(seed)
    for step in range(steps // BIT_LANES):
        greedy = _greedy(values, world.seen())
        random = rng.random(BIT_LANES) < 0.2
        actions = np.where(random, rng.integers(0, BITS, BIT_LANES), greedy)
        buffer.add(ours.stored(world.step(actions), online=True))
        if step < 20:
            continue
        for _ in range(BIT_LANES):
            batch = ours.sampled(sampler.draw())
            after = batch["next_observations"]
            paid, reached = batch["rewards"], (after[:, :BITS] == after[:, BITS:]).all(dim=1)
            with torch.no_grad():
                best = target(after).max(dim=1, keepdim=True).values
                aim = (paid + 0.98 * (1.0 - reached[:, None].float()) * best).clamp(-50.0, 0.0)
            found = values(batch["observations"]).gather(1, batch["actions"].long())
            loss = torch.nn.functional.mse_loss(found, aim)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            with torch.no_grad():
                for slow, fast in zip(target.parameters(), values.parameters(), strict=True):
                    slow.lerp_(fast, 0.02)
    return _success(values, seed)


def _network() -> Any:
    import torch

    return torch.nn.Sequential(
        torch.nn.Linear(2 * BITS, 256), torch.nn.ReLU(), torch.nn.Linear(256, BITS)
    )


def _greedy(values: Any, seen: Any) -> Any:
    import torch

    with torch.no_grad():
        return values(torch.from_numpy(seen)).argmax(dim=1).numpy()


def _success(values: Any, seed: int, n: int = 500) -> float:
    """Share of goals that are reached within n steps."""
    rng = np.random.default_rng(seed + 10_000)
    bits, goal = rng.integers(0, 2, (2, n, BITS))
    reached = (bits == goal).all(axis=1)
    for _ in range(BITS):
        actions = _greedy(values, np.hstack([bits, goal]).astype(np.float32))
        moving = ~reached
        bits[np.flatnonzero(moving), actions[moving]] ^= 1
        reached |= (bits == goal).all(axis=1)
    return float(reached.mean())


def trading(kind: str, k: float, seed: int) -> dict[str, float]:
    """Success, distance and reward over nine goals on later bars."""
    import torch

    torch.set_num_threads(1)
    from offline_trader.envs import EnvConfig, GoalLanes, make_simulator
    from offline_trader.goals import GoalTask
    from offline_trader.learning.settings import OnlineConfig
    from offline_trader.learning.stages import finetune
    from offline_trader.pipeline.goal_training import GoalValidator

    env = EnvConfig(market=("sp500",), end="2012-12-31")
    task: Any = GoalTask(kind)  # type: ignore[arg-type]
    lanes = GoalLanes(make_simulator(env, 16, seed), task, seed)
    learner = _scaled_learner(lanes, seed)
    finetune(learner, lanes, None, OnlineConfig(**ONLINE, hindsight=k), seed=seed)
    later = EnvConfig(
        market=("sp500",), start="2013-01-01", end="2014-12-31", episode_bars=None,
        random_start=False,
    )  # fmt: skip
    return dict(GoalValidator(later, task)(learner))


def _scaled_learner(lanes: Any, seed: int) -> Any:
    """A fresh SAC learner with scales of random steps."""
    from offline_trader.learning.agents import make_learner
    from offline_trader.learning.data import Preprocessing
    from offline_trader.learning.settings import LearnerConfig

    rng = np.random.default_rng(seed)
    rows = [lanes.reset().copy()]
    for _ in range(200):
        rows.append(np.array(lanes.step(rng.uniform(-1, 1, (len(rows[0]), 1))).observations))
    seen = np.concatenate(rows)
    spread = seen.std(axis=0).astype(float)
    scales = Preprocessing(seen.mean(axis=0).astype(float), np.maximum(spread, 1e-3), None, 0.95)
    return make_learner(LearnerConfig(**LEARNER), seen.shape[1], scales, seed)


def speed(both: bool, seed: int) -> dict[str, float]:
    """Processor seconds of 8,000 steps with an update each, with hindsight and curiosity or not."""
    import torch

    torch.set_num_threads(1)
    from offline_trader.envs import EnvConfig, GoalLanes, make_simulator
    from offline_trader.goals import GoalTask
    from offline_trader.learning.settings import CuriosityConfig, OnlineConfig
    from offline_trader.learning.stages import finetune

    env = EnvConfig(market=("sp500",), end="2012-12-31")

    def train(steps: int) -> float:
        simulator = make_simulator(env, 16, seed)
        lanes: Any = GoalLanes(simulator, GoalTask("exposure"), seed) if both else simulator
        learner = _scaled_learner(lanes, seed)
        settings = {**ONLINE, "steps": steps, "update_ratio": 1.0}
        curiosity = CuriosityConfig(weight=0.1 if both else 0.0)
        begun = time.process_time()
        finetune(learner, lanes, None, OnlineConfig(**settings, curiosity=curiosity), seed=seed)
        return time.process_time() - begun

    train(1_500)
    return {"seconds": train(8_000)}


def sampling() -> dict[str, Any]:
    """Seconds of a batch of 256, ours and theirs in turns, and bytes at a million rows."""
    import stable_baselines3
    import torch
    from stable_baselines3.common.vec_env import DummyVecEnv
    from stable_baselines3.her.her_replay_buffer import HerReplayBuffer

    torch.set_num_threads(1)
    from offline_trader.envs import EnvConfig, GoalLanes, GoalTradingEnv, make_simulator
    from offline_trader.goals import GoalTask
    from offline_trader.learning.data import FACTS, RingBuffer, RowLayout, Sampler
    from offline_trader.learning.settings import OnlineConfig
    from offline_trader.learning.stages.goal_rows import hindsight_of

    settings: dict[str, Any] = {"end": "2012-12-31"}
    theirs_env = DummyVecEnv(
        [lambda: GoalTradingEnv("sp500", goal={"kind": "exposure"}, **settings)]
    )
    theirs = HerReplayBuffer(
        ROWS, theirs_env.observation_space, theirs_env.action_space, theirs_env, device="cpu",
        n_sampled_goal=int(K),
    )  # fmt: skip
    lanes = GoalLanes(
        make_simulator(EnvConfig(market=("sp500",), **settings), 1), GoalTask("exposure")
    )
    learner = _scaled_learner(lanes, 0)
    ours = hindsight_of(learner, lanes, OnlineConfig(buffer_size=ROWS), 0)
    layout = RowLayout(lanes.goal_column + 1, 1, FACTS)
    buffer = RingBuffer(ROWS, layout, learner.preprocessing)
    _fill(theirs, theirs_env, ours, buffer, lanes)
    sampler = Sampler(buffer, batch_size=BATCH, seed=0)
    times: dict[str, list[float]] = {"ours": [], "theirs": []}
    for _ in range(REPEATS):
        begun = time.perf_counter()
        ours.sampled(sampler.draw())
        between = time.perf_counter()
        theirs.sample(BATCH)
        times["ours"].append(between - begun)
        times["theirs"].append(time.perf_counter() - between)
    # a million rows, and the numbers of step and episode of each, 8 bytes
    largest = LARGEST * (layout.width * 4 + 2 * 8) + (LARGEST + 32) * 8
    return {
        "ours": statistics.median(times["ours"][50:]),
        "theirs": statistics.median(times["theirs"][50:]),
        "bytes": largest,
        "peer": f"stable-baselines3 {stable_baselines3.__version__}",
    }


def _fill(theirs: Any, theirs_env: Any, ours: Any, buffer: Any, lanes: Any) -> None:
    """Both buffers with random steps."""
    rng = np.random.default_rng(0)
    seen, wide = theirs_env.reset(), lanes.reset().copy()
    for _ in range(ROWS):
        action = rng.uniform(-1, 1, (1, 1)).astype(np.float32)
        after, rewards, dones, infos = theirs_env.step(action)
        following = infos[0].get("terminal_observation") if dones[0] else None
        final = {k: v[None] for k, v in following.items()} if following is not None else after
        theirs.add(seen, final, action, rewards, dones, infos)
        seen = after
        done = lanes.step(action)
        ended = done.terminated | done.truncated
        row = {
            "observations": wide,
            "next_observations": np.where(
                ended[:, None], lanes.final_observations, done.observations
            ),
            "actions": action,
            "rewards": done.rewards,
            "raw_rewards": done.rewards,
            "terminals": done.terminated,
            "timeouts": done.truncated,
        }
        buffer.add(ours.stored(row, online=True))
        wide = np.array(done.observations)


def part(words: list[str]) -> Any:
    """One measurement by its words."""
    name, *rest = words
    if name == "bits":
        return {"success": bit_flip(float(rest[0]), int(rest[1]))}
    if name == "trading":
        return trading(rest[0], float(rest[1]), int(rest[2]))
    if name == "speed":
        return speed(rest[0] == "both", int(rest[1]))
    return sampling()


def found_of(cache: Finished, *words: object) -> Any:
    """The part, measured now in a process of its own if it is not there."""

    def measured() -> Any:
        found = own_process("her", *words)
        print(*words, json.dumps(found), file=sys.stderr, flush=True)
        return found

    return cache.get([*map(str, words), LEARNER, ONLINE], measured)


def main() -> None:
    """Measure and publish."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", nargs="+", metavar="PART")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--cache", type=Path, help="finished parts, JSON lines")
    args = parser.parse_args()
    if args.run:
        print(json.dumps(part(args.run)))
        return
    seeds, measured = args.seeds, partial(found_of, Finished(args.cache))
    drawn = measured("sampling")
    turns = [(measured("speed", "both", s), measured("speed", "none", s)) for s in seeds]
    bits = {
        name: [measured("bits", k, seed)["success"] for seed in seeds]
        for name, k in {"hindsight": K, "plain replay": 0.0}.items()
    }
    traded = {
        (kind, k): [measured("trading", kind, k, seed) for seed in seeds]
        for kind in ("exposure", "return")
        for k in (K, 0.0)
    }
    figures = [*_learned(bits, traded), *_costs(turns, drawn)]
    facts = {
        "settings": {"learner": LEARNER, "online": ONLINE, "k": K, "bits": BITS, "rows": ROWS},
        "bits": bits,
        "trading": {f"{kind}, k = {k:g}": rows for (kind, k), rows in traded.items()},
        "speed": turns,
        "sampling": drawn,
    }
    publish("her", figures, seeds=seeds, facts=facts)


def _learned(bits: Any, traded: Any) -> list[Figure]:
    targets = {
        "hindsight": ("≥ 0.95", min(bits["hindsight"]) >= 0.95),
        "plain replay": ("near 0", max(bits["plain replay"]) <= 0.05),
    }
    figures = [
        Figure(f"bit-flip of {BITS}, {name}: success", statistics.mean(found), "share",
               (min(found), max(found)), target=targets[name][0], holds=targets[name][1])
        for name, found in bits.items()
    ]  # fmt: skip
    for (kind, k), rows in traded.items():
        for measure in ("goal_success", "goal_error"):
            found = [row[measure] for row in rows]
            told = measure.removeprefix("goal_")
            how = "hindsight" if k else "plain replay"
            figures.append(
                Figure(f"{kind}, {how}: {told}", statistics.mean(found), "share",
                       (min(found), max(found)))
            )  # fmt: skip
    return figures


def _costs(turns: Any, drawn: Any) -> list[Figure]:
    ratios = [none["seconds"] / both["seconds"] for both, none in turns]
    ours = drawn["ours"]
    return [
        Figure("sampling 256", ours, "s", peer=drawn["peer"], ratio=drawn["theirs"] / ours,
               target="< 0.5 ms", holds=ours < 5e-4),
        Figure("buffer of 1,000,000", drawn["bytes"] / 1e9, "GB", target="< 2",
               holds=drawn["bytes"] < 2e9),
        Figure("speed with hindsight and curiosity, of that with neither",
               statistics.median(ratios), "share", (min(ratios), max(ratios)), target="≥ 0.6",
               holds=statistics.median(ratios) >= 0.6),
    ]  # fmt: skip


if __name__ == "__main__":
    main()
