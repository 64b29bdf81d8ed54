"""Export, runtime and parity: one file that decides exactly as the torch actor does."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import nn

from offline_trader.errors import ConfigError, DataError, SchemaMismatch
from offline_trader.evaluation.measures.activations import onnx_hidden_layers
from offline_trader.export import OnnxPolicy, export_onnx, parity, torch_policy
from offline_trader.export.model_file import CONTENT_HASH, UNSTAMPED, stamp
from offline_trader.learning.agents import DeterministicActor, make_learner
from offline_trader.learning.settings import LearnerConfig
from offline_trader.types import FloatArray, ObservationLayout

FEATURES = 32
LAYOUT = ObservationLayout(tuple(f"feature_{i}" for i in range(FEATURES)), "f" * 64)


@dataclass(frozen=True)
class ArrayScaler:
    mean: FloatArray
    scale: FloatArray


class MlpActor(nn.Module):
    def __init__(self, seed: int, width: int = LAYOUT.size, *, norm: bool = False) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.body = nn.Sequential(
                nn.Linear(width, 64),
                nn.LayerNorm(64) if norm else nn.Identity(),
                nn.ReLU(),
                nn.Dropout(0.5),
                nn.Linear(64, 64),
                nn.ReLU(),
                nn.Linear(64, 1),
            )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.tanh(self.body(x))


def make_scaler(seed: int = 0, width: int = LAYOUT.size) -> ArrayScaler:
    rng = np.random.default_rng(seed)
    return ArrayScaler(rng.normal(size=width), 10.0 ** rng.uniform(-3, 1, size=width))


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("export") / "policy.onnx"
    export_onnx(MlpActor(1), make_scaler(), LAYOUT, path, {"algorithm": "cql", "seed": 1})
    return path


@pytest.mark.parametrize("kind", ["convolution", "gru"])
def test_an_actor_that_reads_windows_takes_one_flat_observation(tmp_path: Path, kind: str) -> None:
    names = ("x", "y", *(f"{name}@{lag}" for lag in range(1, 8) for name in ("x", "y")))
    layout = ObservationLayout(names, "f" * 64)
    config = LearnerConfig(hidden=(32, 16), encoder=kind)  # type: ignore[arg-type]
    scaler = make_scaler(1, layout.size)
    learner = make_learner(config, layout.size, scaler, 3, windows=tuple(layout.windows.values()))
    paths = [tmp_path / f"{name}.onnx" for name in ("one", "two")]
    for path in paths:
        export_onnx(DeterministicActor(learner), scaler, layout, path)
    assert paths[0].read_bytes() == paths[1].read_bytes()
    reference = torch_policy(DeterministicActor(learner), scaler, layout)
    report = parity(OnnxPolicy(paths[0]), reference, n=20_000)
    assert report.holds
    rows = np.random.default_rng(0).normal(size=(1_000, layout.size)) * scaler.scale + scaler.mean
    seen = rows.astype(np.float32)
    np.testing.assert_allclose(OnnxPolicy(paths[0])(seen), learner.act(seen), atol=1e-6)
    np.testing.assert_allclose(OnnxPolicy(paths[0])(seen[:1]), learner.act(seen[:1]), atol=1e-6)
    layers, _ = learner.hidden_layers(seen) or ([], None)
    assert [layer.shape for layer in layers] == [(1_000, 32), (1_000, 16)]
    found = onnx_hidden_layers(OnnxPolicy(paths[0]), seen)
    assert found is not None
    for ours, theirs in zip(layers, found[0], strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)


@pytest.mark.parametrize("norm", [False, True])
def test_parity_with_torch_over_100_000_observations(tmp_path: Path, norm: bool) -> None:
    actor, scaler = MlpActor(3, norm=norm), make_scaler()
    path = tmp_path / "policy.onnx"
    export_onnx(actor, scaler, LAYOUT, path)
    report = parity(OnnxPolicy(path), torch_policy(actor, scaler, LAYOUT))
    assert report.n == 100_000
    assert report.max_abs_difference <= 1e-5
    assert report.holds


def test_parity_tells_rounding_of_a_steep_actor_from_a_wrong_one(tmp_path: Path) -> None:
    actor, scaler = MlpActor(3), make_scaler()
    with torch.no_grad():
        for weights in actor.parameters():
            weights.mul_(6.0)
    path = tmp_path / "policy.onnx"
    export_onnx(actor, scaler, LAYOUT, path)
    reference = torch_policy(actor, scaler, LAYOUT)
    exact = torch_policy(actor, scaler, LAYOUT, exact=True)
    report = parity(OnnxPolicy(path), reference, exact=exact, n=20_000)
    assert report.max_abs_difference > 1e-5
    assert report.n_rounding > 0
    assert report.holds
    assert not parity(OnnxPolicy(path), reference, n=20_000).holds
    wrong = ArrayScaler(scaler.mean + 1e-3 * scaler.scale, scaler.scale)
    others = [torch_policy(actor, wrong, LAYOUT, exact=each) for each in (False, True)]
    assert not parity(OnnxPolicy(path), others[0], exact=others[1], n=20_000).holds


def test_saturated_actions_stay_in_the_range(tmp_path: Path) -> None:
    """onnxruntime's Tanh alone answers 1.0000001 for some large arguments."""
    linear = nn.Linear(LAYOUT.size, 1, bias=False)
    actor = nn.Sequential(linear, nn.Tanh())
    with torch.no_grad():
        linear.weight.fill_(0.0)
        linear.weight[0, 0] = 1.0
    path = tmp_path / "policy.onnx"
    unit = ArrayScaler(np.zeros(LAYOUT.size), np.ones(LAYOUT.size))
    export_onnx(actor, unit, LAYOUT, path)
    seen = np.zeros((20_000, LAYOUT.size), dtype=np.float32)
    seen[:, 0] = np.linspace(-30.0, 30.0, len(seen))
    plain = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (raw,) = plain.run(["action"], {"observation": seen})
    assert float(np.abs(raw).max()) == 1.0  # the graph alone, as other programs run it
    actions = OnnxPolicy(path)(seen)
    np.testing.assert_array_equal(actions, raw)
    assert actions.dtype == np.float32


