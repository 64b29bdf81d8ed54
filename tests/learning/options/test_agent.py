"""The controller's training: whole options as rows, values where they are known, resuming."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from offline_trader.errors import ConfigError, DataError
from offline_trader.hashing import bytes_sha256
from offline_trader.learning.agents import Learner, make_learner
from offline_trader.learning.options import (
    OPTIONS,
    Lane,
    OptionsAgent,
    OptionsPolicy,
    Seen,
    WholeOptions,
    load_options_agent,
)
from offline_trader.learning.settings import LearnerConfig, OnlineConfig, OptionsConfig
from offline_trader.learning.stages.online import finetune
from offline_trader.pipeline.phases import _canonical
from offline_trader.simulator import SimulatorConfig
from offline_trader.types import BoolArray, FloatArray, ObservationLayout, Observations

LAYOUT = ObservationLayout(("x",), "test")
SIZE = LAYOUT.size
RULES = SimulatorConfig()


class Steady:
    """Asks for one action for three bars, whatever is seen."""

    space = "action"

    def __init__(self, action: float) -> None:
        self.action = action

    def can_start(self, seen: Seen) -> Tensor:
        return torch.ones_like(seen["x"], dtype=torch.bool)

    def remember(self, seen: Seen, lane: Lane) -> Tensor:
        return lane.memory

    def ends(self, seen: Seen, lane: Lane) -> Tensor:
        return lane.age >= 3.0

    def act(self, seen: Seen, lane: Lane) -> Tensor:
        return torch.full_like(lane.age, self.action)


@pytest.fixture(autouse=True)
def options() -> Iterator[None]:
    for name, action in (("gain", 1.0), ("lose", -1.0)):
        OPTIONS.register(name, lambda around, a=action: Steady(a))  # type: ignore[misc,arg-type]
    yield
    OPTIONS.remove("gain")
    OPTIONS.remove("lose")


@dataclass
class Step:
    observations: Observations
    rewards: FloatArray
    terminated: BoolArray
    truncated: BoolArray


class PayLanes:
    """The reward is the action; episodes are cut off after 40 steps."""

    def __init__(self, lanes: int = 8) -> None:
        self.n, self.bar = lanes, 0
        self.final_observations: Observations = np.zeros((lanes, SIZE), np.float32)

    def reset(self) -> Observations:
        return np.zeros((self.n, SIZE), np.float32)

    def step(self, actions: NDArray[np.float32]) -> Step:
        self.bar += 1
        cut = np.full(self.n, self.bar % 40 == 0)
        none = np.zeros(self.n, np.bool_)
        seen = np.zeros((self.n, SIZE), np.float32)
        return Step(seen, actions[:, 0].astype(float), none, cut)

    def state_dict(self) -> dict[str, Any]:
        return {"bar": np.array(self.bar)}

    def load_state_dict(self, state: Any) -> None:
        self.bar = int(state["bar"])


def learner_of() -> Learner:
    return make_learner(LearnerConfig(algorithm="sac", hidden=(4,), gamma=0.9), SIZE)


def agent_of(method: str, **settings: Any) -> OptionsAgent:
    given: dict[str, Any] = {
        "exploration_steps": 1_000,
        "hidden": (16,),
        "tau": 0.1,
        "least_share": 0.0,
    }
    given |= {"learning_rate": 3e-3, "least_bars": 1, "deliberation": 0.01}
    config = OptionsConfig(("gain", "lose"), method, **{**given, **settings})  # type: ignore[arg-type]
    return OptionsAgent(learner_of(), config, LAYOUT, RULES)


def loop(method: str, **settings: Any) -> OnlineConfig:
    whole = ("whole_options",) if method == "smdp" else ()
    given: dict[str, Any] = {"steps": 6_000, "update_ratio": 0.15, "warmup_steps": 400}
    fixed: dict[str, Any] = {"offline_share": 0.0, "critic_updates": 0, "evaluate_interval": 0}
    return OnlineConfig(**{**given, **fixed, **settings}, transforms=whole)


@pytest.mark.parametrize("method", ["smdp", "option_critic"])
def test_values_are_those_that_are_known(method: str) -> None:
    """γ = .9 and 1 a bar for ever: Q(gain) = 10. Three bars of loss, then gain:
    Q(lose) = −2.71 + .729·10 = 4.58; ended as soon as may be, −1 + .9·10 = 8."""
    agent = agent_of(method, exploration=0.3)
    finetune(agent, PayLanes(), None, loop(method))
    scale = agent.preprocessing.reward
    assert scale is not None
    found = agent.chooser.anew(torch.zeros(1, SIZE))[0].detach().numpy() * scale.scale
    gain, lose = found
    assert gain == pytest.approx(10.0, rel=0.1)
    if method == "smdp":
        assert lose == pytest.approx(4.58, rel=0.15)
        return
    assert lose == pytest.approx(8.0, rel=0.15)
    betas = agent.chooser.betas(torch.zeros(1, SIZE), Lane(torch.ones(1), torch.zeros(1)))[0]
    assert betas[0] < 0.3  # what is best goes on
    assert betas[1] > 0.7  # what is not is ended


def test_the_bonus_rises_until_the_least_share_is_chosen() -> None:
    agent = agent_of("smdp", least_share=0.2, exploration=0.0, balance_rate=0.2)
    finetune(agent, PayLanes(), None, loop("smdp", update_ratio=0.1))
    told = agent.metrics()
    assert told["bonus_lose"] > 0.1
    assert told["bonus_gain"] == 0.0
    assert 0.1 < told["chosen_lose"] < 0.4


def rows_of(transform: WholeOptions, ages: list[float], **columns: list[Any]) -> dict[str, Any]:
    """One step: ages of the lanes, rewards, observations by one number."""
    count = len(ages)
    step: dict[str, Any] = {
        "observations": np.array(columns["at"], np.float32)[:, None],
        "next_observations": np.array(columns["to"], np.float32)[:, None],
        "actions": np.zeros((count, 1), np.float32),
        "rewards": np.array(columns["paid"], float),
        "raw_rewards": np.array(columns["paid"], float),
        "terminals": np.array(columns.get("over", [False] * count)),
        "timeouts": np.array(columns.get("cut", [False] * count)),
        "option": np.array(columns["option"], np.float32),
        "age_bars": np.array(ages, np.float32),
        "memory": np.zeros(count, np.float32),
        "bars": np.ones(count, np.float32),
    }
    return dict(transform.stored(step, online=True))


def test_an_option_is_one_row_from_where_it_began_to_where_the_next_does() -> None:
    """Lane 0: option 1 pays 1, 2, 4 over three bars, R = 1 + .9·2 + .81·4 = 6.04. Lane 1: option 0
    is terminated in its second bar: R = 5 + .9·7 = 11.3. Lane 0's next is cut off: no row."""
    agent = agent_of("smdp")
    agent._scales = replace(agent.preprocessing, gamma=0.9)
    transform = WholeOptions(agent)
    assert (
        len(
            rows_of(transform, [0, 0], at=[10, 20], to=[11, 21], paid=[1, 5], option=[1, 0])[
                "rewards"
            ]
        )
        == 0
    )
    found = rows_of(
        transform, [1, 1], at=[11, 21], to=[12, 22], paid=[2, 7], option=[1, 0], over=[False, True]
    )
    assert found["rewards"] == pytest.approx([11.3])
    assert (found["option"], found["bars"], found["terminals"]) == ([0.0], [2.0], [True])
    assert (found["observations"][0, 0], found["next_observations"][0, 0]) == (20.0, 22.0)
    saved = transform.state_dict()
    transform = WholeOptions(agent)
    transform.load_state_dict(saved)
    assert (
        len(
            rows_of(transform, [2, 0], at=[12, 30], to=[13, 31], paid=[4, 1], option=[1, 1])[
                "rewards"
            ]
        )
        == 0
    )
    found = rows_of(
        transform, [0, 1], at=[13, 31], to=[14, 32], paid=[9, 1], option=[0, 1], cut=[True, False]
    )
    assert found["rewards"] == pytest.approx([6.04])
    assert (found["option"], found["bars"], found["terminals"]) == ([1.0], [3.0], [False])
    assert (found["observations"][0, 0], found["next_observations"][0, 0]) == (10.0, 13.0)
    assert (
        len(
            rows_of(transform, [0, 2], at=[40, 32], to=[41, 33], paid=[1, 1], option=[1, 1])[
                "rewards"
            ]
        )
        == 0
    )
    assert agent.rows == 2


