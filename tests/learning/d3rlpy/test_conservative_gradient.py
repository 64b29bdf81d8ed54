"""CQL with an autotuned alpha gives the critics the whole conservative gradient."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from offline_trader.learning.agents import Learner, make_learner
from offline_trader.learning.data import Sampler, Transitions, pack
from offline_trader.learning.settings import CQLConfig, LearnerConfig

SETTINGS: dict[str, Any] = {
    "hidden": (16, 16),
    "batch_size": 32,
    "alpha_lr": 1e-3,
    "conservative_weight": 5.0,
    "engine": "stock",
}


def critic_gradient(impl: Any, batch: Any) -> torch.Tensor:
    """The gradient that one critic update leaves behind, flat."""
    torch.manual_seed(11)
    impl.update_critic(batch)
    return torch.cat([p.grad.flatten() for p in impl.q_function.parameters()])


def independent_gradient(learner: Learner, batch: Any, cal_ql: bool) -> torch.Tensor:
    """The same gradient from the definition, written out; alpha is 1 at the first update.

    ``TD + w · Σ_i (mean(logsumexp_a Q_i(s, a) − log μ(a)) − mean Q_i(s, a_data) − τ)``
    """
    impl, config = learner.algo.impl, learner.config
    assert isinstance(config, CQLConfig)
    torch.manual_seed(11)
    n, size = config.n_action_samples, config.batch_size
    critics, targets = impl.q_function, impl.modules.targ_q_funcs

    def squashed(observations: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        output = impl.policy(observations)
        std = output.logstd.exp()
        raw = torch.distributions.Normal(output.mu, std).rsample((n,))
        density = -((raw - output.mu) ** 2) / (2 * std**2) - torch.log(std * (2 * np.pi) ** 0.5)
        actions = torch.tanh(raw)
        density = density - torch.log(1 - actions**2)
        return actions.transpose(0, 1).detach(), density.transpose(0, 1).detach()

    with torch.no_grad():
        following = batch.next_observations
        action = torch.tanh(impl.policy(following).mu)
        best = torch.minimum(*[value(q, following, action) for q in targets])
        target = batch.rewards + config.gamma * (1 - batch.terminals) * best
    now, after = squashed(batch.observations), squashed(batch.next_observations)
    uniform = torch.zeros((size * n, 1)).uniform_(-1, 1).view(size, n, 1)
    total = torch.zeros(())
    for critic in critics:
        total = total + (value(critic, batch.observations, batch.actions) - target).square().mean()
        parts = []
        for actions, density in (now, after, (uniform, torch.full((size, n, 1), np.log(0.5)))):
            repeated = batch.observations[:, None].expand(size, n, -1).reshape(size * n, -1)
            values = value(critic, repeated, actions.reshape(size * n, 1)).view(size, n)
            if cal_ql and actions is not uniform:
                values = torch.maximum(values, batch.returns_to_go)
            parts.append(values - density[..., 0])
        gap = torch.cat(parts, dim=1).logsumexp(dim=1, keepdim=True)
        gap = (gap - value(critic, batch.observations, batch.actions)).mean()
        total = total + config.conservative_weight * gap
    gradients = torch.autograd.grad(total, list(critics.parameters()))
    return torch.cat([g.flatten() for g in gradients])


def value(critic: Any, observations: torch.Tensor, actions: torch.Tensor) -> torch.Tensor:
    hidden = torch.cat([observations, actions], dim=1)
    for layer in critic._encoder._layers:
        hidden = layer(hidden)
    result: torch.Tensor = critic._fc(hidden)
    return result


def prepared(algorithm: Any, data: Transitions) -> tuple[Learner, Any]:
    learner = make_learner(LearnerConfig(algorithm=algorithm, **SETTINGS), 2, None, 0)
    learner.fit_reward_scale(data.rewards)
    return learner, Sampler(pack(data, learner.preprocessing), batch_size=32, seed=0).sample()


@pytest.mark.parametrize("algorithm", ["cql", "cal_ql"])
def test_with_autotuned_alpha_the_gradient_is_the_whole_one(
    algorithm: str, uniform_data: Transitions
) -> None:
    learner, batch = prepared(algorithm, uniform_data)
    expected = independent_gradient(learner, batch, cal_ql=algorithm == "cal_ql")
    found = critic_gradient(learner.algo.impl, batch)
    assert torch.linalg.vector_norm(expected) > 0.1
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)


def test_stock_d3rlpy_takes_half_of_the_conservative_part_away(uniform_data: Transitions) -> None:
    """The reason for the change; this fails when a d3rlpy without the fault is pinned."""
    from d3rlpy.algos.qlearning.torch.cql_impl import CQLImpl

    ours, batch = prepared("cql", uniform_data)
    stock, _ = prepared("cql", uniform_data)
    stock.algo.impl.__class__ = CQLImpl
    plain, _ = prepared("cql", uniform_data)
    plain.algo.impl._conservative_weight = 0.0
    whole, half, none = (critic_gradient(x.algo.impl, batch) for x in (ours, stock, plain))
    torch.testing.assert_close(half - none, 0.5 * (whole - none), rtol=1e-3, atol=1e-5)


def test_alpha_moves_the_same_way_as_stock_d3rlpys(uniform_data: Transitions) -> None:
    from d3rlpy.algos.qlearning.torch.cql_impl import CQLImpl

    ours, batch = prepared("cql", uniform_data)
    stock, _ = prepared("cql", uniform_data)
    stock.algo.impl.__class__ = CQLImpl
    for learner in (ours, stock):
        critic_gradient(learner.algo.impl, batch)
    found, expected = (
        next(x.algo.impl.modules.log_alpha.parameters()).item() for x in (ours, stock)
    )
    assert found == pytest.approx(expected, abs=1e-9)
    assert found != 0.0
