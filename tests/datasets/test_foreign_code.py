"""Code that a dataset's metadata name is never imported: not to list, inspect, load or train."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from offline_trader.datasets import CollectConfig, collect, load_transitions, seal
from offline_trader.envs import EnvConfig
from offline_trader.errors import DataError

CONFIG = CollectConfig(
    dataset_id="foreign/made-v0",
    env=EnvConfig(start="2003-01-01", end="2008-12-31", episode_bars=60),
    experts=("technical?epsilon=0.2", "random"),
    transitions=600,
    lanes=10,
    score_episodes=2,
)
EVIL = """import pathlib
pathlib.Path(__file__).with_name('ran').touch()
def decide(features, portfolio): return 0
"""
SPEC = json.dumps({"id": "Evil-v0", "entry_point": "evil:decide"})


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with a module that leaves a mark, and a dataset that names it wherever it can."""
    collect(CONFIG, root=tmp_path / "root")
    (tmp_path / "evil.py").write_text(EVIL)
    file = tmp_path / "root" / CONFIG.dataset_id / "data" / "metadata.json"
    metadata: dict[str, Any] = json.loads(file.read_text())
    own = metadata["offline_trader"]
    for name in ("evil.py:decide", "evil:decide"):
        expert = {**own["experts"][0]["expert"], "name": name}
        own["experts"].append({**own["experts"][0], "label": name, "expert": expert})
    own["identity"]["experts"] = ["evil.py:decide"]
    metadata["env_spec"] = metadata["eval_env_spec"] = SPEC
    metadata["requirements"] = ["evil"]
    file.write_text(json.dumps(metadata))
    seal(CONFIG.dataset_id, tmp_path / "root")
    return tmp_path


def run(place: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "ignore", "-m", "offline_trader.cli.main", *arguments]
    path = os.pathsep.join([str(place), os.environ.get("PYTHONPATH", "")])
    return subprocess.run(
        [*command, "--root", "root"],
        cwd=place,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    "arguments",
    [
        ("datasets", "list"),
        ("datasets", "inspect", CONFIG.dataset_id),
        ("datasets", "seal", CONFIG.dataset_id),
        (
            *("pretrain", "--dataset", CONFIG.dataset_id, "--run", "run", "--quiet"),
            *("--set", "clone.updates=20", "--set", "offline.updates=20"),
            *("--set", "offline.critic_updates=0", "--set", "direct.updates=2"),
            *("--set", "learner.hidden=[8, 8]", "--set", "learner.engine=stock"),
        ),
    ],
    ids=lambda arguments: " ".join(arguments[:2]),
)
def test_commands_import_nothing_that_the_dataset_names(
    place: Path, arguments: tuple[str, ...]
) -> None:
    done = run(place, *arguments)
    assert done.returncode == 0, done.stderr
    assert not (place / "ran").exists()


@pytest.mark.parametrize("data_format", ["hdf5", "arrow", "parquet"])
@pytest.mark.parametrize("spaces", [True, False])
def test_loading_makes_no_environment(
    place: Path, data_format: str, spaces: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Minari makes the environment that a file names where the file has no spaces."""
    monkeypatch.syspath_prepend(place)
    file = place / "root" / CONFIG.dataset_id / "data" / "metadata.json"
    metadata = {**json.loads(file.read_text()), "data_format": data_format}
    if not spaces:
        del metadata["observation_space"], metadata["action_space"]
    file.write_text(json.dumps(metadata))
    if data_format == "hdf5":
        assert len(load_transitions(CONFIG.dataset_id, place / "root", verify=False)) == 600
    else:
        with pytest.raises(DataError):
            load_transitions(CONFIG.dataset_id, place / "root", verify=False)
    assert not (place / "ran").exists()
    assert "evil" not in sys.modules


def test_the_module_would_leave_a_mark(place: Path) -> None:
    done = subprocess.run([sys.executable, "-c", "import evil"], cwd=place, check=True)
    assert done.returncode == 0
    assert (place / "ran").exists()
