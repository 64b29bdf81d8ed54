"""A stage, an agent and a transform that this file alone knows go through the toolkit's line."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from offline_trader.errors import ConfigError
from offline_trader.evaluation.backtest.walk import backtests
from offline_trader.features import compute_features
from offline_trader.learning.agents import AGENTS, Agent, Learner, make_agent, make_learner
from offline_trader.learning.data import (
    TRANSFORMS,
    Batch,
    Columns,
    Preprocessing,
    Scaler,
    Transform,
    TransformChain,
    Transitions,
    fit_reward_scale,
    pack,
)
from offline_trader.learning.settings import (
    ALGORITHMS,
    AgentConfig,
    CloneConfig,
    LearnerConfig,
    OfflineConfig,
    OnlineConfig,
)
from offline_trader.learning.stages import STAGES, Stage, StageData, StageResult, train_offline
from offline_trader.learning.stages.results import Checkpoint, Evaluate, Log
from offline_trader.markets import BarRange, Bars, load_market
from offline_trader.simulator import MarketTensor, Simulator, SimulatorConfig
from offline_trader.simulator.side_by_side import SideRun
from offline_trader.types import BoolArray, LanePolicy, Observations, Policy

GRID = np.stack([np.linspace(-1, 1, 101), np.zeros(101)], axis=1).astype(np.float32)
"""Observations of :class:`tests.learning.conftest.TargetLanes`; the best action is 0.8 x."""


@dataclass(frozen=True)
class LinearConfig(AgentConfig):
    """A linear policy, improved by finite differences of its fit to well rewarded actions."""

    algorithm: str = "linear"
    step: float = 0.1
    memory: float = 0.0


class LinearPolicy:
    """``a = tanh(w·s + memory · h)``, h a lane's last action."""

    def __init__(self, weights: NDArray[np.float64], memory: float, scales: Preprocessing) -> None:
        self.weights, self.memory, self._scales = weights, memory, scales
        self.lanes = np.zeros(0)

    def restart(self, lanes: BoolArray) -> None:
        if len(self.lanes) != len(lanes):
            self.lanes = np.zeros(len(lanes))
        self.lanes[lanes] = 0.0

    def __call__(self, observations: Observations) -> NDArray[np.float32]:
        seen = self._scales.observations(observations)
        before = self.memory * self.lanes if self.memory else 0.0
        actions = np.tanh(seen @ self.weights + before)
        if self.memory:
            self.lanes = actions
        return actions.astype(np.float32)[:, None]


