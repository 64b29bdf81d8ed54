"""What the direct stage trains on: logged bars, and a portfolio whose dynamics are known."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from offline_trader.errors import DataError
from offline_trader.learning.data import ReplayMarket
from offline_trader.types import BoolArray, FloatArray, IntArray

__all__ = ["DirectMarket", "DirectStep", "Log", "State"]

State = tuple[Tensor, ...]
"""What the dynamics carry from bar to bar: [B] each."""


@dataclass(frozen=True, eq=False)
class Log:
    """R logged decisions of K series, the rows of a series in time order, one after the other.

    Attributes:
        features: [R, F] float32, the market's part of the raw observation; row t reads bars ≤ t.
        gains: [R, G] float64, what a unit of position earned after the decision, realised; G is
            the number of moments at which a bar's price moves a position.
        series: [K, 2] int64, first row of each series and the row behind its last.
        own: [F] bool, features that a user brought himself; None where nobody knows.
    """

    features: NDArray[np.float32]
    gains: FloatArray
    series: IntArray
    own: BoolArray | None = None

    def __post_init__(self) -> None:
        rows = len(self.features)
        if self.gains.shape[:1] != (rows,) or self.gains.ndim != 2:
            raise DataError(
                f"gains of shape {self.gains.shape}", expected=f"[{rows}, G]: a row a decision"
            )
        for name in ("features", "gains"):
            good = np.isfinite(getattr(self, name)).all(axis=1)
            if not good.all():
                raise DataError(f"row {int(np.argmin(good))} of {name} holds a number that is none")
        if self.own is not None and self.own.shape != self.features.shape[1:]:
            raise DataError(
                f"own of shape {self.own.shape}", expected=f"{self.features.shape[1:]}: a feature"
            )
        if not len(self.series) or (self.series[:, 1] <= self.series[:, 0]).any():
            raise DataError("a log without a series, or a series without rows")

    def starts(self, bars: int) -> IntArray:
        """Rows at which a window of ``bars`` decisions can begin.

        Raises:
            DataError: every series is shorter.
        """
        found = [np.arange(first, stop - bars + 1) for first, stop in self.series]
        rows = np.concatenate(found)
        if not rows.size:
            longest = int(np.max(self.series[:, 1] - self.series[:, 0]))
            raise DataError(
                f"the longest series has {longest} decisions",
                expected=f"{bars} or more, the bars of a window",
                hint="shorten the window (direct.bars) or give more bars",
            )
        return rows.astype(np.int64)


class DirectStep(NamedTuple):
    """One bar of B portfolios.

    Attributes:
        state: after the bar.
        rewards: [B] float64, realised.
        carried: [B, G] float64, positions on which the G gains of the row act.
        ended: [B] bool, the portfolio trades no more; None where that cannot happen.
    """

    state: State
    rewards: Tensor
    carried: Tensor
    ended: Tensor | None


class DirectMarket(Protocol):
    """A log and the portfolio's dynamics over it, differentiable by torch.

    Attributes:
        log: the exogenous series.
        portfolio_size: P, numbers of the observation that follow the F features.
        reach: position of the largest action, of the size that the gains are of a unit of.
    """

    @property
    def log(self) -> Log: ...
    @property
    def portfolio_size(self) -> int: ...
    @property
    def reach(self) -> float: ...

    def to(self, device: str) -> DirectMarket:
        """The same with its series on ``device``."""
        ...

    def with_features(self, features: NDArray[np.float32]) -> DirectMarket:
        """The same with other features [R, F'] in its log: those that a policy is to see."""
        ...

    def replayed(self) -> ReplayMarket:
        """The same decisions one by one, from any portfolio, on the CPU.

        Raises:
            ConfigError: rules under which an order moves the price, so that the log does not tell
                what another one would have met.
        """
        ...

    def random_state(self, rows: Tensor, generator: torch.Generator) -> State:
        """Exploring starts: portfolios [B] at the decisions ``rows`` [B], drawn on the CPU."""
        ...

    def observe(self, state: State) -> Tensor:
        """[B, P] raw, the portfolio's part of the observation."""
        ...

    def step(self, state: State, actions: Tensor, rows: Tensor) -> DirectStep:
        """The bar after the decisions ``rows`` [B] under ``actions`` [B] in [−1, 1]."""
        ...

    def smaller(self, actions: Tensor, own: Tensor, share: float) -> Tensor:
        """[N] what makes positions ``share`` times as large as ``actions`` [N] would, in (0, 1].

        Args:
            actions: in [−1, 1], of a policy that sees ``own``.
            own: [N, P] raw, the portfolio's part of its observations.
            share: of the positions.
        """
        ...
