"""One key for a setting in all commands, hints to the next one, what the demo takes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from offline_trader.cli.main import main
from offline_trader.markets import load_market
from offline_trader.runs import Run

KEY = "env.simulator.commission_bps"
SET = ["--set", f"{KEY}=2"]
RULES = Path(__file__).resolve().parents[2] / "examples" / "my_rules.py"
COLLECT = [
    *("collect", "--market", "sp500", "--end", "2004-12-31", "--id", "tests/costs-v0"),
    *("--transitions", "600", "--set", "env.episode_bars=150", "--set", "score_episodes=2"),
]
PRETRAIN = [
    *("pretrain", "--dataset", "tests/costs-v0", "--validate-until", "2005-12-31"),
    *("--set", "clone.updates=60", "--set", "offline.critic_updates=10"),
    *("--set", "offline.updates=20", "--set", "learner.hidden=16,16"),
    *("--set", "validation.min_trades_per_1000=0"),
]


def code_of(*words: str) -> int:
    with pytest.raises(SystemExit) as stop:
        main(list(words))
    return stop.value.code if isinstance(stop.value.code, int) else 0


def own_file(folder: Path, rows: int = 1_500) -> Path:
    bars = load_market("sp500").slice(0, rows)
    lines = ["timestamp,open,high,low,close,volume"]
    columns = (bars.timestamps, bars.open, bars.high, bars.low, bars.close, bars.volume)
    lines += [
        ",".join([str(t.astype("datetime64[D]")), *(repr(float(v)) for v in values)])
        for t, *values in zip(*columns, strict=True)
    ]
    file = folder / "prices.csv"
    file.write_text("\n".join(lines), encoding="utf-8")
    return file


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a dataset and a run that were made under two basis points."""
    folder = tmp_path_factory.mktemp("costs")
    root = ["--root", str(folder / "data"), "-q"]
    assert code_of(*COLLECT, *SET, *root) == 0
    assert code_of(*PRETRAIN, *SET, *root, "--run", str(folder / "run")) == 0
    return folder


def test_one_key_is_taken_by_every_command(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    root, run = ["--root", str(made / "data")], str(made / "run")
    for words in (
        ["demo"],
        COLLECT,
        [*PRETRAIN, *root],
        ["finetune", run, *root],
        ["evaluate", run],
        ["walk-forward"],
    ):
        capsys.readouterr()
        assert code_of(*words, *SET, "--dry-run", "--json", "-q") == 0, words
        config = json.loads(capsys.readouterr().out)["config"]
        if words[0] != "pretrain":  # whose rules are the dataset's
            assert config["env"]["simulator"]["commission_bps"] == 2.0, words
    monkeypatch.setenv("COLUMNS", "160")  # in narrow columns the key is wrapped
    assert code_of(words[0], "--help") == 0
    assert f"{KEY}=2" in "".join(capsys.readouterr().out.split())
    scores = []
    for cost in ("0", "40"):
        experts = ["experts", "--market", "sp500", "--end", "2003-12-31", "--json", "-q"]
        assert code_of(*experts, "--set", f"{KEY}={cost}") == 0
        found = json.loads(capsys.readouterr().out)["experts"]
        scores.append({each["name"]: each["score"]["total_return"] for each in found})
    assert all(scores[0][name] > scores[1][name] for name in ("random", "technical"))


def test_a_dataset_keeps_the_rules_that_its_rewards_were_earned_under(
    made: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [*PRETRAIN, "--root", str(made / "data"), "--dry-run", "-q"]
    assert code_of(*words, "--set", f"{KEY}=3") == 2
    told = " ".join(capsys.readouterr().err.split())
    assert f"{KEY} = 3.0, but tests/costs-v0 was collected with 2.0" in told
    assert f"offline-trader collect --set {KEY}=3.0" in told
    assert code_of(*words, "--set", "env.simulator.commision_bps=2") == 2
    assert f"did you mean '{KEY}'" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["known-optimum", "M1", "--policy", "optimal"], ["judge", "x"]])
