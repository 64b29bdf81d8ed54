"""The actor's hidden layers on the evaluated observations: dormant units and effective rank.

A unit that hardly ever fires contributes nothing, and features of low rank cannot tell states
apart; both get worse before a policy collapses, while its profits may still look well. An ONNX
file is read without torch: what its linear layers read becomes an output of the graph. A live
policy shows its layers itself (:class:`LayeredPolicy`). Experts have no network.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol, TypeAlias, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from offline_trader.evaluation.backtest import Backtest, Strategy
from offline_trader.evaluation.measures.collapse import dormant_ratio, effective_rank
from offline_trader.export import OnnxPolicy
from offline_trader.export.runtime import ModelSession
from offline_trader.types import Observations

__all__ = ["LayeredPolicy", "NetworkMeasures", "network_measures", "onnx_hidden_layers"]

MAX_STATES = 20_000
_LINEAR = frozenset({"Gemm", "MatMul"})
_NORMALISING = frozenset({"LayerNormalization", "BatchNormalization", "Dropout", "Identity"})
Layers: TypeAlias = "tuple[list[NDArray[np.float32]], NDArray[np.float32]]"


@runtime_checkable
class LayeredPolicy(Protocol):
    """A policy that shows its hidden layers."""

    def hidden_layers(self, observations: Observations, /) -> Layers | None:
        """[N, units] of every hidden layer after its activation, and [N, units] as the output
        layer reads it (after a normalisation, if there is one); None without a hidden layer."""
        ...


@dataclass(frozen=True)
class NetworkMeasures:
    """The actor's hidden units over n states; None where the strategy has no hidden layer.

    Attributes:
        dormant_ratio: share of the hidden units of all layers whose mean |activation| is at most
            2.5 % of their layer's average (Sokar et al. 2023).
        effective_rank: singular values that hold 99 % of the sum, of the features that the output
            layer reads (Kumar et al. 2021).
        hidden_units: over all layers.
        feature_units: width of those features, the largest rank possible (n, if that is less).
    """

    dormant_ratio: float | None = None
    effective_rank: int | None = None
    hidden_units: int | None = None
    feature_units: int | None = None

    def to_dict(self) -> dict[str, float | None]:
        """The numbers by name."""
        return asdict(self)


def network_measures(strategy: Strategy, backtests: Sequence[Backtest]) -> NetworkMeasures:
    """Measures of ``strategy``'s hidden layers on the observations that it decided on.

    Of more than 20,000 observations every k-th is taken, evenly over the range.
    """
    seen = np.concatenate([backtest.observations for backtest in backtests])
    seen = np.ascontiguousarray(seen[:: max(1, -(-len(seen) // MAX_STATES))])
    layers: Layers | None = None
    if isinstance(strategy, OnnxPolicy):
        # of several networks side by side, as a controller of options has, there is no last layer
        layers = None if strategy.keeps_state else onnx_hidden_layers(strategy, seen)
    elif isinstance(strategy, LayeredPolicy):
        layers = strategy.hidden_layers(seen)
    if layers is None:
        return NetworkMeasures()
    hidden, features = layers
    units = [layer.shape[1] for layer in hidden]
    dormant = sum(n * dormant_ratio(layer) for n, layer in zip(units, hidden, strict=True))
    return NetworkMeasures(
        dormant_ratio=float(dormant / sum(units)),
        effective_rank=effective_rank(features),
        hidden_units=sum(units),
        feature_units=features.shape[1],
    )


def onnx_hidden_layers(policy: OnnxPolicy, observations: Observations) -> Layers | None:
    """Hidden layers of an ONNX policy, computed by onnxruntime: no torch.

    A hidden layer is what a linear node (``Gemm``, ``MatMul``) after the first one reads, traced
    back over normalisations to the activation.
    """
    import onnx

    model = onnx.load_from_string(policy.file.payload)
    names, features = _layer_names(model.graph)
    if not names:
        return None
    wanted = list(dict.fromkeys([*names, features]))
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in wanted)
    feeds = {"observation": observations, **policy.further_feeds(len(observations))}
    session = ModelSession(model.SerializeToString(), str(policy.path))
    values = dict(zip(wanted, session.run(wanted, feeds), strict=True))
    return [values[name] for name in names], values[features]


def _layer_names(graph: Any) -> tuple[list[str], str]:
    """Tensors of the hidden layers in order, and the tensor that the last linear node reads."""
    made_by = {output: node for node in graph.node for output in node.output}
    reads = list(dict.fromkeys(node.input[0] for node in graph.node if node.op_type in _LINEAR))
    # linear nodes before one that reads columns of the observation again are an encoder's front
    again = [place for place, name in enumerate(reads) if _joins(made_by.get(name), made_by)]
    reads = reads[again[-1] + 1 if again else 1 :]
    names = []
    for tensor in reads:
        name = tensor
        while name in made_by and made_by[name].op_type in _NORMALISING:
            name = made_by[name].input[0]
        names.append(name)
    return list(dict.fromkeys(names)), reads[-1] if reads else ""


def _joins(node: Any, made_by: dict[str, Any]) -> bool:
    """Whether a node puts columns that were picked beside something else."""
    return (
        node is not None
        and node.op_type == "Concat"
        and any(each in made_by and made_by[each].op_type == "Gather" for each in node.input)
    )
