"""``power``: a strong signal is found and nothing is not; finished markets are kept."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from offline_trader.cli.main import main

SMALL = [
    *("--years", "4", "--seeds", "1", "--stages", "bc,direct", "--set", "transitions=4000"),
    *("--set", "clone.updates=100", "--set", "direct.updates=100", "--set", "test_years=2"),
    *("--set", "validation_years=1", "--market", "sp500"),
]


def run(folder: Path, *arguments: str) -> int:
    with pytest.raises(SystemExit) as stopped:
        main(["power", *SMALL, "--run", str(folder), *arguments])
    return int(stopped.value.code or 0)


@pytest.mark.slow
def test_what_is_there_is_found_and_what_is_not_is_not(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(tmp_path, "--coefficients", "0.5", "--json") == 0
    (point,) = json.loads(capsys.readouterr().out)["points"]
    assert (point["found"], point["rule_found"], point["collapsed"]) == (1, 1, 0)
    assert point["sharpe"] > 0.7 * point["rule_sharpe"] > 1.0
    assert (point["optimum_found"], point["optimum_sharpe"] > point["rule_sharpe"]) == (1, True)
    result = tmp_path / "markets" / "0.5-0" / "result.json"
    written = result.stat().st_mtime_ns
    assert run(tmp_path, "--coefficients", "0,0.5", "--json") == 0
    nothing, again = json.loads(capsys.readouterr().out)["points"]
    assert result.stat().st_mtime_ns == written
    assert again == point
    assert nothing["found"] == 0
    assert {path.name for path in tmp_path.glob("*.png")} == {"power.png", "sharpe.png"}
    stored = json.loads((tmp_path / "power.json").read_text(encoding="utf-8"))
    assert stored["sentence"].startswith("With 4 years of these bars to train on")


@pytest.mark.parametrize(
    ("arguments", "message", "code"),
    [
        (("--coefficients", "0,x"), "numbers with commas", 2),
        (("--coefficients", "1.5"), "numbers in [0, 1)", 2),
        (("--set", "validation_years=0.1"), "stretches", 3),
        (("--set", "persistance=0.9"), "persistence", 2),
    ],
)
def test_mistakes_are_named(
    tmp_path: Path,
    arguments: tuple[str, ...],
    message: str,
    code: int,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(tmp_path / "run", *arguments) == code
    assert message in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_from_python_it_has_the_commands_settings(capsys: pytest.CaptureFixture[str]) -> None:
    from offline_trader.config import to_dict
    from offline_trader.envs import EnvConfig
    from offline_trader.pipeline.power_study import PowerConfig

    with pytest.raises(SystemExit):
        main(["power", "--market", "sp500", "--dry-run", "--json"])
    told = json.loads(capsys.readouterr().out)["config"]
    assert told["direct"]["objective"] == "sharpe"
    assert told == json.loads(json.dumps(to_dict(PowerConfig(env=EnvConfig(market=("sp500",))))))
