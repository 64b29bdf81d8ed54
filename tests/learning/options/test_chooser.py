"""The controller: what runs in a lane, for how long, and what it does."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from offline_trader.errors import ConfigError
from offline_trader.experts.spaces import to_actions
from offline_trader.features import observation_layout
from offline_trader.learning.agents import DeterministicActor, make_learner
from offline_trader.learning.options import (
    OPTIONS,
    Chooser,
    Lane,
    OptionsPolicy,
    Seen,
    Surroundings,
    fresh_state,
)
from offline_trader.learning.options.chooser import _as_action
from offline_trader.learning.options.rules import Close, OpenLong, Scalp, TrendFollow, Wait
from offline_trader.learning.settings import LearnerConfig, OptionsConfig
from offline_trader.simulator import SimulatorConfig
from offline_trader.types import ObservationLayout

LAYOUT = observation_layout()
SIZE = LAYOUT.size
SCALES = (np.zeros(SIZE), np.ones(SIZE))
NAMES = OptionsConfig().names


def chooser_of(names: tuple[str, ...] = NAMES, *, ending: bool = False, seed: int = 0) -> Chooser:
    torch.manual_seed(seed)
    return Chooser(names, LAYOUT, SimulatorConfig(), SCALES, (8,), ending=ending)


def prefer(chooser: Chooser, name: str) -> None:
    """Let the value of one option be far above the others'."""
    with torch.no_grad():
        for critic in chooser.critics:
            last: Any = list(critic.children())[-1]
            last.bias.zero_()
            last.bias[chooser.names.index(name)] = 100.0


def observed(rows: int = 1, **columns: float) -> Tensor:
    values = torch.zeros(rows, SIZE)
    for name, value in {"atr_14": 0.01, "rsi_14": 0.5, **columns}.items():
        values[:, LAYOUT.names.index(name)] = value
    return values


def seen(**columns: float) -> Seen:
    return Seen({name: i for i, name in enumerate(LAYOUT.names)}, observed(1, **columns))


def lane(age: float, memory: float = 0.0) -> Lane:
    return Lane(torch.tensor([age]), torch.tensor([memory]))


def test_what_may_not_begin_is_not_chosen_however_good_it_looks() -> None:
    chooser = chooser_of()
    prefer(chooser, "close")
    chooser.bonus[NAMES.index("close")] = 1e6
    _, flat, offered = chooser(observed(), fresh_state(1))
    assert NAMES[int(flat[0, 0])] != "close"
    assert offered[0].tolist() == [1.0, 0.0, 0.0, 0.0, 1.0]
    _, held, offered = chooser(observed(exposure=0.5), fresh_state(1))
    assert NAMES[int(held[0, 0])] == "close"
    assert offered[0].tolist() == [0.0, 1.0, 0.0, 0.0, 1.0]


def test_an_option_ends_by_the_state_come_to_and_the_next_begins_in_the_same_bar() -> None:
    """Wait takes 10 bars: it acts at ages 0 to 9, and at the eleventh another is chosen."""
    chooser = chooser_of()
    prefer(chooser, "wait")
    policy = OptionsPolicy(chooser)
    state, ages, options = None, [], []
    for bar in range(13):
        if bar == 4:
            prefer(chooser, "open_long")
        _, state, _ = policy.decide(observed().numpy(), state)
        options.append(NAMES[int(state[0, 0])])
        ages.append(int(state[0, 1]) - 1)
    assert options == ["wait"] * 10 + ["open_long"] * 3
    assert ages == [*range(10), 0, 1, 2]


def test_a_position_beyond_the_stop_ends_an_open_long_before_its_time() -> None:
    chooser = chooser_of()
    prefer(chooser, "close")
    running = torch.tensor([[0.0, 3.0, 0.0]])
    _, still, _ = chooser(observed(exposure=1.0, unrealised_return=-0.029), running)
    assert still[0].tolist() == [0.0, 4.0, 0.0]
    action, after, _ = chooser(observed(exposure=1.0, unrealised_return=-0.031), running)
    assert NAMES[int(after[0, 0])] == "close"
    assert action.item() == -1.0