def test_where_rules_cannot_be_set_it_is_said_why(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert code_of(*words, *SET) == 2
    told = capsys.readouterr().err
    assert "rules" in told
    assert "did you mean" not in told


def test_a_training_says_by_which_score_it_chose_and_what_comes_next(
    made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, root = str(tmp_path / "run"), ["--root", str(made / "data")]
    assert code_of(*PRETRAIN, *root, "--run", run) == 0
    shown = capsys.readouterr()
    facts: dict[str, Any] = Run.open(Path(run)).facts["offline"]
    text = {
        key: "none" if (v := facts[key]) is None else f"{v:.3f}" for key in facts if "score" in key
    }
    assert (
        f"(score {text['kept_score']}; of the one it began with {text['warm_score']}" in shown.out
    )
    assert "net Sharpe ratio a year on sp500, 2005-01-" in shown.out
    assert f"next: offline-trader finetune {run} --root {made / 'data'}" in shown.err
    assert code_of("export", run, "--force") == 0
    assert f"next: offline-trader evaluate {run}/export/policy.onnx" in capsys.readouterr().err
    assert code_of(*PRETRAIN, *root, "--run", run) == 2
    assert "--resume" in capsys.readouterr().err


def test_a_dataset_is_shown_readably(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert code_of("datasets", "inspect", "tests/costs-v0", "--root", str(made / "data")) == 0
    shown = capsys.readouterr().out
    lines = [" ".join(line.split()) for line in shown.splitlines()]
    assert lines[0].startswith("tests/costs-v0: 600 steps in 4 episodes")
    assert f"{KEY} 2.000" in lines
    assert any(line.startswith("sp500 2000-01-03 2004-12-31 1,256") for line in lines)
    assert any(line.startswith("technical?weight=3") for line in lines)
    assert not {"{", "}", "\\n"} & set(shown)
    assert max(map(len, shown.splitlines())) < 400


def test_a_misspelt_rule_is_told_with_the_functions_of_its_file(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert code_of("collect", "--market", "sp500", "--expert", f"{RULES}:dip") == 2
    told = capsys.readouterr().err
    assert "expected: dips, trend\n" in told
    assert "did you mean 'dips'?" in told
    assert "collecting" not in told


def test_the_demo_takes_files_with_their_zone_costs_and_mode(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    bars = load_market(str(own_file(tmp_path)))
    words = ["demo", "--market", "prices.csv", "--tz", "America/New_York", "--dry-run", "--json"]
    mode = ["--set", "env.simulator.action_mode=target_long_short"]
    assert code_of(*words, *SET, *mode, "--run", "runs/x") == 0
    shown = capsys.readouterr()
    config = json.loads(shown.out)["config"]
    days = [str(t) for t in bars.timestamps[[1_050, 1_200]].astype("datetime64[D]")]
    assert [config["env"]["end"], config["validation"]["end"]] == days
    assert f"training ends on {days[0]}" in shown.err
    env = config["env"]
    assert (env["market"], env["tz"]) == (["prices.csv"], "America/New_York")
    assert env["simulator"]["action_mode"] == "target_long_short"
    assert code_of(*words, "--end", "2002-12-31", "-q") == 0
    config = json.loads(capsys.readouterr().out)["config"]
    assert config["env"]["end"] == "2002-12-31" < config["validation"]["end"]
    assert code_of(*words, "--validate-until", "2003-12-31", "-q") == 0
    config = json.loads(capsys.readouterr().out)["config"]
    assert config["env"]["end"] < config["validation"]["end"] == "2003-12-31"
    assert code_of("demo", "--dry-run", "--json", "-q") == 0
    config = json.loads(capsys.readouterr().out)["config"]
    assert (config["env"]["end"], config["validation"]["end"]) == ("2012-12-31", "2014-12-31")


@pytest.mark.parametrize(
    ("words", "without"),
    [
        ([], ""),
        (["--set", "agent=direct"], "agent=direct"),
        (["--set", "agent=evolution"], "agent=evolution"),
        (["--set", "goal.kind=exposure"], ""),
        (["--set", "online.objectives.preference=fixed"], "online.objectives"),
        (["--set", "online.transforms=replay"], "online.transforms=replay"),
    ],
)
def test_the_demo_has_curiosity_and_curriculum_where_they_can_be(
    words: list[str], without: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert code_of("demo", *words, "--dry-run", "--json") == 0
    shown = capsys.readouterr()
    online = json.loads(shown.out)["config"]["online"]
    assert online["curriculum"]["enabled"] == (online["curiosity"]["weight"] > 0) == (not without)
    assert (f"{without}: fine-tuning is without" in shown.err) == bool(without)


def test_a_policy_that_is_not_exported_gets_its_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The clone of buy-and-hold does the same everywhere, and stays it; the report says so."""
    monkeypatch.chdir(tmp_path)
    own_file(tmp_path)
    small = {
        "experts": "buy_and_hold",
        "transitions": 600,
        "env.episode_bars": 150,
        "auxiliary.updates": 20,
        "clone.updates": 300,
        "learner.actor_lr": 1e-9,
        "learner.hidden": "16,16",
        "offline.critic_updates": 5,
        "offline.updates": 5,
        "online.steps": 64,
        "online.warmup_steps": 16,
        "online.critic_updates": 2,
        "lanes": 4,
        "options.noise_draws": 0,
        "options.replicates": 100,
    }
    settings = [f"--set={key}={value}" for key, value in small.items()]
    assert code_of("demo", "--market", "prices.csv", "--run", "mine", *settings) == 4
    shown = capsys.readouterr()
    assert "not exported: the policy's verdict is COLLAPSED" in " ".join(shown.err.split())
    assert not (tmp_path / "mine" / "export" / "policy.onnx").exists()
    assert code_of("export", "mine/finetune") == 4
    assert "next: offline-trader evaluate mine/finetune\n" in capsys.readouterr().err
    page = (tmp_path / "mine" / "evaluation" / "report.html").read_text(encoding="utf-8")
    assert "Collapsed" in page
    assert "report: mine" in shown.out.replace("/", " ")
