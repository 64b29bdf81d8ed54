"""Logged bars under the simulator's rules, as a market of the direct stage.

The dynamics are those of :mod:`offline_trader.simulator.differentiable`. An order that fills at
the next open meets two price moves: the gap from the decision's close to the open acts on the
position held before, the move from the open to the close on the position after the fill. Each is
a gain of its own, with its own forecast; an order that fills at the decision's close meets one.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from offline_trader.errors import ConfigError, DataError
from offline_trader.features import FEATURE_NAMES
from offline_trader.learning.data import BarReplay
from offline_trader.learning.stages.direct.market import DirectStep, Log, State
from offline_trader.simulator import MarketTensor, SimulatorConfig
from offline_trader.simulator.differentiable import (
    BarPrices,
    Portfolio,
    advance,
    flat_portfolio,
    observe,
    portfolio,
)
from offline_trader.types import BoolArray, FloatArray, IntArray, PortfolioField

__all__ = ["BarMarket", "require_no_impact"]

_FLAT_SHARE = 0.25
_LONGEST_HOLD = 60
_DEEPEST_DRAWDOWN = 0.5


@dataclass(frozen=True, eq=False)
class BarMarket:
    """See the module. A row of the log is a decision: every bar but the last of an instrument.

    Attributes:
        tensor: bars and features of the training range.
        rules: trading rules.
        device: where the series lie.
        features: [R, F'] float32 of the decisions in place of the tensor's own.
    """

    tensor: MarketTensor
    rules: SimulatorConfig = field(default_factory=SimulatorConfig)
    device: str = "cpu"
    features: NDArray[np.float32] | None = None

    portfolio_size = len(PortfolioField)

    @property
    def reach(self) -> float:
        """See :class:`~offline_trader.learning.stages.direct.market.DirectMarket`."""
        return self.rules.max_position_pct

    def __post_init__(self) -> None:
        if self.rules.needs_volume and not (self.tensor.prices[:, 4] > 0.0).any():
            raise DataError(
                "simulator.volume_cap or impact_bps is set, but the bars have no volume",
                expected="bars with volume",
                hint="set both to 0",
            )

    @cached_property
    def _bars(self) -> IntArray:
        """[R] row of the packed market of each decision."""
        pairs = zip(self.tensor.start, self.tensor.stop, strict=True)
        return np.concatenate([np.arange(first, stop - 1) for first, stop in pairs])

    @cached_property
    def log(self) -> Log:
        """See :class:`~offline_trader.learning.stages.direct.market.DirectMarket`."""
        stops = np.cumsum(self.tensor.stop - self.tensor.start - 1)
        starts = stops - (self.tensor.stop - self.tensor.start - 1)
        return Log(
            self.tensor.features[self._bars] if self.features is None else self.features,
            self._gains(),
            np.stack([starts, stops], axis=1).astype(np.int64),
            self._own if self.features is None else None,
        )

    @property
    def _own(self) -> BoolArray | None:
        """[F] features that are not built in, at this bar or at earlier ones; None: no such."""
        names = self.tensor.layout.features
        own = np.array([name.partition("@")[0] not in FEATURE_NAMES for name in names])
        return own if own.any() else None

    def _gains(self) -> FloatArray:
        """[R, 2] simple returns to the fill and from it; [R, 1] where the fill is the close."""
        open_, close = self.tensor.table[self._bars + 1, :2].T
        before = self.tensor.table[self._bars, 1]
        if self.rules.fill == "close":
            return np.asarray(close / before - 1.0)[:, None]
        return np.stack([open_ / before - 1.0, close / open_ - 1.0], axis=1)

    @cached_property
    def _columns(self) -> Tensor:
        """[5, R] reference price of the fill, next close, volume, borrow cost, close of now."""
        table = self.tensor.table
        sizes = self.tensor.stop - self.tensor.start - 1
        borrow = self.tensor.instruments(self.rules.borrow_bps_per_year)[:, 2]
        now, after = table[self._bars], table[self._bars + 1]
        price = now[:, 1] if self.rules.fill == "close" else after[:, 0]
        columns = [price, after[:, 1], now[:, 2], np.repeat(borrow, sizes), now[:, 1]]
        return torch.from_numpy(np.stack(columns)).to(self.device)

    def compiled(self) -> tuple[FloatArray, FloatArray, int]:
        """Terms, columns [R, 3] and size of the state, as ``bar_kernels`` reads them."""
        r, bps = self.rules, 1e-4
        mode = ("order", "target_long", "target_long_short").index(r.action_mode)
        terms = [
            mode,
            r.fill == "close",
            r.sizing == "post_fee",
            r.commission_bps * bps,
            (r.half_spread_bps + r.slippage_bps) * bps,
            r.smallest_order,
            r.max_position_pct,
            r.hold_threshold,
            r.rebalance_threshold,
            r.dust_notional,
            r.smoothing_alpha,
            r.initial_cash,
            r.ruin_fraction * r.initial_cash,
        ]
        columns = self._columns.cpu().numpy()
        return (
            np.array(terms, np.float64),
            np.ascontiguousarray(columns[[0, 1, 3]].T),
            len(Portfolio._fields),
        )

    def to(self, device: str) -> BarMarket:
        """See :class:`~offline_trader.learning.stages.direct.market.DirectMarket`."""
        return self if device == self.device else replace(self, device=device)

    def with_features(self, features: NDArray[np.float32]) -> BarMarket:
        """See :class:`~offline_trader.learning.stages.direct.market.DirectMarket`."""
        return replace(self, features=features)

    def replayed(self) -> BarReplay:
        """See :class:`~offline_trader.learning.stages.direct.market.DirectMarket`."""
        require_no_impact(self.rules)
        return BarReplay(self.tensor, self.rules, self._bars)

    def random_state(self, rows: Tensor, generator: torch.Generator) -> State:
        """A quarter is flat, the others hold any exposure that the rules allow.

        They have held it for up to 60 bars, with a gain or loss and a drawdown of the size that
        the instruments' returns make over as many bars.
        """
        n = len(rows)
        u = torch.rand((4, n), generator=generator, dtype=torch.float64)
        normal = torch.randn((2, n), generator=generator, dtype=torch.float64)
        low = -1.0 if self.rules.action_mode == "target_long_short" else 0.0
        exposure = (low + (1.0 - low) * u[0]) * self.rules.max_position_pct
        exposure = torch.where(u[1] < _FLAT_SHARE, 0.0, exposure)
        held = (1.0 + _LONGEST_HOLD * u[2]).floor()
        spread = float(np.sqrt(np.square(self.log.gains).mean(axis=0).sum()))
        lowest = -1.0 if self.rules.action_mode != "target_long" else 0.0
        fields = {
            "unrealised": spread * held.sqrt() * normal[0],
            "drawdown": -(spread * held.sqrt() * normal[1]).abs().clamp(max=_DEEPEST_DRAWDOWN),
            "smoothed": lowest + (1.0 - lowest) * u[3],
            "held": held,
        }
        moved = {name: x.to(self.device) for name, x in fields.items()}
        return portfolio(self.rules, exposure.to(self.device), self._columns[4][rows], **moved)

    def observe(self, state: State) -> Tensor:
        """[B, 5] the portfolio's part of the observation."""
        return observe(Portfolio(*state))

    def smaller(self, actions: Tensor, own: Tensor, share: float) -> Tensor:
        """See :class:`~offline_trader.learning.stages.direct.market.DirectMarket`.

        A target weight is scaled. An order is a share of the cash or of the units held: one to
        sell is as it was, and one to buy leaves the cash ``1 − share`` of the account untouched.
        """
        if self.rules.action_mode != "order":
            return share * actions
        exposure = own[:, PortfolioField.EXPOSURE]
        room = (share - exposure).clamp(min=0.0) / (1.0 - exposure).clamp(min=1e-9)
        return torch.where(actions > 0.0, actions * room.clamp(max=1.0), actions)

    def step(self, state: State, actions: Tensor, rows: Tensor) -> DirectStep:
        """See :class:`~offline_trader.learning.stages.direct.market.DirectMarket`."""
        before = Portfolio(*state)
        price, close, volume, borrow = self._columns[:4, rows]
        step = advance(self.rules, before, actions, BarPrices(price, close, volume, borrow))
        carried = step.carried[:, None]
        if self.rules.fill != "close":
            carried = torch.stack([before.exposure, step.carried], dim=1)
        # a ruined portfolio trades no more; a new one keeps its numbers, and slopes, finite
        new = flat_portfolio(self.rules, len(rows), self.device)
        state = tuple(
            torch.where(step.ruined, a, b) for a, b in zip(new, step.portfolio, strict=True)
        )
        return DirectStep(state, step.log_growth, carried, step.ruined)


def require_no_impact(rules: SimulatorConfig) -> None:
    """Nothing if logged prices are those that any other order would have met.

    Raises:
        ConfigError: an order moves them.
    """
    if rules.impact_bps > 0.0:
        raise ConfigError(
            f"simulator.impact_bps = {rules.impact_bps:g}: an order moves the price",
            expected="rules without market impact, under which the logged prices are those "
            "that any other order would have met",
        )
