"""The Python that README and docs show works as it is shown.

The README's line is run from end to end with smaller budgets; of what the documents show beside it
the calls of ``ot`` are checked against the signatures.
"""

from __future__ import annotations

import ast
import functools
import inspect
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import offline_trader as ot

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]

# Budgets that make the README's line a matter of seconds; what is shown stays as it is.
SMALLER: dict[str, dict[str, Any]] = {
    "collect": {"transitions": 4000, "settings": {"score_episodes": 2}},
    "pretrain": {
        "settings": {
            "clone.updates": 100,
            "offline": {"critic_updates": 50, "updates": 50},
            "validation.min_trades_per_1000": 0,
        }
    },
    "finetune": {
        "steps": 256,
        "settings": {"online.warmup_steps": 64, "online.critic_updates": 10},
    },
    "export_policy": {"force": True},
    "evaluate": {"settings": {"options.noise_draws": 0, "options.replicates": 200}},
}


def shown(document: Path) -> list[str]:
    """Every block of Python in the document."""
    return re.findall(r"```python\n(.*?)```", document.read_text(encoding="utf-8"), re.DOTALL)


def test_the_readmes_python_runs_from_end_to_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "datasets"))
    for name, given in SMALLER.items():
        call = functools.partial(getattr(ot, name), **given, progress=False)
        monkeypatch.setattr(ot, name, call)
    line, deciding = shown(ROOT / "README.md")
    assert len(line.strip().splitlines()) < 15
    names: dict[str, Any] = {"observations": np.zeros((3, 37), np.float32)}
    exec(line, names)
    assert "Sharpe ratio" in capsys.readouterr().out
    assert names["report"].path.is_file()
    exec(deciding, names)
    assert names["actions"].shape == (3, 1)


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
