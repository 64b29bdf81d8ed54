"""Datasets out of datasets: what is kept is what the rule says, bit for bit."""

from __future__ import annotations

import json
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest

from offline_trader.cli.main import main
from offline_trader.datasets import (
    CollectConfig,
    collect,
    dataset_metadata,
    episode_table,
    load_info,
    load_transitions,
    merge_datasets,
)
from offline_trader.datasets.catalog import dataset_facts
from offline_trader.envs import EnvConfig
from offline_trader.errors import ConfigError, DataError
from offline_trader.learning.settings import DaggerConfig
from offline_trader.pipeline.asked_experts import asked_mixture
from offline_trader.pipeline.curating import Conditions, expert_rows, filtered

WALK = "synthetic:walk?bars=900&seed=1"


def make(root: Path, name: str, experts: str, seed: int = 0, market: str = WALK) -> None:
    env = EnvConfig(market=(market,), episode_bars=100)
    rules = tuple(experts.split())
    config = CollectConfig(name, env, rules, transitions=2_000, seed=seed, score_episodes=2)
    collect(config, root=root)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("datasets")
    idle = folder / "idle.py"
    idle.write_text("def wait(features, portfolio):\n    return 0.0 * portfolio['exposure']\n")
    make(folder, "own/mixed-v0", f"technical ma_cross {idle}:wait")
    make(folder, "own/more-v0", "ma_cross buy_and_hold", seed=5)
    make(folder, "own/other-v0", "technical", market="synthetic:walk?bars=900&seed=2")
    return folder


def run(root: Path, *arguments: str) -> int:
    with pytest.raises(SystemExit) as stopped:
        main(["datasets", *arguments, "--root", str(root)])
    return int(stopped.value.code or 0)


def test_the_kept_episodes_are_the_old_ones_bit_for_bit(root: Path) -> None:
    table = episode_table("own/mixed-v0", root)
    conditions = Conditions(experts=("technical", "ma_cross"), top=0.5)
    kept, total = filtered("own/mixed-v0", "own/best-v0", conditions, root=root)
    assert total == len(table.returns)
    chosen = conditions.kept(table)
    assert 0 < kept == chosen.sum() < total
    assert table.returns[chosen].min() >= np.median(table.returns[table.behaviours < 2])
    old, new = (load_transitions(f"own/{name}-v0", root) for name in ("mixed", "best"))
    rows = np.isin(old.episode_ids, np.flatnonzero(chosen))
    for name in ("observations", "next_observations", "actions", "rewards", "terminals"):
        np.testing.assert_array_equal(getattr(new, name), getattr(old, name)[rows])
    own = load_info("own/best-v0", "expert_action", root)
    np.testing.assert_array_equal(own, load_info("own/mixed-v0", "expert_action", root)[rows])
    again = episode_table("own/best-v0", root)
    np.testing.assert_array_equal(again.behaviours, table.behaviours[chosen])
    identity = dataset_facts("own/best-v0", root).identity
    assert identity["filtered"]["dataset"] == "own/mixed-v0"
    assert identity["rule"] == {"experts": ["technical", "ma_cross"], "top": 0.5}


def test_merged_datasets_hold_all_episodes_under_one_list_of_experts(root: Path) -> None:
    merge_datasets(["own/mixed-v0", "own/more-v0"], "own/both-v0", root=root)
    parts = [episode_table(f"own/{name}-v0", root) for name in ("mixed", "more")]
    both = episode_table("own/both-v0", root)
    assert both.labels == (*parts[0].labels, "buy_and_hold")
    owners = [part.labels[i] for part in parts for i in part.behaviours]
    assert [both.labels[i] for i in both.behaviours] == owners
    rewards = [load_transitions(f"own/{name}-v0", root).rewards for name in ("mixed", "more")]
    np.testing.assert_array_equal(
        load_transitions("own/both-v0", root).rewards, np.concatenate(rewards)
    )


def test_what_does_not_fit_is_not_merged(root: Path) -> None:
    with pytest.raises(DataError, match=r"own/other-v0 and own/mixed-v0 differ in bars"):
        merge_datasets(["own/mixed-v0", "own/other-v0"], "own/x-v0", root=root)
    with pytest.raises(ConfigError, match="merging"):
        merge_datasets(["own/mixed-v0"], "own/x-v0", root=root)
    with pytest.raises(ConfigError, match="each once"):
        merge_datasets(["own/mixed-v0", "own/more-v0", "own/mixed-v0"], "own/x-v0", root=root)
    assert not (root / "own" / "x-v0").exists()


