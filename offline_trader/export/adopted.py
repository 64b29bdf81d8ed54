"""Makes one of our ONNX files of another program's graph.

The graph stays as it is, between our scaler and our clip, under our names:
``action = clip(reshape(graph((observation - mean) / scale), [N, 1]), -1, 1)``.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, compose, helper, numpy_helper, version_converter

from offline_trader.errors import ConfigError
from offline_trader.export.onnx_model import OPSET, ExportResult, write_proto
from offline_trader.types import ObservationLayout, Scaler

__all__ = ["adopt_onnx"]

_IR_VERSION = 10
"""The one that torch's exporter writes."""


def adopt_onnx(
    model: onnx.ModelProto,
    scaler: Scaler,
    layout: ObservationLayout,
    path: Path | str,
    metadata: Mapping[str, Any] | None = None,
) -> ExportResult:
    """Writes ``model`` behind ``scaler`` to ``path`` and returns what was written.

    Args:
        model: one float32 input [N, F + P]; the first output is the action, [N] or [N, 1].
        scaler: what the model's input is scaled by; mean 0 and scale 1 where it reads raw ones.
        layout: names and order of the raw observation's columns.
        path: the ``.onnx`` file, written atomically.
        metadata: as for :func:`~offline_trader.export.export_onnx`.

    Raises:
        ConfigError: another input, operators that cannot be brought to our operator set, or a
            scaler of another width.
    """
    weights = {each.name for each in model.graph.initializer}
    inputs = [each for each in model.graph.input if each.name not in weights]
    width = _width(inputs[0]) if len(inputs) == 1 else None
    if width not in (0, layout.size) or scaler.mean.shape != (layout.size,):
        raise ConfigError(
            f"the graph has {len(inputs)} inputs, the first with {width or 'no'} columns",
            expected=f"one of {layout.size} columns, those of layout {layout.hash[:12]}",
        )
    try:
        inner = _at_our_version(model)
        whole = _joined(inner, scaler, layout.size)
        onnx.checker.check_model(whole)
    except Exception as error:  # onnx raises what its C++ core does
        reason = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
        raise ConfigError(
            f"the graph cannot be written as operator set {OPSET}: {reason}",
            expected="plain operators of ONNX",
        ) from error
    return write_proto(whole, scaler, layout, Path(path), metadata or {})


def _width(value: onnx.ValueInfoProto) -> int | None:
    """Columns of a float32 matrix, 0 where they are free; None for anything else."""
    tensor = value.type.tensor_type
    if tensor.elem_type != TensorProto.FLOAT or len(tensor.shape.dim) != 2:
        return None
    return int(tensor.shape.dim[1].dim_value)


def _at_our_version(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy in our operator set, with the action as its only output, and N free."""
    versions = {each.domain: each.version for each in model.opset_import}
    inner = onnx.ModelProto()
    inner.CopyFrom(model)
    if versions.get("", OPSET) != OPSET:
        inner = version_converter.convert_version(inner, OPSET)
    weights = {each.name for each in inner.graph.initializer}
    kept = [each for each in inner.graph.input if each.name not in weights]
    del inner.graph.input[:]
    inner.graph.input.extend(kept)
    del inner.graph.output[1:]
    del inner.graph.value_info[:]
    for value in (inner.graph.input[0], inner.graph.output[0]):
        if value.type.tensor_type.shape.dim:
            value.type.tensor_type.shape.dim[0].dim_param = "batch"
    del inner.metadata_props[:]
    return compose.add_prefix(inner, "actor/")


def _joined(inner: onnx.ModelProto, scaler: Scaler, width: int) -> onnx.ModelProto:
    """Our scaler, the graph, our clip, as one."""
    constants = {
        "mean": np.asarray(scaler.mean, np.float32),
        "scale": np.asarray(scaler.scale, np.float32),
        "column": np.array([-1, 1], np.int64),
        "lowest": np.array(-1.0, np.float32),
        "highest": np.array(1.0, np.float32),
    }
    graph = inner.graph
    given, answer = graph.input[0].name, graph.output[0].name
    before = [
        helper.make_node("Sub", ["observation", "mean"], ["centred"]),
        helper.make_node("Div", ["centred", "scale"], [given]),
    ]
    after = [
        helper.make_node("Reshape", [answer, "column"], ["one_column"]),
        helper.make_node("Clip", ["one_column", "lowest", "highest"], ["action"]),
    ]
    nodes = [*before, *graph.node, *after]
    weights = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    float32 = TensorProto.FLOAT
    whole = helper.make_graph(
        nodes,
        "policy",
        [helper.make_tensor_value_info("observation", float32, ["batch", width])],
        [helper.make_tensor_value_info("action", float32, ["batch", 1])],
        [*weights, *graph.initializer],
        sparse_initializer=list(graph.sparse_initializer),
    )
    imports = [helper.make_opsetid("", OPSET), *(o for o in inner.opset_import if o.domain)]
    return helper.make_model(
        whole, opset_imports=imports, ir_version=_IR_VERSION, functions=list(inner.functions)
    )
