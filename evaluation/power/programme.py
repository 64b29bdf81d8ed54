"""Best positions for a known signal under costs, by dynamic programming on (signal, position).

In units of the returns' standard deviation a bar, with the signal ``s`` an AR(1) process of
variance 1, the position after the order at a bar is the one that maximises

    b·s·p − c·|p − e| − κ/2·p²·(1 + b²s²) + E[V(s', p) | s],

``e`` the position before, ``b = β/σ``, ``c`` the cost of a side and ``κ`` the aversion to risk:
the mean-variance objective whose maximum over κ is the highest Sharpe ratio, because that ratio
only rises with m²/q (``m`` the mean gain, ``q`` the mean square) and any policy with the largest
m²/q maximises m − κ/2·q at κ = m/q. V is the relative value of the average gain (Puterman 1994,
8.5.1); the signal is Rouwenhorst's chain, which has the conditional mean and variance of the AR(1)
at every node (Kopecky & Suen 2010). Moves that the rules do not fill (order mode's hold zone) are
none that the programme makes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from offline_trader.experts.spaces import order_to_target, target_to_order
from offline_trader.simulator import SimulatorConfig
from offline_trader.types import BoolArray, FloatArray, IntArray

__all__ = ["Programme", "SignalMarket", "solve"]

_SIGNALS, _POSITIONS = 31, 41
_CLOSE = 1e-5
_IMPROVEMENTS, _SWEEPS = 200, 20
_LONG_RUN = 4_000


@dataclass(frozen=True)
class SignalMarket:
    """What is known of the market, in standard deviations of its returns a bar.

    Attributes:
        strength: b = β/σ.
        persistence: AR(1) coefficient of the signal, in [0, 1).
        cost: c, of a side.
        borrow: of a short position, a bar.
        rules: that say which positions exist and which moves are filled.
    """

    strength: float
    persistence: float
    cost: float
    borrow: float
    rules: SimulatorConfig

    def reachable(self, held: FloatArray, wanted: FloatArray) -> BoolArray:
        """Whether an order takes the position from ``held`` to ``wanted``; shapes broadcast."""
        rules, change = self.rules, np.abs(wanted - held)
        if rules.action_mode != "order":
            return np.asarray(change >= rules.rebalance_threshold)
        hold, portion = rules.hold_threshold * (1.0 + 1e-6), rules.max_position_pct
        order = target_to_order(wanted, held, portion)
        return np.asarray(np.abs(order_to_target(order, held, hold, portion) - wanted) < 1e-9)


@dataclass(frozen=True, eq=False)
class Programme:
    """The solution for L aversions, N values of the signal, K positions.

    Attributes:
        market: that it is of.
        aversions: [L] κ, increasing in equal ratios.
        signals: [N], equally spaced.
        positions: [K], equally spaced.
        worth: [L, N, K] of holding a position at a signal, before the cost of coming to it.
        mean: [L] net gain a bar in the long run, in standard deviations.
        square: [L] mean of p²·(1 + b²s²).
    """

    market: SignalMarket
    aversions: FloatArray
    signals: FloatArray
    positions: FloatArray
    worth: FloatArray
    mean: FloatArray
    square: FloatArray

    def nearest(self, aversions: FloatArray) -> IntArray:
        """Indices of the nearest aversions, of the same shape."""
        begin, step = math.log(self.aversions[0]), math.log(self.aversions[1] / self.aversions[0])
        index = np.rint((np.log(aversions) - begin) / step)
        return np.asarray(np.clip(index, 0, len(self.aversions) - 1), np.int64)

    def best(self, signal: FloatArray, held: FloatArray, aversions: FloatArray) -> FloatArray:
        """[M] positions to go to from ``held`` [M] at ``signal`` [M] and ``aversions`` [M]."""
        at, low, part = self.nearest(aversions), *_between(self.signals, signal)
        part = part[:, None]
        worth = (1.0 - part) * self.worth[at, low] + part * self.worth[at, low + 1]
        moved = self.positions[None, :]
        gone = worth - self.market.cost * np.abs(moved - held[:, None])
        gone[~self.market.reachable(held[:, None], moved)] = -np.inf
        rows, target = np.arange(len(held)), np.argmax(gone, axis=1)
        low, part = _between(self.positions, held)
        stay = (1.0 - part) * worth[rows, low] + part * worth[rows, low + 1]
        return np.where(gone[rows, target] > stay, self.positions[target], held)


def solve(
    market: SignalMarket,
    aversions: FloatArray,
    *,
    signals: int = _SIGNALS,
    positions: int = _POSITIONS,
) -> Programme:
    """The best policy for every aversion, and what it earns in the long run.

    Args:
        market: of which the programme is.
        aversions: [L] κ > 0, increasing in equal ratios.
        signals, positions: N and K, 2 or more.
    """
    s, move = _rouwenhorst(signals, market.persistence)
    lowest = -1.0 if market.rules.action_mode == "target_long_short" else 0.0
    p = np.linspace(lowest, 1.0, positions) * market.rules.max_position_pct
    if market.rules.action_mode == "order":
        p = np.linspace(0.0, 1.0, positions)
    pay = market.cost * np.abs(p[:, None] - p[None, :])
    pay[~market.reachable(p[:, None], p[None, :]) & ~np.eye(positions, dtype=np.bool_)] = np.inf
    income = market.strength * s[:, None] * p - market.borrow * np.maximum(-p, 0.0)
    spread = p**2 * (1.0 + (market.strength * s[:, None]) ** 2)
    gain = income - 0.5 * aversions[:, None, None] * spread
    worth = _relative_values(gain, move, pay)
    target = np.argmax(worth[:, :, None, :] - pay, axis=-1)
    held = _long_run(target, move, int(np.argmin(np.abs(p))))
    rows = np.arange(signals)[:, None]
    net = income[rows, target] - pay[np.arange(positions), target]
    mean = np.sum(held * net, axis=(1, 2))
    square = np.sum(held * spread[rows, target], axis=(1, 2))
    return Programme(market, aversions, s, p, worth, mean, square)


def _rouwenhorst(n: int, persistence: float) -> tuple[FloatArray, FloatArray]:
    """[n] states of variance 1, and [n, n] the probabilities of going from one to another."""
    stay = (1.0 + persistence) / 2.0
    move = np.array([[stay, 1.0 - stay], [1.0 - stay, stay]])
    for m in range(3, n + 1):
        wider = np.zeros((m, m))
        wider[:-1, :-1] += stay * move
        wider[:-1, 1:] += (1.0 - stay) * move
        wider[1:, :-1] += (1.0 - stay) * move
        wider[1:, 1:] += stay * move
        wider[1:-1] /= 2.0
        move = wider
    return np.linspace(-1.0, 1.0, n) * math.sqrt(n - 1.0), move


def _relative_values(gain: FloatArray, move: FloatArray, pay: FloatArray) -> FloatArray:
    """[L, N, K] gain at once and what follows it, by modified policy iteration: sweeps with the
    policy as it is, then with the better one, until its gains a bar agree in every state."""
    value, held = np.zeros_like(gain), np.arange(gain.shape[2])
    for _ in range(_IMPROVEMENTS):
        worth = gain + move @ value
        target = np.argmax(worth[:, :, None, :] - pay, axis=-1)
        cost = pay[held, target]
        following = np.take_along_axis(worth, target, axis=2) - cost
        change = following - value
        high, low = change.max(axis=(1, 2)), change.min(axis=(1, 2))
        if bool(np.all(high - low <= _CLOSE * np.maximum(high, 1e-9))):
            break
        for _ in range(_SWEEPS):
            value = following - following[:, :1, :1]
            following = np.take_along_axis(gain + move @ value, target, axis=2) - cost
        value = following - following[:, :1, :1]
    return worth


def _long_run(target: IntArray, move: FloatArray, flat: int) -> FloatArray:
    """[L, N, K] share of bars that begin at a signal with a position, the first without one."""
    many, n, k = target.shape
    lanes, rows = np.arange(many)[:, None, None], np.arange(n)[:, None]
    cell = (lanes * n + rows) * k + target
    begin = np.linalg.matrix_power(move, 1 << 20)[0]
    held = np.zeros((many, n, k))
    held[:, :, flat] = begin
    for _ in range(_LONG_RUN):
        after = np.bincount(cell.ravel(), held.ravel(), held.size).reshape(held.shape)
        following = move.T @ after
        moved = float(np.abs(following - held).sum(axis=(1, 2)).max())
        held = following
        if moved <= 1e-7:
            break
    return held


def _between(grid: FloatArray, x: FloatArray) -> tuple[IntArray, FloatArray]:
    """[M] index of the point of an even grid below ``x``, and the part of the way to the next."""
    place = np.clip((x - grid[0]) / (grid[1] - grid[0]), 0.0, len(grid) - 1.0)
    low = np.minimum(place.astype(np.int64), len(grid) - 2)
    return low, place - low
