"""Actors in files of other programs: opened on the caller's word only, and no pickle ever."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from offline_trader.errors import ConfigError, DataError, SchemaMismatch
from offline_trader.export import OnnxPolicy
from offline_trader.features import observation_layout
from offline_trader.policies import open_actor, write_graph

# Files of users are TorchScript for years to come; the tests have to make some.
pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
LAYOUT = observation_layout()
SEEN = np.random.default_rng(0).normal(size=(9, LAYOUT.size)).astype(np.float32)
WEIGHTS = np.random.default_rng(1).normal(size=(LAYOUT.size, 1)).astype(np.float32) * 0.1
EXPECTED = np.tanh(SEEN @ WEIGHTS)


def onnx_actor(path: Path, *, rows: int | str = "n", opset: int = 13, flat: bool = False) -> Path:
    """A file with tanh(x W), as an exporter of elsewhere writes it."""
    nodes = [
        helper.make_node("MatMul", ["obs", "w"], ["h"]),
        helper.make_node("Tanh", ["h"], ["out"]),
    ]
    if flat:
        nodes[1].output[0] = "t"
        nodes.append(helper.make_node("Squeeze", ["t", "axis"], ["out"]))
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("obs", TensorProto.FLOAT, [rows, LAYOUT.size])],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, [rows] if flat else [rows, 1])],
        [numpy_helper.from_array(WEIGHTS, "w"), numpy_helper.from_array(np.array([1]), "axis")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    onnx.save(model, path)
    return path


def script_actor(path: Path) -> Path:
    """The same as TorchScript."""
    linear = torch.nn.Linear(LAYOUT.size, 1, bias=False)
    with torch.no_grad():
        linear.weight.copy_(torch.from_numpy(WEIGHTS.T))
    torch.jit.script(torch.nn.Sequential(linear, torch.nn.Tanh())).save(str(path))  # type: ignore[no-untyped-call]
    return path


@pytest.mark.parametrize("settings", [{}, {"rows": 1}, {"opset": 18}, {"flat": True}])
def test_a_plain_graph_decides_and_becomes_one_of_our_files(
    settings: dict[str, int], tmp_path: Path
) -> None:
    path = onnx_actor(tmp_path / "actor.onnx", **settings)  # type: ignore[arg-type]
    policy = open_actor(path, unverified=True)
    policy.require_layout(LAYOUT)
    np.testing.assert_allclose(policy(SEEN), EXPECTED, atol=1e-6)
    result = write_graph(policy.require_graph(), LAYOUT, tmp_path / "ours.onnx", {"seed": 3})
    ours = OnnxPolicy(result.path, expected_layout=LAYOUT)
    np.testing.assert_allclose(ours(SEEN), EXPECTED, atol=1e-6)
    assert ours.metadata == {"seed": 3}
    again = write_graph(policy.require_graph(), LAYOUT, tmp_path / "again.onnx", {"seed": 3})
    assert again.path.read_bytes() == result.path.read_bytes()


def test_torchscript_decides_and_becomes_one_of_our_files(tmp_path: Path) -> None:
    policy = open_actor(script_actor(tmp_path / "actor.pt"), unverified=True)
    policy.require_layout(LAYOUT)
    np.testing.assert_allclose(policy(SEEN), EXPECTED, atol=1e-6)
    write_graph(policy.require_graph(), LAYOUT, tmp_path / "ours.onnx", {})
    np.testing.assert_allclose(OnnxPolicy(tmp_path / "ours.onnx")(SEEN), EXPECTED, atol=1e-6)


def test_files_are_opened_on_the_callers_word_only(tmp_path: Path) -> None:
    for path in (onnx_actor(tmp_path / "a.onnx"), script_actor(tmp_path / "a.pt")):
        with pytest.raises(DataError, match="--unverified"):
            open_actor(path)


class Reader(torch.nn.Module):
    """Reads a file of whoever runs it."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Its bytes."""
        return torch.from_file("/etc/hostname", False, 4, dtype=torch.uint8) + x[:, :1]


class Waking(torch.nn.Module):
    """Does something while it is loaded."""

    @torch.jit.export
    def __getstate__(self) -> int:
        """Nothing to keep."""
        return 3

    @torch.jit.export
    def __setstate__(self, state: int) -> None:
        """Runs when the file is opened."""
        print("awake", state)
        self.training = False

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The first column."""
        return x[:, :1]


def test_programs_that_reach_out_are_not_even_loaded(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    for name, module in (("from_file", Reader()), ("__setstate__", Waking())):
        path = tmp_path / f"{name}.pt"
        torch.jit.script(module).save(str(path))  # type: ignore[no-untyped-call]
        capfd.readouterr()
        with pytest.raises(DataError, match=f"{name}, which reaches out"):
            open_actor(path, unverified=True)
        assert "awake" not in capfd.readouterr().out


def test_pickles_are_not_opened(tmp_path: Path) -> None:
    torch.save(torch.nn.Linear(2, 1), tmp_path / "pickled.pt")
    with pytest.raises(DataError, match="is a pickle of torch"):
        open_actor(tmp_path / "pickled.pt", unverified=True)
    for name in ("ppo.zip", "sac.d3", "model.pkl"):
        with pytest.raises(ConfigError, match=r"is a pickle(.|\n)*my_policies.py:load"):
            open_actor(tmp_path / name, unverified=True)


def test_damaged_and_foreign_files_are_refused(tmp_path: Path) -> None:
    whole = script_actor(tmp_path / "whole.pt").read_bytes()
    (tmp_path / "half.pt").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match="no TorchScript archive"):
        open_actor(tmp_path / "half.pt", unverified=True)
    with zipfile.ZipFile(tmp_path / "odd.pt", "w") as archive:
        archive.writestr("odd/code/odd.py", "def forward(self): pass")
    with pytest.raises(DataError, match="cannot be opened"):
        open_actor(tmp_path / "odd.pt", unverified=True)
    for name, message in (("gone.onnx", "no file"), ("gone.pt", "no file")):
        with pytest.raises(DataError, match=message):
            open_actor(tmp_path / name, unverified=True)
    with pytest.raises(ConfigError, match="no model that is known by its ending"):
        open_actor(tmp_path / "notes.txt", unverified=True)
    narrow = onnx_actor(tmp_path / "narrow.onnx", rows=4)
    with pytest.raises(DataError, match=r"obs: tensor\(float\) \[4, 37\](.|\n)*N free"):
        open_actor(narrow, unverified=True)


def test_another_width_is_refused(tmp_path: Path) -> None:
    linear = torch.nn.Linear(5, 1)
    torch.jit.script(linear).save(str(tmp_path / "five.pt"))  # type: ignore[no-untyped-call]
    policy = open_actor(tmp_path / "five.pt", unverified=True)
    with pytest.raises(SchemaMismatch, match="five reads 5 columns"):
        policy.require_layout(LAYOUT)


def test_weights_in_another_file_are_refused(tmp_path: Path) -> None:
    model = onnx.load(onnx_actor(tmp_path / "a.onnx"))
    onnx.save(
        model, tmp_path / "b.onnx", save_as_external_data=True, location="w", size_threshold=1
    )
    with pytest.raises(DataError, match="reads weights from another file"):
        open_actor(tmp_path / "b.onnx", unverified=True)
