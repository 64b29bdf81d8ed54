"""Collections of one id, readers and kills at any moment: the dataset is the old one or the new."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias

import gymnasium
import numpy as np
import pytest
from gymnasium.envs.registration import EnvSpec

from offline_trader.config import to_dict
from offline_trader.datasets import CollectConfig, collect, load_transitions
from offline_trader.datasets.minari_files import DatasetWriter
from offline_trader.datasets.replacing import dataset_lock
from offline_trader.datasets.rollout import Part
from offline_trader.envs import EnvConfig
from offline_trader.errors import ConfigError

MakePart: TypeAlias = Callable[..., Part]
Spaces: TypeAlias = tuple[gymnasium.Space[Any], gymnasium.Space[Any]]
ID = "space/made-v0"
CONFIG = CollectConfig(
    dataset_id="tests/raced-v0",
    env=EnvConfig(start="2003-01-01", end="2006-12-31", episode_bars=60),
    experts=("technical?epsilon=0.2", "random"),
    transitions=600,
    lanes=5,
    score_episodes=4,
)
COLLECT = """
import json, pathlib, sys, time
from offline_trader.config.loading import from_dict
from offline_trader.datasets import CollectConfig, collect
from offline_trader.errors import ConfigError
root, settings, ready, go = map(pathlib.Path, sys.argv[1:5])
config = from_dict(CollectConfig, json.loads(settings.read_text()))
ready.touch()
while not go.exists():
    time.sleep(0.001)
try:
    collect(config, lambda *_: time.sleep(0.05), root=root, overwrite=True)
except ConfigError as error:
    print(error)
    sys.exit(error.exit_code)
"""
REPLACE = """
import importlib.util, itertools, pathlib, sys
import gymnasium, numpy as np
from offline_trader.datasets.minari_files import DatasetWriter
from offline_trader.datasets.replacing import dataset_lock, put_back
spec = importlib.util.spec_from_file_location("made", sys.argv[2])
made = importlib.util.module_from_spec(spec)
spec.loader.exec_module(made)
root, dataset_id = pathlib.Path(sys.argv[1]), sys.argv[3]
box = gymnasium.spaces.Box
spaces = (box(-np.inf, np.inf, (made.WIDTH,), np.float32), box(-1.0, 1.0, (1,), np.float32))
print("ready", flush=True)
for round in range(int(sys.argv[4])):
    with dataset_lock(root, dataset_id):
        put_back(root, dataset_id)
        with DatasetWriter(root, dataset_id, spaces, gymnasium.spec("Pendulum-v1")) as writer:
            writer.append(made._part((5, 3) if round % 2 else (4, 6, 2), round % 2))
            writer.publish({}, overwrite=True)
"""


def data_file(root: Path) -> Path:
    return root / CONFIG.dataset_id / "data" / "main_data.hdf5"


def test_of_two_collections_one_is_told_and_nothing_is_lost(tmp_path: Path) -> None:
    """Two races over a dataset that was there; it ends as what the winner collected."""
    root, results = tmp_path / "root", set()
    for seed in (1, 2):
        one = tmp_path / f"alone-{seed}"
        collect(replace(CONFIG, seed=seed), root=one)
        results.add(data_file(one).read_bytes())
        (tmp_path / f"{seed}.json").write_text(json.dumps(to_dict(replace(CONFIG, seed=seed))))
    collect(CONFIG, root=root)
    for race in range(2):
        go = tmp_path / f"go-{race}"
        racers = []
        for seed in (1, 2):
            ready = tmp_path / f"ready-{race}-{seed}"
            places = map(str, (root, tmp_path / f"{seed}.json", ready, go))
            command = [sys.executable, "-c", COLLECT, *places]
            racers.append((subprocess.Popen(command, stdout=subprocess.PIPE, text=True), ready))
        while not all(ready.exists() for _, ready in racers):
            assert all(process.poll() is None for process, _ in racers)
            time.sleep(0.01)
        go.touch()
        outputs = [process.communicate(timeout=120)[0] for process, _ in racers]
        codes = sorted(process.returncode for process, _ in racers)
        assert codes in ([0, 2], [0, 0])  # both, where one had ended before the other began
        if codes == [0, 2]:
            winner = next(process.pid for process, _ in racers if process.returncode == 0)
            told = next(text for text in outputs if text)
            assert f"'tests/raced-v0' in {root} is in use by process {winner}" in told
        assert data_file(root).read_bytes() in results
        assert len(load_transitions(CONFIG.dataset_id, root)) == 600
        assert [path.name for path in root.iterdir()] == ["tests"]


def test_a_dataset_in_use_is_not_collected(tmp_path: Path) -> None:
    collect(CONFIG, root=tmp_path)
    before = data_file(tmp_path).read_bytes()
    with (
        dataset_lock(tmp_path, CONFIG.dataset_id),
        pytest.raises(ConfigError, match=f"in use by process {os.getpid()}"),
    ):
        collect(replace(CONFIG, seed=5), root=tmp_path, overwrite=True)
    assert data_file(tmp_path).read_bytes() == before


def replacer(root: Path, rounds: int) -> subprocess.Popen[str]:
    made = str(Path(__file__).with_name("conftest.py"))
    command = [sys.executable, "-W", "ignore", "-c", REPLACE, str(root), made, ID, str(rounds)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.stdout.close()
    return process


@pytest.fixture
def root(tmp_path: Path, make_part: MakePart, spaces: Spaces, spec: EnvSpec) -> Path:
    with DatasetWriter(tmp_path, ID, spaces, spec) as writer:
        writer.append(make_part(5, 3, seed=1))
        writer.publish({}, overwrite=False)
    return tmp_path


def rewards_of(make_part: MakePart) -> list[bytes]:
    parts = (make_part(4, 6, 2, seed=0), make_part(5, 3, seed=1))
    return [part.rewards.astype(np.float32).tobytes() for part in parts]


def test_a_reader_sees_the_old_or_the_new_one_whole(root: Path, make_part: MakePart) -> None:
    known = rewards_of(make_part)
    process = replacer(root, 80)
    seen = []
    while process.poll() is None:
        seen.append(known.index(load_transitions(ID, root).rewards.tobytes()))
    assert process.returncode == 0
    assert set(seen) == {0, 1}


def test_kills_at_any_moment_lose_nothing(root: Path, make_part: MakePart) -> None:
    known = rewards_of(make_part)
    rng = np.random.default_rng(5)
    for _ in range(8):
        process = replacer(root, 10_000)
        time.sleep(float(rng.uniform(0.0, 0.3)))
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert load_transitions(ID, root).rewards.tobytes() in known
    process = replacer(root, 1)
    assert process.wait(timeout=60) == 0
    assert sorted(path.name for path in root.iterdir()) == ["space"]


def test_a_reader_brings_back_what_a_kill_left_aside(
    root: Path, make_part: MakePart, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("offline_trader.datasets.replacing._WAIT_S", 0.2)
    aside = root / ".collecting" / f"{ID}.old"
    aside.parent.mkdir(parents=True)
    os.replace(root / ID, aside)
    assert load_transitions(ID, root).rewards.tobytes() in rewards_of(make_part)
    assert (root / ID).is_dir()
    assert not aside.exists()
