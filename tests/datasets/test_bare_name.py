"""Under the bare name ``datasets``, at the repository root, Hugging Face's package answers."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]


def run(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_dagger_imports_at_the_repository_root() -> None:
    code = (
        "import imitation.algorithms.dagger, datasets, datasets.arrow_dataset;"
        "print(datasets.__file__, callable(datasets.load_from_disk),"
        " datasets.Dataset.from_dict({'a': [1, 2]})[1]['a'])"
    )
    path, loads, value = run(code).split()
    assert "site-packages" in path
    assert (loads, value) == ("True", "2")


def test_both_live_side_by_side() -> None:
    code = (
        "import datasets, offline_trader.datasets as ours, sys;"
        "print(datasets is not ours, ours.load_transitions.__module__, 'torch' in sys.modules)"
    )
    assert run(code).split()[:2] == ["True", "offline_trader.datasets.loading"]


def test_importing_ours_is_cheap() -> None:
    code = (
        "import sys, offline_trader.datasets;"
        "print(sorted({'torch', 'pandas', 'numba', 'h5py', 'minari', 'matplotlib'}"
        " & set(sys.modules)))"
    )
    assert run(code) == "[]"
