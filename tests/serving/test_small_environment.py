"""What serving loads: numpy and onnxruntime, and nothing of learning."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

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
