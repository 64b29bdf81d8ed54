"""Gymnasium finds the environment by itself, and pays nothing for it until it is made."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def run(code: str, folder: Path) -> list[str]:
    """Lines that ``code`` prints in a new process, outside the repository."""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=True
    )
    return done.stdout.split()


def test_gymnasium_alone_makes_the_environment(tmp_path: Path) -> None:
    code = """
import gymnasium
env = gymnasium.make("offline_trader/Trading-v0", market="sp500", episode_bars=10)
print(env.reset(seed=0)[0].shape[0], type(env.unwrapped).__name__)
"""
    assert run(code, tmp_path) == ["37", "TradingEnv"]


def test_importing_gymnasium_loads_nothing_heavy(tmp_path: Path) -> None:
    code = """
import sys, gymnasium
print("offline_trader/Trading-v0" in gymnasium.registry)
print(*sorted({"numba", "pandas", "torch", "talib"} & set(sys.modules)))
"""
    assert run(code, tmp_path) == ["True"]


def test_the_rules_alone_need_no_compiler(tmp_path: Path) -> None:
    code = """
import sys
from offline_trader.envs import EnvConfig
EnvConfig()
print(*sorted({"numba", "pandas", "torch", "talib"} & set(sys.modules)))
"""
    assert run(code, tmp_path) == []