def test_lanes_know_nothing_of_one_another() -> None:
    chooser = chooser_of(ending=True)
    rng = np.random.default_rng(0)
    rows = rng.normal(0.0, 0.5, (40, SIZE)).astype(np.float32)
    states = np.stack(
        [rng.integers(-1, 5, 40), rng.integers(1, 30, 40), rng.uniform(0, 0.1, 40)], axis=1
    ).astype(np.float32)
    policy = OptionsPolicy(chooser)
    together = policy.decide(rows, states)
    for i in range(len(rows)):
        alone = policy.decide(rows[i : i + 1], states[i : i + 1])
        for one, all_ in zip(alone, together, strict=True):
            np.testing.assert_allclose(one[0], all_[i], atol=1e-6)


def test_a_restart_forgets_the_lanes_that_it_names_alone() -> None:
    chooser = chooser_of()
    prefer(chooser, "wait")
    policy = OptionsPolicy(chooser)
    policy(observed(3).numpy())
    prefer(chooser, "open_long")
    policy.restart(np.array([False, True, False]))
    assert policy(observed(3).numpy())[:, 0].tolist() == [0.0, 1.0, 0.0]


def test_a_learned_termination_ends_an_option_above_one_half() -> None:
    chooser = chooser_of(ending=True)
    prefer(chooser, "open_long")
    assert chooser.endings is not None
    running = torch.tensor([[4.0, 2.0, 0.0]])
    _, after, _ = chooser(observed(), running)
    assert after[0, :2].tolist() == [4.0, 3.0]  # one in ten at the beginning
    with torch.no_grad():
        last: Any = list(chooser.endings.children())[-1]
        last.bias[4] = 1.0
    _, after, _ = chooser(observed(), running)
    assert after[0, :2].tolist() == [0.0, 1.0]
    chooser._least = 3.0
    _, after, _ = chooser(observed(), running)
    assert after[0, :2].tolist() == [4.0, 3.0]  # it has run two bars


def test_the_trend_is_left_below_the_channel_or_far_below_the_best_so_far() -> None:
    option = TrendFollow()
    assert option.can_start(seen(donchian_position_55=0.8)).item()
    assert not option.can_start(seen(donchian_position_55=0.79)).item()
    up = seen(donchian_position_20=0.01, exposure=1.0, unrealised_return=0.02)
    assert option.remember(up, lane(3.0, 0.05)).item() == pytest.approx(0.05)
    assert option.remember(up, lane(3.0, 0.01)).item() == pytest.approx(0.02)
    assert option.act(up, lane(3.0, 0.05)).item() == 1.0
    assert option.act(up, lane(3.0, 0.09)).item() == -1.0  # .07 below it, 6 ranges of .01
    assert option.act(seen(donchian_position_20=0.0), lane(3.0)).item() == -1.0
    assert not option.ends(up, lane(3.0)).item()
    assert option.ends(seen(), lane(3.0)).item()  # flat: it has sold
    assert not option.ends(seen(), lane(1.0)).item()  # its first order may fill at this bar
    assert option.ends(up, lane(60.0)).item()


def test_a_scalp_buys_a_part_and_takes_a_small_profit_or_loss() -> None:
    option, low = Scalp(), {"rsi_14": 0.3, "bollinger_position": 0.1}
    assert option.can_start(seen(**low)).item()
    assert not option.can_start(seen(**low, exposure=0.5)).item()
    assert not option.can_start(seen(rsi_14=0.3, bollinger_position=0.5)).item()
    assert option.act(seen(), lane(0.0)).item() == 0.5
    held = {"exposure": 0.5}
    assert option.act(seen(**held, unrealised_return=0.009), lane(2.0)).item() == 0.0
    assert option.act(seen(**held, unrealised_return=0.011), lane(2.0)).item() == -1.0
    assert option.act(seen(**held, unrealised_return=-0.011), lane(2.0)).item() == -1.0
    assert option.act(seen(**held), lane(5.0)).item() == -1.0
    assert option.ends(seen(), lane(3.0)).item()
    assert not option.ends(seen(**held), lane(6.0)).item()


def test_opening_waiting_and_closing_take_their_time() -> None:
    for option, bars in ((OpenLong(), 20.0), (Close(), 10.0), (Wait(), 10.0)):
        assert not option.ends(seen(), lane(bars - 1.0)).item()
        assert option.ends(seen(), lane(bars)).item()


