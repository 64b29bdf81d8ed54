"""One portfolio as a Gymnasium environment."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from offline_trader.envs.config import EnvConfig, make_simulator
from offline_trader.errors import ConfigError
from offline_trader.simulator import kernel as k
from offline_trader.types import ObservationLayout, PortfolioField

__all__ = ["TradingEnv", "observation_space"]

Float32Array = NDArray[np.float32]


def observation_space(layout: ObservationLayout) -> gymnasium.spaces.Box:
    """Space of an observation: features unbounded, exposure and profit too, drawdown in [−1, 0]."""
    largest = np.finfo(np.float32).max  # finite, as Gymnasium's checker wants it
    low = np.full(layout.size, -largest, dtype=np.float32)
    high = np.full(layout.size, largest, dtype=np.float32)
    low[layout.column(PortfolioField.HOLD_TIME)] = 0.0
    drawdown = layout.column(PortfolioField.DRAWDOWN)
    low[drawdown], high[drawdown] = -1.0, 0.0
    smoothed = layout.column(PortfolioField.SMOOTHED_ACTION)
    low[smoothed], high[smoothed] = -1.0, 1.0
    return gymnasium.spaces.Box(low, high, dtype=np.float32)


class TradingEnv(gymnasium.Env[Float32Array, Float32Array]):
    """Observation [F + P] float32, action ``Box(−1, 1, (1,))``, reward: log change of equity.

    All arguments are JSON-able, so a spec can be stored and rebuilt.

    Args:
        market: built-in name, file, or a list of them.
        settings: tz, start, end, episode_bars, random_start, simulator, features, as
            :class:`~offline_trader.envs.config.EnvConfig` has them.

    Raises:
        ConfigError, DataError: wrong settings, unreadable or wrong bars.
    """

    metadata = {"render_modes": []}  # noqa: RUF012 - Gymnasium's own declaration

    def __init__(
        self,
        market: str | Sequence[str] = "sp500",
        *,
        render_mode: str | None = None,
        **settings: Any,
    ) -> None:
        if render_mode is not None:
            raise ConfigError(f"render_mode = {render_mode!r}", expected="None; use evaluate")
        self.config = EnvConfig.of(market, **settings)
        self.render_mode = None
        self.simulator = make_simulator(self.config, 1, auto_reset=False)
        self.observation_space = observation_space(self.simulator.market.layout)
        self.action_space = gymnasium.spaces.Box(-1.0, 1.0, (1,), np.float32)
        self._initial_cash = self.config.simulator.initial_cash
        self._seeded = False
        self._running = False
        self._bind()

    def _bind(self) -> None:
        """Keep at hand what a step touches."""
        self._report = np.zeros(k.REPORT_SIZE)
        self._kept = [np.ascontiguousarray(array) for array in self.simulator._arguments]
        self._addresses = k.one_lane(self._kept, self._report)
        # Bound methods: a step costs little more than the calls that it makes.
        self._observe = self.simulator.observations[0].copy
        self._numbers = self._report.tolist

    def __getstate__(self) -> dict[str, Any]:
        bound = ("_report", "_kept", "_addresses", "_observe", "_numbers")
        return {name: value for name, value in vars(self).items() if name not in bound}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._bind()

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Float32Array, dict[str, Any]]:
        """First observation of the next episode; ``seed`` starts again at its episode 0."""
        super().reset(seed=seed)
        if seed is not None or not self._seeded:
            self.simulator.reset(int(self.np_random.integers(0, 2**63 - 1)))
        else:
            self.simulator.reset()
        self._seeded = self._running = True
        k.report_lane(self._addresses)
        return self._observe(), _info(*self._numbers())

    def step(self, action: Float32Array) -> tuple[Float32Array, float, bool, bool, dict[str, Any]]:
        """One bar: the order decided now fills and is marked at the next close.

        Raises:
            ConfigError: before a reset, after the episode's end, or an action that is no number.
        """
        if not self._running:
            raise ConfigError("step() before reset(), or after the end of an episode")
        end = k.step_lane(self._addresses, float(action[0]))
        if end:
            if end < 0:
                raise ConfigError("the action is not a number", expected="-1 to 1")
            self._running = False
        numbers = self._numbers()
        return self._observe(), numbers[0], end == 1, end == 2, _info(*numbers)

    @property
    def log_equity(self) -> float:
        """Log of the equity in units of the initial cash: the return of the episode so far."""
        equity = self.simulator._fields[k.NOW, 0, k.EQUITY, 0]
        return math.log(max(equity / self._initial_cash, k.SMALLEST_GROWTH))


def _info(
    _: float, equity: float, realised: float, unrealised: float, drawdown: float,
    growth: float, exposure: float, filled: float, fill_price: float, costs: float, row: float,
) -> dict[str, Any]:  # fmt: skip
    """A step's ``info`` of the report of its lane."""
    return {
        "equity": equity,
        "realised_profit": realised,
        "unrealised_profit": unrealised,
        "drawdown": drawdown,
        "cumulative_return": growth,
        "exposure": exposure,
        "fill_units": filled,
        "fill_price": fill_price,
        "costs_paid": costs,
        "bar_index": int(row),
    }
