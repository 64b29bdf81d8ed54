"""The commands that README and docs show work as they are shown.

The README's line is run from end to end with smaller budgets appended; of the commands in
``docs/commands.md`` the options are checked against the parsers.
"""

from __future__ import annotations

import importlib
import re
import shlex
from pathlib import Path

import pandas as pd
import pytest

from offline_trader.cli.main import COMMANDS, main
from offline_trader.markets import load_market

ROOT = Path(__file__).resolve().parent.parent

# Budgets that make the README's line a matter of seconds; what is shown stays as it is.
SMALLER = {
    "demo": "--set transitions=4000 --set auxiliary.updates=40 --set clone.updates=100"
    " --set offline.critic_updates=50 --set offline.updates=50 --set online.steps=256"
    " --set online.warmup_steps=64 --set online.critic_updates=10"
    " --set options.noise_draws=0 --set options.replicates=200",
    "collect": "--transitions 4000 --set score_episodes=2",
    "pretrain": "--set clone.updates=100 --set direct.updates=4 --set offline.critic_updates=50 "
    "--set offline.updates=50 --set validation.min_trades_per_1000=0",
    "finetune": "--steps 256 --set online.warmup_steps=64 --set online.critic_updates=10",
    "export": "--force",
    "evaluate": "--set options.noise_draws=0 --set options.replicates=200",
}


def shown(document: str) -> list[str]:
    """Every ``offline-trader`` line in the document's bash blocks."""
    text = (ROOT / document).read_text(encoding="utf-8")
    blocks = re.findall(r"```bash\n(.*?)```", text, flags=re.DOTALL)
    lines = [line.strip() for block in blocks for line in block.splitlines()]
    return [line for line in lines if line.startswith("offline-trader ")]


def run(line: str) -> int:
    """Exit code of a shown line, run in this process."""
    with pytest.raises(SystemExit) as stop:
        main(shlex.split(line, comments=True)[1:])
    return stop.value.code if isinstance(stop.value.code, int) else 0


def test_the_readmes_line_runs_from_end_to_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "datasets"))
    lines = shown("README.md")
    assert len(lines) >= 8
    for line in lines:
        name = line.split()[1]
        assert run(f"{line} {SMALLER.get(name, '')}") == 0, f"{line}\n{capsys.readouterr().err}"
    assert (tmp_path / "runs" / "finetune" / "export" / "policy.onnx").is_file()
    assert (
        tmp_path / "runs" / "evaluation-finetune-sp500-from-2015-01-01" / "report.html"
    ).is_file()


@pytest.mark.slow
def test_the_quick_start_runs_from_end_to_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "datasets"))
    bars = load_market("sp500").slice(0, 2_500)
    columns = {name: getattr(bars, name) for name in ("open", "high", "low", "close", "volume")}
    pd.DataFrame({"timestamp": bars.timestamps, **columns}).to_csv("prices.csv", index=False)
    lines = shown("docs/quick-start.md")
    assert [line.split()[1] for line in lines][:4] == ["doctor", "demo", "markets", "demo"]
    for line in lines:
        name = line.split()[1]
        # an hour's training may trade; one of seconds may not, and then the demo says so by 4
        allowed = {0, 4} if name == "demo" else {0}
        assert run(f"{line} {SMALLER.get(name, '')}") in allowed, capsys.readouterr().err
    for folder in ("runs/demo", "runs/mine"):
        assert (tmp_path / folder / "evaluation" / "report.html").is_file()


def test_the_readmes_make_targets_exist() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    named = set(re.findall(r"^make ([a-z-]+)", readme, flags=re.MULTILINE))
    assert {"demo", "test"} <= named <= targets


@pytest.mark.parametrize("name", list(COMMANDS))
def test_options_that_documents_show_are_known(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    documents = sorted(ROOT.glob("docs/*.md"))
    every = [line for path in documents for line in shown(str(path.relative_to(ROOT)))]
    lines = [line for line in [*shown("README.md"), *every] if line.split()[1] == name]
    assert lines, f"no document shows {name}"
    for line in lines:
        words = shlex.split(line, comments=True)[1:]
        module = importlib.import_module(f"offline_trader.cli.{name.replace('-', '_')}")
        group = words[1] if words[1:2] and words[1] in getattr(module, "commands", {}) else ""
        capsys.readouterr()
        assert run(f"offline-trader {name} {group} --help") == 0
        known = capsys.readouterr().out
        for option in (word for word in words if word.startswith("-")):
            assert re.search(rf"{re.escape(option)}\b", known), f"{line}: {option}"


def test_every_shown_command_exists() -> None:
    for path in sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")]):
        for line in shown(str(path.relative_to(ROOT))):
            assert line.split()[1] in {*COMMANDS, "--help", "--install-completion"}, (
                f"{path.name}: {line}"
            )
