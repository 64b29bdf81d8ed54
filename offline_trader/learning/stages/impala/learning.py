"""The learner's side: one update of policy and values a trajectory.

Espeholt et al. 2018, section 4.2, with ``v_t`` and ``A_t`` of
:func:`offline_trader.learning.estimators.trajectories.vtrace`:

    L_V = E ½(v_t − V(s_t))²
    L_π = −E[min(π/μ · Â_t, clip(π/μ, 1 ± ε) · Â_t)],  Â_t standardised r_t + γ v_{t+1} − V(s_t)

π/μ is that of u, the action before its squash, whose Jacobian cancels. *Differs from the paper*:
the policy's loss is the clipped surrogate of Schulman et al. 2017 against the policy that acted,
the same gradient as the paper's as long as that is the present one. With ``ρ A log π`` a policy
that is 20 updates old let the present one run away from what it had seen. Advantages are
standardised in every trajectory, so that values that are still far off do not move the policy;
policy and values share no layers; sigma follows a schedule; Adam instead of RMSProp.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from offline_trader.errors import ConfigError
from offline_trader.learning.agents import Learner
from offline_trader.learning.d3rlpy import algorithms as _d3rlpy
from offline_trader.learning.d3rlpy import transfer as _transfer
from offline_trader.learning.engines import PlainAdam, without_dynamo
from offline_trader.learning.estimators import vtrace
from offline_trader.learning.settings import ImpalaConfig
from offline_trader.learning.stages.impala.acting import ActorWeights, Layer, Trajectory
from offline_trader.types import FloatArray

__all__ = ["ImpalaLearner"]


class ImpalaLearner:
    """Trains a learner's actor, with a value network of its own.

    Args:
        learner: a squashed Gaussian (SAC, CQL, Cal-QL) of linear layers with ReLU.
        config: rates, weights and bounds.
        seed: of the value network's first weights.

    Raises:
        ConfigError: another actor.
    """

    def __init__(self, learner: Learner, config: ImpalaConfig, seed: int) -> None:
        layers = _transfer.gaussian_layers(learner.algo)
        if layers is None:
            raise ConfigError(
                f"IMPALA with an actor of {learner.config.algorithm}",
                expected="a squashed Gaussian of linear layers with ReLU: sac, cql or cal_ql",
            )
        self._layers = layers
        self._learner, self._config = learner, config
        self._device = learner.config.device
        generator = torch.Generator().manual_seed(seed)
        self.values = _values(layers.hidden, generator).to(self._device)
        self._actor = [p for layer in (*layers.hidden, layers.mu) for p in layer.parameters()]
        self._spread(0.0)
        with without_dynamo():
            self._optimizers = {
                "actor": PlainAdam(self._actor, lr=config.learning_rate),
                "values": PlainAdam(self.values.parameters(), lr=config.learning_rate),
            }
        self.updates = 0

    def weights(self) -> ActorWeights:
        """The policy of now, as actors take it."""
        layers = self._layers
        return ActorWeights(
            tuple(map(_arrays, layers.hidden)), _arrays(layers.mu), _arrays(layers.log_std),
            layers.bounds, self.updates,
        )  # fmt: skip

    def update(self, seen: Trajectory, progress: float) -> dict[str, float]:
        """One update of values and policy.

        Args:
            seen: a trajectory, of whichever version.
            progress: share of the steps that are done, which sets the rate.
        """
        observations = self._tensor(seen.observations.reshape(-1, seen.observations.shape[-1]))
        drawn = self._tensor(seen.drawn.reshape(-1, 1))
        mu, log_std, _ = _d3rlpy.actor_output(self._learner.algo, observations)
        assert log_std is not None
        log_probs = _log_density(drawn, mu, log_std).sum(-1)
        values = self.values(observations)[:, 0]
        found, ratios = self._targets(seen, log_probs, values)
        rho = np.minimum(ratios, self._config.largest_rho)
        advantages = self._tensor(_standardised(found.advantages, rho).reshape(-1))
        targets = self._tensor(found.values.reshape(-1).astype(np.float32))
        value_loss = 0.5 * (targets - values).square().mean()
        policy_loss = self._policy_loss(advantages, log_probs, seen)
        self._step("values", list(self.values.parameters()), value_loss, progress)
        self._step("actor", self._actor, policy_loss, progress)
        self._spread(progress)
        self.updates += 1
        return {
            "value_loss": float(value_loss.detach()),
            "policy_loss": float(policy_loss.detach()),
            "spread": float(log_std.detach().exp().mean()),
            "ratio": float(rho.mean()),
            "reward": float(seen.rewards.mean()),
        }

    def _targets(self, seen: Trajectory, log_probs: Tensor, values: Tensor) -> tuple[Any, Any]:
        """V-trace's, under the values and the policy of now; and the ratios [T, N]."""
        shape, config = seen.rewards.shape, self._config
        with torch.no_grad():
            behind = np.concatenate([seen.last, seen.final_observations])
            after = self.values(self._tensor(behind))[:, 0].cpu().numpy().astype(np.float64)
        now = values.detach().cpu().numpy().reshape(shape).astype(np.float64)
        following = np.concatenate([now[1:], after[None, : shape[1]]])
        following[seen.terminated | seen.truncated] = after[shape[1] :]
        ratios = np.ones(shape)
        if config.correction == "vtrace":
            change = log_probs.detach().cpu().numpy().reshape(shape) - seen.log_probs
            ratios = np.exp(np.minimum(change.astype(np.float64), 20.0))
        scales = self._learner.preprocessing
        found = vtrace(
            scales.rewards(seen.rewards).astype(np.float64),
            now,
            following,
            ratios,
            self._learner.config.gamma,
            terminated=seen.terminated,
            truncated=seen.truncated,
            largest_rho=config.largest_rho,
            largest_c=config.largest_c,
        )
        return found, ratios

    def _policy_loss(self, advantages: Tensor, log_probs: Tensor, seen: Trajectory) -> Tensor:
        acting = log_probs.detach()
        if self._config.correction == "vtrace":
            acting = self._tensor(seen.log_probs.reshape(-1))
        ratio, bound = (log_probs - acting).clamp(max=20.0).exp(), self._config.ratio_clip
        clipped = ratio.clamp(1.0 - bound, 1.0 + bound)
        return -torch.minimum(ratio * advantages, clipped * advantages).mean()

    def _spread(self, progress: float) -> None:
        first, last = self._config.spread, self._config.final_spread
        _transfer.set_spread(self._learner.algo, first * (last / first) ** min(progress, 1.0))

    def _step(
        self, name: str, parameters: Sequence[torch.nn.Parameter], loss: Tensor, progress: float
    ) -> None:
        optimizer = self._optimizers[name]
        for group in optimizer.param_groups:
            group["lr"] = self._config.learning_rate * max(1.0 - progress, 0.0)
        gradients = torch.autograd.grad(loss, parameters)
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.grad = gradient
        torch.nn.utils.clip_grad_norm_(parameters, self._config.gradient_clip)
        optimizer.step()
        for parameter in parameters:
            parameter.grad = None

    def _tensor(self, array: Any) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(array)).to(self._device)

    @without_dynamo()
    def state_dict(self) -> dict[str, Any]:
        """Values and moments; the policy is the learner's."""
        return {
            "values": self.values.state_dict(),
            "optimizers": {name: each.state_dict() for name, each in self._optimizers.items()},
            "updates": self.updates,
        }

    @without_dynamo()
    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Inverse of :meth:`state_dict`."""
        self.values.load_state_dict(state["values"])
        for name, each in self._optimizers.items():
            _d3rlpy.load_moments(each, state["optimizers"][name])
        self.updates = int(state["updates"])


def _standardised(advantages: FloatArray, rho: FloatArray) -> NDArray[np.float32]:
    """[T, N] float32 of V-trace's [T, N] without their rho [T, N], which the loss multiplies."""
    found = advantages / np.maximum(rho, 1e-12)
    return np.asarray((found - found.mean()) / (found.std() + 1e-8), np.float32)


def _arrays(layer: torch.nn.Linear) -> Layer:
    """Copies: the learner goes on."""
    weight, bias = (p.detach().cpu().numpy().copy() for p in (layer.weight, layer.bias))
    return weight, bias


def _values(hidden: list[torch.nn.Linear], generator: torch.Generator) -> torch.nn.Sequential:
    """V(s): the actor's hidden layers in shape, and one output, with torch's own first weights."""
    sizes = [hidden[0].in_features, *(each.out_features for each in hidden), 1]
    layers: list[torch.nn.Module] = []
    for inputs, outputs in itertools.pairwise(sizes):
        layer = torch.nn.Linear(inputs, outputs, device="meta").to_empty(device="cpu")
        bound = 1.0 / math.sqrt(inputs)
        with torch.no_grad():
            for parameter in layer.parameters():
                parameter.uniform_(-bound, bound, generator=generator)
        layers += [layer, torch.nn.ReLU()]
    return torch.nn.Sequential(*layers[:-1])


def _log_density(drawn: Tensor, mu: Tensor, log_std: Tensor) -> Tensor:
    """log N(u; mu, sigma²)."""
    return -0.5 * ((drawn - mu) / log_std.exp()).square() - log_std - 0.5 * math.log(2.0 * math.pi)
