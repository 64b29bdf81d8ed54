"""Perfect foresight: the best sequence of positions when the future is known, costs included.

A privileged teacher and an upper bound, never a strategy: every dataset made with it is marked.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from offline_trader.errors import ConfigError, DataError
from offline_trader.experts.interface import Columns, Expert, ExpertParams
from offline_trader.types import FloatArray

if TYPE_CHECKING:
    from offline_trader.simulator import MarketTensor, SimulatorConfig

__all__ = [
    "OracleParams",
    "decide",
    "foresight_bands",
    "foresight_columns",
    "holding_returns",
    "make",
    "perfect_foresight",
]

_COLUMNS = ("foresight_low", "foresight_high")


@dataclass(frozen=True)
class OracleParams(ExpertParams):
    """Attributes:
    levels: K, number of target weights between the lowest and 1 that the sweep may choose.
    cost_scale: multiplies the simulator's costs in the recursion; above 1 trades less.
    """

    levels: int = 3
    cost_scale: float = 1.0

    def __post_init__(self) -> None:
        self.require(2 <= self.levels <= 1001, f"levels = {self.levels}", "2 to 1001")
        self.require(self.cost_scale >= 0.0, f"cost_scale = {self.cost_scale}", "a factor ≥ 0")


def perfect_foresight(
    returns: FloatArray, cost: float, grid: FloatArray, start: float = 0.0
) -> tuple[FloatArray, float]:
    """The best positions with the future known, and what they earn.

    ``V_t(k) = max_j [a_j·r_t + V_{t+1}(j) − c·|a_j − a_k|]``, ``V_T = 0``, solved backward in
    O(T·K) (an L1 distance transform a bar); the maximum is that of trying every path.

    Args:
        returns: [T] return of a unit position held from decision t to decision t + 1; log or
            simple returns, and the value has the same unit.
        cost: c, cost of a change of position by 1, in the unit of ``returns``.
        grid: [K] positions a_k, increasing.
        start: position before the first decision; one of ``grid``.

    Returns:
        positions: [T] float64, the position held over each return.
        value: Σ a_t·r_t − c·Σ|a_t − a_{t−1}|, with a_{−1} = ``start``.

    Raises:
        DataError: a return that is not finite.
        ConfigError: a grid that does not increase or lacks ``start``, a negative cost.
    """
    returns, grid = _checked(returns, cost, grid)
    here = int(np.argmin(np.abs(grid - start)))
    if abs(grid[here] - start) > 1e-12:
        raise ConfigError(
            f"start position {start:g} is not on the grid", expected=f"one of {grid.tolist()}"
        )
    from offline_trader.experts._foresight import follow_bands

    low, high, value = _sweep(returns, cost, grid)
    return np.asarray(follow_bands(low, high, float(grid[here]))), float(value[here])


def foresight_bands(
    returns: FloatArray, cost: float, grid: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Bounds (low [T], high [T]): the best position at t is the present one clipped to them.

    The value is concave in the position and the cost is linear in its change, so the best move
    from any position is the nearest point of an interval.

    Args:
        returns, cost, grid: as in :func:`perfect_foresight`.

    Raises:
        DataError, ConfigError: as :func:`perfect_foresight`.
    """
    returns, grid = _checked(returns, cost, grid)
    low, high, _ = _sweep(returns, cost, grid)
    return low, high


def holding_returns(prices: FloatArray, fill: str) -> FloatArray:
    """Log return [T] between the fill of the decision at t and the fill of the next one.

    Args:
        prices: [T, 5] open, high, low, close, volume.
        fill: ``next_open``: from the open of t+1 to the open of t+2, the last decision that
            fills being marked at the last close; ``close``: from the close of t to that of t+1.

    The last decision never fills (or is never marked), so its return is 0.
    """
    open_, close = prices[:, 0], prices[:, 3]
    returns = np.zeros(len(prices))
    if fill == "close":
        returns[:-1] = np.diff(np.log(close))
    elif len(prices) > 1:
        fills = np.append(open_[1:], close[-1])
        returns[:-1] = np.diff(np.log(fills))
    return returns


def foresight_columns(
    market: MarketTensor, config: SimulatorConfig, params: OracleParams
) -> FloatArray:
    """Privileged columns [ΣT, 2] (low, high) for every row of ``market``; 0 outside its ranges."""
    lowest = -1.0 if config.action_mode == "target_long_short" else 0.0
    grid = np.linspace(lowest, 1.0, params.levels)
    bps = config.commission_bps + config.half_spread_bps + config.slippage_bps
    cost = params.cost_scale * bps * 1e-4
    columns = np.zeros((len(market.prices), 2))
    for start, stop in zip(market.start, market.stop, strict=True):
        returns = holding_returns(np.asarray(market.prices[start:stop]), config.fill)
        columns[start:stop] = np.stack(foresight_bands(returns, cost, grid), axis=1)
    return columns


def decide(features: Columns, portfolio: Columns, params: OracleParams) -> FloatArray:
    """Target weights [N]: the present exposure clipped to the band that foresight gives."""
    low, high = features[_COLUMNS[0]], features[_COLUMNS[1]]
    return np.clip(portfolio["exposure"], low, high)


def make(**params: object) -> Expert:
    """The expert with ``params`` over the defaults."""
    return Expert(
        name="oracle",
        summary="privileged: the best path with the future known, costs included",
        decide=decide,
        params=OracleParams(**params),  # type: ignore[arg-type]
        space="target",
        row_columns=_COLUMNS,
        row_table=foresight_columns,
        privileged=True,
    )


def _checked(returns: FloatArray, cost: float, grid: FloatArray) -> tuple[FloatArray, FloatArray]:
    returns = np.ascontiguousarray(returns, dtype=np.float64)
    grid = np.ascontiguousarray(grid, dtype=np.float64)
    bad = np.flatnonzero(~np.isfinite(returns))
    if bad.size:
        raise DataError(f"return {bad[0]} is {returns[bad[0]]}", expected="finite returns")
    if grid.ndim != 1 or grid.size < 2 or bool((np.diff(grid) <= 0).any()):
        raise ConfigError(f"position grid {grid.tolist()}", expected="two or more, increasing")
    if not cost >= 0.0:
        raise ConfigError(f"cost {cost}", expected="a cost ≥ 0")
    return returns, grid


def _sweep(
    returns: FloatArray, cost: float, grid: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    from offline_trader.experts._foresight import backward_sweep

    choice, value = backward_sweep(returns, float(cost), grid)
    return grid[choice[:, 0]], grid[choice[:, -1]], value
