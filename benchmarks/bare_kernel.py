"""The least that a trading step can be: what the simulator's generality is measured against.

One numba loop over N lanes with proportional orders, a fee, spread and slippage in the fill, log
reward, observation of F features and four portfolio numbers, ruin, end of episode and restart.
No modes, no limits, no records, no random starts, no checks.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

__all__ = ["STATE_SIZE", "bare_step"]

STATE_SIZE = 8


@njit(cache=True, nogil=True, error_model="numpy")
def bare_step(actions, features, table, state, observations, rewards, ended, final) -> None:  # type: ignore[no-untyped-def]
    """One bar for every lane; state: row, cash, units, equity, peak, log entry, held, end row."""
    width = features.shape[1]
    last_start = features.shape[0] - 1001
    for i in range(actions.shape[0]):
        row = np.uintp(state[i, 0])
        cash, units, before, peak = state[i, 1], state[i, 2], state[i, 3], state[i, 4]
        entry, held = state[i, 5], state[i, 6]
        price, close = table[row + np.uintp(1), 0], table[row + np.uintp(1), 1]
        action = min(max(actions[i], -1.0), 1.0)
        if abs(action) >= 0.1:
            if action > 0.0:
                fill = price * 1.0002
                quantity = min(action * cash / price, cash / (fill * 1.0001))
                entry = math.log(fill)
            else:
                fill = price * 0.9998
                quantity = action * units
            cash -= quantity * fill + abs(quantity) * fill * 1e-4
            units += quantity
        equity = cash + units * close
        rewards[i] = math.log(equity / before)
        peak = max(peak, equity)
        row += np.uintp(1)
        over = row >= np.uintp(state[i, 7])
        ended[0, i] = equity <= 500.0
        ended[1, i] = over
        for j in range(width):
            observations[i, j] = features[row, j]
        observations[i, width] = units * close / equity
        observations[i, width + 1] = table[row, 2] - entry
        observations[i, width + 2] = held
        observations[i, width + 3] = equity / peak - 1.0
        observations[i, width + 4] = 0.0
        state[i, 0] = row
        state[i, 1] = cash
        state[i, 2] = units
        state[i, 3] = equity
        state[i, 4] = peak
        state[i, 5] = entry
        state[i, 6] = held + 1.0
        if over or equity <= 500.0:
            for j in range(width + 5):
                final[i, j] = observations[i, j]
            row = np.uintp((i * 7919) % last_start)
            for j in range(width):
                observations[i, j] = features[row, j]
            for j in range(5):
                observations[i, width + j] = 0.0
            state[i, 0] = row
            state[i, 1] = state[i, 3] = state[i, 4] = 10_000.0
            state[i, 2] = state[i, 5] = state[i, 6] = 0.0
            state[i, 7] = row + np.uintp(1000)