def test_verdicts_leave_out_who_never_acts(
    root: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert run(root, "show", "own/mixed-v0", "--json", "--plots", str(tmp_path)) == 0
    found = {row["label"]: row for row in json.loads(capsys.readouterr().out)["experts"]}
    (idle,) = (row for label, row in found.items() if label.endswith(":wait"))
    assert idle["verdicts"] == {"inactive": idle["episodes"]}
    assert len(list(tmp_path.glob("*.png"))) == 3
    arguments = ["own/mixed-v0", "own/active-v0", "--without", "inactive", "--quiet"]
    assert run(root, "filter", *arguments) == 0
    active = episode_table("own/active-v0", root)
    assert (active.trades > 0).all()
    before = dataset_metadata("own/active-v0", root)
    assert run(root, "filter", *arguments) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert dataset_metadata("own/active-v0", root) == before


def test_a_sound_dataset_is_told_from_a_damaged_one(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(root, "check", "own/more-v0") == 0
    assert "is sound" in capsys.readouterr().out
    make(root, "own/damaged-v0", "ma_cross")
    file = root / "own" / "damaged-v0" / "data" / "main_data.hdf5"
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    assert run(root, "check", "own/damaged-v0") == 3
    assert "main_data.hdf5" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("filter", "own/mixed-v0", "own/y-v0"), "no condition is given"),
        (("filter", "own/mixed-v0", "own/y-v0", "--expert", "tecnical"), "did you mean 'tech"),
        (("filter", "own/mixed-v0", "own/y-v0", "--without", "lazy"), "unknown verdict 'lazy'"),
        (("filter", "own/mixed-v0", "own/y-v0", "--min-return", "99"), "no episode of own/mixed"),
        (("filter", "own/mixed-v0", "own/y-v0", "--top", "2"), "a share in"),
        (("filter", "own/mixed-v0", "own/y-v0", "--min-return", "nan"), "a number"),
        (("filter", "own/mixed-v0", "own/mixed-v0", "--top", "0.5", "--overwrite"), "an id of"),
    ],
)
def test_mistakes_are_named(
    root: Path, arguments: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(root, *arguments) == 2
    assert message in capsys.readouterr().err


def test_a_file_that_ends_early_is_named(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make(root, "own/short-v0", "ma_cross")
    file = root / "own" / "short-v0" / "data" / "main_data.hdf5"
    file.write_bytes(file.read_bytes()[:20_000])
    for arguments in (
        ("show", "own/short-v0"),
        ("filter", "own/short-v0", "own/z-v0", "--top", "0.5"),
        ("merge", "own/more-v0", "own/short-v0", "--to", "own/z-v0"),
    ):
        assert run(root, *arguments) == 3
        assert "main_data.hdf5 cannot be read" in capsys.readouterr().err
    assert not (root / "own" / "z-v0").exists()


def test_a_dataset_without_episodes_is_said_to_have_none(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make(root, "own/none-v0", "ma_cross")
    file = root / "own" / "none-v0" / "data" / "metadata.json"
    nothing = {"total_episodes": 0, "total_steps": 0}
    file.write_text(json.dumps({**json.loads(file.read_text()), **nothing}))
    assert run(root, "seal", "own/none-v0") == 0
    for arguments in (
        ("show", "own/none-v0"),
        ("check", "own/none-v0"),
        ("filter", "own/none-v0", "own/z-v0", "--top", "0.5"),
        ("merge", "own/more-v0", "own/none-v0", "--to", "own/z-v0"),
    ):
        assert run(root, *arguments) == 3
        assert "holds no episodes" in capsys.readouterr().err
    assert not (root / "own" / "z-v0").exists()


def test_the_command_to_go_on_with_is_one_that_there_is(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(root / "own" / "more-v0", tmp_path / "own" / "more-v0")
    for arguments in (
        ("filter", "own/more-v0", "own/best-v0", "--top", "0.5"),
        ("merge", "own/more-v0", "own/best-v0", "--to", "own/all-v0"),
    ):
        assert run(tmp_path, *arguments) == 0
        printed = capsys.readouterr()
        assert "next:" not in printed.out
        (told,) = (line for line in printed.err.splitlines() if line.startswith("next: "))
        words = shlex.split(told.removeprefix("next: offline-trader "))
        with pytest.raises(SystemExit) as stopped:
            main([*words, "--dry-run"])
        assert not stopped.value.code
        capsys.readouterr()


def test_who_has_no_episode_left_is_no_expert_of_the_new_dataset(root: Path) -> None:
    """DAgger would ask him, and an oracle would mark a dataset that he never touched."""
    make(root, "own/taught-v0", "oracle technical buy_and_hold")
    whole = dataset_facts("own/taught-v0", root)
    assert whole.privileged
    filtered("own/taught-v0", "own/rules-v0", Conditions(experts=("technical",)), root=root)
    rules = dataset_facts("own/rules-v0", root)
    assert [one["label"] for one in rules.experts] == ["technical"]
    assert not rules.privileged
    assert rules.ref_max_score is not None
    assert whole.ref_max_score is not None
    assert rules.ref_max_score < whole.ref_max_score == whole.expert_scores["oracle"]
    assert dataset_metadata("own/rules-v0", root)["ref_max_score"] == rules.ref_max_score
    (row,) = expert_rows("own/rules-v0", root)
    assert row.label == "technical"
    asked = asked_mixture(rules.experts, DaggerConfig())
    assert [one.expert.name for one in asked.behaviours] == ["technical"]
    filtered("own/taught-v0", "own/oracle-v0", Conditions(experts=("oracle",)), root=root)
    oracle = dataset_facts("own/oracle-v0", root)
    assert oracle.privileged
    assert oracle.ref_max_score == whole.ref_max_score
