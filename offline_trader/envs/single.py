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
from offline_trader.simulator import SimulatorConfig
from offline_trader.simulator import kernel as k

__all__ = ["TradingEnv", "observation_space"]

Float32Array = NDArray[np.float32]


def observation_space(n_features: int) -> gymnasium.spaces.Box:
    """Space of an observation: features unbounded, exposure and profit too, drawdown in [−1, 0]."""
    largest = np.finfo(np.float32).max  # finite, as Gymnasium's checker wants it
    low = np.full(n_features + 5, -largest, dtype=np.float32)
    high = np.full(n_features + 5, largest, dtype=np.float32)
    low[n_features + 2] = 0.0
    low[n_features + 3], high[n_features + 3] = -1.0, 0.0
    low[n_features + 4], high[n_features + 4] = -1.0, 1.0
    return gymnasium.spaces.Box(low, high, dtype=np.float32)


class TradingEnv(gymnasium.Env[Float32Array, Float32Array]):
    """Observation [F + P] float32, action ``Box(−1, 1, (1,))``, reward: log change of equity.

    All arguments are JSON-able, so a spec can be stored and rebuilt.

    Args:
        market: built-in name, file, or a list of them.
        tz, start, end, episode_bars, random_start: see
            :class:`~offline_trader.envs.config.EnvConfig`.
        simulator: settings of :class:`~offline_trader.simulator.SimulatorConfig`.

    Raises:
        ConfigError, DataError: wrong settings, unreadable or wrong bars.
    """

    metadata = {"render_modes": []}  # noqa: RUF012 - Gymnasium's own declaration

    def __init__(
        self,
        market: str | Sequence[str] = "sp500",
        *,
        tz: str | None = None,
        start: str | None = None,
        end: str | None = None,
        episode_bars: int | None = 1000,
        random_start: bool = True,
        simulator: dict[str, Any] | SimulatorConfig | None = None,
        render_mode: str | None = None,
    ) -> None:
        if render_mode is not None:
            raise ConfigError(f"render_mode = {render_mode!r}", expected="None; use evaluate")
        self.config = EnvConfig(
            (market,) if isinstance(market, str) else tuple(market),
            tz,
            start,
            end,
            episode_bars,
            random_start,
            simulator or SimulatorConfig(),  # type: ignore[arg-type]
        )
        self.render_mode = None
        self.simulator = make_simulator(self.config, 1, auto_reset=False)
        self.observation_space = observation_space(self.simulator.market.features.shape[1])
        self.action_space = gymnasium.spaces.Box(-1.0, 1.0, (1,), np.float32)
        self._initial_cash = self.config.simulator.initial_cash
        self._seeded = False
        self._running = False
        self._bind()

    def _bind(self) -> None:
        """Keep at hand what a step touches."""
        # A memory view hands out plain numbers at half the price of an array's.
        self._flows: Any = memoryview(self.simulator._flows)  # type: ignore[arg-type]
        self._ended: Any = memoryview(self.simulator._ended)  # type: ignore[arg-type]
        self._arguments = self.simulator._arguments
        self._observation = self.simulator.observations[0]
        self._row = self.simulator._fields[k.NOW, 0, :, 0]

    def __getstate__(self) -> dict[str, Any]:
        bound = ("_flows", "_ended", "_arguments", "_observation", "_row")
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
        return self._observation.copy(), self._info()

    def step(self, action: Float32Array) -> tuple[Float32Array, float, bool, bool, dict[str, Any]]:
        """One bar: the order decided now fills and is marked at the next close.

        Raises:
            ConfigError: before a reset, after the episode's end, or an action that is no number.
        """
        if not self._running:
            raise ConfigError("step() before reset(), or after the end of an episode")
        flows, ended = self._flows, self._ended
        flows[k.ACTIONS, 0] = float(action[0])
        if k.step_lanes(*self._arguments) >= 0:
            raise ConfigError("the action is not a number", expected="-1 to 1")
        terminated, truncated = ended[0, 0], ended[1, 0]
        if terminated or truncated:
            self._running = False
        return self._observation.copy(), flows[k.REWARDS, 0], terminated, truncated, self._info()

    def _info(self) -> dict[str, Any]:
        (
            cash, units, equity, peak, entry, _, _, exposure,
            filled, fill_price, costs, _, row, _, _, _,
        ) = self._row.tolist()  # fmt: skip
        unrealised = equity - cash - units * entry
        profit = equity - self._initial_cash
        return {
            "equity": equity,
            "realised_profit": profit - unrealised,
            "unrealised_profit": unrealised,
            "drawdown": max(equity / peak - 1.0, -1.0),
            "cumulative_return": profit / self._initial_cash,
            "exposure": exposure,
            "fill_units": filled,
            "fill_price": fill_price if filled != 0.0 else 0.0,
            "costs_paid": costs,
            "bar_index": int(row),
        }

    @property
    def log_equity(self) -> float:
        """Log of the equity in units of the initial cash: the return of the episode so far."""
        return math.log(max(self._row[k.EQUITY] / self._initial_cash, k.SMALLEST_GROWTH))
