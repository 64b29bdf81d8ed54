"""Numbers that changed on disk are never loaded: the dataset is refused, or is what was written."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeAlias

import gymnasium
import h5py
import numpy as np
import pytest
from gymnasium.envs.registration import EnvSpec

from offline_trader.codec import plain
from offline_trader.datasets import (
    check_layout,
    dataset_metadata,
    load_info,
    load_transitions,
    scan_datasets,
    seal,
)
from offline_trader.datasets.catalog import dataset_facts
from offline_trader.datasets.minari_files import DatasetWriter
from offline_trader.datasets.rollout import Part
from offline_trader.errors import DataError, OfflineTraderError, SchemaMismatch
from offline_trader.features import observation_layout
from offline_trader.learning.data import Transitions

MakePart: TypeAlias = Callable[..., Part]
Spaces: TypeAlias = tuple[gymnasium.Space[Any], gymnasium.Space[Any]]
ID = "space/made-v0"
LAYOUT = observation_layout()
OWN: dict[str, Any] = {
    "layout": LAYOUT.to_dict(),
    "layout_hash": LAYOUT.hash,
    "scaler": {"mean": [0.25] * LAYOUT.size, "scale": [2.0] * LAYOUT.size},
    "env_config": {"market": ["sp500"]},
    "market": ["sp500"],
    "market_sha256": {"sp500": "0" * 64},
    "experts": [{"label": "technical"}],
    "privileged": False,
}
FILES = ("main_data.hdf5", "metadata.json", "episodes.json", "SHA256SUMS")


@pytest.fixture
def root(tmp_path: Path, make_part: MakePart, spaces: Spaces, spec: EnvSpec) -> Path:
    with DatasetWriter(tmp_path, ID, spaces, spec) as writer:
        writer.append(make_part(5, 3, 8))
        writer.append(make_part(4, 30, seed=1))
        writer.publish({"offline_trader": OWN}, overwrite=False)
    return tmp_path


def folder(root: Path) -> Path:
    return root / ID / "data"


def same(one: Transitions, other: Transitions) -> bool:
    return all(
        np.array_equal(getattr(one, field.name), getattr(other, field.name))
        for field in fields(Transitions)
    )


def damaged(content: bytes, rng: np.random.Generator) -> bytes:
    """``content`` with one fault of those that disks, copies and editors make."""
    at = int(rng.integers(len(content)))
    kind = rng.integers(6)
    if kind < 2:
        return content[:at] + bytes([content[at] ^ (1 << int(rng.integers(8)))]) + content[at + 1 :]
    if kind == 2:
        return content[:at] + rng.bytes(1) + content[at + 1 :]
    if kind == 3:
        return content[:at]
    if kind == 4:
        return content[:at] + bytes(min(64, len(content) - at)) + content[at + 64 :]
    return content[:at] + rng.bytes(4) + content[at:]


@pytest.mark.parametrize("name", FILES)
def test_a_damaged_file_is_refused_or_changes_nothing(root: Path, name: str) -> None:
    """800 faults at random places: equal numbers and facts, or a DataError; nothing else."""
    before, facts = load_transitions(ID, root), dataset_facts(ID, root)
    labels = load_info(ID, "expert_action", root)
    file = folder(root) / name
    content = file.read_bytes()
    rng = np.random.default_rng(11)
    refused = []
    for _ in range(200):
        file.write_bytes(damaged(content, rng))
        if file.read_bytes() == content:
            continue
        try:
            loaded, own = load_transitions(ID, root), dataset_facts(ID, root)
            info = load_info(ID, "expert_action", root)
        except DataError as error:
            refused.append(error.found)
            continue
        assert same(loaded, before)
        assert plain(own) == plain(facts)
        assert np.array_equal(info, labels)
    assert all(str(folder(root)) in found for found in refused)
    assert len(refused) > (150 if name != "SHA256SUMS" else 50)
    file.write_bytes(content)
    assert same(load_transitions(ID, root), before)


@pytest.mark.parametrize("name", ["main_data.hdf5", "metadata.json"])
def test_unverified_damage_is_loaded_or_refused_and_nothing_else(root: Path, name: str) -> None:
    """Without checksums nobody can tell changed numbers, but no reader falls over."""
    file = folder(root) / name
    content = file.read_bytes()
    rng = np.random.default_rng(7)
    refused = []
    for _ in range(200):
        file.write_bytes(damaged(content, rng))
        try:
            loaded = load_transitions(ID, root, verify=False)
        except DataError as error:
            refused.append(error.found)
            continue
        assert len(loaded) == 50
    assert all(str(folder(root)) in found for found in refused)


def test_the_message_names_file_and_remedy(root: Path) -> None:
    file = folder(root) / "main_data.hdf5"
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    with pytest.raises(DataError) as refused:
        load_transitions(ID, root)
    assert str(file) in refused.value.found
    assert "collect it again" in refused.value.hint
    assert "seal" in refused.value.hint


def test_the_usual_tool_reads_the_checksums(root: Path) -> None:
    tool = shutil.which("sha256sum")
    if tool is None:
        pytest.skip("no sha256sum")
    command = [tool, "--check", "--strict", "SHA256SUMS"]
    done = subprocess.run(command, cwd=folder(root), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert set(done.stdout.split()) == {*(f"{name}:" for name in FILES[:3]), "OK"}


def test_the_pass_over_the_file_reads_what_the_library_reads(root: Path) -> None:
    fast, info = load_transitions(ID, root), load_info(ID, "drawdown", root)
    (folder(root) / "episodes.json").unlink()
    with pytest.raises(DataError, match=r"episodes\.json cannot be read"):
        load_transitions(ID, root)
    assert seal(ID, root)
    assert not (folder(root) / "episodes.json").exists()
    assert same(load_transitions(ID, root), fast)
    assert np.array_equal(load_info(ID, "drawdown", root), info)
    assert same(load_transitions(ID, root, verify=False), fast)


def test_datasets_without_checksums_need_the_users_word(root: Path) -> None:
    before = load_transitions(ID, root)
    (folder(root) / "SHA256SUMS").unlink()
    for read in (lambda: load_transitions(ID, root), lambda: load_info(ID, "drawdown", root)):
        with pytest.raises(DataError, match="has no SHA256SUMS") as refused:
            read()
        assert "datasets seal" in refused.value.hint
    assert same(load_transitions(ID, root, verify=False), before)
    assert len(load_info(ID, "drawdown", root, verify=False)) == len(before)
    assert seal(ID, root)
    assert same(load_transitions(ID, root), before)
    assert not seal(ID, root)
    assert [path.name for path in root.iterdir()] == ["space"]


def rewrite(root: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Change the metadata as somebody would who then seals the dataset."""
    file = folder(root) / "metadata.json"
    metadata = json.loads(file.read_text())
    change(metadata)
    file.write_text(json.dumps(metadata))
    seal(ID, root)


