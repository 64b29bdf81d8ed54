"""The library reads back, and extends, what was written without it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import h5py
import numpy as np
import pytest
from h5py import h5d
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from offline_trader.datasets.episode_file import CHUNK_ROWS, EpisodeFile

Arrays = dict[str, NDArray[np.generic]]
KINDS = ("f4", "f8", "i8", "i2", "?")


def made(rows: int, seed: int = 0, names: int = 3, kinds: tuple[str, ...] = KINDS) -> Arrays:
    """An episode of ``rows`` rows: matrices, vectors, and a group of ``names`` vectors."""
    rng = np.random.default_rng(seed)
    draw = {
        "observations": rng.normal(size=(rows, 5)),
        "frames": rng.normal(size=(rows, 2, 3)),
        "rewards": rng.normal(size=rows),
        **{f"infos/info_{index}": rng.normal(size=rows + 1) for index in range(names)},
    }
    typed = zip(draw.items(), kinds * len(draw), strict=False)
    return {name: np.ascontiguousarray(values.astype(kind)) for (name, values), kind in typed}


def write(path: Path, episodes: list[Arrays]) -> None:
    file = EpisodeFile(path)
    for number, arrays in enumerate(episodes):
        file.add(arrays, {"id": number, "total_steps": -number, "behaviour": 1 << 40})
    file.close()


def assert_same(group: h5py.Group, arrays: Mapping[str, NDArray[np.generic]]) -> None:
    found: list[str] = []
    group.visititems(
        lambda name, item: found.append(name) if isinstance(item, h5py.Dataset) else None
    )
    assert sorted(found) == sorted(arrays)
    for name, values in arrays.items():
        assert group[name].dtype == values.dtype
        assert group[name].maxshape == (None, *values.shape[1:])
        np.testing.assert_array_equal(group[name][()], values)


@settings(max_examples=25, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 40), max_size=20),
    names=st.integers(1, 40),
    kinds=st.permutations(KINDS),
    seed=st.integers(0, 99),
)
def test_what_was_written_is_read_back(
    tmp_path_factory: pytest.TempPathFactory,
    lengths: list[int],
    names: int,
    kinds: list[str],
    seed: int,
) -> None:
    episodes = [made(rows, seed + i, names, tuple(kinds)) for i, rows in enumerate(lengths)]
    path = tmp_path_factory.mktemp("file") / "a.hdf5"
    write(path, episodes)
    with h5py.File(path) as file:
        assert set(file) == {f"episode_{number}" for number in range(len(episodes))}
        for number, arrays in enumerate(episodes):
            group = file[f"episode_{number}"]
            marks = {"id": number, "total_steps": -number, "behaviour": 1 << 40}
            assert dict(group.attrs) == marks
            assert_same(group, arrays)


def test_long_episodes_have_several_chunks(tmp_path: Path) -> None:
    """Around one chunk, and enough of them for an index of three levels."""
    lengths = [CHUNK_ROWS - 1, CHUNK_ROWS, CHUNK_ROWS + 1, 70 * CHUNK_ROWS + 3]
    episodes = [made(rows, names=1) for rows in lengths]
    write(tmp_path / "a.hdf5", episodes)
    with h5py.File(tmp_path / "a.hdf5") as file:
        for number, arrays in enumerate(episodes):
            assert_same(file[f"episode_{number}"], arrays)
        stored = file["episode_3/rewards"]
        assert stored.chunks == (CHUNK_ROWS,)
        assert stored.id.get_num_chunks() == 71
        np.testing.assert_array_equal(
            stored[500_000:500_010], episodes[3]["rewards"][500_000:][:10]
        )


def test_many_episodes(tmp_path: Path) -> None:
    """Enough for an index of three levels in the root group."""
    episodes = [made(2, number, names=1) for number in range(9000)]
    write(tmp_path / "a.hdf5", episodes)
    with h5py.File(tmp_path / "a.hdf5") as file:
        assert len(file) == 9000
        for number in (0, 1, 511, 512, 4567, 8999):
            assert_same(file[f"episode_{number}"], episodes[number])
        assert "episode_9000" not in file


def test_the_library_extends_it(tmp_path: Path) -> None:
    """Rows, attributes, datasets and groups are added; what was there stays."""
    episodes = [made(rows, rows) for rows in (3, CHUNK_ROWS + 1, 20)]
    write(tmp_path / "a.hdf5", episodes)
    with h5py.File(tmp_path / "a.hdf5", "a") as file:
        for number, arrays in enumerate(episodes):
            group = file[f"episode_{number}"]
            for name, values in arrays.items():
                group[name].resize((len(values) + 200, *values.shape[1:]))
                group[name][len(values) :] = 1
            group.attrs["seed"] = np.arange(50)
            group["infos"].create_dataset("more", data=np.arange(7))
        for number in range(3, 300):
            file.create_group(f"episode_{number}").create_dataset("rewards", data=[number])
    with h5py.File(tmp_path / "a.hdf5") as file:
        assert len(file) == 300
        assert [file[f"episode_{n}/rewards"][0] for n in range(3, 300)] == list(range(3, 300))
        for number, arrays in enumerate(episodes):
            group = file[f"episode_{number}"]
            np.testing.assert_array_equal(group.attrs["seed"], np.arange(50))
            np.testing.assert_array_equal(group["infos/more"], np.arange(7))
            for name, values in arrays.items():
                np.testing.assert_array_equal(group[name][: len(values)], values)
                assert (group[name][len(values) :] == 1).all()


def test_storage_is_what_the_library_was_asked_for(tmp_path: Path) -> None:
    write(tmp_path / "a.hdf5", [made(10)])
    with h5py.File(tmp_path / "a.hdf5") as file:
        stored = file["episode_0/observations"]
        properties = stored.id.get_create_plist()
        assert stored.chunks == (10, 5)
        assert properties.get_fill_time() == h5d.FILL_TIME_NEVER
        assert properties.get_alloc_time() == h5d.ALLOC_TIME_INCR
        assert properties.get_nfilters() == 0
        assert stored.id.get_storage_size() == stored.size * stored.dtype.itemsize


def test_an_unfinished_or_cut_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.hdf5"
    file = EpisodeFile(path)
    for _ in range(200):
        file.add(made(500), {})
    assert path.stat().st_size > 1 << 20
    with pytest.raises(OSError, match="signature"):
        h5py.File(path)
    file.close()
    whole = path.read_bytes()
    path.write_bytes(whole[:-1])
    with pytest.raises(OSError, match="truncated"):
        h5py.File(path)


def test_equal_episodes_make_equal_bytes(tmp_path: Path) -> None:
    for name in ("a.hdf5", "b.hdf5"):
        write(tmp_path / name, [made(4, 1), made(30, 2)])
    assert (tmp_path / "a.hdf5").read_bytes() == (tmp_path / "b.hdf5").read_bytes()


def test_a_full_disk_is_an_error_once(tmp_path: Path) -> None:
    """The write fails with the system's reason, and letting go of the file says nothing more."""
    code = (
        "import resource, sys, numpy as np\n"
        "from pathlib import Path\n"
        "from offline_trader.datasets.episode_file import EpisodeFile\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 21, 1 << 21))\n"
        "file = EpisodeFile(Path(sys.argv[1]))\n"
        "try:\n"
        "    for _ in range(9):\n"
        "        file.add({'rewards': np.zeros(1 << 16)}, {})\n"
        "except OSError as error:\n"
        "    print(error.strerror)\n"
        "del file\n"
    )
    command = [sys.executable, "-P", "-c", code, str(tmp_path / "a.hdf5")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("File too large\n", "")