@pytest.mark.parametrize("mode", ["order", "target_long", "target_long_short"])
@pytest.mark.parametrize("space", ["order", "target", "action"])
def test_what_options_say_becomes_what_an_expert_that_says_it_does(mode: str, space: str) -> None:
    rng = np.random.default_rng(0)
    said, exposure = rng.uniform(-1.2, 1.2, 500), rng.uniform(-0.2, 1.1, 500)
    said[:50] = 0.0
    rules = SimulatorConfig(action_mode=mode, max_position_pct=0.8)  # type: ignore[arg-type]
    wanted = to_actions(said, exposure, space, rules)  # type: ignore[arg-type]
    found = _as_action(torch.tensor(said), torch.tensor(exposure), space, rules)  # type: ignore[arg-type]
    low = 0.0 if mode == "target_long" else -1.0
    np.testing.assert_allclose(found.clamp(low, 1.0).numpy(), np.clip(wanted, low, 1.0), atol=1e-12)


def test_the_policy_learned_before_is_an_option() -> None:
    learner = make_learner(LearnerConfig(algorithm="sac", hidden=(8, 8)), SIZE)
    actor = DeterministicActor(learner)
    chooser = Chooser(
        ("policy", "wait"), LAYOUT, SimulatorConfig(), SCALES, (8,), ending=False, actor=actor
    )
    prefer(chooser, "policy")
    rows = np.random.default_rng(0).normal(0.0, 0.3, (20, SIZE)).astype(np.float32)
    action, _, _ = OptionsPolicy(chooser).decide(rows)
    np.testing.assert_allclose(action, learner.act(rows), atol=1e-6)


class Breakout:
    """An option of the user's own: a target weight above the channel."""

    space = "target"

    def can_start(self, seen: Seen) -> Tensor:
        return seen["donchian_position_20"] > 1.0

    def remember(self, seen: Seen, lane: Lane) -> Tensor:
        return lane.memory + 1.0

    def ends(self, seen: Seen, lane: Lane) -> Tensor:
        return lane.memory >= 3.0

    def act(self, seen: Seen, lane: Lane) -> Tensor:
        return torch.full_like(lane.age, 0.25)


@pytest.fixture
def breakout() -> Iterator[str]:
    OPTIONS.register("breakout", lambda around: Breakout())  # type: ignore[arg-type,return-value]
    yield "breakout"
    OPTIONS.remove("breakout")


def test_an_option_of_ones_own_plugs_in_by_name(breakout: str) -> None:
    chooser = chooser_of((breakout, "wait"))
    prefer(chooser, breakout)
    policy, state, options = OptionsPolicy(chooser), None, []
    for _ in range(5):
        action, state, _ = policy.decide(observed(donchian_position_20=1.5).numpy(), state)
        assert action.item() == pytest.approx(0.25)
        options.append(state[0].tolist())
    assert [each[1] for each in options] == [1.0, 2.0, 3.0, 1.0, 2.0]  # three arrivals end it
    assert [each[2] for each in options] == [0.0, 1.0, 2.0, 0.0, 1.0]


def test_what_cannot_be_chosen_among_is_refused(breakout: str) -> None:
    with pytest.raises(ConfigError, match="unknown option 'trend'"):
        chooser_of(("trend", "wait"))
    with pytest.raises(ConfigError, match="may begin whatever is held"):
        chooser_of(("open_long", breakout))
    chooser_of(("open_long", "wait"))
    with pytest.raises(ConfigError, match="without a policy"):
        chooser_of(("policy", "wait"))
    bare = ObservationLayout(("x",), "test")
    with pytest.raises(ConfigError, match="'atr_14', which the observation does not have"):
        Chooser(
            ("open_long", "wait"), bare, SimulatorConfig(), (np.zeros(6), np.ones(6)), (8,),
            ending=False,
        )  # fmt: skip


def test_surroundings_tell_an_option_of_layout_and_rules() -> None:
    around = Surroundings(LAYOUT, SimulatorConfig())
    made = [OPTIONS[name](around) for name in NAMES]
    assert [type(each) for each in made] == [OpenLong, Close, TrendFollow, Scalp, Wait]
