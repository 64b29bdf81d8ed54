"""What a policy that chooses among options did with them: which when, how long, in which regime."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from offline_trader.evaluation.backtest import Backtest
from offline_trader.evaluation.judging.record import OptionRow, OptionUse
from offline_trader.markets.regimes import REGIMES
from offline_trader.types import BoolArray, IntArray, Observations

__all__ = ["OptionTrace", "OptionTrader", "option_trace", "option_use"]


class OptionTrader(Protocol):
    """A policy that keeps an option running in every lane.

    Attributes:
        names: of its K options.
    """

    @property
    def names(self) -> tuple[str, ...]: ...

    def decide(
        self, observations: Observations, state: NDArray[np.float32] | None = None
    ) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
        """Actions [N, 1], next states [N, 3] (option, bars it has run, memory), and [N, K] which
        options might have begun; without ``state`` none runs yet."""
        ...


@dataclass(frozen=True, eq=False)
class OptionTrace:
    """The options of one run of D decisions.

    Attributes:
        option: [D] which ran.
        begins: [D] whether it began at this decision.
        offered: [D, K] which might have begun there.
    """

    option: IntArray
    begins: BoolArray
    offered: BoolArray


def option_trace(policy: OptionTrader, observations: Observations) -> OptionTrace:
    """The options behind the decisions that were taken on observations [D, O] in their order."""
    states, offered = [], []
    state: NDArray[np.float32] | None = None
    for row in observations:
        _, state, available = policy.decide(row[None], state)
        states.append(state[0])
        offered.append(available[0])
    laid = np.array(states).reshape(-1, 3)
    return OptionTrace(
        option=laid[:, 0].astype(np.int64),
        begins=laid[:, 1] == 1.0,
        offered=np.array(offered).reshape(-1, len(policy.names)) > 0.5,
    )


def option_use(
    policy: OptionTrader, runs: Sequence[Backtest], regimes: Sequence[IntArray] = ()
) -> OptionUse:
    """What ``policy`` did with its options in ``runs``, which it decided with observations kept.

    Args:
        policy: of the runs.
        runs: one an instrument.
        regimes: [D] of every run: number in ``REGIMES`` at each decision, −1 where it is not
            known; none: they are not told apart.
    """
    traces = [option_trace(policy, run.observations) for run in runs]
    option = np.concatenate([each.option for each in traces])
    begins = np.concatenate([each.begins for each in traces])
    offered = np.concatenate([each.offered for each in traces])
    label = np.concatenate(regimes) if len(regimes) else np.full(len(option), -1)
    rows = []
    for k, name in enumerate(policy.names):
        here, started = option == k, begins & (option == k)
        chances = int((offered[:, k] & begins).sum())
        starts, bars = int(started.sum()), int(here.sum())
        rows.append(
            OptionRow(
                name=name,
                bars=bars,
                starts=starts,
                share=bars / max(len(option), 1),
                duration=bars / starts if starts else None,
                chosen=starts / chances if chances else None,
                regimes=tuple(_share(here, label == r) for r in range(len(REGIMES))),
            )
        )
    first = traces[0]
    switches = tuple(_share(begins, label == r) for r in range(len(REGIMES)))
    return OptionUse(
        rows=tuple(rows),
        regimes=REGIMES,
        switches=switches,
        timeline=first.option.astype(np.float64),
        instrument=runs[0].symbol,
    )


def _share(what: BoolArray, among: BoolArray) -> float | None:
    return float(what[among].mean()) if among.any() else None
