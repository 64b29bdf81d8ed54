"""The forecast of the gains as control variate of what online training stores.

A realised reward holds ``carried · gain``, and a gain is nearly all noise. What the features do not
foretell of it has mean zero whatever the policy does, so ``w · carried · (gain − forecast)`` is
taken off a reward before it is stored: the same mean, far less variance (``docs/direct.md``). A
forecast must not have seen the gain that it is held against. Lanes over bars meet the same bars
again and again, so theirs is cross-fitted over blocks in time; lanes that draw every step anew
(:class:`~offline_trader.learning.stages.lanes.GainLanes`) are forecast by a ridge regression of the
steps before.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import torch

from offline_trader.errors import ConfigError
from offline_trader.learning.data import Batch, Preprocessing
from offline_trader.learning.data.transforms import Columns
from offline_trader.learning.stages.direct.bars import BarMarket
from offline_trader.learning.stages.direct.forecast import fit_forecast
from offline_trader.learning.stages.lanes import GainLanes
from offline_trader.simulator import Simulator
from offline_trader.types import FloatArray, PortfolioField

__all__ = [
    "BarSurprises",
    "ControlVariate",
    "LearnedSurprises",
    "Surprises",
    "carried_surprise",
    "surprises_of",
    "told_surprises",
]

_PENALTY = 10.0
"""Of the ridge regression of the steps before: rows of features with unit variance and no gain."""

_TOLD = 1.96
"""Standard errors above 0 at which the slope of gains on their forecasts counts."""


class Surprises(Protocol):
    """Says what of the last step's rewards nobody could foretell."""

    def __call__(self, columns: Columns) -> FloatArray:
        """[N] of the step whose rows are ``columns``; called once a step, after it."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """All that the next call reads."""
        ...

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Inverse of :meth:`state_dict`."""
        ...


class ControlVariate:
    """A transform that takes the share ``weight`` of the surprise off the rewards of the lanes.

    Rows of offline data stay as they are, and ``raw_rewards`` what was realised.

    Args:
        surprises: of the lanes' steps.
        weight: in (0, 1].
    """

    columns: tuple[tuple[str, int], ...] = ()

    def __init__(self, surprises: Surprises, weight: float) -> None:
        self._surprises, self._weight = surprises, weight

    def stored(self, columns: Columns, *, online: bool) -> Columns:
        """The rows with the rewards to learn from."""
        if not online:
            return columns
        taken = self._weight * self._surprises(columns)
        return {**columns, "rewards": np.asarray(columns["rewards"], np.float64) - taken}

    def sampled(self, batch: Batch) -> Batch:
        """As it is."""
        return batch

    def metrics(self) -> Mapping[str, float]:
        """None."""
        return {}

    def state_dict(self) -> dict[str, Any]:
        """The surprises'."""
        return self._surprises.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Inverse of :meth:`state_dict`."""
        self._surprises.load_state_dict(state)


def surprises_of(lanes: Any, preprocessing: Preprocessing) -> Surprises:
    """What forecasts the gains of ``lanes``.

    Raises:
        ConfigError: lanes that say nothing of gains.
    """
    if isinstance(lanes, GainLanes):
        outer = [i for i in range(len(preprocessing.mean)) if i not in lanes.endogenous]
        return LearnedSurprises(lanes, preprocessing, outer)
    if isinstance(lanes, Simulator):
        return BarSurprises(lambda: [lanes])
    if hasattr(lanes, "simulators"):
        return BarSurprises(lambda: lanes.simulators)
    raise ConfigError(
        f"online.forecast_weight on {type(lanes).__name__}",
        expected="lanes over bars, or such that tell their gains",
        hint="online.forecast_weight=0",
    )


class LearnedSurprises:
    """Held against a ridge regression of all gains before.

    Args:
        lanes: every step of which is new.
        preprocessing: scales of observations.
        outer: columns that the actions do not move.
    """

    def __init__(
        self, lanes: GainLanes, preprocessing: Preprocessing, outer: Sequence[int]
    ) -> None:
        self._lanes, self._preprocessing, self._outer = lanes, preprocessing, list(outer)
        size = len(self._outer) + 1
        self._squares = _PENALTY * np.eye(size)
        self._products = np.zeros((size, 1))

    def __call__(self, columns: Columns) -> FloatArray:
        """See :class:`Surprises`."""
        scaled = self._preprocessing.observations(np.asarray(columns["observations"]))
        x = np.column_stack([np.ones(len(scaled)), scaled[:, self._outer].astype(np.float64)])
        carried, gains = self._lanes.gains()
        foretold = x @ np.linalg.solve(self._squares, self._products)
        told = carried != 0.0  # without a position a reward shows no gain
        self._squares += x[told].T @ x[told]
        self._products += x[told].T @ gains[told, None]
        return np.asarray(carried * (gains - foretold[:, 0]))

    def state_dict(self) -> dict[str, Any]:
        """Sums of the regression."""
        return {
            "squares": torch.from_numpy(self._squares.copy()),
            "products": torch.from_numpy(self._products.copy()),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Inverse of :meth:`state_dict`."""
        self._squares = state["squares"].numpy().copy()
        self._products = state["products"].numpy().copy()


