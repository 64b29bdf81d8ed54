"""``datasets``: odd ones are shown with what is wrong, and nothing of theirs ends the command."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from offline_trader.cli.main import main
from offline_trader.datasets import CollectConfig, collect, load_transitions
from offline_trader.envs import EnvConfig

ID = "tests/small-v0"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("made")
    env = EnvConfig(start="2003-01-01", end="2006-12-31", episode_bars=60)
    collect(CollectConfig(ID, env, ("random",), 300, lanes=5, score_episodes=2), root=root)
    return root


@pytest.fixture
def root(made: Path, tmp_path: Path) -> Path:
    shutil.copytree(made, tmp_path / "root")
    return tmp_path / "root"


def run(
    capsys: pytest.CaptureFixture[str], root: Path, *arguments: str
) -> tuple[int | str | None, str, str]:
    with pytest.raises(SystemExit) as ended:
        main(["datasets", *arguments, "--root", str(root)])
    printed = capsys.readouterr()
    return ended.value.code, printed.out, printed.err


def test_one_odd_dataset_does_not_hide_the_others(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    odd: dict[str, bytes] = {
        "odd/text-v0": b"not json",
        "odd/list-v0": b"[]",
        "odd/deep-v0": b'{"a":' * 900 + b"1" + b"}" * 900,
        "odd/own-v0": b'{"total_steps": 1, "total_episodes": 1, "offline_trader": "x"}',
    }
    for name, content in odd.items():
        file = root / name / "data" / "metadata.json"
        file.parent.mkdir(parents=True)
        file.write_bytes(content)
    code, out, _ = run(capsys, root, "list")
    assert code == 0
    assert ID in out
    for name in odd:
        assert f"{name} cannot be read: " in out
    code, out, _ = run(capsys, root, "list", "--json")
    found = json.loads(out)
    assert list(found["datasets"]) == [ID]
    assert set(found["unreadable"]) == set(odd)
    for name in odd:
        code, _, error = run(capsys, root, "inspect", name)
        assert code == 3
        assert f"error: {root / name}" in error


def test_a_changed_dataset_is_told_and_can_be_taken_as_it_is(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = root / ID / "data" / "metadata.json"
    metadata: dict[str, Any] = json.loads(file.read_text())
    file.write_text(json.dumps({**metadata, "description": "[bold]mine[/oops] \x1b[31m"}))
    code, _, error = run(capsys, root, "inspect", ID)
    assert code == 3
    assert f"{file} is not what was written" in error
    assert "offline-trader datasets seal" in error
    code, out, _ = run(capsys, root, "seal", ID)
    assert (code, out) == (0, f"{ID}: sealed\n")
    code, out, _ = run(capsys, root, "seal", ID)
    assert (code, out) == (0, f"{ID}: its files match their checksums\n")
    code, out, _ = run(capsys, root, "inspect", ID)
    assert code == 0
    assert len(load_transitions(ID, root)) == metadata["total_steps"]
