"""The files are those that Minari itself would write, and they appear whole or not at all."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium
import h5py
import minari
import numpy as np
import pytest
from gymnasium.envs.registration import EnvSpec
from minari.data_collector import EpisodeBuffer
from minari.dataset.minari_storage import MinariStorage

from offline_trader.datasets import dataset_metadata, list_datasets, load_transitions, seal
from offline_trader.datasets.catalog import dataset_path
from offline_trader.datasets.loading import load_info
from offline_trader.datasets.minari_files import DatasetWriter
from offline_trader.datasets.parts import PartStore
from offline_trader.datasets.rollout import Part
from offline_trader.errors import ConfigError, DataError

Spaces = tuple[gymnasium.Space[Any], gymnasium.Space[Any]]
MakePart = Callable[..., Part]
ID = "space/made-v0"


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    return tmp_path


def write(root: Path, parts: list[Part], spaces: Spaces, spec: EnvSpec, **options: Any) -> None:
    writer = DatasetWriter(root, ID, spaces, spec)
    for part in parts:
        writer.append(part)
    writer.publish({"algorithm_name": "experts"}, overwrite=options.get("overwrite", False))


def episodes_of(part: Part) -> list[dict[str, Any]]:
    """The episodes of a part, cut by a plain loop."""
    cut, step, row = [], 0, 0
    for length in part.lengths.tolist():
        steps, rows = slice(step, step + length), slice(row, row + length + 1)
        cut.append(
            {
                "observations": part.observations[rows],
                "actions": part.actions[steps],
                "rewards": part.rewards[steps],
                "terminations": part.terminations[steps],
                "truncations": part.truncations[steps],
                "infos": {name: values[rows] for name, values in part.infos.items()},
            }
        )
        step, row = step + length, row + length + 1
    return cut


def leaves(file: h5py.File) -> dict[str, h5py.Dataset]:
    found: dict[str, h5py.Dataset] = {}
    file.visititems(
        lambda name, item: found.__setitem__(name, item) if isinstance(item, h5py.Dataset) else None
    )
    return found


def test_same_files_as_minaris_own_storage(
    root: Path, make_part: MakePart, spaces: Spaces, spec: EnvSpec
) -> None:
    part = make_part(5, 3, 8)
    write(root, [part], spaces, spec)
    theirs = MinariStorage.new(
        root / "theirs", observation_space=spaces[0], action_space=spaces[1], env_spec=spec
    )
    theirs.update_episodes([EpisodeBuffer(id=i, **e) for i, e in enumerate(episodes_of(part))])
    ours = dataset_path(ID) / "data" / "main_data.hdf5"
    with h5py.File(ours) as a, h5py.File(root / "theirs" / "main_data.hdf5") as b:
        mine, reference = leaves(a), leaves(b)
        assert mine.keys() == reference.keys()
        for name, values in reference.items():
            assert mine[name].dtype == values.dtype, name
            assert mine[name].maxshape == values.maxshape, name
            np.testing.assert_array_equal(mine[name][()], values[()])
        for key in ("id", "total_steps"):
            assert a["episode_2"].attrs[key] == b["episode_2"].attrs[key]
        assert [a[f"episode_{i}"].attrs["behaviour"] for i in range(3)] == [0, 1, 0]


def test_minari_alone_reads_and_extends_it(
    root: Path, make_part: MakePart, spaces: Spaces, spec: EnvSpec
) -> None:
    parts = [make_part(5, 3), make_part(4, seed=1)]
    write(root, parts, spaces, spec)
    dataset = minari.load_dataset(ID)
    assert dataset.total_episodes == 3
    assert dataset.total_steps == 12
    assert ID in minari.list_local_datasets()
    assert "space" in minari.namespace.list_local_namespaces()
    wanted = [one for part in parts for one in episodes_of(part)]
    for episode, expected in zip(dataset, wanted, strict=True):
        for name in ("observations", "actions", "rewards", "terminations", "truncations"):
            np.testing.assert_array_equal(getattr(episode, name), expected[name])
        for name, values in expected["infos"].items():
            np.testing.assert_array_equal(episode.infos[name], values)
    more = episodes_of(make_part(6, seed=2))[0]
    dataset.update_dataset_from_buffer([EpisodeBuffer(id=3, **more)])
    assert minari.load_dataset(ID).total_steps == 18
    with pytest.raises(DataError, match=r"metadata\.json is not what was written"):
        load_transitions(ID)
    assert len(load_transitions(ID, verify=False)) == 18
    assert seal(ID)
    assert len(load_transitions(ID)) == 18
    assert not seal(ID)


def test_transitions_are_the_steps(
    root: Path, make_part: MakePart, spaces: Spaces, spec: EnvSpec
) -> None:
    parts = [make_part(5, 3), make_part(4, 1, seed=1)]
    write(root, parts, spaces, spec)
    loaded = load_transitions(ID, root)
    row = 0
    for number, episode in enumerate(one for part in parts for one in episodes_of(part)):
        for t in range(len(episode["rewards"])):
            np.testing.assert_array_equal(loaded.observations[row], episode["observations"][t])
            np.testing.assert_array_equal(
                loaded.next_observations[row], episode["observations"][t + 1]
            )
            np.testing.assert_array_equal(loaded.actions[row], episode["actions"][t])
            assert loaded.rewards[row] == np.float32(episode["rewards"][t])
            assert loaded.terminals[row] == episode["terminations"][t]
            assert loaded.timeouts[row] == episode["truncations"][t]
            assert loaded.episode_ids[row] == number
            row += 1
    assert row == len(loaded) == 13
    drawdown = load_info(ID, "drawdown", root)
    expected = [e["infos"]["drawdown"][1:] for part in parts for e in episodes_of(part)]
    np.testing.assert_array_equal(drawdown, np.concatenate(expected))
    with pytest.raises(DataError, match="drawdown"):
        load_info(ID, "drawdowns", root)


def test_every_minari_format_loads(
    root: Path, make_part: MakePart, spaces: Spaces, spec: EnvSpec
) -> None:
    part = make_part(5, 3)
    write(root, [part], spaces, spec)
    minari.create_dataset_from_buffers(
        "arrow-v0",
        [EpisodeBuffer(id=i, **{**e, "infos": None}) for i, e in enumerate(episodes_of(part))],
        observation_space=spaces[0],
        action_space=spaces[1],
        data_format="arrow",
        algorithm_name="a",
        author="b",
        author_email="c",
        code_permalink="d",
        description="e",
        env="Pendulum-v1",
        eval_env="Pendulum-v1",
    )
    with pytest.raises(DataError, match="has no SHA256SUMS"):
        load_transitions("arrow-v0", root)
    ours, arrow = load_transitions(ID, root), load_transitions("arrow-v0", root, verify=False)
    for name in ("observations", "next_observations", "actions", "rewards", "timeouts"):
        np.testing.assert_array_equal(getattr(arrow, name), getattr(ours, name))
    assert seal("arrow-v0", root)
    assert len(load_transitions("arrow-v0", root)) == 8
    (root / "arrow-v0" / "data" / "1" / "metadata.json").write_text("{}")
    with pytest.raises(DataError, match=r"1/metadata\.json is not what was written"):
        load_transitions("arrow-v0", root)


def test_nothing_shows_before_it_is_published(
    root: Path, make_part: MakePart, spaces: Spaces, spec: EnvSpec
) -> None:
    writer = DatasetWriter(root, ID, spaces, spec)
    writer.append(make_part(5))
    assert minari.list_local_datasets() == {}
    assert list_datasets() == {}
    with pytest.raises(DataError, match="none"):
        load_transitions(ID)
    # A second start, as after a kill, begins from nothing.
    write(root, [make_part(3)], spaces, spec)
    assert load_transitions(ID).rewards.shape == (3,)
    assert [path.name for path in root.iterdir()] == ["space"]


def test_an_existing_dataset_is_only_replaced_when_asked(
    root: Path, make_part: MakePart, spaces: Spaces, spec: EnvSpec
) -> None:
    write(root, [make_part(5)], spaces, spec)
    with pytest.raises(ConfigError, match="exists"):
        write(root, [make_part(3)], spaces, spec)
    assert dataset_metadata(ID)["total_steps"] == 5
    write(root, [make_part(3)], spaces, spec, overwrite=True)
    assert dataset_metadata(ID)["total_steps"] == 3


def test_wrong_ids_say_what_there_is(
    root: Path, make_part: MakePart, spaces: Spaces, spec: EnvSpec
) -> None:
    with pytest.raises(DataError, match="there are none"):
        load_transitions(ID)
    write(root, [make_part(5)], spaces, spec)
    with pytest.raises(DataError, match="did you mean 'space/made-v0'"):
        load_transitions("space/maid-v0")
    with pytest.raises(ConfigError, match="namespace/name-v0"):
        load_transitions("no version")


def test_a_damaged_file_is_named(
    root: Path, make_part: MakePart, spaces: Spaces, spec: EnvSpec
) -> None:
    write(root, [make_part(5, 3)], spaces, spec)
    path = dataset_path(ID) / "data" / "main_data.hdf5"
    with h5py.File(path, "a") as file:
        del file["episode_1/rewards"]
    for verify in (True, False):
        with pytest.raises(DataError, match=r"main_data\.hdf5"):
            load_transitions(ID, verify=verify)
    path.write_bytes(b"not a file")
    for verify in (True, False):
        with pytest.raises(DataError, match=r"main_data\.hdf5"):
            load_transitions(ID, verify=verify)


def test_parts_come_back_as_they_were(tmp_path: Path, make_part: MakePart) -> None:
    store = PartStore(tmp_path, ID)
    store.open({"seed": 1}, resume=False)
    part = make_part(5, 3)
    assert store.load(0) is None
    store.save(0, part)
    again = store.load(0)
    assert again is not None
    for name, values in again.arrays().items():
        np.testing.assert_array_equal(values, part.arrays()[name])
    with pytest.raises(ConfigError, match="--resume"):
        store.open({"seed": 1}, resume=False)
    with pytest.raises(ConfigError, match="seed = 1, not 2"):
        store.open({"seed": 2}, resume=True)
    store.open({"seed": 1}, resume=True)
    store.remove()
    assert list(tmp_path.iterdir()) == []
