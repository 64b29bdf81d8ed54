"""The only module here that knows d3rlpy's insides: its modules and settings under our names."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from offline_trader.learning.engines.fast.stacks import LayerModules, NetworkModules, NetworkStack
from offline_trader.learning.engines.fast.storage import (
    FlatAdam,
    FlatParameters,
    unsupported_optimizer,
)

__all__ = ["BoundScalar", "BoundStack", "actor_modules", "algorithm_name", "bind_scalar",
           "bind_stack", "count_step", "critic_modules", "impl_of", "rows_head",
           "scalar_head", "unsupported_impl", "value_modules"]  # fmt: skip


Array = NDArray[np.float32]


@dataclass(frozen=True)
class BoundStack:
    """Networks in one buffer: the buffer, the parameters' and the gradients' views."""

    flat: FlatParameters
    stack: NetworkStack
    gradients: NetworkStack


@dataclass(frozen=True)
class BoundScalar:
    """A learned logarithm (temperature, conservative weight) with its optimizer, if it has one."""

    flat: FlatParameters
    adam: FlatAdam | None

    @property
    def value(self) -> float:
        """The parameter itself, a logarithm."""
        return float(self.flat.values[0])

    def step(self, gradient: float) -> None:
        """One step of its optimizer."""
        assert self.adam is not None
        self.flat.gradient_values[0] = gradient
        self.adam.step()


def bind_stack(networks: list[NetworkModules]) -> BoundStack:
    """The networks' parameters moved into one buffer."""
    return BoundStack(*NetworkStack.flatten(networks))


def bind_scalar(parameter: nn.Module, optimizer: torch.optim.Optimizer | None) -> BoundScalar:
    """A d3rlpy ``Parameter`` of one number."""
    flat = FlatParameters([[next(parameter.parameters())]])
    return BoundScalar(flat, None if optimizer is None else FlatAdam(optimizer, [flat]))


def scalar_head(stack: NetworkStack) -> tuple[Array, Array]:
    """Weight [E, H] and bias [E] of one-output heads."""
    return stack.head_weight[:, 0].numpy(), stack.head_bias[:, 0].numpy()


def rows_head(stack: NetworkStack) -> tuple[Array, Array]:
    """Weight [D, H] and bias [D] of the first network's heads."""
    return stack.head_weight[0].numpy(), stack.head_bias[0].numpy()


def critic_modules(q_functions: Any) -> list[NetworkModules]:
    """The critics of an ensemble of mean Q functions."""
    return [NetworkModules(_layers(q._encoder), (q._fc,)) for q in q_functions]


def actor_modules(policy: Any) -> NetworkModules:
    """A normal policy: heads (mean, log σ), or the mean alone with log σ as an extra parameter."""
    layers = _layers(policy._encoder)
    if policy._use_std_parameter:
        return NetworkModules(layers, (policy._mu,), (policy._logstd,))
    return NetworkModules(layers, (policy._mu, policy._logstd))


def value_modules(value_function: Any) -> NetworkModules:
    """A state-value function."""
    return NetworkModules(_layers(value_function._encoder), (value_function._fc,))


def _layers(encoder: Any) -> tuple[LayerModules, ...]:
    layers: list[LayerModules] = []
    for module in encoder._layers:
        if isinstance(module, nn.Linear):
            layers.append(LayerModules(module, None))
        elif isinstance(module, nn.LayerNorm):
            layers[-1] = LayerModules(layers[-1].linear, module)
    return tuple(layers)


def algorithm_name(impl: Any) -> str | None:
    """``sac``, ``cql``, ``cal_ql`` or ``iql``: d3rlpy's or the toolkit's own; None for others."""
    from d3rlpy.algos.qlearning.torch.cal_ql_impl import CalQLImpl
    from d3rlpy.algos.qlearning.torch.cql_impl import CQLImpl
    from d3rlpy.algos.qlearning.torch.iql_impl import IQLImpl
    from d3rlpy.algos.qlearning.torch.sac_impl import SACImpl

    kinds = type(impl).__mro__
    toolkit = kinds[0].__module__ == "offline_trader.learning.d3rlpy.objectives"
    if toolkit:  # its classes derive from exactly one of d3rlpy's
        kinds = tuple(kind for kind in kinds if kind.__module__.startswith("d3rlpy."))
    known = {CalQLImpl: "cal_ql", CQLImpl: "cql", SACImpl: "sac", IQLImpl: "iql"}
    return known.get(kinds[0])


def impl_of(algo: Any) -> Any:
    """What d3rlpy keeps an algorithm's networks, optimizers and losses in."""
    return algo.impl


def count_step(algo: Any) -> None:
    """Add one to the number of gradient steps that the algorithm saves."""
    algo._grad_step += 1


def unsupported_impl(impl: Any) -> str | None:
    """Why the fast passes cannot stand in for d3rlpy's implementation ``impl``, or None."""
    from d3rlpy.models.torch import ContinuousMeanQFunction, NormalPolicy

    if algorithm_name(impl) is None:
        return f"algorithm {type(impl).__name__.removesuffix('Impl')}"
    modules = impl.modules
    if not isinstance(modules.policy, NormalPolicy):
        return f"policy {type(modules.policy).__name__}"
    networks = [modules.policy, *modules.q_funcs, *modules.targ_q_funcs]
    if hasattr(modules, "value_func"):
        networks.append(modules.value_func)
    for q_function in modules.q_funcs:
        if not isinstance(q_function, ContinuousMeanQFunction):
            return f"Q function {type(q_function).__name__}"
    reasons = [_unsupported_encoder(network._encoder) for network in networks]
    parameters = (parameter for network in networks for parameter in network.parameters())
    if any(p.dtype != torch.float32 or p.device.type != "cpu" for p in parameters):
        reasons.append("parameters that are not float32 on the CPU")
    for name in ("actor_optim", "critic_optim", "temp_optim", "alpha_optim"):
        optimizer = getattr(modules, name, None)
        if optimizer is not None:
            reasons.append(unsupported_optimizer(optimizer))
    if getattr(impl, "_max_q_backup", False):
        reasons.append("max_q_backup")
    return next((reason for reason in reasons if reason is not None), None)


def _unsupported_encoder(encoder: Any) -> str | None:
    """Why an encoder is not a stack of linear layers with ReLU and perhaps layer norm, or None."""
    from d3rlpy.models.torch import VectorEncoder, VectorEncoderWithAction

    if type(encoder) not in (VectorEncoder, VectorEncoderWithAction):
        return f"encoder {getattr(encoder, 'kind', type(encoder).__name__)}"
    names = [type(module) for module in encoder._layers]
    pair, triple = [nn.Linear, nn.ReLU], [nn.Linear, nn.ReLU, nn.LayerNorm]
    if names in (pair * (len(names) // 2), triple * (len(names) // 3)):
        return None
    return "an encoder other than linear layers with ReLU and optional layer norm"
