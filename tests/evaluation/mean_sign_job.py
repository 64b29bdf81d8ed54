"""A small walk-forward job in a module of its own: new processes must be able to import it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from offline_trader.evaluation.walk_forward import Fold, FoldResult

__all__ = ["MeanSignJob"]


@dataclass(frozen=True)
class MeanSignJob:
    """Learns the sign of the mean return of the training range, holds it over the test range.

    Warm starts add a tenth of the previous fold's estimate, so that order matters when warm.
    """

    n_bars: int = 400
    seed: int = 1

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    def __call__(self, fold: Fold, directory: Path, policies: Path) -> FoldResult:
        returns = np.random.default_rng(self.seed).normal(0.0005, 0.01, self.n_bars)
        own = directory / "mean.json"
        if fold.trained_by == fold.index:
            mean = float(returns[fold.train.start : fold.train.stop].mean())
            if fold.warm_from is not None:
                before = policies / f"fold-{fold.warm_from:03d}" / "mean.json"
                mean += 0.1 * float(json.loads(before.read_text()))
            own.write_text(json.dumps(mean))
        trained = policies / f"fold-{fold.trained_by:03d}" / "mean.json"
        mean = json.loads(trained.read_text())
        test = returns[fold.test.start : fold.test.stop]
        stamps = [str(np.datetime64("2010-01-01") + i) for i in range(len(test))]
        return FoldResult(stamps, list(np.sign(mean) * test), list(test), {"mean": mean})
