"""ONNX files of others: damage is seen, what they claim is checked, what never ends is ended."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from offline_trader.errors import DataError, SchemaMismatch
from offline_trader.export import ManifestFacts, OnnxPolicy, read_model, write_manifest
from offline_trader.export.model_file import CONTENT_HASH, UNSTAMPED, stamp
from offline_trader.features import observation_layout

LAYOUT = observation_layout()
SIZE = LAYOUT.size
FLOAT, DOUBLE = TensorProto.FLOAT, TensorProto.DOUBLE
FACTS: dict[str, Any] = {"seed": 0, "market": ["sp500"]}
SCALER = {"mean": [0.0] * SIZE, "scale": [1.0] * SIZE}


def first_column() -> list[onnx.NodeProto]:
    """The action is the first feature."""
    return [
        helper.make_node("Constant", [], ["zero"], value_ints=[0]),
        helper.make_node("Gather", ["observation", "zero"], ["action"], axis=1),
    ]


def foreign(
    path: Path,
    nodes: list[onnx.NodeProto] | None = None,
    *,
    inputs: tuple[tuple[str, int, list[Any]], ...] = (("observation", FLOAT, ["n", SIZE]),),
    outputs: tuple[tuple[str, int, list[Any]], ...] = (("action", FLOAT, ["n", 1]),),
    stamped: bool = True,
    **properties: object,
) -> Path:
    """A model with our metadata, over which ``properties`` go; None leaves one out."""
    graph = helper.make_graph(
        first_column() if nodes is None else nodes,
        "policy",
        [helper.make_tensor_value_info(*each) for each in inputs],
        [helper.make_tensor_value_info(*each) for each in outputs],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    known: dict[str, object] = {
        "layout": LAYOUT.to_dict(),
        "layout_hash": LAYOUT.hash,
        "scaler": SCALER,
        "metadata": FACTS,
        **properties,
    }
    for name, value in known.items():
        if value is not None:
            text = value if isinstance(value, str) else json.dumps(value)
            model.metadata_props.add(key=f"offline_trader.{name}", value=text)
    if stamped:
        model.metadata_props.add(key=CONTENT_HASH, value=UNSTAMPED)
    payload = model.SerializeToString()
    path.write_bytes(stamp(payload) if stamped else payload)
    return path


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return foreign(tmp_path / "policy.onnx")


def test_such_a_model_opens(model: Path) -> None:
    seen = np.zeros((2, SIZE), np.float32)
    seen[:, 0] = 0.25, -0.5
    np.testing.assert_array_equal(OnnxPolicy(model)(seen), [[0.25], [-0.5]])


def test_every_flipped_bit_is_seen(model: Path) -> None:
    whole, rng = model.read_bytes(), np.random.default_rng(0)
    for place in rng.permutation(len(whole))[:400]:
        damaged = bytearray(whole)
        damaged[place] ^= 1 << int(rng.integers(8))
        model.write_bytes(damaged)
        with pytest.raises(DataError, match=r"policy\.onnx"):
            read_model(model)
    for length in (0, 1, len(whole) // 2, len(whole) - 1):
        model.write_bytes(whole[:length])
        with pytest.raises(DataError, match=r"policy\.onnx"):
            read_model(model)


def test_a_manifest_beside_it_is_compared_too(model: Path) -> None:
    write_manifest(model, ManifestFacts(LAYOUT.hash))
    OnnxPolicy(model)
    foreign(model, metadata={**FACTS, "seed": 1})
    with pytest.raises(DataError, match=r"policy\.onnx(.|\n)*manifest\.json states") as caught:
        OnnxPolicy(model)
    assert "export it again" in str(caught.value)
    with pytest.raises(DataError, match="manifest"):
        OnnxPolicy(model, unverified=True)  # a hash that is there counts all the same
    (model.parent / "manifest.json").write_text("{")
    with pytest.raises(DataError, match=r"manifest\.json is not readable"):
        OnnxPolicy(model)


def test_a_file_without_a_hash_needs_a_word(model: Path) -> None:
    foreign(model, stamped=False)
    with pytest.raises(DataError, match=r"states no hash(.|\n)*--unverified"):
        OnnxPolicy(model)
    OnnxPolicy(model, unverified=True)
    write_manifest(model, ManifestFacts(LAYOUT.hash))
    OnnxPolicy(model)
    model.rename(model.with_name("other.onnx"))  # the manifest describes another file
    with pytest.raises(DataError, match="states no hash"):
        OnnxPolicy(model.with_name("other.onnx"))


@pytest.mark.parametrize("within", ["initializer", "constant", "loop", "function"])
def test_weights_in_another_file_are_refused(within: str, tmp_path: Path) -> None:
    (tmp_path / "weights.bin").write_bytes(np.ones((SIZE, 1), np.float32).tobytes())
    outside = TensorProto(name="weights", data_type=FLOAT, dims=[SIZE, 1])
    outside.data_location = TensorProto.EXTERNAL
    outside.external_data.add(key="location", value="weights.bin")
    nodes = [_node("MatMul", "observation", "weights")]
    if within != "initializer":
        nodes.insert(0, helper.make_node("Constant", [], ["weights"], value=outside))
    if within == "loop":
        body = helper.make_graph(nodes[:1], "body", [], [])
        nodes[:1] = [helper.make_node("If", ["always"], ["weights"], then_branch=body)]
    path = foreign(tmp_path / "policy.onnx", nodes)
    if within == "initializer":
        model = onnx.load(path, load_external_data=False)
        model.graph.initializer.append(outside)
        path.write_bytes(model.SerializeToString())
    if within == "function":  # the value that an attribute has where a node does not give it
        model = onnx.load(path, load_external_data=False)
        inner = helper.make_node("Constant", [], ["weights"])
        inner.attribute.add(name="value", ref_attr_name="w", type=onnx.AttributeProto.TENSOR)
        model.functions.append(
            helper.make_function(
                "own", "Weights", [], ["weights"], [inner], [helper.make_opsetid("", 18)],
                attribute_protos=[helper.make_attribute("w", outside)],
            )
        )  # fmt: skip
        del model.graph.node[0]
        model.graph.node.insert(0, helper.make_node("Weights", [], ["weights"], domain="own"))
        model.opset_import.append(helper.make_opsetid("own", 1))
        path.write_bytes(model.SerializeToString())
    with pytest.raises(DataError, match="reads weights from another file"):
        read_model(path, unverified=True)


@pytest.mark.parametrize(
    ("properties", "message"),
    [
        ({"layout": None}, "holds no observation layout"),
        ({"layout": "{"}, "not JSON"),
        ({"layout": [1, 2]}, "layout is a list"),
        ({"layout": {**LAYOUT.to_dict(), "features": "all"}}, "layout: features is text"),
        ({"layout": {**LAYOUT.to_dict(), "features": [1, 2]}}, "whole number"),
        ({"layout": {**LAYOUT.to_dict(), "features": ["a", "a"]}}, "6 names"),
        ({"layout": {**LAYOUT.to_dict(), "feature_hash": None}}, "feature_hash is null"),
        ({"layout": {"features": [], "portfolio": [], "feature_hash": ""}}, "0 columns"),
        ({"layout": "[" * 100_000}, "not JSON"),
        ({"scaler": None}, "holds no scaler"),
        ({"scaler": "7"}, "scaler is a int"),
        ({"scaler": {"mean": [0.0] * SIZE}}, "no scale"),
        ({"scaler": {**SCALER, "mean": [0.0]}}, "no mean"),
        ({"scaler": {**SCALER, "mean": ["0"] * SIZE}}, "no mean"),
        ({"scaler": {**SCALER, "scale": [float("nan")] * SIZE}}, "NaN is no JSON"),
        ({"scaler": {**SCALER, "scale": [10**400] * SIZE}}, "more than 64 bits"),
        ({"metadata": None}, "holds no metadata"),
        ({"metadata": "seed=1"}, "not JSON"),
        ({"metadata": [FACTS]}, "metadata is a list"),
    ],
)
def test_metadata_of_other_types_are_refused(
    properties: dict[str, Any], message: str, tmp_path: Path
) -> None:
    path = foreign(tmp_path / "policy.onnx", **properties)
    with pytest.raises(DataError, match=message):
        OnnxPolicy(path)


def test_a_layout_hash_of_another_type_is_a_mismatch(tmp_path: Path) -> None:
    with pytest.raises(SchemaMismatch, match="states layout hash"):
        OnnxPolicy(foreign(tmp_path / "policy.onnx", layout_hash="7"))


def _node(kind: str, *inputs: str, **attributes: object) -> onnx.NodeProto:
    return helper.make_node(kind, list(inputs), ["action"], **attributes)


COLUMN = [*first_column()[:1], helper.make_node("Gather", ["observation", "zero"], ["x"], axis=1)]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"inputs": (("observation", FLOAT, ["n", SIZE - 1]),)}, r"input 'observation'"),
        ({"inputs": (("observation", FLOAT, [2, SIZE]),)}, r"N free"),
        ({"inputs": (("observation", FLOAT, ["n", SIZE, 1]),)}, r"input 'observation'|N free"),
        (
            {"inputs": (("observation", FLOAT, ["n", SIZE]), ("memory", FLOAT, ["n", 1]))},
            "one input named",
        ),
        (
            {"nodes": [*COLUMN, helper.make_node("Identity", ["x"], ["y"])],
             "outputs": (("y", FLOAT, ["n", 1]),)},
            "one output named",
        ),
        ({"nodes": [_node("Identity", "observation")],
          "outputs": (("action", FLOAT, ["n", SIZE]),)}, "output 'action'"),
        ({"nodes": [*COLUMN, _node("Cast", "x", to=DOUBLE)],
          "outputs": (("action", DOUBLE, ["n", 1]),)}, r"tensor\(double\)"),
        ({"nodes": [*COLUMN, _node("RandomNormalLike", "x")]}, "deterministic"),
        ({"nodes": [*COLUMN, _node("Log", "x")]}, "finite action"),
        (
            {"nodes": [*COLUMN, helper.make_node("ReduceMean", ["x"], ["mean"], keepdims=1),
                       helper.make_node("Sub", ["x", "x"], ["none"]),
                       _node("Add", "none", "mean")]},
            "its own row",
        ),
        ({"nodes": [_node("NoSuchOperator", "observation")]}, "cannot be opened"),
    ],
)  # fmt: skip
def test_what_is_no_policy_is_refused(
    arguments: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=message):
        OnnxPolicy(foreign(tmp_path / "policy.onnx", **arguments))


def test_one_action_for_all_rows_is_refused(tmp_path: Path) -> None:
    first = helper.make_tensor("first", TensorProto.BOOL, [1], [True])
    nodes = [
        *COLUMN,
        helper.make_node("Constant", [], ["only"], value=first),
        _node("Compress", "x", "only", axis=0),
    ]
    path = foreign(tmp_path / "policy.onnx", nodes)
    with pytest.raises(DataError, match=r"answers 3 observations with shape \(1, 1\)"):
        OnnxPolicy(path)


def endless(path: Path) -> Path:
    """A policy whose graph counts on for ever."""
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["go_on"], ["still"]),
            helper.make_node("Add", ["value", "value"], ["more"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("step", TensorProto.INT64, []),
            helper.make_tensor_value_info("go_on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("value", FLOAT, ["n", 1]),
        ],
        [
            helper.make_tensor_value_info("still", TensorProto.BOOL, []),
            helper.make_tensor_value_info("more", FLOAT, ["n", 1]),
        ],
    )
    yes = helper.make_tensor("yes", TensorProto.BOOL, [], [True])
    nodes = [
        *COLUMN,
        helper.make_node("Constant", [], ["always"], value=yes),
        helper.make_node("Loop", ["", "always", "x"], ["action"], body=body),
    ]
    return foreign(path, nodes)


# Says when a model begins to compute, so that the signal arrives inside onnxruntime.
TOLD = """
import sys, onnxruntime
run = onnxruntime.InferenceSession.run
def told(self, *arguments):
    print("computing", flush=True)
    return run(self, *arguments)
onnxruntime.InferenceSession.run = told
"""
COMMAND = (
    TOLD
    + """
from offline_trader.cli.main import main
main(["evaluate", sys.argv[1], "--market", "sp500", "--quiet"])
"""
)
LIBRARY = (
    TOLD
    + """
from offline_trader.export import OnnxPolicy, stop_on_interrupt
try:
    with stop_on_interrupt():
        OnnxPolicy(sys.argv[1])
except KeyboardInterrupt:
    raise SystemExit(77)
"""
)


@pytest.mark.parametrize(("code", "status"), [(COMMAND, 130), (LIBRARY, 77)])
def test_ctrl_c_ends_a_loop_that_never_ends(code: str, status: int, tmp_path: Path) -> None:
    words = [sys.executable, "-P", "-c", code, str(endless(tmp_path / "policy.onnx"))]
    with subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    ) as process:  # fmt: skip
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "computing\n"
            time.sleep(1.0)
            assert process.poll() is None
            process.send_signal(signal.SIGINT)
            _, told = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == status, told
    assert "Traceback" not in told