ODD: dict[str, Callable[[dict[str, Any]], None]] = {
    "no steps": lambda m: m.pop("total_steps"),
    "steps as text": lambda m: m.update(total_steps="50"),
    "steps as truth": lambda m: m.update(total_steps=True),
    "steps below 0": lambda m: m.update(total_steps=-1),
    "half a step": lambda m: m.update(total_steps=50.5),
    "too many steps": lambda m: m.update(total_steps=10**17),
    "absurdly many steps": lambda m: m.update(total_steps=10**400),
    "too few steps": lambda m: m.update(total_steps=49),
    "no episodes": lambda m: m.pop("total_episodes"),
    "zero episodes": lambda m: m.update(total_episodes=0),
    "absurdly many episodes": lambda m: m.update(total_episodes=10**18),
    "too few episodes": lambda m: m.update(total_episodes=4),
    "episodes in a list": lambda m: m.update(total_episodes=[5]),
    "another format": lambda m: m.update(data_format="parquet"),
    "unknown format": lambda m: m.update(data_format="tape"),
    "format of another type": lambda m: m.update(data_format=5),
    "size of another type": lambda m: m.update(dataset_size={"MB": 1}),
    "absurd size": lambda m: m.update(dataset_size=10**400),
    "own facts of another type": lambda m: m.update(offline_trader=[1]),
    "no own facts": lambda m: m.update(offline_trader=None),
    "no layout": lambda m: m["offline_trader"].pop("layout"),
    "no scaler": lambda m: m["offline_trader"].pop("scaler"),
    "no experts": lambda m: m["offline_trader"].pop("experts"),
    "experts as text": lambda m: m["offline_trader"].update(experts=["technical"]),
    "experts as a mapping": lambda m: m["offline_trader"].update(experts={"label": "x"}),
    "market as a number": lambda m: m["offline_trader"].update(market=[1]),
    "hash as a number": lambda m: m["offline_trader"].update(market_sha256={"sp500": 1}),
    "layout hash as a list": lambda m: m["offline_trader"].update(layout_hash=[]),
}


