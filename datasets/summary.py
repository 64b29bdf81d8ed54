"""What a collection holds: counts, returns, trades, the histogram of actions, one plot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from offline_trader.datasets.rollout import Part
from offline_trader.types import FloatArray, IntArray

__all__ = ["ACTION_BINS", "BehaviourSummary", "CollectSummary", "Tally", "plot_summary"]

ACTION_BINS = 21
"""Equal bins on [−1, 1], as in the collapse measures."""
_LABEL_LENGTH = 36


def shorten(label: str, length: int) -> str:
    """``label``, cut to ``length`` characters with an ellipsis."""
    return label if len(label) <= length else label[: length - 1] + "…"


@dataclass(frozen=True)
class BehaviourSummary:
    """One expert's share of a collection.

    Attributes:
        label: the expert as it was asked for.
        episodes, steps: how many.
        mean_return: mean over its episodes of the sum of rewards (log growth of equity); null
            without episodes.
        trades_per_1000_steps: filled orders per 1,000 steps; null without steps.
    """

    label: str
    episodes: int
    steps: int
    mean_return: float | None
    trades_per_1000_steps: float | None


@dataclass(frozen=True)
class CollectSummary:
    """What was collected.

    Attributes:
        dataset_id, path: where it is.
        episodes, steps: how many.
        terminations, truncations: how the episodes ended.
        mean_return, std_return, min_return, max_return: of the episodes' sums of rewards.
        trades: filled orders.
        action_histogram: [21] counts of executed actions in equal bins on [−1, 1].
        behaviours: the same by expert.
        ref_min_score, ref_max_score: mean return of random actions and of the best expert on
            the same episodes.
        size_mb: on disk.
        seconds: this call's time; a resumed call does not count what was done before it.
        plot: PNG beside the data.
    """

    dataset_id: str
    path: str
    episodes: int
    steps: int
    terminations: int
    truncations: int
    mean_return: float
    std_return: float
    min_return: float
    max_return: float
    trades: int
    action_histogram: tuple[int, ...]
    behaviours: tuple[BehaviourSummary, ...]
    ref_min_score: float
    ref_max_score: float
    size_mb: float
    seconds: float
    plot: str


class Tally:
    """Running counts over the parts of a collection.

    Args:
        labels: name of every behaviour, by index.
    """

    def __init__(self, labels: Sequence[str]) -> None:
        self._labels = tuple(labels)
        self._returns: list[FloatArray] = []
        self._owners: list[IntArray] = []
        self._lengths: list[IntArray] = []
        self._trades: list[IntArray] = []
        self._terminations = 0
        self._histogram = np.zeros(ACTION_BINS, dtype=np.int64)

    def add(self, part: Part) -> None:
        """Count ``part``."""
        starts = np.cumsum(part.lengths) - part.lengths
        rows = starts + np.arange(len(starts))
        filled = (np.asarray(part.infos["fill_units"]) != 0.0).astype(np.int64)
        self._returns.append(np.add.reduceat(np.asarray(part.rewards), starts))
        self._trades.append(np.add.reduceat(filled, rows))
        self._owners.append(np.asarray(part.behaviours))
        self._lengths.append(np.asarray(part.lengths))
        self._terminations += int(np.count_nonzero(part.terminations))
        bins = np.floor((np.asarray(part.actions).ravel() + 1.0) * (ACTION_BINS / 2.0))
        clipped = np.clip(bins.astype(np.int64), 0, ACTION_BINS - 1)
        self._histogram += np.bincount(clipped, minlength=ACTION_BINS)

    @property
    def returns(self) -> FloatArray:
        """[E] sum of rewards of every episode."""
        return np.concatenate(self._returns)

    @property
    def owners(self) -> IntArray:
        """[E] behaviour of every episode."""
        return np.concatenate(self._owners)

    def facts(self) -> dict[str, Any]:
        """The counts as fields of :class:`CollectSummary`."""
        returns, lengths = self.returns, np.concatenate(self._lengths)
        return {
            "episodes": len(returns),
            "steps": int(lengths.sum()),
            "terminations": self._terminations,
            "truncations": len(returns) - self._terminations,
            "mean_return": float(returns.mean()),
            "std_return": float(returns.std()),
            "min_return": float(returns.min()),
            "max_return": float(returns.max()),
            "trades": int(np.concatenate(self._trades).sum()),
            "action_histogram": tuple(self._histogram.tolist()),
            "behaviours": tuple(self._of(index) for index in range(len(self._labels))),
        }

    def _of(self, index: int) -> BehaviourSummary:
        mine = self.owners == index
        steps = int(np.concatenate(self._lengths)[mine].sum())
        trades = int(np.concatenate(self._trades)[mine].sum())
        return BehaviourSummary(
            label=self._labels[index],
            episodes=int(mine.sum()),
            steps=steps,
            mean_return=float(self.returns[mine].mean()) if mine.any() else None,
            trades_per_1000_steps=1000.0 * trades / steps if steps else None,
        )


def plot_summary(
    path: Path, title: str, facts: Mapping[str, Any], returns: FloatArray, owners: IntArray
) -> None:
    """Write a PNG: the action histogram, and the episode returns of every behaviour.

    Args:
        path: file to write.
        title: above the two panels.
        facts: as :meth:`Tally.facts` gives them.
        returns: [E] sum of rewards of every episode.
        owners: [E] behaviour of every episode.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 4))
    left, right = figure.subplots(1, 2)
    left.set_position((0.06, 0.14, 0.34, 0.74))
    right.set_position((0.64, 0.14, 0.34, 0.74))
    counts = np.asarray(facts["action_histogram"], dtype=np.float64)
    width = 2.0 / ACTION_BINS
    centres = -1.0 + width * (np.arange(ACTION_BINS) + 0.5)
    left.bar(centres, counts / counts.sum(), width=0.95 * width)
    left.set(xlabel="executed action", ylabel="share of steps", xlim=(-1, 1))
    used = [i for i in range(len(facts["behaviours"])) if bool((owners == i).any())]
    right.boxplot([returns[owners == i] for i in used], orientation="horizontal")
    labels = [facts["behaviours"][i].label for i in used]
    right.set_yticks(range(1, len(used) + 1), [shorten(label, _LABEL_LENGTH) for label in labels])
    right.axvline(0.0, linewidth=0.8, color="grey")
    right.set(xlabel="episode return (log growth of equity)")
    figure.suptitle(title)
    figure.savefig(path, dpi=100, metadata={"Software": None})