def test_whole_options_are_of_agents_with_options() -> None:
    with pytest.raises(ConfigError, match="without options"):
        WholeOptions(learner_of())  # type: ignore[arg-type]


@pytest.mark.parametrize("method", ["smdp", "option_critic"])
def test_a_resumed_training_ends_at_the_same_bytes(method: str) -> None:
    settings = loop(method, steps=1_200, checkpoint_interval=400)
    states: list[Any] = []

    def keep(step: int, state: dict[str, Any]) -> None:
        buffer = io.BytesIO()
        torch.save(_canonical(state), buffer)
        states.append(buffer.getvalue())

    def run(resume: Any = None) -> bytes:
        agent = agent_of(method)
        finetune(agent, PayLanes(), None, settings, checkpoint=keep, resume=resume)
        buffer = io.BytesIO()
        torch.save(_canonical(agent.state_dict()), buffer)
        return buffer.getvalue()

    whole = run()
    assert run(torch.load(io.BytesIO(states[1]), weights_only=True)) == whole
    assert states[2] == states[3]


def test_until_it_has_learned_it_is_the_policy_before_it() -> None:
    agent = agent_of("option_critic")
    assert agent.policy() is agent.learner
    before = agent.snapshot()
    finetune(agent, PayLanes(), None, loop("option_critic", steps=800))
    assert isinstance(agent.policy(), OptionsPolicy)
    agent.restore(before)
    assert agent.policy() is agent.learner


def test_a_controller_is_read_from_its_file_or_refused(tmp_path: Any) -> None:
    agent = agent_of("option_critic")
    agent.chooses = True
    file = tmp_path / "options.pt"
    torch.save(agent.snapshot(), file)
    made = (agent.learner, agent.settings, LAYOUT, RULES, 7)
    again = load_options_agent(file, bytes_sha256(file.read_bytes()), *made)
    for name, value in agent.snapshot()["chooser"].items():
        assert torch.equal(again.snapshot()["chooser"][name], value)
    with pytest.raises(DataError, match="changed or damaged"):
        load_options_agent(file, "0" * 64, *made)
    file.write_bytes(b"nothing")
    with pytest.raises(DataError, match="holds no controller"):
        load_options_agent(file, bytes_sha256(b"nothing"), *made)
    with pytest.raises(DataError, match="cannot be read"):
        load_options_agent(tmp_path / "none.pt", "0" * 64, *made)