@pytest.mark.parametrize("name", ODD)
def test_odd_metadata_are_refused_with_file_and_key(root: Path, name: str) -> None:
    rewrite(root, ODD[name])
    for verify in (True, False):
        with pytest.raises(DataError) as refused:
            load_transitions(ID, root, verify=verify)
        assert str(folder(root)) in refused.value.found


ODD_FACTS: dict[str, Callable[[dict[str, Any]], None]] = {
    "an empty layout": lambda own: own.update(layout={}),
    "features as text": lambda own: own["layout"].update(features="abc"),
    "another feature": lambda own: own["layout"]["features"].append("moon"),
    "a scaler without scale": lambda own: own["scaler"].pop("scale"),
    "a scaler of texts": lambda own: own["scaler"].update(mean=["a"], scale=["b"]),
    "a scaler of nothing": lambda own: own["scaler"].update(mean=None, scale=None),
    "a scaler too short": lambda own: own["scaler"].update(mean=[0.0], scale=[1.0]),
    "a scaler with a NaN": lambda own: own["scaler"]["mean"].__setitem__(0, float("nan")),
    "a scale of 0": lambda own: own["scaler"]["scale"].__setitem__(0, 0.0),
    "an absurd scale": lambda own: own["scaler"]["scale"].__setitem__(0, 10**400),
    "an unknown setting": lambda own: own["env_config"].update(moon=1),
    "a setting of another type": lambda own: own["env_config"].update(episode_bars=[]),
}


@pytest.mark.parametrize("name", ODD_FACTS)
def test_facts_that_do_not_fit_are_refused(root: Path, name: str) -> None:
    rewrite(root, lambda metadata: ODD_FACTS[name](metadata["offline_trader"]))
    with pytest.raises(DataError) as refused:
        dataset_facts(ID, root)
    assert str(folder(root)) in refused.value.found


def test_an_odd_layout_is_a_mismatch_and_no_crash(root: Path) -> None:
    check_layout(ID, LAYOUT, root)
    oddities: list[dict[str, Any]] = [{}, {"features": 5}, {"features": [[]], "portfolio": None}]
    for odd in oddities:
        facts = {"layout": odd, "layout_hash": "x"}
        rewrite(root, lambda m, facts=facts: m["offline_trader"].update(facts))  # type: ignore[misc]
        with pytest.raises(SchemaMismatch, match=LAYOUT.hash):
            check_layout(ID, LAYOUT, root)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is not JSON"),
        (b"\xff\xfe{", "is not JSON"),
        (b"[1]", "holds a list"),
        (b"{" * 100_000, "is not JSON"),
        (b'{"total_steps": 1' + b"0" * 5000 + b"}", "is not JSON"),
        (b'{"a": ' * 500 + b"1" + b"}" * 500, "nested"),
    ],
)
def test_one_odd_dataset_is_listed_with_the_reason(root: Path, content: bytes, reason: str) -> None:
    odd = root / "odd-v0" / "data"
    odd.mkdir(parents=True)
    (odd / "metadata.json").write_bytes(content)
    found = scan_datasets(root)
    assert list(found.datasets) == [ID]
    assert list(found.unreadable) == ["odd-v0"]
    assert reason in found.unreadable["odd-v0"]
    with pytest.raises(DataError, match=reason):
        dataset_metadata("odd-v0", root)


def test_folders_that_are_no_datasets_are_listed_with_the_reason(root: Path) -> None:
    shutil.copytree(root / ID, root / "copied-v0")
    (root / "folder-v0" / "data" / "metadata.json").mkdir(parents=True)
    found = scan_datasets(root)
    assert list(found.datasets) == [ID]
    assert "is of dataset 'space/made-v0'" in found.unreadable["copied-v0"]
    assert "is not a file" in found.unreadable["folder-v0"]


def _resize(file: h5py.File, name: str, rows: int) -> None:
    file[f"episode_1/{name}"].resize(rows, axis=0)


def _replace(file: h5py.File, name: str, **options: Any) -> None:
    del file[f"episode_1/{name}"]
    file["episode_1"].create_dataset(name, **options)