class BarSurprises:
    """Held against the out-of-fold forecasts of the direct stage, bar by bar.

    Args:
        simulators: gives those that are stepped now; their lanes are the rows, in order.
    """

    def __init__(self, simulators: Callable[[], Sequence[Simulator]]) -> None:
        self._simulators = simulators
        self._known: dict[int, tuple[Simulator, FloatArray, FloatArray]] = {}
        self._ahead: FloatArray | None = None

    def __call__(self, columns: Columns) -> FloatArray:
        """See :class:`Surprises`."""
        met, self._ahead = self._ahead, self._next()
        if met is None:  # the bar of the first step is not known any more
            return np.zeros(len(columns["rewards"]))
        place = self._simulators()[0].market.layout.column(PortfolioField.EXPOSURE)
        before, after = (
            np.asarray(columns[name])[:, place].astype(np.float64)
            for name in ("observations", "next_observations")
        )
        return carried_surprise(before, after, *met)

    def _next(self) -> FloatArray:
        """[2, N, G] gains of the bars that the lanes decide on now, and their surprises."""
        parts, now = [], list(self._simulators())
        self._known = {id(s): self._known.get(id(s)) or _surprising(s) for s in now}
        for simulator in now:
            _, gains, surprises = self._known[id(simulator)]
            rows = simulator.bar_index - simulator.instrument  # an instrument's last bar decides
            parts.append(np.stack([gains[rows], surprises[rows]]))  # nothing and is not logged
        return np.concatenate(parts, axis=1)

    def state_dict(self) -> dict[str, Any]:
        """What the next step meets; forecasts are made again from the bars."""
        return {"ahead": None if self._ahead is None else torch.from_numpy(self._ahead.copy())}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Inverse of :meth:`state_dict`."""
        self._ahead = None if state["ahead"] is None else state["ahead"].numpy().copy()


def carried_surprise(
    before: FloatArray, after: FloatArray, gains: FloatArray, surprises: FloatArray
) -> FloatArray:
    """[N] what surprises [N, G] of the gains [N, G] did to the growth of accounts.

    An order that fills at the next open meets two gains: the gap on the weight before, and the move
    to the close on the weight w that the fill left, which the weight x at the close tells:
    ``x = w(1 + g) / (1 + wg)``. Of log growth this is the first order.

    Args:
        before, after: [N] weight of the position at the closes that begin and end the bar.
        gains, surprises: of the bar, G of them as in a log of the direct stage.
    """
    held = after / (1.0 + gains[:, -1] * (1.0 - after))
    found = held * surprises[:, -1]
    return np.asarray(found + before * surprises[:, 0] if gains.shape[1] == 2 else found)


def told_surprises(gains: FloatArray, forecast: FloatArray) -> FloatArray | None:
    """[R, G] ``gains`` less a ``forecast`` that has not seen them; None: it foretells none of them.

    A forecast that foretells nothing has only its own errors to say, so a gain counts as foretold
    if the slope of the gains on the forecasts is above 0 by its one-sided 97.5 % bound; what is not
    foretold is no surprise: 0.
    """
    told = np.array([_is_told(*pair) for pair in zip(gains.T, forecast.T, strict=True)])
    return (gains - forecast) * told if told.any() else None


def _is_told(gains: FloatArray, forecast: FloatArray) -> bool:
    from scipy.stats import linregress  # slow to import

    if len(gains) < 3 or np.ptp(forecast) == 0.0:
        return False
    found = linregress(forecast, gains)
    return bool(found.slope > _TOLD * found.stderr)


def _surprising(simulator: Simulator) -> tuple[Simulator, FloatArray, FloatArray]:
    """The simulator with the gains [R, G] of its bars and their surprises."""
    log = BarMarket(simulator.market, simulator.config).log
    return simulator, log.gains, log.gains - fit_forecast(log).values
