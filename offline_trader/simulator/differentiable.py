"""The simulator's differentiable twin: one bar of N portfolios in torch, with its gradient.

The forward pass is :mod:`offline_trader.simulator.kernel` line for line, in float64: the same
order of the same rules. Only the logarithm is torch's instead of the kernel's own, within a few
units in the last place. Prices are given; what is differentiated is the portfolio.

A rule that is piecewise constant has no useful gradient. There the action, and it alone, gets the
gradient of the order as it was asked for, before that rule (a straight-through estimator, Bengio,
Léonard & Courville 2013); the gradient with respect to the portfolio stays exact, so that a
position that is held through a hold zone keeps the credit of the bars that follow:

- hold zone, rebalance threshold, minimum notional: the order is zero, its gradient is that of
  the order asked for;
- nothing to sell: a target below zero in the long-only mode, or a sale without a position, is
  zero or nothing; its gradient is that of the weight below zero, or of a purchase. A policy that
  wants to sell everywhere would never find its way back otherwise;
- dust: the position is closed, the gradient with respect to the action is that of the order asked;
- lots: rounding has the gradient 1;
- the absolute value of a zero order has the sign of the order asked for, so its cost counts.

Everywhere else (caps, cash that runs out, the floor of the growth) the gradient is that of the
branch taken. The module needs torch; nothing of the simulator imports it.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from offline_trader.simulator.config import SimulatorConfig
from offline_trader.simulator.kernel import LARGEST_FRICTION, ROUNDING, SMALLEST_GROWTH
from offline_trader.types import PortfolioField

__all__ = ["BarPrices", "BarStep", "Portfolio", "advance", "flat_portfolio", "observe", "portfolio"]

_HOLD_TABLE = 4096


class Portfolio(NamedTuple):
    """N portfolios at the close of a bar; [N] float64 each.

    Attributes:
        cash, equity, peak: quote currency; ``peak`` is the running maximum of equity.
        units: signed units held.
        entry: average fill price of the position, 0 when flat.
        exposure: units · close / equity.
        smoothed: exponential average of the actions, 0 where smoothing is off.
        held: bars since the position was opened, 0 when flat.
        gain: close / entry of a long, entry / close of a short position; 1 when flat.
    """

    cash: Tensor
    units: Tensor
    entry: Tensor
    equity: Tensor
    peak: Tensor
    exposure: Tensor
    smoothed: Tensor
    held: Tensor
    gain: Tensor


class BarPrices(NamedTuple):
    """What a decision's fill and mark read; [N] float64 each.

    Attributes:
        price: reference price of the fill: the next open, or the decision bar's close.
        close: the next bar's close.
        volume: the decision bar's volume.
        borrow: cost of a short position for the bar, as a fraction of its value.
    """

    price: Tensor
    close: Tensor
    volume: Tensor
    borrow: Tensor


class BarStep(NamedTuple):
    """What a decision led to.

    Attributes:
        portfolio: at the next close.
        log_growth: [N] log change of equity, the reward.
        fill_units: [N] signed units filled.
        carried: [N] share of the equity before that the position filled makes up at the fill's
            reference price: what the rest of the bar's price change acts on.
        ruined: [N] bool.
    """

    portfolio: Portfolio
    log_growth: Tensor
    fill_units: Tensor
    carried: Tensor
    ruined: Tensor


def flat_portfolio(config: SimulatorConfig, n: int, device: str = "cpu") -> Portfolio:
    """N portfolios at the start of an episode."""
    zero = torch.zeros(n, dtype=torch.float64, device=device)
    cash, one = torch.full_like(zero, config.initial_cash), torch.ones_like(zero)
    return Portfolio(cash, zero, zero, cash, cash, zero, zero, zero, one)


def portfolio(
    config: SimulatorConfig,
    exposure: Tensor,
    close: Tensor,
    *,
    unrealised: Tensor,
    drawdown: Tensor,
    smoothed: Tensor,
    held: Tensor,
) -> Portfolio:
    """Portfolios of equity ``initial_cash`` with the exposures given, at the closes given.

    Args:
        exposure: [N] float64, signed.
        close: [N] float64.
        unrealised: [N] log return since the entry, positive for a gain.
        drawdown: [N] equity / peak − 1, in (−1, 0].
        smoothed: [N] state of the action smoother; ignored where smoothing is off.
        held: [N] bars held, at least 1 where there is a position.
    """
    equity = torch.full_like(close, config.initial_cash)
    units = exposure * equity / close
    open_ = units != 0
    gain = torch.where(open_, unrealised.exp(), 1.0)
    entry = torch.where(open_, torch.where(units > 0, close / gain, close * gain), 0.0)
    return Portfolio(
        cash=equity - units * close,
        units=units,
        entry=entry,
        equity=equity,
        peak=equity / (1.0 + drawdown),
        exposure=exposure,
        smoothed=smoothed if config.smoothing_alpha < 1.0 else torch.zeros_like(smoothed),
        held=torch.where(open_, held, 0.0),
        gain=gain,
    )


def observe(p: Portfolio) -> Tensor:
    """[N, 5] float64: the portfolio's part of the observation (``types.PortfolioField``)."""
    # log(1 + h) / log(253), read from a table that ends at 4,095 bars
    held = torch.log1p(p.held.clamp(max=_HOLD_TABLE - 1.0)) / 5.53338948872752
    drawdown = (p.equity / p.peak - 1.0).clamp(min=-1.0)
    shown = {
        PortfolioField.EXPOSURE: p.exposure,
        PortfolioField.UNREALISED_RETURN: p.gain.log(),
        PortfolioField.HOLD_TIME: held,
        PortfolioField.DRAWDOWN: drawdown,
        PortfolioField.SMOOTHED_ACTION: p.smoothed,
    }
    return torch.stack([shown[each] for each in PortfolioField], dim=1)