def test_parity_sees_a_wrong_scaler(tmp_path: Path) -> None:
    actor, scaler = MlpActor(3), make_scaler()
    path = tmp_path / "policy.onnx"
    export_onnx(actor, scaler, LAYOUT, path)
    shifted = ArrayScaler(scaler.mean + 1e-2 * scaler.scale, scaler.scale)
    report = parity(OnnxPolicy(path), torch_policy(actor, shifted, LAYOUT), n=2_000)
    assert not report.holds


def test_action_is_the_formula_of_the_scaled_observation(exported: Path) -> None:
    actor, scaler = MlpActor(1).eval(), make_scaler()
    raw = np.random.default_rng(5).normal(size=(7, LAYOUT.size))
    scaled = torch.as_tensor((raw - scaler.mean) / scaler.scale, dtype=torch.float32)
    with torch.no_grad():
        expected = actor(scaled).numpy()
    found = OnnxPolicy(exported)(raw.astype(np.float32))
    assert found.shape == (7, 1)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=2e-4)  # raw rounded to float32 first


@pytest.mark.parametrize("n", [1, 2, 333])
def test_batch_is_dynamic_and_rows_do_not_mix(exported: Path, n: int) -> None:
    policy = OnnxPolicy(exported)
    raw = np.random.default_rng(n).normal(size=(n, LAYOUT.size)).astype(np.float32)
    one_by_one = np.vstack([policy(raw[i : i + 1]) for i in range(n)])
    np.testing.assert_allclose(policy(raw), one_by_one, atol=1e-6)


