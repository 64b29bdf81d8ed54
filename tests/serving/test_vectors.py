"""The test vectors beside a model are what Python computes, and another runtime reproduces them."""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from offline_trader.export import OnnxPolicy
from offline_trader.features import FEATURE_SETS, compute_features
from offline_trader.hashing import file_sha256
from offline_trader.markets import load_market
from offline_trader.serving.vectors import vector_bars, write_vectors
from offline_trader.simulator import SimulatorConfig
from offline_trader.types import PORTFOLIO_FIELDS

MakeModel = Callable[..., Path]
NODE = Path(__file__).resolve().parents[2] / "examples" / "node"
MODULES = Path(os.environ.get("NODE_MODULES", NODE / "node_modules"))
RULES = SimulatorConfig(action_mode="target_long_short", smoothing_alpha=0.5, volume_cap=0.5)


@pytest.fixture
def model(make_model: MakeModel) -> Path:
    return make_model(RULES)


def columns(path: Path, *names: str) -> np.ndarray:
    with path.open(encoding="utf-8", newline="") as file:
        return np.array([[float(row[name]) for name in names] for row in csv.DictReader(file)])


def test_the_files_say_what_python_computes(model: Path) -> None:
    policy = OnnxPolicy(model)
    hashes = write_vectors(policy, FEATURE_SETS["builtin"], model)
    folder = model.parent / "vectors"
    about = json.loads((folder / "vectors.json").read_text())
    assert about["model_sha256"] == file_sha256(model)
    assert about["columns"] == list(policy.layout.names)
    assert about["rules"]["action_mode"] == "target_long_short"
    assert {name: file_sha256(model.parent / name) for name in hashes} == hashes
    bars = load_market(str(folder / "bars.csv"))
    assert bars.gaps == 1
    computed = compute_features(bars).values[252:]
    features = columns(folder / "features.csv", *policy.layout.features)
    np.testing.assert_allclose(features, computed, rtol=0.0, atol=1e-12)
    seen = columns(folder / "decisions.csv", *PORTFOLIO_FIELDS)
    actions = policy(np.concatenate([features, seen], axis=1).astype(np.float32))
    np.testing.assert_array_equal(columns(folder / "decisions.csv", "action"), actions)
    cash, units, equity, orders = columns(
        folder / "decisions.csv", "cash", "units", "equity", "order_units"
    ).T
    np.testing.assert_allclose(cash + units * bars.close[252:], equity, rtol=1e-12)
    assert np.count_nonzero(orders > 0.0) > 5 < np.count_nonzero(orders < 0.0)
    assert write_vectors(policy, FEATURE_SETS["builtin"], model) == hashes


def test_vectors_end_at_ruin(make_model: MakeModel) -> None:
    model = make_model(SimulatorConfig(ruin_fraction=0.99))
    write_vectors(OnnxPolicy(model), FEATURE_SETS["builtin"], model)
    folder = model.parent / "vectors"
    decided = columns(folder / "decisions.csv", "equity")
    assert 0 < len(decided) == len(columns(folder / "features.csv", "return_1")) < 64
    assert (decided > 9_900.0).all()


def test_the_bars_hold_what_is_hard_to_get_right() -> None:
    bars = vector_bars(252)
    still = (bars.high == bars.low) & (bars.volume == 0.0)
    assert np.flatnonzero(still).tolist() == list(range(272, 278))
    assert np.all(bars.close == np.round(bars.close, 4))


@pytest.mark.skipif(
    shutil.which("node") is None or not (MODULES / "onnxruntime-node").is_dir(),
    reason="needs node, and `npm install` in examples/node (or NODE_MODULES)",
)
def test_node_reproduces_features_and_actions(model: Path, tmp_path: Path) -> None:
    write_vectors(OnnxPolicy(model), FEATURE_SETS["builtin"], model)
    copy = tmp_path / "node"
    shutil.copytree(NODE, copy, ignore=shutil.ignore_patterns("node_modules"))
    (copy / "node_modules").symlink_to(MODULES.resolve())
    command = ["node", "check_vectors.mjs", str(model)]
    done = subprocess.run(command, cwd=copy, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(done.stdout)
    assert found["rows"] == 64
    assert found["worstFeature"] <= 1e-9
    assert found["worstAction"] <= 1e-5
    table = model.parent / "vectors" / "features.csv"
    table.write_text(table.read_text().replace("0.", "1.", 1))
    assert subprocess.run(command, cwd=copy, capture_output=True, check=False).returncode == 1
