"""The leak detector from the command line: ours are clean, the oracle and a planted leak not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from offline_trader.cli.main import main


def _run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as stop:
        main(["audit", *arguments])
    return int(stop.value.code or 0)


@pytest.mark.parametrize("subject", ["features", "expert:technical", "expert:donchian"])
def test_ours_do_not_leak(subject: str, capsys: pytest.CaptureFixture[str]) -> None:
    code = _run(subject, "--bars", "420", "--cuts", "2", "--json", "--quiet")
    result = json.loads(capsys.readouterr().out)
    assert code == 0
    assert result["clean"]
    assert result["comparisons"] > 10


def test_the_oracle_leaks(capsys: pytest.CaptureFixture[str]) -> None:
    assert _run("expert:oracle", "--bars", "420", "--cuts", "2", "--json", "--quiet") == 4
    result = json.loads(capsys.readouterr().out)
    assert {leak["output"] for leak in result["leaks"]} >= {"action"}


def test_a_file_of_ones_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "mine.py"
    path.write_text(
        "def fine(bars):\n    return bars['close'].pct_change()\n\n"
        "def leaky(bars):\n    return bars['close'].pct_change().shift(-1)\n\n"
        "def calendar(bars):\n    return bars.index.month * 1.0\n\n"
        "def rare(bars):\n    r = bars['close'].pct_change()\n"
        "    odd = (bars['close'] * 1000).round().astype(int) % 197 == 9\n"
        "    return r.where(~odd, r.shift(-1))\n\n"
        "def moody(bars):\n    return bars['mood'] * 2.0\n"
    )
    assert _run(f"{path}:fine", "--cuts", "2") == 0
    said = capsys.readouterr()
    assert "elsewhere" not in said.err
    assert "first bar that moved" not in said.out, "no table without a row"
    assert _run(f"{path}:calendar", "--cuts", "2") == 0
    assert "reads elsewhere is not audited" in " ".join(capsys.readouterr().err.split())
    assert _run(f"{path}:leaky", "--cuts", "2") == 4
    assert "reads the future" in capsys.readouterr().err
    assert _run(f"{path}:rare", "--cuts", "1", "--market", "synthetic:walk?bars=900") == 4
    assert "rare" in capsys.readouterr().err
    assert _run(f"{path}:absent") == 2
    assert "fine, leaky, calendar, rare, moody" in capsys.readouterr().err
    assert _run("nothing") == 2
    assert _run("no.such.module:f") == 2
    assert _run("features", "--seed", "-1") == 2
    assert "Traceback" not in capsys.readouterr().err


def test_a_file_with_a_dataclass_and_a_module_beside_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "beside_it.py").write_text("SPAN = 5\n")
    path = tmp_path / "random.py"
    path.write_text(
        "from __future__ import annotations\n"
        "from dataclasses import dataclass\n"
        "from beside_it import SPAN\n\n"
        "@dataclass\nclass Settings:\n    span: int = SPAN\n\n"
        "def mean(bars):\n    return bars['close'].rolling(Settings().span).mean()\n"
    )
    assert _run(f"{path}:mean", "--cuts", "2") == 0
    assert "0 of 1 outputs" in capsys.readouterr().out


def test_an_expert_of_ones_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "rules.py"
    path.write_text(
        "from offline_trader.experts import get_expert\n\n"
        "mine = get_expert('ma_cross')\n"
        "cheat = get_expert('oracle')\n\n"
        "def rule(features, portfolio, limit=0.5):\n"
        "    return (features['rsi_14'] < limit) * 1.0\n"
    )
    common = ("--bars", "420", "--cuts", "2", "--json", "--quiet")
    assert _run(f"{path}:mine", *common) == 0
    assert json.loads(capsys.readouterr().out)["outputs"] == ["action", "equity"]
    assert _run(f"{path}:cheat", *common) == 4
    capsys.readouterr()
    assert _run(f"{path}:rule", *common) == 0
    assert json.loads(capsys.readouterr().out)["outputs"] == ["action", "equity"]


def test_a_signal_is_a_column_of_the_frame(tmp_path: Path) -> None:
    path, market = tmp_path / "mine.py", tmp_path / "prices.csv"
    path.write_text(
        "def back(bars):\n    return bars['mood'].bfill()\n\n"
        "def on(bars):\n    return bars['mood'].ffill()\n"
    )
    days = [f"2020-{1 + k // 28:02d}-{1 + k % 28:02d}" for k in range(200)]
    rows = [f"{day},10,11,9,10.{k % 5},{k if k % 3 else ''}" for k, day in enumerate(days)]
    market.write_text("\n".join(["date,open,high,low,close,mood", *rows]))
    with_signal = ("--market", str(market), "--signal", "mood", "--cuts", "2")
    assert _run(f"{path}:on", *with_signal) == 0
    assert _run(f"{path}:back", *with_signal) == 4
