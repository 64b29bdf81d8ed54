"""Small walk-forward jobs in a module of their own: new processes must be able to import it."""

from __future__ import annotations

import json
import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from offline_trader.errors import ConfigError
from offline_trader.evaluation.walk_forward import Fold, FoldResult

__all__ = ["MeanSignJob", "StuckJob"]


@dataclass(frozen=True)
class MeanSignJob:
    """Learns the sign of the mean return of the training range, holds it over the test range.

    Warm starts add a tenth of the previous fold's estimate, so that order matters when warm.
    """

    n_bars: int = 400
    seed: int = 1
    modules: ClassVar[tuple[str, ...]] = ()

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    def prepare(self, fold: Fold, directory: Path) -> None:
        """The training returns, as a file."""
        if not (directory / "train.npy").exists():
            returns = self._returns()[fold.train.start : fold.train.stop]
            np.save(directory / "train.npy", returns)

    def train(self, fold: Fold, directory: Path) -> None:
        """Their mean, as a file; refused where they are not there."""
        mean = float(np.load(directory / "train.npy").mean())
        (directory / "trained.json").write_text(json.dumps(mean))

    def __call__(self, fold: Fold, directory: Path, policies: Path) -> FoldResult:
        own = directory / "mean.json"
        if fold.trained_by == fold.index:
            if not (directory / "trained.json").exists():
                self.prepare(fold, directory)
                self.train(fold, directory)
            mean = float(json.loads((directory / "trained.json").read_text()))
            if fold.warm_from is not None:
                before = policies / f"fold-{fold.warm_from:03d}" / "mean.json"
                mean += 0.1 * float(json.loads(before.read_text()))
            own.write_text(json.dumps(mean))
        trained = policies / f"fold-{fold.trained_by:03d}" / "mean.json"
        mean = json.loads(trained.read_text())
        test = self._returns()[fold.test.start : fold.test.stop]
        stamps = [str(np.datetime64("2010-01-01") + i) for i in range(len(test))]
        return FoldResult(stamps, list(np.sign(mean) * test), list(test), {"mean": mean})

    def _returns(self) -> Any:
        return np.random.default_rng(self.seed).normal(0.0005, 0.01, self.n_bars)


@dataclass(frozen=True)
class StuckJob(MeanSignJob):
    """Writes its process id as soon as it runs a fold; then it never ends, or ends its process, or
    fails in the fold that comes second, whichever it is, while the first one runs."""

    dies: bool = False
    fails: bool = False

    def __call__(self, fold: Fold, directory: Path, policies: Path) -> FoldResult:
        (directory / "pid").write_text(str(os.getpid()))
        if self.fails:
            try:
                (policies / "first").touch(exist_ok=False)
            except FileExistsError as error:
                raise ConfigError("the second fold fails") from error
        if self.dies:
            os._exit(1)
        while True:
            time.sleep(0.05)
