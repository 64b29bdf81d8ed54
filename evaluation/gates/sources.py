"""What each gate measures: value, interval and n from an evaluation, or why there is none."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from offline_trader.evaluation.judging import Evaluation
from offline_trader.evaluation.statistics import wilson_interval

__all__ = ["GATE_FACTS", "SOURCES", "GateInput", "Measured"]

GATE_FACTS: dict[str, str] = {
    "coverage": "the coverage of state cells against a random policy",
    "oracle_hold_share": "the oracle's hold share on the same bars",
    "optimal_sharpe": "the optimal policy's Sharpe ratio on the same synthetic bars",
    "breaker_hits": "the number of breaker hits (the simulator's breaker is ruin_fraction)",
    "episodes": "the number of episodes that the evaluation on the free market is worth",
    "objective_balance": "the largest weight of the objectives",
    "parity": "the largest difference between ONNX and torch",
    "latency_ms": "the 95th percentile of the latency",
    "latency_calls": "the number of decisions that were timed",
}
"""Facts that an evaluation does not hold; whoever knows one passes it in."""

_COSTS = ("commission_bps", "half_spread_bps", "slippage_bps", "impact_bps")


@dataclass(frozen=True)
class GateInput:
    """What gates are judged on.

    Attributes:
        evaluation: of the policy.
        facts: values by name, see :data:`GATE_FACTS`.
    """

    evaluation: Evaluation
    facts: Mapping[str, float] = field(default_factory=dict)

    @property
    def costs_bps(self) -> float | None:
        """Costs a side of the evaluation; None where its rules are not known (imports)."""
        rules = self.evaluation.simulator
        return float(sum(rules[name] for name in _COSTS)) if rules else None


@dataclass(frozen=True)
class Measured:
    """A gate's measurement.

    Attributes:
        value: None where it cannot be measured; ``reason`` says what is missing.
        interval: 95 %, or None.
        n: what it was measured on, or None.
        reason: why there is no value, or what stands beside it.
    """

    value: float | None
    interval: tuple[float, float] | None = None
    n: int | None = None
    reason: str = ""


def _collapse(name: str) -> Callable[[GateInput], Measured]:
    def source(given: GateInput) -> Measured:
        known = given.evaluation.collapse
        if known is None:
            return Measured(None, reason="the actions are not known")
        value, n = known.get(name), known.get("n")
        count = None if n is None else int(n)
        if value is None:
            return Measured(None, n=count, reason=f"{name.replace('_', ' ')} was not measured")
        return Measured(value, n=count)

    return source


def _rate(name: str, scale: float) -> Callable[[GateInput], Measured]:
    """A share of steps with its Wilson interval, times ``scale``."""
    plain = _collapse(name)

    def source(given: GateInput) -> Measured:
        found = plain(given)
        if found.value is None or not found.n:
            return found
        interval = wilson_interval(round(found.value / scale * found.n), found.n)
        assert interval is not None
        return Measured(found.value, (interval[0] * scale, interval[1] * scale), found.n)

    return source


def _fact(name: str) -> Callable[[GateInput], Measured]:
    def source(given: GateInput) -> Measured:
        if name not in given.facts:
            return Measured(None, reason=f"{GATE_FACTS[name]} was not given")
        return Measured(float(given.facts[name]))

    return source


def _coverage(given: GateInput) -> Measured:
    found = _fact("coverage")(given)
    return replace(found, n=given.evaluation.n_bars) if found.value is not None else found


def _latency(given: GateInput) -> Measured:
    found, calls = _fact("latency_ms")(given), given.facts.get("latency_calls")
    return found if calls is None else replace(found, n=int(calls))


def _information(given: GateInput) -> Measured:
    value, null = _collapse("mi_norm")(given), _collapse("mi_null_95")(given)
    if value.value is None or null.value is None:
        return Measured(None, n=value.n, reason=value.reason or null.reason)
    beside = f"MI_norm {value.value:.3f}, null {null.value:.3f}"
    return Measured(value.value - null.value, n=value.n, reason=beside)


def _hold_share(given: GateInput) -> Measured:
    held = _rate("hold_share", 1.0)(given)
    if held.value is None:
        return held
    if "oracle_hold_share" not in given.facts:
        return Measured(None, n=held.n, reason=f"{GATE_FACTS['oracle_hold_share']} was not given")
    oracle = float(given.facts["oracle_hold_share"])
    assert held.interval is not None
    low, high = held.interval
    beside = f"hold share {held.value:.1%}, oracle's {oracle:.1%}"
    return Measured(held.value - oracle, (low - oracle, high - oracle), held.n, beside)


def _trades_per_episode(given: GateInput) -> Measured:
    found = _collapse("trades_per_1000")(given)
    if found.value is None or found.n is None:
        return found
    episodes = float(given.facts.get("episodes", 1.0))
    orders = found.value * found.n / 1000.0
    return Measured(orders / episodes, n=found.n, reason=f"episodes: {episodes:g}")


def _sharpe(given: GateInput) -> Measured:
    e = given.evaluation
    value = e.measures.get("sharpe")
    if value is None:
        return Measured(None, n=e.n_bars, reason="the returns have no variance")
    beside = [
        f"{name.upper()} {number:.3f}"
        for name in ("psr", "dsr")
        if (number := e.statistics.get(name)) is not None
    ]
    return Measured(value, e.intervals.get("sharpe"), e.n_bars, ", ".join(beside))


def _sharpe_of_oracle(given: GateInput) -> Measured:
    value, best = given.evaluation.measures.get("sharpe"), given.facts.get("optimal_sharpe")
    if best is None:
        return Measured(None, reason=f"{GATE_FACTS['optimal_sharpe']} was not given")
    if value is None or best <= 0:
        return Measured(None, reason="one of the Sharpe ratios is not defined or not positive")
    ends = given.evaluation.intervals.get("sharpe")
    interval = None if ends is None else (ends[0] / best, ends[1] / best)
    return Measured(value / best, interval, given.evaluation.n_bars)


def _drawdown(given: GateInput) -> Measured:
    value, hits = given.evaluation.measures.get("max_drawdown"), given.facts.get("breaker_hits")
    if value is None:
        return Measured(None, reason="there are no bars")
    beside = "" if hits is None else f"{hits:g} breaker hits"
    return Measured(-value, n=given.evaluation.n_bars, reason=beside)


def _win_rate(given: GateInput) -> Measured:
    e = given.evaluation
    value, trades = e.measures.get("win_rate"), e.measures.get("trades")
    n = int(trades) if trades is not None else len(e.trades)
    if value is None:
        return Measured(None, n=n, reason="no closed round trip")
    payoff = e.measures.get("payoff_ratio")
    beside = "" if payoff is None else f"pay-off ratio {payoff:.2f}"
    interval = e.intervals.get("win_rate") or wilson_interval(round(value * n), n)
    return Measured(value, interval, n, beside)


def _profitable_regimes(given: GateInput) -> Measured:
    rows = given.evaluation.regimes
    known = [row for row in rows if row.mean_return is not None]
    if not known:
        return Measured(None, reason="no regime has enough bars")
    good = [row.name for row in known if row.mean_return is not None and row.mean_return > 0]
    missing = [row.name for row in rows if row.mean_return is None]
    beside = f"{', '.join(good) or 'none'} of {len(known)}"
    if missing:
        beside += f"; not enough data in {', '.join(missing)}"
    return Measured(float(len(good)), n=len(known), reason=beside)


def _walk_forward(given: GateInput) -> Measured:
    known = [above for w in given.evaluation.windows if (above := w.above_zero) is not None]
    if not known:
        return Measured(None, reason="no walk-forward was given")
    good = sum(known)
    return Measured(good / len(known), wilson_interval(good, len(known)), len(known))


def _stability(given: GateInput) -> Measured:
    e = given.evaluation
    seeds = [row.value for row in e.seeds if row.value is not None and not row.summary]
    windows = [w.total_return for w in e.windows if w.total_return is not None]
    name, values = ("seeds", seeds) if len(seeds) >= 3 else ("windows", windows)
    if len(values) < 3:
        return Measured(None, reason="fewer than three seeds or windows")
    mean, deviation = float(np.mean(values)), float(np.std(values, ddof=1))
    beside = f"{name}: mean {mean:.4g}, sd {deviation:.4g}"
    # with a mean that is not positive the ratio says nothing, and the gate fails
    return Measured(deviation / mean if mean > 0 else math.inf, n=len(values), reason=beside)


SOURCES: dict[str, Callable[[GateInput], Measured]] = {
    "action_entropy": _collapse("action_entropy"),
    "largest_bin": _rate("largest_share", 1.0),
    "largest_side": _rate("largest_side", 1.0),
    "hold_share_above_oracle": _hold_share,
    "information_above_null": _information,
    "trades_per_1000": _rate("trades_per_1000", 1000.0),
    "trades_per_episode": _trades_per_episode,
    "voluntary_trade_rate": _rate("voluntary_trade_rate", 1.0),
    "action_diversity": _collapse("diversity"),
    "coverage": _coverage,
    "sharpe": _sharpe,
    "sharpe_of_oracle": _sharpe_of_oracle,
    "drawdown": _drawdown,
    "win_rate": _win_rate,
    "profitable_regimes": _profitable_regimes,
    "walk_forward": _walk_forward,
    "reward_stability": _stability,
    "objective_balance": _fact("objective_balance"),
    "parity": _fact("parity"),
    "latency_ms": _latency,
}
