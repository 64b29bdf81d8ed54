"""What serving loads: numpy and onnxruntime, and nothing of learning."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LOCK = ROOT / "requirements-serve.lock"
LIMIT_MB = 400.0

SCRIPT = """
import sys

class Refuse:
    names = {names!r}
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in self.names:
            raise ImportError(f"{{name}} is not installed here")

sys.meta_path.insert(0, Refuse())
import numpy as np
from offline_trader.markets import Bar
from offline_trader.serving import Session

session = Session(sys.argv[1], max_gap=np.timedelta64(2, "D"))
rng = np.random.default_rng(0)
close, day = 100.0, np.datetime64("2020-01-01", "ns")
decisions = []
for i in range(300):
    before, close = close, close * float(np.exp(rng.normal(0.0, 0.01)))
    high, low = max(before, close) * 1.001, min(before, close) * 0.999
    bar = Bar(day + i * np.timedelta64(1, "D"), before, high, low, close, 1e6)
    decisions.append(session.on_bar(bar))
print(sum(d.action is not None for d in decisions), sum(d.order is not None for d in decisions))
"""
NOT_THERE = (
    "arch", "d3rlpy", "gymnasium", "h5py", "imitation", "matplotlib", "minari", "numba", "onnx",
    "pandas", "pyarrow", "scipy", "sklearn", "talib", "torch", "typer", "rich",
)  # fmt: skip


def test_a_session_decides_where_nothing_else_is_installed(
    make_model: Callable[..., Path],
) -> None:
    script = SCRIPT.format(names=NOT_THERE)
    command = [sys.executable, "-c", script, str(make_model())]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    decided, ordered = map(int, done.stdout.split())
    assert decided == 48
    assert ordered > 5


def pins(lock: Path) -> dict[str, str]:
    lines = lock.read_text(encoding="utf-8").splitlines()
    named = [line for line in lines if not line.startswith("#")]
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+==[0-9][0-9A-Za-z.]*", line) for line in named)
    return dict(line.lower().replace("_", "-").split("==") for line in named)


def test_the_serving_lock_pins_what_the_whole_lock_pins() -> None:
    serving, whole = pins(LOCK), pins(ROOT / "requirements.lock")
    assert {"numpy", "onnxruntime"} < set(serving)
    assert {name: whole.get(name) for name in serving} == serving
    assert not {"torch", "d3rlpy", "imitation", "minari", "numba", "gymnasium"} & set(serving)


@pytest.mark.slow
def test_the_lock_gives_an_environment_that_serves(
    make_model: Callable[..., Path], tmp_path: Path
) -> None:
    """As docs/serving.md says it: the lock, then the project without its dependencies."""
    tree = tmp_path / "tree"
    ignored = shutil.ignore_patterns("__pycache__", "*.nb?", "node_modules")
    for name in ("offline_trader", "datasets", "experts", "cli", "evaluation"):
        shutil.copytree(ROOT / name, tree / name, symlinks=True, ignore=ignored)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tree / name)
    subprocess.run([sys.executable, "-m", "venv", str(tmp_path / "venv")], check=True)
    python = tmp_path / "venv" / "bin" / "python"
    pip = [str(python), "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    subprocess.run([*pip, "-r", str(LOCK)], check=True)
    subprocess.run([*pip, "--no-deps", str(tree)], check=True)

    def run(*arguments: str) -> str:
        command = [str(python), *arguments]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    installed = json.loads(run("-m", "pip", "list", "--format", "json"))
    names = {each["name"].lower().replace("_", "-") for each in installed}
    assert names - set(pins(LOCK)) <= {"pip", "setuptools", "offline-trader"}
    (site,) = (tmp_path / "venv" / "lib").glob("python*/site-packages")
    size = sum(file.stat().st_size for file in site.rglob("*") if file.is_file())
    assert size / 1e6 < LIMIT_MB, f"{size / 1e6:.0f} MB"
    decided, ordered = run("-c", SCRIPT.format(names=()), str(make_model())).split()
    assert (decided, int(ordered) > 5) == ("48", True)
    assert "offline-trader" in run("-m", "offline_trader.cli.main", "--version")
    served = [str(python), "-m", "offline_trader.cli.main", "serve", str(make_model())]
    command = [*served, "--instrument", "X", "--port", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=tmp_path) as process:
        assert process.stderr is not None
        try:
            heard = ""
            while (address := re.search(r"http://\S+(?=\n)", heard)) is None:
                said = process.stderr.readline()
                assert said, heard  # it ended
                heard += said
            with urllib.request.urlopen(f"{address[0]}/readyz", timeout=20) as answer:
                assert json.load(answer) == {"ready": True, "stopped": {}}
        finally:
            process.terminate()