def test_equal_weights_give_equal_bytes_in_another_process(exported: Path, tmp_path: Path) -> None:
    code = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "import importlib.util as u\n"
        "spec = u.spec_from_file_location('again', sys.argv[2]); m = u.module_from_spec(spec)\n"
        "sys.modules['again'] = m; spec.loader.exec_module(m)\n"
        "m.export_onnx(m.MlpActor(1), m.make_scaler(), m.LAYOUT, sys.argv[3],"
        " {'seed': 1, 'algorithm': 'cql'})\n"
    )
    other = tmp_path / "other.onnx"
    root = Path(__file__).parents[2]
    subprocess.run(
        [sys.executable, "-c", code, str(root), __file__, str(other)],
        check=True,
        cwd=tmp_path,
        capture_output=True,
    )
    assert other.read_bytes() == exported.read_bytes()
    different = tmp_path / "different.onnx"
    export_onnx(MlpActor(2), make_scaler(), LAYOUT, different, {"algorithm": "cql", "seed": 1})
    assert different.read_bytes() != exported.read_bytes()


def test_one_file_with_metadata_and_nothing_of_the_machine(exported: Path) -> None:
    assert [each.name for each in exported.parent.iterdir()] == ["policy.onnx"]
    model = onnx.load(exported)
    assert model.opset_import[0].version >= 17
    properties = {each.key: each.value for each in model.metadata_props}
    assert properties["offline_trader.layout_hash"] == LAYOUT.hash
    assert json.loads(properties["offline_trader.layout"]) == LAYOUT.to_dict()
    assert json.loads(properties["offline_trader.metadata"]) == {"algorithm": "cql", "seed": 1}
    np.testing.assert_array_equal(
        json.loads(properties["offline_trader.scaler"])["scale"], make_scaler().scale
    )
    assert not any(node.metadata_props or node.doc_string for node in model.graph.node)
    payload = exported.read_bytes()
    for trace in (os.getcwd(), str(Path.home()), sys.prefix, __file__, "site-packages", "MlpActor"):
        assert trace.encode() not in payload


def test_runtime_imports_no_torch(exported: Path) -> None:
    code = (
        "import sys, numpy as np\n"
        "from offline_trader.export import OnnxPolicy, parity, write_manifest\n"
        "p = OnnxPolicy(sys.argv[1]); p(np.zeros((1, p.layout.size), np.float32))\n"
        "print([m for m in ('torch', 'onnx', 'pandas', 'd3rlpy') if m in sys.modules])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(exported)], check=True, capture_output=True, text=True
    )
    assert done.stdout.strip() == "[]"


def test_a_model_tells_nobody_of_the_machine(exported: Path, tmp_path: Path) -> None:
    """onnxruntime writes an id of the machine and sends events, unless it is told not to."""
    home = tmp_path / "home"
    home.mkdir()
    code = (
        "import sys, numpy as np\n"
        "from offline_trader.export import OnnxPolicy\n"
        "p = OnnxPolicy(sys.argv[1]); p(np.zeros((1, p.layout.size), np.float32))\n"
    )
    silent = ("ORT_", "CI", "GITHUB_", "TF_BUILD", "JENKINS", "XDG_")  # it keeps quiet there
    told = {name: value for name, value in os.environ.items() if not name.startswith(silent)}
    done = subprocess.run(
        [sys.executable, "-c", code, str(exported)],
        check=True, capture_output=True, text=True, env=told | {"HOME": str(home)},
    )  # fmt: skip
    assert "telemetry" not in done.stderr
    assert list(home.rglob("*")) == []


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("n", [1, 50])
def test_nan_in_is_an_error_that_names_row_and_column(exported: Path, bad: float, n: int) -> None:
    raw = np.zeros((n, LAYOUT.size), dtype=np.float32)
    raw[n - 1, 4] = bad
    with pytest.raises(DataError, match=rf"row {n - 1}, column 'feature_4'"):
        OnnxPolicy(exported)(raw)


