"""The heads beside what would be said without any of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from offline_trader.learning.stages.auxiliary.heads import Said
from offline_trader.learning.stages.auxiliary.labels import MASKED
from offline_trader.learning.stages.auxiliary.rows import LabelledRows
from offline_trader.types import FloatArray, IntArray

__all__ = ["Direction", "HeadScore", "direction_of", "head_scores"]


@dataclass(frozen=True)
class HeadScore:
    """One head on the validation rows.

    Attributes:
        head: its name.
        measure: ``mean square error`` (lower is better) or ``accuracy`` (higher).
        score: of the head.
        naive: the same of each naive statement, by its name.
        rows: observations that have the target.
        bars: of how many bars.
    """

    head: str
    measure: str
    score: float
    naive: dict[str, float]
    rows: int
    bars: int

    @property
    def best_naive(self) -> tuple[str, float]:
        """Name and score of the naive statement that is hardest to beat."""
        best = max if self.measure == "accuracy" else min
        return best(self.naive.items(), key=lambda each: each[1])

    @property
    def beats(self) -> bool:
        """Whether the head is better than every naive statement."""
        _, value = self.best_naive
        return self.score > value if self.measure == "accuracy" else self.score < value

    def text(self) -> str:
        """One line for a reader."""
        digits = ".3f" if self.measure == "accuracy" else ".4g"
        beside = ", ".join(f"{name} {value:{digits}}" for name, value in self.naive.items())
        verdict = (
            "better than all of them" if self.beats else f"no better than {self.best_naive[0]}"
        )
        name = self.head.replace("_", " ")
        return f"{name}: {self.measure} {self.score:{digits}} beside {beside}: {verdict}"


@dataclass(frozen=True)
class Direction:
    """Directional accuracy of the next return.

    Attributes:
        accuracy: share of the bars whose return has the sign that was said.
        interval: Wilson's 95 % interval, a bar counted once.
        majority: share of the more frequent sign of the training range among the same bars.
        bars: that have a return other than 0.
    """

    accuracy: float
    interval: tuple[float, float]
    majority: float
    bars: int

    def text(self) -> str:
        """One line for a reader."""
        low, high = self.interval
        warning = ""
        if low > 0.6:
            warning = "; on real prices more than 60 % is a leak to be looked for (audit)"
        return (
            f"direction of the next return: {self.accuracy:.3f} right, 95 % interval {low:.3f} to "
            f"{high:.3f} over {self.bars:,} bars, always the more frequent sign "
            f"{self.majority:.3f}{warning}"
        )


def head_scores(said: Said, rows: LabelledRows, training: LabelledRows) -> tuple[HeadScore, ...]:
    """Every head that has targets among ``rows`` beside its naive statements.

    Args:
        said: of ``rows``.
        rows: what the heads are measured on.
        training: whose means and majorities are the constant statements.
    """
    labels, before = rows.labels, training.labels
    found = []
    for name in ("next_return", "volatility"):
        past = _known(getattr(before, name)[np.unique(training.bars)])
        if not len(past):
            continue
        naive = {"mean": np.full(len(rows.bars), past.mean())}
        last = labels.last_return if name == "next_return" else labels.last_volatility
        naive["last value"] = last[rows.bars]
        if name == "volatility":
            naive["GARCH"] = labels.garch[rows.bars]
        target = getattr(labels, name)[rows.bars]
        found.append(_error_score(name, getattr(said, name).numpy(), target, naive, rows))
    past = _known(training.actions)
    if len(past):
        constant = {"mean": np.full(len(rows.bars), past.mean())}
        found.append(_error_score("action", said.action.numpy(), rows.actions, constant, rows))
    for name in ("volume", "regime"):
        past = getattr(before, name)[np.unique(training.bars)]
        past = past[past != MASKED]
        if not len(past):
            continue
        majority = int(np.bincount(past).argmax())
        last = getattr(labels, f"last_{name}")[rows.bars]
        chosen = getattr(said, name).argmax(dim=1).numpy()
        target = getattr(labels, name)[rows.bars]
        naive_classes = {"majority class": np.full(len(target), majority), "last value": last}
        found.append(_share_score(name, chosen, target, naive_classes, rows))
    return tuple(each for each in found if each is not None)


def direction_of(said: Said, rows: LabelledRows, training: LabelledRows) -> Direction | None:
    """How often the sign of the next return was said right; None without such bars."""
    from scipy.stats import binomtest

    target = rows.labels.next_return[rows.bars]
    moved = np.isfinite(target) & (target != 0.0)
    if not moved.any():
        return None
    up = target[moved] > 0.0
    right = float(np.mean((said.next_return.numpy()[moved] > 0.0) == up))
    past = _known(training.labels.next_return[np.unique(training.bars)])
    usual = np.mean(past > 0.0) >= np.mean(past < 0.0)
    bars = len(np.unique(rows.bars[moved]))
    bounds = binomtest(round(right * bars), bars).proportion_ci(0.95, method="wilson")
    interval = float(bounds.low), float(bounds.high)
    return Direction(right, interval, float(np.mean(up == usual)), bars)


def _error_score(
    head: str,
    said: NDArray[np.float32],
    target: NDArray[np.floating],
    naive: dict[str, FloatArray],
    rows: LabelledRows,
) -> HeadScore | None:
    naive = {name: values for name, values in naive.items() if not np.isnan(values).all()}
    known = np.isfinite(target) & np.all([np.isfinite(v) for v in naive.values()], axis=0)
    if not known.any():
        return None

    def error(values: NDArray[np.floating]) -> float:
        return float(np.square(values[known].astype(np.float64) - target[known]).mean())

    compared = {name: error(values) for name, values in naive.items()}
    bars = len(np.unique(rows.bars[known]))
    return HeadScore(head, "mean square error", error(said), compared, int(known.sum()), bars)


def _share_score(
    head: str, said: IntArray, target: IntArray, naive: dict[str, IntArray], rows: LabelledRows
) -> HeadScore | None:
    known = (target != MASKED) & np.all([values != MASKED for values in naive.values()], axis=0)
    if not known.any():
        return None
    bars = len(np.unique(rows.bars[known]))
    compared = {name: float(np.mean((values == target)[known])) for name, values in naive.items()}
    score = float(np.mean((said == target)[known]))
    return HeadScore(head, "accuracy", score, compared, int(known.sum()), bars)


def _known(values: NDArray[np.floating]) -> NDArray[np.floating]:
    return np.asarray(values[np.isfinite(values)])
