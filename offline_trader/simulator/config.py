"""The trading rules of a simulation: order mode, fills, sizing, costs, limits."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

from offline_trader.errors import ConfigError
from offline_trader.types import FloatArray

__all__ = ["ActionMode", "Fill", "SimulatorConfig", "Sizing", "Terms"]

ActionMode = Literal["order", "target_long", "target_long_short"]
Fill = Literal["next_open", "close"]
Sizing = Literal["pre_fee", "post_fee"]

_ACTION_MODES: tuple[str, ...] = ("order", "target_long", "target_long_short")
_FILLS: tuple[str, ...] = ("next_open", "close")
_SIZINGS: tuple[str, ...] = ("pre_fee", "post_fee")
_NON_NEGATIVE = (
    "commission_bps",
    "half_spread_bps",
    "slippage_bps",
    "borrow_bps_per_year",
    "min_notional",
    "lot_size",
    "hold_threshold",
    "rebalance_threshold",
    "dust_notional",
    "volume_cap",
    "impact_bps",
    "ruin_fraction",
)


class Terms(NamedTuple):
    """``SimulatorConfig.terms()`` with names; rates are fractions."""

    mode: float
    at_close: float
    post_fee: float
    commission: float
    friction: float
    min_notional: float
    lot: float
    max_position: float
    hold: float
    rebalance: float
    dust: float
    alpha: float
    volume_cap: float
    impact: float
    initial_cash: float
    ruin_equity: float


@dataclass(frozen=True)
class SimulatorConfig:
    """Rules by which an action becomes an order, a fill, costs and equity (``docs/simulator.md``).

    Attributes:
        action_mode: ``order``: a share of cash to buy for, or of the units held to sell;
            ``target_long`` / ``target_long_short``: a target weight in [0, 1] / [-1, 1].
        fill: ``next_open``: the order decided at bar t fills at the open of t+1;
            ``close``: at the close of t itself.
        sizing: ``pre_fee``: the asked notional is sized before costs, which come on top;
            ``post_fee``: costs are inside it (order mode: the cash spent is exactly the asked
            amount; target modes: the weight after costs is exactly the target).
        commission_bps: commission, basis points of the traded notional.
        half_spread_bps: half the bid-ask spread, basis points of the reference price.
        slippage_bps: further adverse move of the fill price, basis points.
        borrow_bps_per_year: cost of a short position a year, accrued at every bar on its value.
        min_notional: smaller orders are not filled, unless they close the position; currency.
        lot_size: units come in multiples of it, rounded towards zero; 0: fractional units.
        max_position_pct: multiplies the budget of a buy order or the target weight, in (0, 1].
        hold_threshold: order mode: ``|a|`` strictly below it is a hold.
        rebalance_threshold: target modes: ``|target - weight|`` strictly below it is a hold.
        dust_notional: what a reducing order would leave below this value is closed with it.
        smoothing_alpha: s' = alpha a + (1 - alpha) s is executed instead of a; 1: off.
        volume_cap: largest fill as a share of the decision bar's volume; 0: off.
        impact_bps: price impact of filling the decision bar's whole volume; grows with the
            square root of the share filled; 0: off.
        initial_cash: cash at the start of an episode, quote currency.
        ruin_fraction: equity at or below this share of ``initial_cash`` terminates.
    """

    action_mode: ActionMode = "order"
    fill: Fill = "next_open"
    sizing: Sizing = "pre_fee"
    commission_bps: float = 1.0
    half_spread_bps: float = 1.0
    slippage_bps: float = 1.0
    borrow_bps_per_year: float = 100.0
    min_notional: float = 10.0
    lot_size: float = 0.0
    max_position_pct: float = 1.0
    hold_threshold: float = 0.1
    rebalance_threshold: float = 0.0
    dust_notional: float = 1.0
    smoothing_alpha: float = 1.0
    volume_cap: float = 0.0
    impact_bps: float = 0.0
    initial_cash: float = 10_000.0
    ruin_fraction: float = 0.05

    def __post_init__(self) -> None:
        _choice("action_mode", self.action_mode, _ACTION_MODES)
        _choice("fill", self.fill, _FILLS)
        _choice("sizing", self.sizing, _SIZINGS)
        for name in _NON_NEGATIVE:
            value = getattr(self, name)
            if not 0.0 <= value <= sys.float_info.max:
                raise ConfigError(f"simulator.{name} is {value}", expected="a number >= 0")
        for name in ("max_position_pct", "smoothing_alpha"):
            value = getattr(self, name)
            if not 0.0 < value <= 1.0:
                raise ConfigError(f"simulator.{name} is {value}", expected="above 0, at most 1")
        if not 0.0 < self.initial_cash <= sys.float_info.max:
            raise ConfigError(
                f"simulator.initial_cash is {self.initial_cash}", expected="a number > 0"
            )
        if self.ruin_fraction >= 1.0:
            raise ConfigError(
                f"simulator.ruin_fraction is {self.ruin_fraction}", expected="below 1"
            )
        if self.commission_bps + self.half_spread_bps + self.slippage_bps >= 5_000.0:
            raise ConfigError(
                "simulator costs (commission + half spread + slippage) add to 50 % or more",
                expected="less than 5,000 basis points",
            )

    @property
    def needs_volume(self) -> bool:
        """Whether fills depend on the bars' volume."""
        return self.volume_cap > 0.0 or self.impact_bps > 0.0

    @property
    def smallest_order(self) -> float:
        """``min_notional`` less a billionth: an order of just that much is filled, whichever way
        its value is rounded."""
        return self.min_notional * (1.0 - 1e-9)

    def terms(self) -> FloatArray:
        """[16] float64: the rules as the kernel reads them, rates as fractions."""
        bps = 1e-4
        return np.array(
            [
                _ACTION_MODES.index(self.action_mode),
                _FILLS.index(self.fill),
                _SIZINGS.index(self.sizing),
                self.commission_bps * bps,
                (self.half_spread_bps + self.slippage_bps) * bps,
                self.smallest_order,
                self.lot_size,
                self.max_position_pct,
                self.hold_threshold,
                self.rebalance_threshold,
                self.dust_notional,
                self.smoothing_alpha,
                self.volume_cap,
                self.impact_bps * bps,
                self.initial_cash,
                self.ruin_fraction * self.initial_cash,
            ],
            dtype=np.float64,
        )


def _choice(name: str, value: object, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise ConfigError(f"simulator.{name} is {value!r}", expected="one of " + ", ".join(allowed))
