"""Known-optimum markets from the command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from offline_trader.cli.main import main


def _run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as stop:
        main(["known-optimum", *arguments])
    return int(stop.value.code or 0)


def _json(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    payload: dict[str, Any] = json.loads(capsys.readouterr().out)
    return payload


def test_lists_markets_and_datasets(capsys: pytest.CaptureFixture[str]) -> None:
    assert _run("--json") == 0
    listed = _json(capsys)
    assert [m["name"] for m in listed["markets"]] == ["M0", "M1", "M2", "M3", "M4"]
    assert set(listed["datasets"]) == {"M1-wide", "M1-narrow", "M3-wide", "M3-narrow"}


@pytest.mark.parametrize("name", ["M1", "M2", "M3", "M4"])
def test_the_optimum_scores_100(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert _run(name, "--policy", "optimal", "--json", "--set", "score_steps=100") == 0
    assert _json(capsys)["scores"][0]["value"] == pytest.approx(100.0, abs=0.5)


def test_a_policy_of_ones_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "mine.py"
    path.write_text("def flat(seen):\n    return 0.0 * seen[:, 0]\n")
    assert _run("M1", "--policy", f"{path}:flat", "--json") == 0
    score = _json(capsys)["scores"][0]
    assert score["interval"][0] - 1e-9 <= 0.0 <= score["interval"][1] + 1e-9


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        (("M1", "--policy", "optimal", "--seeds", "3"), "--seeds 3 with --policy"),
        (("--policy", "optimal"), "no market or dataset"),
        (("--seeds", "4", "--json"), "no market or dataset"),
        (("M1",), "neither --policy nor --train"),
        (("M1", "--policy", "optimal", "--train", "sac"), "both --policy and --train"),
        (("M1", "--policy", "optimal", "--set", "learner.gamma=0.5"), "changes nothing"),
        (("M1", "--policy", "optimal", "--set", "bars=9000"), "changes nothing"),
        (("M1", "--train", "sac", "--set", "offline.updates=9"), "changes nothing"),
        (("M1-wide", "--train", "cql", "--set", "online.steps=9"), "changes nothing"),
        (("M1-wide", "--train", "a.py:b", "--set", "learner.gamma=0.5"), "changes nothing"),
        (("M3-bars", "--policy", "a.py:b", "--set", "score_steps=9"), "changes nothing"),
        (("M3", "--train", "aux,bc"), "--train default --set stages=aux,bc"),
        (("M3-bars", "--train", "clone"), "--train default --set stages=clone"),
        (("M1", "--train", "default", "--set", "stages=aux,bc"), "M1, which has no bars"),
    ],
)
def test_no_option_is_passed_over(
    arguments: tuple[str, ...], found: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _run(*arguments) == 2
    assert found in capsys.readouterr().err


def test_actions_that_are_no_numbers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "mine.py"
    path.write_text("def words(seen):\n    return ['buy'] * len(seen)\n")
    assert _run("M1", "--policy", f"{path}:words") == 3
    assert "actions are no numbers" in capsys.readouterr().err


SMALL_BARS = ("--set", "bars=4000", "--set", "paths=2")


def test_m3_as_a_market_through_the_whole_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _run("M3-bars", "--policy", "expert:reversion", "--json", "--quiet", *SMALL_BARS) == 0
    result = _json(capsys)
    (score,) = result["scores"]
    assert (result["name"], score["market"], score["n"]) == ("M3-bars", "M3 bars", 2 * 1999)
    assert score["interval"][0] < score["value"] < score["interval"][1]
    path = tmp_path / "mine.py"
    path.write_text(
        "def flat(seen):\n    return 0.0 * seen[:, :1]\n\n"
        "def broken(seen):\n    return seen['close']\n"
    )
    assert _run("M3-bars", "--policy", f"{path}:flat", "--json", *SMALL_BARS) == 0
    assert _json(capsys)["scores"][0]["value"] == 0.0
    assert _run("M3-bars", "--policy", f"{path}:broken", *SMALL_BARS) == 2
    assert "failed at mine.py line 5" in capsys.readouterr().err
    assert _run("M3-bars", "--policy", "optimal") == 2
    assert _run("M3-bars", "--train", "sac") == 2
    assert "synthetic:ou" in capsys.readouterr().err


def test_a_method_of_ones_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Least squares cloning of the data, and one gain tried on lanes, as a user writes them."""
    path = tmp_path / "method.py"
    path.write_text(
        "import numpy as np\n\n"
        "def clone(data, seed):\n"
        "    weights = np.linalg.lstsq(data.observations, data.actions[:, 0], rcond=None)[0]\n"
        "    return lambda seen: seen @ weights\n\n"
        "def online(lanes, seed):\n"
        "    def reward(gain):\n"
        "        seen, total = lanes.reset(), 0.0\n"
        "        for _ in range(200):\n"
        "            step = lanes.step(gain * seen[:, 0])\n"
        "            seen, total = step.observations, total + step.rewards.mean()\n"
        "        return total\n"
        "    best = max((-0.1, 0.0, 0.05), key=reward)\n"
        "    return lambda seen: best * seen[:, 0]\n\n"
        "def nothing(data, seed):\n    return None\n\n"
        "def wrong(data, seed):\n    return data.obs\n"
    )
    assert _run("M1-wide", "--train", f"{path}:clone", "--seeds", "2", "--json", "--quiet") == 0
    result = _json(capsys)
    assert [score["value"] for score in result["scores"]] == pytest.approx([51, 51], abs=2)
    assert result["scores"][0]["value"] != result["scores"][1]["value"]
    assert _run("M1", "--train", f"{path}:online", "--json", "--quiet") == 0
    assert _json(capsys)["scores"][0]["value"] > 10.0
    assert _run("M1-wide", "--train", f"{path}:nothing", "--quiet") == 2
    assert "returned a NoneType" in capsys.readouterr().err
    assert _run("M1-wide", "--train", f"{path}:wrong", "--quiet") == 2
    assert "failed at method.py" in capsys.readouterr().err


@pytest.mark.slow
def test_estimates_from_data_stand_beside_their_rank_correlation(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert _run("M3-wide", "--policy", "behaviour", "--fqe") == 0
    shown = capsys.readouterr().out
    assert "contrarian" in shown
    assert "rank correlation of estimates and scores: 1.00" in shown


def test_estimates_need_a_dataset(capsys: pytest.CaptureFixture[str]) -> None:
    assert _run("M1", "--policy", "optimal", "--fqe") == 2
    assert "M1-narrow" in capsys.readouterr().err


def test_training_beats_its_teacher(capsys: pytest.CaptureFixture[str]) -> None:
    code = _run(
        "M3-wide", "--train", "sac", "--json", "--quiet", "--seeds", "2", "--set",
        "offline.updates=1500", "--set", "learner.actor_lr=0.001", "--set",
        "learner.critic_lr=0.001",
    )  # fmt: skip
    assert code == 0
    result = _json(capsys)
    assert min(score["value"] for score in result["scores"]) > 55.0, "the teacher scores 50"
    assert result["summary"]["n"] == 2


@pytest.mark.parametrize(
    "arguments", [("M9", "--policy", "optimal"), ("M1",), ("M1", "--policy", "a", "--train", "sac")]
)
def test_wrong_use(arguments: tuple[str, ...]) -> None:
    assert _run(*arguments) == 2
