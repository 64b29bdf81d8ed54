"""N lanes in step: arrays in, arrays out, nothing of Gymnasium."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from offline_trader.errors import ConfigError, DataError
from offline_trader.simulator import kernel as k
from offline_trader.simulator.config import SimulatorConfig
from offline_trader.simulator.market_tensor import MarketTensor
from offline_trader.simulator.observed import hold_scale
from offline_trader.simulator.placing import portfolio_fields
from offline_trader.types import BoolArray, FloatArray, IntArray, Observations, PortfolioField

__all__ = ["LARGEST_SEED", "Simulator", "StepResult"]

LARGEST_SEED = 2**63 - 1


@dataclass(frozen=True)
class StepResult:
    """One step of N lanes. The arrays are views that the next step overwrites.

    Attributes:
        observations: [N, F + P] float32; of the next episode's start where a lane ended.
        rewards: [N] float64, log change of equity.
        terminated: [N] bool, ruin.
        truncated: [N] bool, end of the episode or of the data.
    """

    observations: Observations
    rewards: FloatArray
    terminated: BoolArray
    truncated: BoolArray


class Simulator:
    """N independent portfolios over a packed market (``docs/simulator.md``).

    The random starts of lane n depend on (seed, n, episode) alone, so the number of lanes changes
    no lane.

    Args:
        market: the bars.
        config: the trading rules.
        n_lanes: N.
        episode_bars: steps of an episode; None for the whole range of the instrument.
        seed: of the random starts.
        random_start: whether episodes start at random bars of random instruments; otherwise at
            the first bar, instrument ``lane + episode`` modulo K.
        auto_reset: whether a lane that ended begins its next episode in the same step; its last
            observation is then in :attr:`final_observations`.

    Raises:
        ConfigError: no lanes, an episode without bars, a seed outside 0 to 2^63 − 1.
        DataError: rules that need volume on bars that have none.
    """

    def __init__(
        self,
        market: MarketTensor,
        config: SimulatorConfig | None = None,
        n_lanes: int = 1,
        *,
        episode_bars: int | None = None,
        seed: int = 0,
        random_start: bool = False,
        auto_reset: bool = True,
    ) -> None:
        config = config or SimulatorConfig()
        if n_lanes < 1:
            raise ConfigError(f"{n_lanes} lanes", expected="1 or more")
        if episode_bars is not None and episode_bars < 1:
            raise ConfigError(f"episode_bars = {episode_bars}", expected="1 or more")
        if not 0 <= seed <= LARGEST_SEED:
            raise ConfigError(f"seed = {seed}", expected="0 to 2^63 - 1")
        if config.needs_volume and not (market.prices[:, 4] > 0.0).any():
            raise DataError(
                "simulator.volume_cap or impact_bps is set, but the bars have no volume",
                expected="bars with volume",
                hint="set both to 0",
            )
        self.market = market
        self.config = config
        self.n_lanes = n_lanes
        self.observation_size = market.layout.size
        whole = int(np.max(market.stop - market.start))
        self._schedule = np.array(
            [seed, episode_bars or whole, int(random_start), int(auto_reset)], dtype=np.int64
        )
        shape = (2, k.blocks(n_lanes), k.STATE_SIZE, k.L)
        self._fields = np.zeros(shape)
        self._layers = np.zeros((2, n_lanes, self.observation_size), dtype=np.float32)
        self._flows = np.zeros((2, n_lanes))
        self._ended = np.zeros((2, n_lanes), dtype=np.bool_)
        self._arguments = (
            np.concatenate([config.terms(), hold_scale()]),
            market.features,
            market.table,
            market.instruments(config.borrow_bps_per_year),
            self._schedule,
            self._fields.reshape(2, shape[1], k.STATE_SIZE * k.L),
            self._layers,
            self._flows,
            self._ended,
        )
        self.observations: Observations = self._layers[0]
        self.final_observations: Observations = self._layers[1]
        self._result = StepResult(
            self.observations, self._flows[k.REWARDS], self._ended[0], self._ended[1]
        )
        self._fields[k.NOW, :, k.EPISODE] = -1.0
        self._started = False

    @property
    def seed(self) -> int:
        """Of the random starts."""
        return int(self._schedule[k.SEED])

    @property
    def endogenous(self) -> tuple[int, ...]:
        """Columns of the observation that the actions move: the portfolio's."""
        layout = self.market.layout
        return tuple(range(len(layout.features), layout.size))

    def reset(self, seed: int | None = None) -> Observations:
        """First observations [N, F + P] of every lane's next episode (a view).

        Args:
            seed: begins again at episode 0 of this seed.
        """
        if seed is not None:
            if not 0 <= seed <= LARGEST_SEED:
                raise ConfigError(f"seed = {seed}", expected="0 to 2^63 - 1")
            self._schedule[k.SEED] = seed
            self._fields[k.NOW, :, k.EPISODE] = -1.0
        k.reset_lanes(*self._arguments)
        self._started = True
        return self.observations

    def place(self, rows: IntArray, seen: FloatArray, equity: FloatArray) -> Observations:
        """Put every lane into a portfolio of its own at a bar of its own; observations (a view).

        A portfolio is what the observation shows of it, and its equity: a bar of any log can be
        played again from it, or from another one. Its episode ends with the instrument's bars.

        Args:
            rows: [N] market row of the bar that is observed, not an instrument's last.
            seen: [N, 5] the portfolio's columns of the observation (``types.PortfolioField``).
            equity: [N] quote currency, above 0.

        Raises:
            ConfigError: rows without a bar after them, an equity that is not positive, a short
                position where the rules know none.
        """
        k_of = np.searchsorted(self.market.stop, rows, side="right")
        inside = (rows >= 0) & (k_of < len(self.market.stop))
        last = self.market.stop[np.minimum(k_of, len(self.market.stop) - 1)] - 1
        if len(rows) != self.n_lanes or not (inside & (rows < last)).all():
            raise ConfigError(
                f"portfolios at {len(rows)} rows, {np.min(rows)} to {np.max(rows)}",
                expected=f"{self.n_lanes} rows of bars that others follow",
            )
        short = self.config.action_mode == "target_long_short"
        if not (equity > 0.0).all() or not (short or (seen[:, 0] >= 0.0).all()):
            raise ConfigError(
                "a portfolio that cannot be", expected="equity above 0, and no short position "
                f"in mode {self.config.action_mode}",
            )  # fmt: skip
        fields = portfolio_fields(seen, equity, self.market.table[rows, k.CLOSE])
        if self.config.smoothing_alpha < 1.0:
            fields[k.SMOOTHED] = seen[:, PortfolioField.SMOOTHED_ACTION]
        places = {k.START_ROW: rows, k.ROW: rows, k.END_ROW: last, k.INSTRUMENT: k_of}
        self._fields[k.NOW] = 0.0
        for field, values in (fields | places).items():  # counts are kept as exact floats
            lanes = np.zeros(self._fields.shape[1] * k.L)
            lanes[: self.n_lanes] = values
            self._fields[k.NOW, :, field] = lanes.reshape(-1, k.L)
        width = self.market.features.shape[1]
        self.observations[:, :width] = self.market.features[rows]
        self.observations[:, width:] = seen
        self._ended[:] = False
        self._started = True
        return self.observations

    def step(self, actions: NDArray[np.floating[Any]]) -> StepResult:
        """One bar for every lane.

        Args:
            actions: [N] or [N, 1]; clipped to [−1, 1].

        Raises:
            ConfigError: before a reset, or after the end of a lane that does not restart by
                itself; another number of actions, or one that is no number (no lane has moved
                then).
        """
        if not self._started:
            raise ConfigError("the simulator was stepped before its first reset")
        actions = np.asarray(actions)
        if actions.size != self.n_lanes or actions.ndim > 2:
            raise ConfigError(
                f"actions of shape {actions.shape}",
                expected=f"({self.n_lanes},) or ({self.n_lanes}, 1)",
            )
        if not self._schedule[k.AUTO_RESET] and self._ended.any():
            raise ConfigError(
                f"lane {int(self._ended.any(axis=0).argmax())} has ended", hint="call reset()"
            )
        self._flows[k.ACTIONS] = actions.reshape(-1)
        bad = k.step_lanes(*self._arguments)
        if bad >= 0:
            raise ConfigError(f"lane {bad}: the action is not a number", expected="-1 to 1")
        return self._result

    def state_dict(self) -> dict[str, NDArray[Any]]:
        """Copies of everything that the next step, and reading the last one, depend on."""
        return {
            "schedule": self._schedule.copy(),
            "fields": self._fields.copy(),
            "observations": self._layers.copy(),
            "ended": self._ended.copy(),
            "started": np.array(self._started),
        }

    def load_state_dict(self, payload: dict[str, NDArray[Any]]) -> None:
        """Continue from :meth:`state_dict`'s form, of a simulator with the same settings."""
        self._schedule[:] = payload["schedule"]
        self._fields[:] = payload["fields"]
        self._layers[:] = payload["observations"]
        self._ended[:] = payload["ended"]
        self._started = bool(payload["started"])

    def __reduce__(self) -> tuple[Any, ...]:
        """Copies and pickles are built anew and given the state: their arrays share memory."""
        _, bars, random_start, auto_reset = self._schedule.tolist()
        settings = {
            "episode_bars": bars,
            "random_start": bool(random_start),
            "auto_reset": bool(auto_reset),
        }
        arguments = (self.market, self.config, self.n_lanes)
        return partial(Simulator, **settings), arguments, self.state_dict()

    def __setstate__(self, payload: dict[str, NDArray[Any]]) -> None:
        self.load_state_dict(payload)

    def _now(self, field: int, layer: int = k.NOW) -> FloatArray:
        """[N] a field of the state, copied."""
        return self._fields[layer, :, field].reshape(-1)[: self.n_lanes].copy()

    def _last(self, field: int) -> FloatArray:
        """[N] a field after the last step and before any automatic reset, copied."""
        if not self._schedule[k.AUTO_RESET]:
            return self._now(field)
        ended = self._ended[0] | self._ended[1]
        return np.where(ended, self._now(field, k.FINAL), self._now(field))

    def outcome(self) -> dict[str, FloatArray]:
        """What the last step did, name → [N]; of the ended episode where a lane ended.

        ``equity``, ``cash``, ``units``, ``exposure``; ``realised_profit`` and
        ``unrealised_profit`` (quote currency, costs in the former); ``drawdown`` in [−1, 0];
        ``cumulative_return``; ``fill_units`` (signed), ``fill_price`` (0 without a fill);
        ``costs_paid`` since the episode's start.
        """
        equity, cash, units = self._last(k.EQUITY), self._last(k.CASH), self._last(k.UNITS)
        filled = self._last(k.FILLED)
        unrealised = equity - cash - units * self._last(k.ENTRY)
        profit = equity - self.config.initial_cash
        return {
            "equity": equity,
            "cash": cash,
            "units": units,
            "exposure": self._last(k.EXPOSURE),
            "realised_profit": profit - unrealised,
            "unrealised_profit": unrealised,
            "drawdown": np.maximum(equity / self._last(k.PEAK) - 1.0, -1.0),
            "cumulative_return": profit / self.config.initial_cash,
            "fill_units": filled,
            "fill_price": np.where(filled != 0.0, self._last(k.FILL_PRICE), 0.0),
            "costs_paid": self._last(k.COSTS),
        }

    @property
    def equity_after_step(self) -> FloatArray:
        """[N] quote currency after the last step, before any automatic reset."""
        return self._last(k.EQUITY)

    @property
    def bar_index(self) -> IntArray:
        """[N] market row of the bar that each lane observes now."""
        return self._now(k.ROW).astype(np.int64)

    @property
    def instrument(self) -> IntArray:
        """[N] index of the instrument that each lane trades now."""
        return self._now(k.INSTRUMENT).astype(np.int64)

    @property
    def episode(self) -> IntArray:
        """[N] number of each lane's episode, from 0."""
        return self._now(k.EPISODE).astype(np.int64)

    @property
    def equity(self) -> FloatArray:
        """[N] quote currency, marked at the close of the bar observed now."""
        return self._now(k.EQUITY)

    @property
    def cash(self) -> FloatArray:
        """[N] quote currency."""
        return self._now(k.CASH)

    @property
    def units(self) -> FloatArray:
        """[N] signed units held."""
        return self._now(k.UNITS)

    @property
    def weight(self) -> FloatArray:
        """[N] signed position value / equity."""
        return self._now(k.EXPOSURE)

    @property
    def entry_price(self) -> FloatArray:
        """[N] average fill price of the open position, 0 when flat."""
        return self._now(k.ENTRY)

    @property
    def bars_held(self) -> IntArray:
        """[N] bars since the position was opened, that of the fill included; 0 when flat."""
        return self._now(k.HELD).astype(np.int64)

    @property
    def unrealised_profit(self) -> FloatArray:
        """[N] units · (close − entry price)."""
        return self.equity - self.cash - self.units * self.entry_price

    @property
    def realised_profit(self) -> FloatArray:
        """[N] profit of the episode's closed units, less commission and borrow cost."""
        return self.cash + self.units * self.entry_price - self.config.initial_cash

    @property
    def drawdown(self) -> FloatArray:
        """[N] equity / running maximum − 1, in [−1, 0]."""
        return np.maximum(self.equity / self._now(k.PEAK) - 1.0, -1.0)

    @property
    def costs_paid(self) -> FloatArray:
        """[N] commission, friction and borrow cost since the episode's start."""
        return self._now(k.COSTS)

    @property
    def fills(self) -> FloatArray:
        """[N] signed units filled at the last step."""
        return self._last(k.FILLED)

    @property
    def traded(self) -> BoolArray:
        """[N] whether the last step filled an order."""
        return np.asarray(self.fills != 0.0)

    @property
    def fill_price(self) -> FloatArray:
        """[N] price of the fill of the last step, friction included; 0 without one."""
        return np.where(self.traded, self._last(k.FILL_PRICE), 0.0)