SHAPES: dict[str, Callable[[h5py.File], object]] = {
    "an observation too few": lambda file: _resize(file, "observations", 3),
    "an action too many": lambda file: _resize(file, "actions", 4),
    "a termination too few": lambda file: _resize(file, "terminations", 2),
    "no rewards": lambda file: _resize(file, "rewards", 0),
    "a reward beyond any memory": lambda file: _resize(file, "rewards", 1 << 50),
    "rewards beyond the file": lambda file: _resize(file, "rewards", 1 << 28),
    "wider observations": lambda file: _replace(file, "observations", data=np.zeros((4, 7))),
    "wider actions": lambda file: _replace(file, "actions", data=np.zeros((3, 2))),
    "rewards with two axes": lambda file: _replace(file, "rewards", data=np.zeros((3, 1))),
    "a single reward": lambda file: _replace(file, "rewards", data=1.0),
    "rewards as text": lambda file: _replace(file, "rewards", data=[b"1", b"2", b"3"]),
    "complex rewards": lambda file: _replace(file, "rewards", data=np.zeros(3, complex)),
    "rewards as a group": lambda file: (
        file.__delitem__("episode_1/rewards"),
        file.create_group("episode_1/rewards"),
    ),
    "an episode that is an array": lambda file: (
        file.__delitem__("episode_1"),
        file.create_dataset("episode_1", data=[1.0]),
    ),
    "rewards elsewhere": lambda file: (
        file.__delitem__("episode_1/rewards"),
        file["episode_1"].__setitem__("rewards", h5py.ExternalLink("/etc/passwd", "/")),
    ),
    "rewards beyond float32": lambda file: file["episode_1/rewards"].__setitem__(0, 1e300),
    "no number": lambda file: file["episode_1/observations"].__setitem__((0, 0), np.nan),
    "actions out of range": lambda file: file["episode_1/actions"].__setitem__(0, 2.0),
    "an end inside": lambda file: file["episode_1/terminations"].__setitem__(0, True),
}


@pytest.mark.parametrize("how", ["linked", "linked episode", "external", "virtual"])
def test_numbers_in_another_file_are_refused(root: Path, tmp_path: Path, how: str) -> None:
    main, other = folder(root) / "main_data.hdf5", tmp_path / "other.hdf5"
    shutil.copy(main, other)
    (tmp_path / "raw").write_bytes(np.zeros(3).tobytes())
    with h5py.File(main, "a") as file:
        del file["episode_1" if how == "linked episode" else "episode_1/rewards"]
        if how == "linked episode":
            file["episode_1"] = h5py.ExternalLink(str(other), "/episode_1")
        elif how == "linked":
            file["episode_1/rewards"] = h5py.ExternalLink(str(other), "/episode_1/rewards")
        elif how == "external":
            file["episode_1"].create_dataset(
                "rewards", (3,), "f8", external=[(str(tmp_path / "raw"), 0, 24)]
            )
        else:
            layout = h5py.VirtualLayout(shape=(3,), dtype="f8")
            layout[:] = h5py.VirtualSource(str(other), "episode_1/rewards", shape=(3,))
            file["episode_1"].create_virtual_dataset("rewards", layout)
    seal(ID, root)
    with pytest.raises(DataError, match="lies in another file, which no checksum covers"):
        load_transitions(ID, root)


@pytest.mark.parametrize("name", SHAPES)
def test_episodes_that_do_not_fit_are_refused(root: Path, name: str) -> None:
    with h5py.File(folder(root) / "main_data.hdf5", "a") as file:
        SHAPES[name](file)
    seal(ID, root)
    with pytest.raises(DataError) as refused:
        load_transitions(ID, root)
    assert str(folder(root)) in refused.value.found


@pytest.mark.parametrize(
    "change",
    [
        {"arrays": []},
        {"arrays": None},
        {"starts": [0]},
        {"starts": [-1, 0, 0, 0, 0]},
        {"steps": [10**15] * 5},
        {"steps": [0] * 5},
        {"steps": [1.5] * 5},
        {"arrays": [{"name": "rewards", "dtype": "O", "shape": [], "more": 0}]},
        {"arrays": [{"name": "rewards", "dtype": "no", "shape": [], "more": 0}]},
        {"arrays": [{"name": "rewards", "dtype": "<f8", "shape": [-5], "more": 0}]},
        {"arrays": [{"name": "rewards", "dtype": "<f8", "shape": [], "more": -90}]},
    ],
)
def test_an_index_of_another_file_is_refused(root: Path, change: dict[str, Any]) -> None:
    """Also one whose checksum was made to fit."""
    file = folder(root) / "episodes.json"
    before = file.read_bytes()
    file.write_text(json.dumps({**json.loads(before), **change}))
    sums = folder(root) / "SHA256SUMS"
    old, new = (hashlib.sha256(one).hexdigest() for one in (before, file.read_bytes()))
    sums.write_text(sums.read_text().replace(old, new))
    with pytest.raises(OfflineTraderError) as refused:
        load_transitions(ID, root)
    assert isinstance(refused.value, DataError)