class LinearAgent:
    """The weights climb ``Σ r (a_w(s) − a)²`` of a batch by central differences: towards actions
    that were rewarded above average, away from the others."""

    columns: tuple[tuple[str, int], ...] = (("noise", 1),)
    learns_online = True

    def __init__(
        self,
        config: LinearConfig,
        observation_size: int,
        scaler: Scaler | None = None,
        seed: int = 0,
        *,
        action_size: int = 1,
    ) -> None:
        self.config, self.action_size = config, action_size
        mean, scale = np.zeros(observation_size), np.ones(observation_size)
        if scaler is not None:
            mean, scale = scaler.mean, scaler.scale
        self.preprocessing = Preprocessing(mean, scale, None, config.gamma)
        self.weights = np.random.default_rng(seed).normal(0.0, 0.01, observation_size)
        self.restarted: list[int] = []
        self.rate = 1.0
        self._exploring = self._deterministic()
        self._noise = np.zeros(0)
        self._losses: list[float] = []

    def _deterministic(self) -> LinearPolicy:
        return LinearPolicy(self.weights, self.config.memory, self.preprocessing)

    def policy(self) -> LanePolicy:
        return self._deterministic()

    def sample(self, observations: Observations, generator: torch.Generator) -> Any:
        self._noise = 0.5 * torch.randn(len(observations), generator=generator).numpy()
        chosen = self._exploring(observations) + self._noise[:, None]
        return np.clip(chosen, -1.0, 1.0).astype(np.float32)

    def noted(self) -> Mapping[str, NDArray[Any]]:
        return {"noise": self._noise}

    def restart(self, lanes: BoolArray) -> None:
        self.restarted.append(int(lanes.sum()))
        self._exploring.restart(lanes)

    def fit_reward_scale(self, rewards: NDArray[np.floating[Any]]) -> None:
        if self.preprocessing.reward is None:
            scale = fit_reward_scale(rewards, self.config.reward_scaling)
            old = self.preprocessing
            self.preprocessing = Preprocessing(old.mean, old.scale, scale, old.gamma)

    def set_pace(self, target_entropy: float, rate: float) -> None:
        self.rate = rate  # it has no temperature

    def update(self, batches: Iterable[Batch], *, train_actor: bool = True) -> None:
        for batch in batches:
            seen = batch["observations"].numpy()
            taken, rewards = batch["actions"].numpy()[:, 0], batch["rewards"].numpy()[:, 0]
            worth = rewards - rewards.mean()

            def gain(w: NDArray[np.float64], seen: Any = seen, taken: Any = taken,
                     worth: Any = worth) -> float:  # fmt: skip
                return float(-np.mean(worth * (np.tanh(seen @ w) - taken) ** 2))

            for i in range(len(self.weights) if train_actor else 0):
                nudge = np.zeros(len(self.weights))
                nudge[i] = 1e-4
                slope = (gain(self.weights + nudge) - gain(self.weights - nudge)) / 2e-4
                self.weights[i] += self.rate * self.config.step * slope
            self._losses.append(-gain(self.weights))

    def metrics(self) -> Mapping[str, float]:
        mean, self._losses = float(np.mean(self._losses or [0.0])), []
        return {"loss": mean}

    def snapshot(self) -> dict[str, Any]:
        return {"weights": torch.from_numpy(self.weights.copy())}

    def restore(self, snapshot: Mapping[str, Any]) -> None:
        self.weights[:] = snapshot["weights"].numpy()

    def state_dict(self) -> dict[str, Any]:
        reward = self.preprocessing.reward
        return {
            **self.snapshot(),
            "lanes": torch.from_numpy(self._exploring.lanes.copy()),
            "losses": list(self._losses),
            "reward": None if reward is None else [reward.mean, reward.scale],
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        from offline_trader.learning.data import RewardScale

        self.restore(state)
        self._exploring.lanes = state["lanes"].numpy().copy()
        self._losses = list(state["losses"])
        old, reward = self.preprocessing, state["reward"]
        scale = None if reward is None else RewardScale(*reward)
        self.preprocessing = Preprocessing(old.mean, old.scale, scale, old.gamma)


class Doubled:
    """Stores the number of the step in every row, and doubles the rewards that are sampled."""

    columns: tuple[tuple[str, int], ...] = (("number", 1),)

    def __init__(self, agent: Agent, lanes: Any) -> None:
        self.steps = 0
        self.raw: list[torch.Tensor] = []

    def stored(self, columns: Columns, *, online: bool) -> Columns:
        count = len(columns["rewards"])
        number = np.full(count, float(self.steps) if online else -1.0)
        self.steps += int(online)
        without = {} if online else {"noise": np.zeros(count)}
        return {**columns, **without, "number": number}

    def sampled(self, batch: Batch) -> Batch:
        self.raw.append(batch["raw_rewards"].clone())
        assert len(batch.drawn) in (1, 2)
        for part in batch.drawn:
            rows = part.source.values.index_select(0, part.indices)
            assert torch.equal(rows, batch.matrix[part.rows])
        batch["rewards"].mul_(2.0)
        return batch

    def metrics(self) -> Mapping[str, float]:
        return {"number": float(self.steps)}

    def state_dict(self) -> dict[str, Any]:
        return {"steps": self.steps}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.steps = int(state["steps"])


@dataclass(frozen=True)
class AverageConfig:
    rounds: int = 3


@dataclass(frozen=True)
class AverageStage:
    """Averages an agent's policy with what it was, round after round."""

    Config: ClassVar[type[AverageConfig]] = AverageConfig
    needs: ClassVar[tuple[str, ...]] = ()
    config: AverageConfig = field(default_factory=AverageConfig)

    @property
    def steps(self) -> int:
        return self.config.rounds

    def fit(
        self,
        agent: Agent,
        data: StageData,
        log: Log | None = None,
        evaluate: Evaluate | None = None,
        checkpoint: Checkpoint | None = None,
        *,
        seed: int = 0,
        resume: Mapping[str, Any] | None = None,
    ) -> StageResult:
        for step in range(0 if resume is None else int(resume["step"]), self.config.rounds):
            before = agent.snapshot()
            agent.restore({"weights": before["weights"] * 0.5})
            if log is not None:
                log(step + 1, {"average/round": float(step)})
            if checkpoint is not None:
                checkpoint(step + 1, {"step": step + 1, "agent": agent.state_dict()})
        return StageResult(self.config.rounds)


@pytest.fixture(autouse=True)
def plugged() -> Iterator[None]:
    """Everything in this file, registered: one line each."""
    ALGORITHMS.register("linear", LinearConfig)
    AGENTS.register("linear", LinearAgent)
    TRANSFORMS.register("doubled", Doubled)
    STAGES.register("average", AverageStage)
    yield
    ALGORITHMS.remove("linear")
    AGENTS.remove("linear")
    TRANSFORMS.remove("doubled")
    STAGES.remove("average")


def linear(**settings: Any) -> LinearAgent:
    config = AgentConfig(algorithm="linear", **{"batch_size": 32, "step": 0.2, **settings})
    made = make_agent(config, 2, None, 0)
    assert isinstance(made, LinearAgent)
    return made


def regret(policy: Policy) -> float:
    """Mean square distance from the best action."""
    if isinstance(policy, LinearPolicy):
        policy.restart(np.ones(len(GRID), bool))
    return float(np.mean((policy(GRID)[:, 0] - 0.8 * GRID[:, 0]) ** 2))


def online(**settings: Any) -> Any:
    return STAGES["online"](
        OnlineConfig(**{"steps": 1_600, "warmup_steps": 64, "critic_updates": 0, **settings})
    )


def test_an_agent_of_ones_own_learns_in_the_online_loop(target_lanes: Any) -> None:
    agent = linear()
    before = regret(agent.policy())
    rows: dict[int, Mapping[str, float]] = {}
    # recent steps alone: it learns on its policy
    config = {"log_interval": 400, "evaluate_interval": 400, "buffer_size": 64, "steps": 4_000}
    result = online(**config).fit(
        agent,
        StageData(lanes=target_lanes()),
        lambda step, values: rows.update({step: {**rows.get(step, {}), **values}}),
        lambda policy: {"score": -regret(policy)},
    )
    assert regret(agent.policy()) < 0.2 * before
    assert result.kept == "best"
    assert result.updates > 300
    assert "online/loss" in rows[400]


def test_its_settings_are_a_class_of_their_own() -> None:
    assert isinstance(AgentConfig(algorithm="linear"), LinearConfig)
    with pytest.raises(ConfigError, match="hidden: linear does not use it"):
        linear(hidden=(8,))
    with pytest.raises(ConfigError, match="step: cql does not use it"):
        LearnerConfig(step=1.0)  # type: ignore[call-arg]
    with pytest.raises(ConfigError, match="algorithm='linear' in LearnerConfig"):
        LearnerConfig(algorithm="linear")


def test_the_agent_is_told_which_lanes_begin_anew_and_keeps_their_state(bars: Bars) -> None:
    market = market_of(bars)
    agent = make_agent(
        AgentConfig(algorithm="linear", memory=0.9, batch_size=32),  # type: ignore[call-arg]
        market.layout.size,
    )
    assert isinstance(agent, LinearAgent)
    lanes = Simulator(market, n_lanes=4, episode_bars=10, random_start=True)
    online(steps=4 * 25, update_ratio=0.0).fit(agent, StageData(lanes=lanes))
    assert agent.restarted == [4, 4, 4]  # at the start, after 10 bars and after 20
    lanes_of = agent.state_dict()["lanes"]
    assert lanes_of.shape == (4,)
    assert lanes_of.abs().min() > 0.0


def test_a_policy_with_states_of_lanes_is_judged_a_lane_a_run(bars: Bars) -> None:
    agent = make_agent(
        AgentConfig(algorithm="linear", memory=0.9),  # type: ignore[call-arg]
        market_of(bars).layout.size,
    )
    rules = SimulatorConfig(action_mode="target_long_short")
    runs = [SideRun(market_of(bars.slice(0, stop)), rules) for stop in (400, 600)]
    together = backtests(agent.policy(), runs)
    for run, one in zip(runs, together, strict=True):
        alone = backtests(agent.policy(), [run])[0]
        np.testing.assert_allclose(one.actions, alone.actions, rtol=1e-6, atol=1e-9)
    policy = agent.policy()
    again = [backtests(policy, runs[:1])[0].actions for _ in range(2)]
    np.testing.assert_array_equal(again[0], again[1])


def market_of(bars: Bars) -> MarketTensor:
    features = compute_features(bars)
    return MarketTensor.from_bars([bars], [features], [BarRange(features.warmup, len(bars))])


@pytest.fixture(scope="module")
def bars() -> Bars:
    return load_market("synthetic:walk?bars=600&seed=3")


def test_a_transform_sees_raw_and_scaled_rewards_and_changes_what_is_learned_from(
    target_lanes: Any, uniform_data: Transitions
) -> None:
    agent = linear(reward_scaling="standard")
    made: list[Doubled] = []

    def make(agent: Agent, lanes: Any) -> Doubled:
        made.append(Doubled(agent, lanes))
        return made[-1]

    TRANSFORMS.register("kept", make)
    try:
        rows: list[Mapping[str, float]] = []
        online(steps=400, transforms=("kept",), offline_share=0.5).fit(
            agent,
            StageData(lanes=target_lanes(), transitions=uniform_data),
            lambda step, values: rows.append(values),
        )
    finally:
        TRANSFORMS.remove("kept")
    assert made[0].steps == 400 // 8
    assert rows[-1]["online/number"] == 50.0
    raw = torch.cat(made[0].raw)
    assert raw.max() <= 0.0  # squares, negated: not yet centred


def test_rows_without_a_column_that_the_lanes_have_are_refused(
    target_lanes: Any, uniform_data: Transitions
) -> None:
    with pytest.raises(ConfigError, match="offline data without noise"):
        online().fit(linear(), StageData(lanes=target_lanes(), transitions=uniform_data))
    with pytest.raises(ConfigError, match="unknown transform 'doubledd'"):
        online(transforms=("doubledd",)).fit(linear(), StageData(lanes=target_lanes()))


def test_a_transform_of_the_offline_data_is_packed(uniform_data: Transitions) -> None:
    transform: Transform = Doubled(linear(), None)
    data, further = TransformChain([transform]).dataset(uniform_data)
    assert data is uniform_data
    scales = Preprocessing(np.zeros(2), np.ones(2), fit_reward_scale(data.rewards, "standard"), 0.9)
    rows = pack(data, scales, further=further)
    where = rows.layout.slices()
    np.testing.assert_array_equal(rows.values[:, where["raw_rewards"]][:, 0], data.rewards)
    np.testing.assert_array_equal(rows.values[:, where["timeouts"]][:, 0], data.timeouts)
    assert set(rows.values[:, where["number"]].flatten().tolist()) == {-1.0}
    assert not np.array_equal(rows.values[:, where["rewards"]][:, 0], data.rewards)


class Replayed:
    """Replays every transition of the offline data ``times`` over with other actions, whose
    rewards it knows: the bandit of :class:`tests.learning.conftest.TargetLanes`."""

    columns: tuple[tuple[str, int], ...] = ()

    def __init__(self, times: int) -> None:
        self._times = times
        self.rows: set[int] = set()

    def stored(self, columns: Columns, *, online: bool) -> Columns:
        again = {name: np.concatenate([column] * self._times) for name, column in columns.items()}
        drawn = np.random.default_rng(0).uniform(-1.0, 1.0, again["actions"].shape)
        rewards = -((drawn - 0.8 * again["observations"][:, :1]) ** 2)[:, 0]
        count = len(drawn)
        return {
            **again,
            "actions": drawn.astype(np.float32),
            "rewards": rewards,
            "raw_rewards": rewards,
            "episode_ids": np.arange(count),
        }

    def sampled(self, batch: Batch) -> Batch:
        self.rows |= {part.source.count for part in batch.drawn}
        return batch

    def metrics(self) -> Mapping[str, float]:
        return {}

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        pass


def test_offline_training_learns_from_replays_that_the_data_lack(uniform_data: Transitions) -> None:
    idle = replace(
        uniform_data,
        actions=np.zeros_like(uniform_data.actions),
        rewards=-((0.8 * uniform_data.observations[:, 0]) ** 2),
    )
    config = OfflineConfig(critic_updates=0, updates=400, evaluate_interval=0)
    found = {}
    for times in (0, 3):
        learner = make_learner(
            LearnerConfig(
                algorithm="sac", hidden=(32, 32), batch_size=64, actor_lr=3e-3, critic_lr=3e-3
            ),
            2,
        )
        replayed = Replayed(times)
        train_offline(learner, idle, config, transforms=[replayed] if times else [])
        found[times] = regret(learner.act)
        assert replayed.rows == ({3 * len(idle)} if times else set())
    assert found[3] < 0.05 < found[0]


def test_an_offline_transform_is_named_logged_and_resumed(uniform_data: Transitions) -> None:
    config = OfflineConfig(
        critic_updates=4, updates=8, transforms=("doubled",), checkpoint_interval=6, log_interval=4
    )
    rows: list[Mapping[str, Any]] = []
    states: dict[int, dict[str, Any]] = {}

    def fit(**further: Any) -> Learner:
        learner = make_learner(LearnerConfig(hidden=(8, 8), batch_size=32), 2)
        STAGES["offline"](config).fit(learner, StageData(transitions=uniform_data), **further)
        return learner

    def keep(step: int, state: dict[str, Any]) -> None:
        states[step] = copy.deepcopy(state)

    whole = fit(log=lambda _, values: rows.append(values), checkpoint=keep)
    assert [row["offline/number"] for row in rows] == [0.0, 0.0, 0.0]
    assert states[6]["transforms"] == [{"steps": 0}]
    assert np.array_equal(whole.act(GRID), fit(resume=states[6]).act(GRID))
    with pytest.raises(ConfigError, match="a checkpoint with 0 transforms"):
        fit(resume={**states[6], "transforms": []})


def test_a_resumed_agent_and_transform_go_on_to_the_same_bytes(
    target_lanes: Any, tmp_path: Path
) -> None:
    stage = online(steps=800, transforms=("doubled",), checkpoint_interval=400)

    def keep(step: int, state: dict[str, Any]) -> None:
        torch.save(state, tmp_path / f"{step}.pt")

    whole = linear(memory=0.5)
    stage.fit(whole, StageData(lanes=target_lanes()), checkpoint=keep, seed=4)
    resumed = linear(memory=0.5)
    state = torch.load(tmp_path / "400.pt", weights_only=True)
    stage.fit(resumed, StageData(lanes=target_lanes()), checkpoint=keep, seed=4, resume=state)
    np.testing.assert_array_equal(whole.weights, resumed.weights)
    assert whole.state_dict()["lanes"].tolist() == resumed.state_dict()["lanes"].tolist()


def test_a_stage_of_ones_own_is_found_by_its_name() -> None:
    agent = linear()
    agent.weights[:] = 8.0
    states: list[dict[str, Any]] = []
    stage: Stage = STAGES["average"](STAGES["average"].Config(rounds=3))
    result = stage.fit(agent, StageData(), checkpoint=lambda _, state: states.append(state))
    assert (result.updates, len(states)) == (3, 3)
    assert agent.weights.tolist() == [1.0, 1.0]
    stage.fit(agent, StageData(), resume=states[1])
    assert agent.weights.tolist() == [0.5, 0.5]
    with pytest.raises(ConfigError, match="did you mean 'average'"):
        STAGES["averag"]


def test_the_built_in_stages_are_found_by_their_names_and_say_what_they_need(
    uniform_data: Transitions,
) -> None:
    assert {"clone", "direct", "offline", "online"} <= set(STAGES)
    learner = make_learner(LearnerConfig(hidden=(8, 8), batch_size=32), 2)
    agent: Agent = learner
    data = StageData(transitions=uniform_data)
    cloned = STAGES["clone"](CloneConfig(updates=20)).fit(agent, data)
    trained = STAGES["offline"](OfflineConfig(critic_updates=5, updates=5)).fit(agent, data)
    assert (cloned.updates, trained.updates) == (20, 10)
    for name, lacking in (("clone", "transitions"), ("direct", "market"), ("online", "lanes")):
        stage = STAGES[name](STAGES[name].Config())
        with pytest.raises(ConfigError, match=lacking):
            stage.fit(agent, StageData())
    for name in ("clone", "direct", "offline"):
        with pytest.raises(ConfigError, match="expected: a d3rlpy algorithm"):
            STAGES[name](STAGES[name].Config()).fit(linear(), data)
    assert isinstance(learner.policy(), Learner)
