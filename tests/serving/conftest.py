"""Models without torch (an ONNX graph with our metadata), and bars as a client sends them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from offline_trader.config import to_dict
from offline_trader.export import OnnxPolicy
from offline_trader.export.model_file import CONTENT_HASH, UNSTAMPED, stamp
from offline_trader.features import observation_layout
from offline_trader.markets import Bar
from offline_trader.simulator import SimulatorConfig
from offline_trader.types import ObservationLayout

MakeModel = Callable[..., Path]
BodyOf = Callable[[Bar], dict[str, Any]]


def linear_model(
    path: Path,
    rules: SimulatorConfig | None,
    layout: ObservationLayout,
    weights: NDArray[Any],
    **stated: Any,
) -> Path:
    """A model whose action is ``tanh(observation · weights)``, stamped as an export is.

    ``stated`` is what its metadata say beside the rules.
    """
    width = layout.size
    initial = numpy_helper.from_array(weights.astype(np.float32).reshape(width, 1), "weights")
    graph = helper.make_graph(
        [
            helper.make_node("MatMul", ["observation", "weights"], ["drive"]),
            helper.make_node("Tanh", ["drive"], ["action"]),
        ],
        "policy",
        [helper.make_tensor_value_info("observation", TensorProto.FLOAT, ["n", width])],
        [helper.make_tensor_value_info("action", TensorProto.FLOAT, ["n", 1])],
        [initial],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    facts = stated if rules is None else {"simulator": to_dict(rules), **stated}
    for name, value in {
        "layout": layout.to_dict(),
        "layout_hash": layout.hash,
        "scaler": {"mean": [0.0] * width, "scale": [1.0] * width},
        "metadata": facts,
    }.items():
        text = value if isinstance(value, str) else json.dumps(value)
        model.metadata_props.add(key=f"offline_trader.{name}", value=text)
    model.metadata_props.add(key=CONTENT_HASH, value=UNSTAMPED)
    path.write_bytes(stamp(model.SerializeToString()))
    onnx.checker.check_model(onnx.load(path))
    return path


def lively(layout: ObservationLayout, seed: int = 0) -> NDArray[np.float64]:
    """[F + P] weights under which the action changes its sign often and depends on all columns."""
    weights = np.random.default_rng(seed).normal(0.0, 0.15, layout.size)
    for name, weight in {"return_1": 60.0, "close_location": 0.8, "exposure": -0.6}.items():
        if name in layout.names:
            weights[layout.names.index(name)] = weight
    return weights


@pytest.fixture
def make_model(tmp_path: Path) -> MakeModel:
    """``make_model(rules, layout=, weights=, seed=, **stated)``: the path of a model."""

    def make(
        rules: SimulatorConfig | None = SimulatorConfig(),
        layout: ObservationLayout | None = None,
        weights: NDArray[Any] | None = None,
        seed: int = 0,
        **stated: Any,
    ) -> Path:
        layout = layout or observation_layout()
        return linear_model(
            tmp_path / f"policy{len(list(tmp_path.iterdir()))}.onnx",
            rules,
            layout,
            lively(layout, seed) if weights is None else weights,
            **stated,
        )

    return make


@pytest.fixture
def policy(make_model: MakeModel) -> OnnxPolicy:
    """A policy of the default rules."""
    return OnnxPolicy(make_model())


def _body_of(bar: Bar) -> dict[str, Any]:
    fields = {name: getattr(bar, name) for name in ("open", "high", "low", "close", "volume")}
    return {"time": f"{np.datetime_as_string(bar.timestamp, unit='s')}Z", **fields}


@pytest.fixture(scope="session")
def body_of() -> BodyOf:
    """``body_of(bar)``: the bar in JSON, as a client sends it."""
    return _body_of
