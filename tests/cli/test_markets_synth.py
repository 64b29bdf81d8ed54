"""``markets synth``: the file is a market, the facts are printed, and mistakes are named."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from offline_trader.cli.main import main
from offline_trader.markets import load_market


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as stopped:
        main(["markets", *arguments])
    return int(stopped.value.code or 0)


def test_a_market_is_written_read_back_and_drawn(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, pictures = tmp_path / "synth.csv", tmp_path / "pictures"
    law = "turbulent?signal=0.1&bars=600"
    options = ["--seed", "4", "--output", str(file), "--plots", str(pictures), "--beside", "sp500"]
    assert run("synth", law, *options, "--json") == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["law"]["seed"] == 4
    assert set(printed["facts"]) == {"turbulent", "sp500"}
    again = load_market("synthetic:turbulent?signal=0.1&bars=600&seed=4")
    np.testing.assert_allclose(load_market(str(file)).close, again.close, rtol=1e-9)
    assert len(list(pictures.glob("*.png"))) == 4
    assert run("synth", law, "--output", str(file)) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert run("synth", law, "--output", str(file), "--overwrite", "--quiet") == 0


def test_a_market_is_made_like_bars_of_ones_own(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Their GARCH is as persistent as a fit may be, its bound."""
    file, made = tmp_path / "mine.csv", tmp_path / "like.csv"
    own = ("synth", "turbulent?signal=0.1", "--bars", "1500", "--seed", "3")
    assert run(*own, "--output", str(file)) == 0
    capsys.readouterr()
    assert run("synth", "--like", str(file), "--bars", "200", "--output", str(made), "--json") == 0
    printed = json.loads(capsys.readouterr().out)
    assert set(printed["facts"]) == {"turbulent", "mine"}
    law = printed["law"]
    assert law["alpha"] + law["gamma"] / 2.0 + law["beta"] == pytest.approx(0.995)
    said = "&".join(f"{key}={value}" for key, value in law.items() if key != "law")
    again = load_market(f"synthetic:turbulent?{said}")
    np.testing.assert_allclose(load_market(str(made)).close, again.close, rtol=1e-9)


def test_a_market_too_short_to_compare_is_refused_before_anything_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, pictures = tmp_path / "short.csv", tmp_path / "pictures"
    words = ("synth", "--bars", "2", "--output", str(file), "--plots", str(pictures))
    assert run(*words) == 3
    assert "at least 100" in capsys.readouterr().err
    assert not file.exists()
    assert not pictures.exists()


def test_files_are_checked_as_before(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("sp500", "--json") == 0
    assert json.loads(capsys.readouterr().out)["markets"][0]["source"] == "sp500"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("synth", "turbulnt"), "did you mean 'turbulent'"),
        (("synth", "ou", "--like", "sp500"), "turbulent, the law that can be fitted"),
        (("synth", "turbulent?sed=3"), "did you mean 'seed'"),
    ],
)
def test_mistakes_are_named(
    arguments: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*arguments) == 2
    assert message in capsys.readouterr().err
