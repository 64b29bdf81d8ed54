"""The line tells a Progress what it does, and nothing outside the CLI needs a terminal."""

from __future__ import annotations

import ast
import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from rich.console import Console

from offline_trader.cli.console import Terminal
from offline_trader.envs import EnvConfig
from offline_trader.evaluation.judging import EvaluateOptions
from offline_trader.pipeline import (
    Advance,
    EvaluateConfig,
    Progress,
    Silent,
    evaluate_strategy,
    find_strategy,
)
from offline_trader.pipeline.live_figures import LiveFigures
from offline_trader.workbench.progress_bars import terminal_bar

ROOT = Path(__file__).resolve().parents[2]
BRIEF = EvaluateOptions(costs_bps=(), delay_bars=0, noise_draws=0, oracle=False, replicates=100)


class Listener:
    """Writes down what it is told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def note(self, text: str, /) -> None:
        """Remember it."""
        self.told.append(text)

    @contextmanager
    def task(self, label: str, total: float | None = None, /) -> Iterator[Advance]:
        """Remember where it begins, how far it came and where it ends."""
        self.told.append(f"{label} begins")
        yield lambda done, total=None, shown="", /: self.told.append(f"{label}: {done} of {total}")
        self.told.append(f"{label} ends")


def test_a_strategy_is_judged_without_a_terminal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    config = EvaluateConfig(EnvConfig(market=("sp500",), start="2017"), BRIEF)
    listener = Listener()
    found = evaluate_strategy(
        find_strategy("expert:technical"), config, tmp_path / "told", listener
    )
    assert listener.told == ["evaluating begins", "evaluating: 1 of 1", "evaluating ends"]
    assert (tmp_path / "told" / "report.html").is_file()
    again = evaluate_strategy(find_strategy("expert:technical"), config, tmp_path / "silent")
    assert again.measures == found.measures
    assert capfd.readouterr() == ("", "")


def test_the_terminal_and_silence_are_both_progress() -> None:
    told: list[Progress] = [Terminal(as_json=True, quiet=True), Silent(), Listener()]
    for each in told:
        each.note("begun")
        with each.task("work", 2) as advance:
            advance(1)
            advance(2, 2)


def test_a_training_shows_its_speed_and_its_figures() -> None:
    seconds = iter([10.0, 12.0])
    live = LiveFigures(lambda: next(seconds))
    assert live.text(0, {"engine": "stock"}) == ""
    row = {"online/reward": 0.01234, "online/action_entropy": 1.5, "online/trade_rate": 0.25,
           "online/critic_loss": 2.0, "online/updates": 7.0, "online/stage": 3.0,
           "online/intrinsic_share": 0.095}  # fmt: skip
    shown = "stage 3, reward 0.0123, entropy 1.50, trades 25%, intrinsic 9.5%, critic 2"
    assert live.text(1_000, row) == shown
    assert live.text(1_000, {"validation/score": 1.0}) == shown
    assert live.text(6_000, row) == f"2,500 steps/s, {shown}"


def test_a_bar_shows_what_it_is_told() -> None:
    written = io.StringIO()
    console = Console(file=written, force_terminal=True, width=120)
    with terminal_bar(console, "online sac", 10) as advance:
        advance(5, None, "2,500 steps/s, entropy 1.50")
    assert "2,500 steps/s, entropy 1.50" in written.getvalue()


def test_benchmarks_and_examples_import_no_command() -> None:
    files = [file for name in ("benchmarks", "examples") for file in (ROOT / name).rglob("*.py")]
    assert files
    for file in files:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not [n for n in names if n.startswith("offline_trader.cli")], file
