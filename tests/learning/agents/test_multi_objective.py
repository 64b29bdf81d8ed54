"""Soft actor-critic for several objectives: what it learns where the best action is known."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from offline_trader.errors import ConfigError
from offline_trader.goals import Preferred
from offline_trader.learning.agents import Limit, MultiObjectiveAgent, goal_learner, make_learner
from offline_trader.learning.agents.vector_critics import squashed_sample
from offline_trader.learning.data import Batch, RowLayout
from offline_trader.learning.settings import COMPONENTS, LearnerConfig, ObjectivesConfig

SIZE, ROWS, K = 7, 256, len(COMPONENTS)
LAYOUT = RowLayout(SIZE, 1, (("raw_rewards", 1), ("timeouts", 1), ("objectives", K)))


def agent_of(objectives: ObjectivesConfig, **settings: Any) -> MultiObjectiveAgent:
    given = {"hidden": (32, 32), "actor_lr": 3e-3, "critic_lr": 3e-3, "temp_lr": 0.0,
             "initial_temperature": 0.01, "tau": 0.05, **settings}  # fmt: skip
    config = LearnerConfig(algorithm="sac", **given)
    learner = make_learner(config, SIZE, seed=0)
    if objectives.takes_preference:
        learner = goal_learner(learner, config, np.ones(K), seed=1)
    return MultiObjectiveAgent(learner, objectives, seed=2)


def bandit(seed: int) -> Batch:
    """Single steps: profit is best at an action of ½, risk at −½, nothing else counts."""
    rng = np.random.default_rng(seed)
    values, where = np.zeros((ROWS, LAYOUT.width), np.float32), LAYOUT.slices()
    values[:, where["observations"]] = rng.standard_normal((ROWS, SIZE))
    values[:, where["next_observations"]] = rng.standard_normal((ROWS, SIZE))
    actions = rng.uniform(-1, 1, ROWS)
    values[:, where["actions"]] = actions[:, None]
    vector = np.zeros((ROWS, K))
    vector[:, 0], vector[:, 1] = -4 * (actions - 0.5) ** 2, -4 * (actions + 0.5) ** 2
    values[:, where["objectives"]] = vector
    values[:, where["terminals"]] = values[:, where["intervals"]] = 1.0
    return Batch(torch.from_numpy(values), LAYOUT)


def trained(agent: MultiObjectiveAgent, updates: int) -> MultiObjectiveAgent:
    agent.set_pace(-1.0, 1.0)
    agent.update(bandit(seed) for seed in range(updates))
    return agent


def test_fixed_weights_lead_to_their_own_best_action() -> None:
    """¾ profit and ¼ risk: the best action is ¾ · ½ − ¼ · ½, and a head tells its own value."""
    agent = trained(
        agent_of(ObjectivesConfig("fixed", weights=(0.75, 0.25, 0.0, 0.0, 0.0, 0.0))), 600
    )
    seen = np.random.default_rng(9).standard_normal((50, SIZE)).astype(np.float32)
    np.testing.assert_allclose(agent.policy()(seen), 0.25, atol=0.08)
    values = agent._critics.values(torch.from_numpy(seen), torch.full((50, 1), 0.25))
    means = values.detach().mean(dim=(0, 1)).numpy()
    np.testing.assert_allclose(means[:3], [-0.25, -2.25, 0.0], atol=0.15)


def test_a_policy_that_takes_the_weights_answers_to_them() -> None:
    """One training, another best action for every preference; the default is in the settings."""
    agent = trained(agent_of(ObjectivesConfig("given", (0.6, 0.4, 0.0, 0.0, 0.0, 0.0))), 900)
    policy = agent.policy()
    assert isinstance(policy, Preferred)
    seen = np.random.default_rng(9).standard_normal((50, SIZE)).astype(np.float32)
    for share in (0.7, 0.45, 0.2):
        weights = (share, 0.9 - share, 0.1, 0.0, 0.0, 0.0)
        best = 0.5 * (2 * share - 0.9) / 0.9
        assert policy.preferring(weights)(seen).mean() == pytest.approx(best, abs=0.1)
    np.testing.assert_array_equal(
        policy(seen), policy.preferring((0.6, 0.4, 0.0, 0.0, 0.0, 0.0))(seen)
    )


def test_a_widened_policy_begins_as_its_parent() -> None:
    """Under whatever weights, for none lead from them at first."""
    config = LearnerConfig(algorithm="sac", hidden=(16, 16))
    parent = make_learner(config, SIZE, seed=5)
    wide = goal_learner(parent, config, np.ones(K), seed=6)
    agent = MultiObjectiveAgent(wide, ObjectivesConfig("given"), seed=7)
    seen = np.random.default_rng(9).standard_normal((50, SIZE)).astype(np.float32)
    policy = agent.policy()
    assert isinstance(policy, Preferred)
    np.testing.assert_allclose(
        policy.preferring((0.0, 1.0, 0.0, 0.0, 0.0, 0.0))(seen), parent(seen), atol=1e-6
    )


def test_a_checkpoint_goes_on_to_the_same_weights() -> None:
    """Draws, moments, temperature and preferences included."""
    config = ObjectivesConfig("given", limit="cvar", at_most=0.05)
    agent, other = agent_of(config), agent_of(config)
    agent.restart(np.ones(4, bool))
    rng = np.random.default_rng(0)
    for _ in range(70):
        agent.watch(-rng.uniform(0, 0.1, 4), 0.05 * rng.standard_normal(4))
    assert agent.limit is not None
    assert agent.limit.price > 0.0
    trained(agent, 5)
    other.load_state_dict(agent.state_dict())
    for each in (agent, other):
        each.restart(np.array([True, False, False, True]))
        trained(each, 5)
    known, found = agent.state_dict(), other.state_dict()
    assert torch.equal(known["asked"], found["asked"])
    assert known["sums"] == found["sums"]
    for one, two in zip(
        agent.learner.actor.parameters(), other.learner.actor.parameters(), strict=True
    ):
        assert torch.equal(one, two)
    for name, tensor in known["critics"]["targets"].items():
        assert torch.equal(tensor, found["critics"]["targets"][name])


def test_density_is_that_of_torch() -> None:
    """A squashed normal distribution, in float64 and far from 0."""
    mu, log_std = torch.tensor([[0.3], [-2.0]]).double(), torch.tensor([[-0.5], [0.2]]).double()
    actions, density = squashed_sample(mu, log_std)
    normal = torch.distributions.Normal(mu, log_std.exp())
    squashed = torch.distributions.TransformedDistribution(
        normal, [torch.distributions.TanhTransform()]
    )
    known = squashed.log_prob(actions)[:, 0]  # type: ignore[no-untyped-call]
    torch.testing.assert_close(density, known, atol=1e-8, rtol=1e-8)


def test_costs_of_a_limit() -> None:
    """Worked out by hand."""
    drawdown = Limit(ObjectivesConfig("fixed", limit="drawdown", at_most=0.1, tail=0.25))
    fallen = torch.tensor([-0.05, -0.2, -0.1, 0.0])
    assert drawdown.costs(fallen, fallen).tolist() == [-1.0, 3.0, -1.0, -1.0]
    cvar = Limit(ObjectivesConfig("fixed", limit="cvar", at_most=0.02, tail=0.1))
    losses = np.linspace(-0.05, 0.05, 1001)
    for _ in range(10):
        cvar.watch(np.zeros(1001), np.log1p(-losses))
    known = torch.from_numpy(np.log1p(-losses))
    mean = np.sort(losses)[-100:].mean()
    assert float(cvar.costs(known, known).mean()) == pytest.approx(mean / 0.02 - 1.0, abs=0.01)
    assert cvar.price == pytest.approx(10 * 0.01)  # the excess is above 1: the largest move
    kept = Limit(ObjectivesConfig("fixed", limit="cvar", at_most=0.2, tail=0.1))
    kept.price = 0.005
    kept.watch(np.zeros(1001), np.log1p(-losses))
    assert kept.price == 0.0


def test_what_cannot_be_is_refused() -> None:
    """Rows without components, and weights that are none."""
    agent = agent_of(ObjectivesConfig("fixed"))
    plain = RowLayout(SIZE, 1)
    with pytest.raises(ConfigError, match="rows without objectives"):
        agent.update([Batch(torch.zeros(4, plain.width), plain)])
    for weights in ((1.0,), (0.5, 0.6, 0.0, 0.0, 0.0, 0.0), (1.5, -0.5, 0.0, 0.0, 0.0, 0.0)):
        with pytest.raises(ConfigError, match="add up to 1"):
            ObjectivesConfig("fixed", weights=weights)
    with pytest.raises(ConfigError, match=r"up to 0\.7 with preference=learned"):
        ObjectivesConfig("learned", weights=(0.7, 0.3, 0.0, 0.0, 0.0, 0.0))
    with pytest.raises(ConfigError, match="limit=cvar without objectives"):
        ObjectivesConfig(limit="cvar")
