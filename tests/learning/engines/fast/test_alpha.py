"""Autotuned alpha: the whole conservative gradient, against one written out in float64."""

from __future__ import annotations

import math
from collections.abc import Callable
from copy import deepcopy
from dataclasses import fields
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from offline_trader.learning.engines.fast import make_update

ALPHA, WEIGHT, THRESHOLD, SAMPLES, GAMMA = 0.7, 5.0, 2.0, 4, 0.99


def q_value(critic: Any, observations: torch.Tensor, actions: torch.Tensor) -> torch.Tensor:
    hidden = torch.cat([observations, actions], dim=-1)
    for layer in critic._encoder._layers:
        hidden = layer(hidden)
    value: torch.Tensor = critic._fc(hidden)[..., 0]
    return value


def policy_draws(policy: Any, observations: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Actions [B, n, 1] and log densities [B, n], by the change of variables."""
    with torch.no_grad():
        hidden = observations
        for layer in policy._encoder._layers:
            hidden = layer(hidden)
        mean, log_std = policy._mu(hidden), policy._logstd(hidden).clamp(-20, 2)
        noise = torch.empty(SAMPLES, *mean.shape).normal_().double()
        raw = mean + log_std.exp() * noise
        density = -noise.square() / 2 - log_std - math.log(2 * math.pi) / 2
        density = density - torch.log(1 - torch.tanh(raw) ** 2)
    return torch.tanh(raw).transpose(0, 1), density[..., 0].transpose(0, 1)


def wide(holder: Any) -> Any:
    """A copy in float64 of a dataclass of modules or tensors."""
    parts = {f.name: getattr(holder, f.name) for f in fields(holder)}
    kinds = (torch.nn.Module, torch.Tensor)
    return SimpleNamespace(
        **{name: deepcopy(x).double() for name, x in parts.items() if isinstance(x, kinds)}
    )


def written_out(algo: Any, batch: Any, calibrated: bool) -> tuple[list[torch.Tensor], float]:
    """Critic gradients and the conservative loss, from the definitions, with the same draws."""
    modules, batch = wide(algo.impl.modules), wide(batch)
    observations = batch.observations
    with torch.no_grad():
        following = batch.next_observations
        hidden = following
        for layer in modules.policy._encoder._layers:
            hidden = layer(hidden)
        action = torch.tanh(modules.policy._mu(hidden))
        least = torch.stack([q_value(q, following, action) for q in modules.targ_q_funcs]).amin(0)
        discount = GAMMA ** batch.intervals[:, 0] * (1 - batch.terminals[:, 0])
        target = batch.rewards[:, 0] + discount * least
    now, after = policy_draws(modules.policy, observations), policy_draws(modules.policy, following)
    uniform = torch.zeros(len(target) * SAMPLES, 1).uniform_(-1, 1).double().view(-1, SAMPLES, 1)
    td, conservative = torch.zeros(2).double()
    repeated = observations[:, None].expand(-1, SAMPLES, -1)
    for critic in modules.q_funcs:
        parts = []
        for actions, density in (now, after):
            values = q_value(critic, repeated, actions)
            values = torch.maximum(values, batch.returns_to_go) if calibrated else values
            parts.append(values - density)
        parts.append(q_value(critic, repeated, uniform) - math.log(0.5))
        data = q_value(critic, observations, batch.actions)
        gap = torch.cat(parts, dim=1).logsumexp(dim=1) - data
        conservative = conservative + ALPHA * WEIGHT * (gap.mean() - THRESHOLD)
        td = td + (data - target).square().mean()
    gradients = torch.autograd.grad(td + conservative, list(modules.q_funcs.parameters()))
    return list(gradients), conservative.item()


@pytest.mark.parametrize("algorithm", ["CQL", "CalQL"])
@pytest.mark.parametrize("hidden", [(24, 24), (16, 12, 8)])
def test_the_critics_get_the_whole_conservative_gradient(
    algorithm: str,
    hidden: tuple[int, ...],
    make: Callable[..., Any],
    batches: Callable[..., list[Any]],
) -> None:
    algo = make(
        algorithm,
        hidden=hidden,
        alpha_learning_rate=1e-2,
        initial_alpha=ALPHA,
        conservative_weight=WEIGHT,
        alpha_threshold=THRESHOLD,
        n_action_samples=SAMPLES,
    )
    (batch,) = batches(1)
    with torch.random.fork_rng():
        torch.manual_seed(11)
        expected, conservative = written_out(algo, batch, algorithm == "CalQL")
        update = make_update(algo)
        torch.manual_seed(11)
        losses = update(batch)
    # The first step of Adam keeps (1 - beta1) of the gradient as its first moment.
    for adam in update.adams():
        adam.sync()
    optimizer = algo.impl.modules.critic_optim
    for parameter, gradient in zip(algo.impl.modules.q_funcs.parameters(), expected, strict=True):
        found = optimizer.state[parameter]["exp_avg"] / 0.1
        size = float(gradient.abs().max())
        torch.testing.assert_close(found.double(), gradient, rtol=1e-4, atol=1e-5 * size)
    assert losses["conservative_loss"] == pytest.approx(conservative, rel=1e-4)
    # d(-mean over two critics)/d(log alpha) is minus half of their sum; Adam steps by its sign.
    log_alpha = next(algo.impl.modules.log_alpha.parameters()).item()
    assert log_alpha - math.log(ALPHA) == pytest.approx(math.copysign(1e-2, conservative), rel=1e-4)
    assert losses["alpha"] == pytest.approx(math.exp(log_alpha), rel=1e-6)
