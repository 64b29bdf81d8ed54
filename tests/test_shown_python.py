"""The Python that README and docs show works as it is shown.

The README's line is run from end to end with smaller budgets; of what the documents show beside it
the calls of ``ot`` are checked against the signatures.
"""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import offline_trader as ot

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]

# Budgets that make the README's line a matter of seconds; what is shown stays as it is.
SMALLER: dict[str, dict[str, Any]] = {
    "collect": {"transitions": 4000, "settings": {"score_episodes": 2}, "resume": True},
    "pretrain": {
        "settings": {
            "clone.updates": 100,
            "direct.updates": 4,
            "offline": {"critic_updates": 50, "updates": 50},
            "validation.min_trades_per_1000": 0,
        }
    },
    "finetune": {
        "steps": 256,
        "settings": {"online.warmup_steps": 64, "online.critic_updates": 10},
    },
    "export_policy": {"force": True},
    "evaluate": {
        "settings": {"options.noise_draws": 0, "options.replicates": 200},
        "overwrite": True,
    },
    "walk_forward": {
        "start": "2014",
        "settings": {
            "windows.train_bars": 400,
            "windows.validation_bars": 60,
            "windows.test_bars": 400,
        },
    },
}


def shown(document: Path) -> list[str]:
    """Every block of Python in the document."""
    return re.findall(r"```python\n(.*?)```", document.read_text(encoding="utf-8"), re.DOTALL)


@pytest.fixture
def brief(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of its own, where every call has a smaller budget and no bar."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "datasets"))
    for name, given in SMALLER.items():
        monkeypatch.setattr(ot, name, _with_less(getattr(ot, name), given))
    return tmp_path


def _with_less(call: Callable[..., Any], given: dict[str, Any]) -> Callable[..., Any]:
    """``call`` with the arguments ``given``, whose settings go over what is shown."""

    def less(*args: Any, settings: dict[str, Any] | None = None, **kwargs: Any) -> Any:
        small = {**(settings or {}), **given.get("settings", {})}
        own = {key: value for key, value in given.items() if key != "settings"}
        if small:
            own["settings"] = small
        return call(*args, **{**own, **kwargs, "progress": False})

    return less


def test_the_readmes_python_runs_from_end_to_end(
    brief: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line, deciding = shown(ROOT / "README.md")
    assert len(line.strip().splitlines()) < 15
    names: dict[str, Any] = {"observations": np.zeros((3, 37), np.float32)}
    exec(line, names)
    assert "Sharpe ratio" in capsys.readouterr().out
    assert names["report"].path.is_file()
    exec(deciding, names)
    assert names["actions"].shape == (3, 1)
    names["history"] = ot.load_bars("sp500", end="2018-11-30")
    for page in ("export", "serving"):
        for block in shown(ROOT / "docs" / f"{page}.md"):
            exec(block, names)
    assert names["action"].shape == (1, 1)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["python", "policies"])
def test_python_of_the_pages_runs(name: str, brief: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MPLBACKEND", "agg")
    import stable_baselines3
    import torch

    class Brief(stable_baselines3.PPO):  # type: ignore[misc]
        """PPO of few steps, whatever is asked for."""

        def __init__(self, *args: Any, **settings: Any) -> None:
            super().__init__(*args, n_steps=64, batch_size=64, device="cpu", **settings)

        def learn(self, total_timesteps: int, **settings: Any) -> Any:
            return super().learn(64, **settings)

    net = torch.nn.Linear(37, 1)
    with torch.no_grad():
        net.weight[:, 0] *= 300.0
    monkeypatch.setattr(stable_baselines3, "PPO", Brief)
    frame = ot.load_bars("sp500").to_frame().assign(mood=lambda bars: bars["close"].pct_change())
    names = {"net": net, "frame": frame}
    blocks = shown(ROOT / "docs" / f"{name}.md")
    assert blocks
    for block in blocks:
        exec(block, names)


def test_python_of_the_other_pages_runs(brief: Path) -> None:
    bars = ot.load_bars("sp500")
    bars.to_frame().to_csv("prices.csv")
    returns = bars.to_frame()["close"].pct_change().dropna()
    returns.rename("return").to_csv("returns.csv")
    names: dict[str, Any] = {"Path": Path, "returns": Path("returns.csv")}
    for page in ("markets-and-features", "report", "experts-and-datasets", "commands"):
        for block in shown(ROOT / "docs" / f"{page}.md"):
            exec(block, names)
    assert names["found"].n_bars == len(returns)
    assert (brief / "report.html").is_file()


def calls_of(block: str) -> list[ast.Call]:
    """The calls of ``ot.name(…)`` in a block."""
    nodes = [node for node in ast.walk(ast.parse(block)) if isinstance(node, ast.Call)]
    return [
        node
        for node in nodes
        if isinstance(node.func, ast.Attribute)
        and isinstance(node.func.value, ast.Name)
        and node.func.value.id == "ot"
    ]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_calls_that_documents_show_exist(document: Path) -> None:
    for block in shown(document):
        for call in calls_of(block):
            assert isinstance(call.func, ast.Attribute)
            known = inspect.signature(getattr(ot, call.func.attr))
            given = {word.arg: None for word in call.keywords if word.arg is not None}
            known.bind(*call.args, **given)  # raises TypeError for what is not taken