def advance(config: SimulatorConfig, p: Portfolio, action: Tensor, bar: BarPrices) -> BarStep:
    """Carry N portfolios from the close of their bar to the close of the next.

    Args:
        config: trading rules.
        p: portfolios.
        action: [N], clipped to [−1, 1].
        bar: prices of the fill and of the mark.
    """
    rules = _Rules(config)
    action = action.to(torch.float64).clamp(-1.0, 1.0)
    if config.smoothing_alpha < 1.0:
        alpha = config.smoothing_alpha
        action = alpha * action + (1.0 - alpha) * p.smoothed
    traded = bar.volume > 0.0
    volume = torch.where(traded, bar.volume, 1.0) if config.needs_volume else bar.volume
    quantity, left, side = rules.fill(action, p, bar.price, volume, traded)
    friction = rules.friction(quantity, volume)
    fill = bar.price * (1.0 + side * friction)
    fee = quantity * side * fill * rules.commission
    cash = (p.cash - quantity * fill - fee).clamp(min=0.0)
    if rules.short:
        owed = torch.minimum(-left * bar.close * bar.borrow, cash)
        cash = cash - torch.where(left < 0.0, owed, 0.0)
    equity = cash + left * bar.close
    after = _marked(p, quantity, left, fill, cash, equity, bar.close)
    if config.smoothing_alpha < 1.0:
        after = after._replace(smoothed=action)
    growth = (equity / p.equity).clamp(min=SMALLEST_GROWTH)
    return BarStep(
        portfolio=after,
        log_growth=growth.log(),
        fill_units=quantity,
        carried=left * bar.price / p.equity,
        ruined=equity <= config.ruin_fraction * config.initial_cash,
    )


def _marked(
    p: Portfolio,
    quantity: Tensor,
    left: Tensor,
    fill: Tensor,
    cash: Tensor,
    equity: Tensor,
    close: Tensor,
) -> Portfolio:
    """The portfolio after its fill, marked at ``close``."""
    open_ = left != 0.0
    average = (p.units * p.entry + quantity * fill) / torch.where(open_, left, 1.0)
    opens = (p.units * left <= 0.0) & (quantity != 0.0)
    entry = torch.where(left.abs() > p.units.abs(), average, p.entry)
    entry = torch.where(open_, torch.where(opens, fill, entry), 0.0)
    # the branch that is not taken must not divide by zero: its gradient would be NaN
    basis = torch.where(open_, entry, close)
    gain = torch.where(left > 0.0, close / basis, basis / close)
    alive = torch.where(equity > 0.0, equity, 1.0)
    return Portfolio(
        cash=cash,
        units=left,
        entry=entry,
        equity=equity,
        peak=torch.maximum(p.peak, equity),
        exposure=torch.where(equity > 0.0, left * close / alive, 0.0),
        smoothed=p.smoothed,
        held=torch.where(open_, torch.where(opens, 1.0, p.held + 1.0), 0.0),
        gain=gain,
    )


