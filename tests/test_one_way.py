"""The one way to do a thing: nearest names, hashes of content, numbers by counter."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
from numba import njit

from offline_trader.errors import DataError, did_you_mean, nearest
from offline_trader.hashing import bytes_sha256, content_sha256, file_sha256, visible_files
from offline_trader.splitmix import GOLDEN, mix
from offline_trader.types import digest


def test_the_nearest_name_is_found_or_none() -> None:
    assert nearest("bufer", ["size", "buffer"]) == "buffer"
    assert nearest("bufer", {"size": 1}) is None
    assert nearest("zzz", ["size"], cutoff=0.0) == "size"
    assert nearest("anything", []) is None


def test_the_hint_says_what_was_meant_or_something_else() -> None:
    assert did_you_mean("bufer", ["size", "buffer"]) == "did you mean 'buffer'?"
    assert did_you_mean("bufer", ["size"], otherwise="list them") == "list them"
    assert did_you_mean("bufer", ["size"]) == ""


def test_splitmix_gives_the_published_numbers() -> None:
    # The first outputs of the authors' splitmix64.c from the state 0, and compiled the same.
    expected = [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F]
    with np.errstate(over="ignore"):
        states = np.arange(1, 4, dtype=np.uint64) * GOLDEN
    assert mix(states).tolist() == expected
    assert njit(mix)(states).tolist() == expected


def test_a_folder_is_hashed_by_names_and_bytes_of_what_is_visible(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "two.txt").write_bytes(b"2")
    (tmp_path / "one.txt").write_bytes(b"1")
    assert visible_files(tmp_path) == ["b/two.txt", "one.txt"]
    one, two = (sha256(each).hexdigest() for each in (b"1", b"2"))
    assert content_sha256(tmp_path) == digest({"one.txt": one, "b/two.txt": two})
    assert content_sha256(tmp_path / "one.txt") == file_sha256(tmp_path / "one.txt") == one
    assert bytes_sha256(b"2") == two

    before = content_sha256(tmp_path)
    (tmp_path / ".hidden").mkdir()
    (tmp_path / ".hidden" / "three.txt").write_bytes(b"3")
    (tmp_path / ".four").write_bytes(b"4")
    assert content_sha256(tmp_path) == before
    (tmp_path / "one.txt").rename(tmp_path / "other.txt")
    assert content_sha256(tmp_path) != before


def test_nothing_has_no_hash(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="missing does not exist"):
        content_sha256(tmp_path / "missing")