def test_opposite_infinities_do_not_cancel(exported: Path) -> None:
    raw = np.zeros((1, LAYOUT.size), dtype=np.float32)
    raw[0, :2] = np.inf, -np.inf
    with pytest.raises(DataError, match="feature_0"):
        OnnxPolicy(exported)(raw)


@pytest.mark.parametrize("shape", [(LAYOUT.size,), (1, LAYOUT.size + 1), (1, 1, LAYOUT.size)])
def test_wrong_width_is_an_error(exported: Path, shape: tuple[int, ...]) -> None:
    with pytest.raises(DataError, match="shape"):
        OnnxPolicy(exported)(np.zeros(shape, dtype=np.float32))


def test_layout_mismatch_names_both_hashes(exported: Path) -> None:
    other = ObservationLayout(LAYOUT.features[::-1], LAYOUT.feature_hash)
    with pytest.raises(SchemaMismatch) as caught:
        OnnxPolicy(exported, expected_layout=other)
    assert LAYOUT.hash[:12] in str(caught.value)
    assert other.hash[:12] in str(caught.value)
    assert "feature_31" in str(caught.value)
    assert OnnxPolicy(exported, expected_layout=LAYOUT).layout == LAYOUT


def test_missing_foreign_and_broken_files(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no file"):
        OnnxPolicy(tmp_path / "absent.onnx")
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"not a model")
    with pytest.raises(DataError, match="cannot be opened"):
        OnnxPolicy(broken)


def test_a_changed_layout_in_the_file_is_found(exported: Path, tmp_path: Path) -> None:
    model = onnx.load(exported)
    for each in model.metadata_props:
        if each.key == "offline_trader.layout":
            each.value = each.value.replace("feature_3", "feature_x")
    changed = tmp_path / "changed.onnx"
    onnx.save(model, changed)
    with pytest.raises(DataError, match="not the file that was exported"):
        OnnxPolicy(changed)
    restamped(model, changed)
    with pytest.raises(SchemaMismatch, match="states layout hash"):
        OnnxPolicy(changed)


def restamped(model: onnx.ModelProto, path: Path) -> None:
    """Write a changed model with the hash that its content now has."""
    for each in model.metadata_props:
        if each.key == CONTENT_HASH:
            each.value = UNSTAMPED
    path.write_bytes(stamp(model.SerializeToString(deterministic=True)))


def test_export_refuses_what_cannot_work(tmp_path: Path) -> None:
    actor, scaler, path = MlpActor(0), make_scaler(), tmp_path / "p.onnx"
    with pytest.raises(ConfigError, match="path"):
        export_onnx(actor, scaler, LAYOUT, path, {"run": {"dir": "/home/someone/run"}})
    with pytest.raises(ConfigError, match="means"):
        export_onnx(actor, make_scaler(width=9), LAYOUT, path)
    zero = ArrayScaler(scaler.mean, np.where(np.arange(LAYOUT.size) == 2, 0.0, scaler.scale))
    with pytest.raises(ConfigError, match="feature_2"):
        export_onnx(actor, zero, LAYOUT, path)
    with pytest.raises(ConfigError, match="not JSON"):
        export_onnx(actor, scaler, LAYOUT, path, {"score": float("nan")})
    broken = MlpActor(0)
    with torch.no_grad():
        next(broken.parameters()).fill_(float("nan"))
    with pytest.raises(ConfigError, match="finite"):
        export_onnx(broken, scaler, LAYOUT, path)
    assert not path.exists()


def test_export_leaves_the_actor_as_it_was(tmp_path: Path) -> None:
    actor = MlpActor(0)
    actor.train()
    before = {name: value.clone() for name, value in actor.state_dict().items()}
    result = export_onnx(actor, make_scaler(), LAYOUT, tmp_path / "p.onnx")
    assert actor.training
    assert actor.body[3].training  # the dropout layer
    assert all(torch.equal(before[name], value) for name, value in actor.state_dict().items())
    assert result.size_bytes == (tmp_path / "p.onnx").stat().st_size