class _Rules:
    """The rules between an action and its fill, rates as fractions."""

    def __init__(self, config: SimulatorConfig) -> None:
        bps = 1e-4
        self.config = config
        self.short = config.action_mode == "target_long_short"
        self.commission = config.commission_bps * bps
        self._friction = (config.half_spread_bps + config.slippage_bps) * bps
        self._impact = config.impact_bps * bps

    def friction(self, quantity: Tensor, volume: Tensor) -> Tensor:
        """[N] adverse move of the fill as a fraction of the price."""
        if self._impact == 0.0:
            return torch.full_like(quantity, self._friction)
        size = quantity.abs() / volume
        # the root's slope at zero is infinite; nothing is filled there
        root = torch.where(size > 0.0, torch.where(size > 0.0, size, 1.0).sqrt(), 0.0)
        return (self._friction + self._impact * root).clamp(max=LARGEST_FRICTION)

    def fill(
        self, action: Tensor, p: Portfolio, price: Tensor, volume: Tensor, traded: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """[N] units filled, units left, and the order's side (±1)."""
        asked, holds = self._asked(action, p, price, volume)
        # what the action moves where a rule makes the fill constant
        wish, _ = self._asked(action, _still(p), price, volume, unbounded=True)
        nothing = torch.zeros_like(holds)
        if not self.short:
            nothing = (action < 0.0) & (p.units == 0.0)
            if self.config.action_mode == "target_long":
                nothing = action < 0.0
        if self.config.needs_volume:
            holds = holds | ~traded
        quantity, left, closes = self._limited(torch.where(holds, 0.0, asked), p, price, volume)
        small = (quantity.abs() * price < self.config.smallest_order) & (left != 0.0)
        quantity, left = torch.where(small, 0.0, quantity), torch.where(small, p.units, left)
        ghost = torch.where(holds | nothing | closes | small, wish - wish.detach(), 0.0)
        if self.config.needs_volume:
            ghost = torch.where(traded, ghost, 0.0)
        side = torch.where(quantity != 0.0, quantity, wish).detach().sign()
        return quantity + ghost, left + ghost, side

    def _asked(
        self,
        action: Tensor,
        p: Portfolio,
        price: Tensor,
        volume: Tensor,
        *,
        unbounded: bool = False,
    ) -> tuple[Tensor, Tensor]:
        """[N] units that the action asks for without a hold zone; whether it is in the zone.

        ``unbounded``: as if there were always something to sell.
        """
        c, cash, units = self.config, p.cash, p.units
        if c.action_mode == "order":
            budget = cash / price * c.max_position_pct
            buys = action > 0.0
            asked = action * torch.where(
                buys | (units == 0.0) if unbounded else buys, budget, units
            )
            holds = action.abs() < c.hold_threshold
            if c.sizing == "post_fee":
                cost = (1.0 + self.friction(asked, volume)) * (1.0 + self.commission)
                asked = torch.where(asked > 0.0, asked / cost, asked)
            return asked, holds
        lowest = -1.0 if self.short or unbounded else 0.0
        weight = action.clamp(min=lowest) * c.max_position_pct
        asked = weight * (cash + units * price) / price - units
        holds = (weight - p.exposure).abs() < c.rebalance_threshold
        if c.sizing == "post_fee":
            friction = self.friction(torch.where(holds, 0.0, asked), volume)
            bought = 1.0 + weight * ((1.0 + friction) * (1.0 + self.commission) - 1.0)
            sold = 1.0 - weight * (1.0 - (1.0 - friction) * (1.0 - self.commission))
            asked = asked / torch.where(asked > 0.0, bought, sold)
        return asked, holds

    def _limited(
        self, asked: Tensor, p: Portfolio, price: Tensor, volume: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """[N] units after volume cap, lots, cash and dust; units left; whether dust was closed."""
        c, lot = self.config, self.config.lot_size
        quantity = asked
        if c.volume_cap > 0.0:
            most = c.volume_cap * volume
            quantity = torch.minimum(torch.maximum(quantity, -most), most)
        if lot > 0.0:
            nudged = quantity.detach() / lot + torch.copysign(_ONE_BILLIONTH, quantity.detach())
            quantity = _as_if(quantity, nudged.trunc() * lot)
        share = 1.0 / ((1.0 + self.friction(quantity, volume)) * (1.0 + self.commission))
        affordable = p.cash / price * share
        if lot > 0.0:
            in_lots = _as_if(affordable, (affordable.detach() / lot).floor() * lot)
            quantity = torch.where(quantity > affordable, in_lots, quantity)
        else:
            quantity = torch.minimum(quantity, affordable)
        left = p.units + quantity
        if lot > 0.0:
            left = _as_if(left, (left.detach() / lot).round() * lot)
            quantity = left - p.units
        rounding = left.abs() < ROUNDING * p.units.abs()
        closes = (p.units * quantity < 0.0) & (rounding | (left.abs() * price < c.dust_notional))
        if self.short:
            cover = (1.0 + self.friction(p.units, volume)) * (1.0 + self.commission)
            closes = closes & ((p.units > 0.0) | (-p.units * price * cover <= p.cash))
        return torch.where(closes, -p.units, quantity), torch.where(closes, 0.0, left), closes


_ONE_BILLIONTH = torch.tensor(1e-9, dtype=torch.float64)


def _still(p: Portfolio) -> Portfolio:
    """The portfolio without its gradient."""
    return Portfolio(*(x.detach() for x in p))


def _as_if(smooth: Tensor, rounded: Tensor) -> Tensor:
    """``rounded`` with the gradient of ``smooth``."""
    return rounded + (smooth - smooth.detach())
