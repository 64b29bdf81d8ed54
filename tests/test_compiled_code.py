"""An installation that cannot be written, without a home that can: slower, told once, the same."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np

from offline_trader.compiled_code import can_be_kept
from offline_trader.experts._draws import uniform

CODE = """
import subprocess, sys
from numba.core import caching
for name in dir(caching):  # as where no place can be written
    if hasattr(getattr(caching, name), "_locator_classes"):
        getattr(caching, name)._locator_classes = []
import numpy
import offline_trader.evaluation.statistics.resampling, offline_trader.experts._foresight
import offline_trader.learning.engines.fast.products, offline_trader.simulator.kernel
from offline_trader.experts._draws import uniform
print(uniform(7, numpy.arange(2), numpy.arange(2)).tolist())
if len(sys.argv) == 1:
    subprocess.run([sys.executable, "-P", "-c", open("code.py").read(), "child"], check=True)
"""


def test_here_compiled_code_is_kept() -> None:
    assert can_be_kept()


def test_without_a_place_for_it_all_is_compiled_and_it_is_told_once(tmp_path: Path) -> None:
    (tmp_path / "code.py").write_text(CODE)
    done = subprocess.run(
        [sys.executable, "-P", "-u", "-c", CODE],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=True,
    )
    drawn = str(uniform(7, np.arange(2), np.arange(2)).tolist())
    assert done.stdout.splitlines() == [drawn, drawn]
    assert done.stderr.count("\n") == 1
    assert "compiled code cannot be kept here" in done.stderr
