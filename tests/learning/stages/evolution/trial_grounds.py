"""Grounds for worker processes, which import this module by its bare name."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any


class Mortal:
    """Another ground; the first process that tries something on it is killed, and where ``once``
    cannot be written every one."""

    def __init__(self, ground: Any, once: Path) -> None:
        self.ground, self.once = ground, once
        self.population = ground.population

    def scores(self, members: Any, batch: Any) -> Any:
        """The ground's, or the end."""
        try:
            self.once.touch(exist_ok=False)
        except FileExistsError:
            return self.ground.scores(members, batch)
        except FileNotFoundError:
            pass
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError
