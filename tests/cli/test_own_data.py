"""Rules and logs of the user's own through the line of commands."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest

from offline_trader.cli.main import main
from offline_trader.markets import load_market

RULES = Path(__file__).resolve().parents[2] / "examples" / "my_rules.py"
SHORT = (
    "--set clone.updates=60 --set direct.updates=4 --set offline.critic_updates=20 "
    "--set offline.updates=20"
)


def run(line: str) -> int:
    with pytest.raises(SystemExit) as stop:
        main(line.split())
    return stop.value.code if isinstance(stop.value.code, int) else 0


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "datasets"))
    shutil.copy(RULES, tmp_path / "my_rules.py")
    return tmp_path


def test_a_rule_goes_through_the_line_and_is_compared_with(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    collect = (
        "collect --market sp500 --end 2012-12-31 --id own/dips-v0 --transitions 3000 "
        "--set score_episodes=2 --expert my_rules.py:dips?epsilon=0.2&below=0.5 --expert random"
    )
    assert run(collect) == 0
    assert run(f"pretrain --dataset own/dips-v0 {SHORT}") == 0
    assert run("export runs/pretrain --force") == 0
    capsys.readouterr()
    judge = "--start 2015-01-01 --set options.noise_draws=0 --set options.replicates=100 --json"
    evaluate = f"evaluate runs/pretrain/export/policy.onnx {judge} --overwrite"
    rule = "my_rules.py:dips?below=0.5"
    assert run(f"{evaluate} --expert {rule} --expert random") == 0
    assert {rule, "random"} <= _comparators(capsys.readouterr().out)
    (folder / "my_rules.py").unlink()
    assert run(evaluate) == 0  # the model names the rule, which is not imported on its word
    shown = capsys.readouterr()
    assert _comparators(shown.out) == {"buy_and_hold", "random"}
    named = "my_rules.py:dips?size=0.6&below=0.5"  # all that it was given: nobody asks the file
    assert f"not compared with {named}" in " ".join(shown.err.split())


def _comparators(shown: str) -> set[str]:
    return {one["name"] for one in json.loads(shown)["comparators"]}


def test_a_collection_resumes_only_with_the_same_rules(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    size = "--transitions 1000 --set score_episodes=2"
    line = f"collect --id own/dips-v0 {size} --expert my_rules.py:dips"
    assert run(line) == 0
    assert run(f"{line} --resume") == 0
    text = (folder / "my_rules.py").read_text(encoding="utf-8")
    (folder / "my_rules.py").write_text(text.replace("0.65", "0.66"), encoding="utf-8")
    capsys.readouterr()
    assert run(f"{line} --resume") == 2
    assert "other settings" in capsys.readouterr().err


def test_a_log_is_replayed_once_and_says_how_it_fits(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bars = load_market("sp500")
    rows = range(300, 1500, 50)
    log = pd.DataFrame({"date": bars.timestamps[rows], "units": [2.0, -2.0] * (len(rows) // 2)})
    log.to_csv("trades.csv", index=False)
    line = "collect --market sp500 --end 2006-12-31 --id own/log-v0 --log trades.csv --json"
    assert run(f"{line} --set score_episodes=2") == 0
    shown = capsys.readouterr()
    found = json.loads(shown.out)
    assert found["episodes"] == 1
    assert found["trades"] == len(rows)
    assert "24 of 24 rows (fills) found their bar" in shown.err
    both = "collect --market sp500 --id own/both-v0 --log trades.csv --expert random"
    assert run(f"{both} --transitions 4000 --set score_episodes=2 --json") == 0
    found = json.loads(capsys.readouterr().out)
    assert {one["label"] for one in found["behaviours"]} == {"log:trades.csv", "random"}


def test_wrong_logs_and_rules_end_with_one_message(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("bad.csv").write_text("date,weight\n2005-01-03,0.5\n2005-01-04,80\n", encoding="utf-8")
    assert run("collect --id own/bad-v0 --log bad.csv") == 3
    assert "bad.csv row 3: weight is" in capsys.readouterr().err
    assert run("collect --id own/bad-v0 --expert my_rules.py:no_such") == 2
    assert "no function 'no_such'" in capsys.readouterr().err
    assert not (folder / "datasets" / "own").exists()


def closes_of_sp500(folder: Path, scale: float = 1.0) -> Path:
    """A file of closes, newest first; the bars from 2008 on times ``scale``."""
    bars = load_market("sp500")
    close = bars.close.copy()
    close[bars.timestamps >= pd.Timestamp("2008")] *= scale
    rows = [f"{str(t)[:10]},{c}\n" for t, c in zip(bars.timestamps, close.tolist(), strict=True)]
    (folder / "closes.csv").write_text("Date,Close\n" + "".join(reversed(rows)))
    return folder / "closes.csv"


def test_a_file_of_closes_goes_through_the_line_and_says_so(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    closes_of_sp500(folder)
    assert run("markets closes.csv") == 3
    assert "--closes" in capsys.readouterr().err
    size = "--transitions 1000 --set score_episodes=2 --id own/closes-v0"
    assert run(f"collect --market closes.csv --closes --end 2010 {size} --expert ma_cross") == 0
    told = " ".join(capsys.readouterr().err.split())
    assert "a market of closes: open, high and low are the close" in told
    assert "the file runs newest first" in told
    judge = "--start 2012-01-01 --set options.noise_draws=0 --set options.replicates=100 --json"
    assert run(f"evaluate expert:ma_cross --market closes.csv --closes {judge}") == 0
    notes = " ".join(json.loads(capsys.readouterr().out)["notes"])
    assert "closes: a market of closes: open, high and low are the close" in notes
    assert run("collect --closes --id own/none-v0") == 2
    assert "--closes without a file" in capsys.readouterr().err


def test_prices_that_jump_by_a_factor_are_told_wherever_they_are_used(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = closes_of_sp500(folder, scale=1e6)
    assert run(f"markets closes:{file} --json") == 0
    captured = capsys.readouterr()
    (note,) = [n for n in json.loads(captured.out)["markets"][0]["notes"] if "suspicious" in n]
    assert "(2008-01-02): the close is 9" in note
    assert "a decimal point in another place" in note
    judge = "--start 2005 --set options.noise_draws=0 --set options.replicates=100 --json"
    assert run(f"evaluate expert:buy_and_hold --market closes:{file} {judge}") == 0
    assert any(note in told for told in json.loads(capsys.readouterr().out)["notes"])
