"""The losses that differ from d3rlpy 2.6: its full conservative gradient, a behaviour term.

Private neighbour of :mod:`offline_trader.learning.d3rlpy.algorithms`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch

from offline_trader.networks import import_d3rlpy

import_d3rlpy()

from d3rlpy.algos.qlearning.torch.cal_ql_impl import CalQLImpl  # noqa: E402
from d3rlpy.algos.qlearning.torch.cql_impl import CQLImpl  # noqa: E402
from d3rlpy.algos.qlearning.torch.sac_impl import SACImpl  # noqa: E402
from d3rlpy.models.torch import get_parameter  # noqa: E402

__all__ = ["adopt"]


class BehaviourTerm:
    """Adds a pull to the data's actions to an actor's loss.

    ``L = L_actor + w · E|Q(s, a)| · E‖tanh μ(s) − a‖²`` with ``|Q|`` held constant: up to Adam's
    scale this is TD3+BC's ``L / (α E|Q|)`` (Fujimoto & Gu 2021, equations 3 and 5) with
    ``w = 1/α``, and at ``w = 0`` it is d3rlpy's own loss.
    """

    behaviour_weight: float
    _q_func_forwarder: Any

    def compute_actor_loss(self, batch: Any, action: Any) -> Any:
        """d3rlpy's loss and the term."""
        loss = super().compute_actor_loss(batch, action)  # type: ignore[misc]
        if self.behaviour_weight == 0.0:
            return loss
        with torch.no_grad():
            values = self._q_func_forwarder.compute_expected_q(
                batch.observations, batch.actions, "min"
            )
            size = values.abs().mean()
        distance = (action.squashed_mu - batch.actions).square().sum(dim=1).mean()
        return replace(loss, actor_loss=loss.actor_loss + self.behaviour_weight * size * distance)


class TargetEntropy:
    """A target of the temperature that can be set; d3rlpy's is −A nats for good.

    ``L_α = −α · E[log π(ã|s) + target]`` (Haarnoja et al. 2018b, equation 18).

    Attributes:
        target_entropy: nats, of all A dimensions of an action together.
    """

    target_entropy: float
    _modules: Any

    def update_temp(self, log_prob: torch.Tensor) -> torch.Tensor:
        """A step of the temperature; its loss. At −A its numbers are d3rlpy's, to the bit."""
        self._modules.temp_optim.zero_grad()
        loss: torch.Tensor = -(
            get_parameter(self._modules.log_temp).exp() * (log_prob.detach() + self.target_entropy)
        ).mean()
        loss.backward()  # type: ignore[no-untyped-call]
        self._modules.temp_optim.step()
        return loss


class FullConservativeGradient:
    """The step of alpha leaves the critics' gradients alone.

    d3rlpy 2.6's ``update_alpha`` back-propagates ``-mean(conservative)`` through the critics as
    well, after their gradients were cleared, so half of the conservative gradient is taken away
    (mean over two critics against their sum). Here only alpha's own gradient is computed.
    """

    _modules: Any

    def update_alpha(self, conservative_loss: torch.Tensor) -> None:
        """Ascend alpha on the mean conservative term (Kumar et al. 2020, equation 30)."""
        log_alpha = get_parameter(self._modules.log_alpha)
        self._modules.alpha_optim.zero_grad()
        (log_alpha.grad,) = torch.autograd.grad(
            -conservative_loss.mean(), [log_alpha], retain_graph=True
        )
        self._modules.alpha_optim.step()


class ToolkitSACImpl(BehaviourTerm, TargetEntropy, SACImpl):  # type: ignore[misc]
    """SAC with the behaviour term and a target entropy that can be set."""


class ToolkitCQLImpl(FullConservativeGradient, BehaviourTerm, TargetEntropy, CQLImpl):  # type: ignore[misc]
    """CQL with the full conservative gradient and the behaviour term."""


class ToolkitCalQLImpl(FullConservativeGradient, BehaviourTerm, TargetEntropy, CalQLImpl):  # type: ignore[misc]
    """Cal-QL with the full conservative gradient and the behaviour term."""


_OURS = {SACImpl: ToolkitSACImpl, CQLImpl: ToolkitCQLImpl, CalQLImpl: ToolkitCalQLImpl}


def adopt(impl: Any, behaviour_weight: float) -> None:
    """Turn d3rlpy's implementation object into ours, keeping its networks and optimizers.

    Changing the class of the object, instead of building another, leaves every reference that
    d3rlpy holds (checkpointer, forwarders) as it is.
    """
    ours = _OURS.get(type(impl))
    if ours is not None:
        impl.__class__ = ours
        impl.behaviour_weight = float(behaviour_weight)
        impl.target_entropy = -float(impl.action_size)
