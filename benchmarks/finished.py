"""Finished parts of a long measurement, kept so that an interrupted one goes on."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

__all__ = ["Finished", "own_process"]

ROOT = Path(__file__).resolve().parent.parent


class Finished:
    """Parts as JSON lines; without a path, in memory alone."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._rows: dict[str, Any] = {}
        if path is not None and path.exists():
            for line in path.read_text(encoding="utf-8").splitlines():
                try:
                    row = json.loads(line)
                except ValueError:  # a kill tore the last line
                    continue
                self._rows[row["key"]] = row["found"]

    def has(self, named: Sequence[object]) -> bool:
        """Whether the part of that name is there."""
        return json.dumps(named, sort_keys=True) in self._rows

    def get(self, named: Sequence[object], make: Callable[[], Any]) -> Any:
        """The part of that name, all settings in it; made now if it is not there."""
        key = json.dumps(named, sort_keys=True)
        if key not in self._rows:
            self._rows[key] = make()
            if self._path is not None:
                with self._path.open("a", encoding="utf-8") as file:
                    print(json.dumps({"key": key, "found": self._rows[key]}), file=file)
        return self._rows[key]


def own_process(benchmark: str, *words: object) -> Any:
    """What ``python -m benchmarks.NAME --run WORDS`` prints last, as JSON."""
    command = [sys.executable, "-m", f"benchmarks.{benchmark}", "--run", *map(str, words)]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])
