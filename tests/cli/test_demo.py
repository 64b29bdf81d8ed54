"""The demo: where its test range begins, and what its folder may hold."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from offline_trader.cli.main import main
from offline_trader.errors import ConfigError
from offline_trader.pipeline import DEMO, ValidationConfig
from offline_trader.pipeline.demo import prepare


@pytest.mark.parametrize(
    ("validation_end", "first"),
    [
        # five bars lie between the last day of validation and the first of the test
        ("2014-12-31", "2015-01-09"),
        ("2014", "2015-01-09"),
        ("2016-02", "2016-03-08"),
        ("2014-06-30T15:30", "2014-07-09"),
    ],
)
def test_the_test_range_begins_a_gap_after_all_that_validation_saw(
    validation_end: str, first: str
) -> None:
    plan = replace(DEMO, validation=ValidationConfig(end=validation_end))
    assert plan.testing().start == first


def test_an_earlier_demo_is_replaced_or_gone_on_with(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    prepare(folder, DEMO, resume=False)
    (folder / "pretrain").mkdir()
    prepare(folder, DEMO, resume=True)
    assert (folder / "pretrain").exists()
    with pytest.raises(ConfigError, match="other settings"):
        prepare(folder, replace(DEMO, seed=1), resume=True)
    prepare(folder, replace(DEMO, seed=1), resume=False)
    assert not (folder / "pretrain").exists()
    assert json.loads((folder / "demo.json").read_text())["seed"] == 1


def test_a_folder_that_no_demo_wrote_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("keep")
    with pytest.raises(ConfigError, match="something else"):
        prepare(tmp_path, DEMO, resume=False)
    assert (tmp_path / "mine.txt").read_text() == "keep"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["env.end=2016", "validation.end=2018"], "no bars 5 after 2018"),
        (["env.end=2016", "validation.end=2015"], "validation.end is 2015"),
    ],
)
def test_ranges_without_bars_are_refused_before_anything_is_collected(
    settings: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["demo", "--run", str(tmp_path / "demo"), "-q"]
    with pytest.raises(SystemExit) as stop:
        main([*words, *(f"--set={setting}" for setting in settings)])
    assert stop.value.code in (2, 3)
    assert message in capsys.readouterr().err
    assert not (tmp_path / "demo").exists()
