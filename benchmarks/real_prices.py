"""Experts, parts of the line and the whole of it on real prices, walked forward, after costs.

Markets are the S&P 500 and the NASDAQ composite of the package, the spot price of WTI crude oil
that ships with ``arch`` (days from 1999 to January 2019, those without a price left out; a bar
opens where the one before closed) and the hours of EUR/USD that ship with ``backtesting`` (April
2017 to February 2018). Each trained arm is a walk of
``offline-trader walk-forward`` with its settings: a clone alone, a clone and the direct stage, a
clone and CQL, and the whole line with its fine-tuning; windows are joined, each begins in cash.
They are joined at one risk, ``risk_target=0.5`` of the direct stage: a Sharpe ratio has no size,
and of windows of unequal size the largest would decide. The
experts, buy-and-hold and the volatility target trade the joined test range in one piece, at the
same costs. A Sharpe ratio has its stationary bootstrap's 95 % interval, so has its difference to
buy-and-hold's; the deflated ratio takes all rows of a market for trials. Finished windows stay in
``runs/benchmark-walk-forward``: the same command goes on after a stop.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.record import Figure, publish
from benchmarks.walk_forward import HOME, walk

ARMS: dict[str, tuple[tuple[str, ...], bool]] = {
    "clone": (("clone",), False),
    "direct": (("clone", "direct"), False),
    "CQL": (("clone", "offline"), False),
    "whole line": (("clone", "direct", "offline"), True),
}
RISK = 0.5
EXPERTS = ("technical", "ma_cross", "donchian", "momentum", "reversion")
PASSIVE = ("buy_and_hold", "volatility_target")
MARKETS = ("sp500", "nasdaq", "wti", "eurusd")


def source(market: str, folder: Path) -> str:
    """What the market is to the line: its name, or a file made of a package's series."""
    if market not in _SERIES:
        return market
    bars = _SERIES[market]()
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{market}.csv"
    bars.to_csv(path, index_label="date")
    return str(path)


def _wti() -> Any:
    """Days with a price, of as many years as the others have. There is one price a day."""
    import pandas as pd
    from arch.data import wti

    close = wti.load()["DCOILWTICO"]["1999":].dropna()
    if not (close > 0.0).all():
        first = close.index[close <= 0.0][0]
        raise SystemExit(f"wti: no return can be told of the price of {first:%Y-%m-%d}, 0 or less")
    opened = close.shift(1).fillna(close)
    ends = pd.concat([opened, close], axis=1)
    columns = {"open": opened, "high": ends.max(axis=1), "low": ends.min(axis=1), "close": close}
    return pd.DataFrame({**columns, "volume": 1_000_000})


def _eurusd() -> Any:
    """Hours, with the numbers of quotes as volume."""
    from backtesting.test import EURUSD

    return EURUSD.rename(columns=str.lower)


_SERIES: dict[str, Callable[[], Any]] = {"wti": _wti, "eurusd": _eurusd}


def expert_returns(text: str) -> dict[str, np.ndarray]:
    """Returns of the experts over the joined test range; the first decision is before it."""
    from offline_trader.evaluation.backtest import EvaluationRange
    from offline_trader.experts import get_expert
    from offline_trader.markets import BarRange
    from offline_trader.pipeline import WALK_FORWARD
    from offline_trader.pipeline.folds import window_env
    from offline_trader.pipeline.walking import walk_plan

    plan = replace(WALK_FORWARD, env=replace(WALK_FORWARD.env, market=(text,)))
    bars, folds = walk_plan(plan)
    env = window_env(plan.env, bars, BarRange(folds[0].test.start - 1, folds[-1].test.stop))
    span = EvaluationRange.from_env(env)
    names = (*EXPERTS, *PASSIVE)
    accounts = {name: span.account(get_expert(name), env.simulator) for name in names}
    return {name: np.asarray(account.returns) for name, account in accounts.items()}


def judged(rows: Mapping[str, np.ndarray], held: np.ndarray, periods: float) -> dict[str, Any]:
    """Sharpe ratio, its interval, its difference to buy-and-hold's and the deflated ratio."""
    from offline_trader.evaluation.statistics import (
        deflated_sharpe_ratio,
        measured_interval,
        sharpe_difference,
    )

    plain = {name: float(each.mean() / each.std(ddof=1)) for name, each in rows.items()}
    spread = float(np.var(list(plain.values()), ddof=1))
    found = {}
    for name, returns in rows.items():
        rng = np.random.default_rng(0)
        interval = measured_interval(returns, "sharpe", periods, rng=rng)
        found[name] = {
            "sharpe": plain[name] * np.sqrt(periods),
            "interval": [getattr(interval, "low", None), getattr(interval, "high", None)],
            "deflated": deflated_sharpe_ratio(returns, len(rows), spread),
        }
        ahead = sharpe_difference(returns, held, periods, rng=np.random.default_rng(1))
        if name != "buy_and_hold" and ahead is not None:
            found[name]["ahead"] = [ahead.low, ahead.high]
    return found


def main() -> None:
    """Walk, judge, publish."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--markets", nargs="+", choices=MARKETS, default=list(MARKETS))
    args = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    from offline_trader.pipeline import WALK_FORWARD

    figures: list[Figure] = []
    facts: dict[str, Any] = {}
    stated = {each.name: getattr(WALK_FORWARD, each.name) for each in fields(WALK_FORWARD)}
    sections = {
        name: replace(section, risk_target=RISK)
        for name, section in stated.items()
        if hasattr(section, "risk_target")
    }
    for market in args.markets:
        text = source(market, HOME)
        rows = expert_returns(text)
        walks = {
            arm: walk(market, 1, text, stages=stages, finetune=finetune, **sections)
            for arm, (stages, finetune) in ARMS.items()
        }
        whole = walks["whole line"]
        rows |= {arm: np.asarray(each.returns) for arm, each in walks.items()}
        found = judged(rows, rows["buy_and_hold"], whole.periods_per_year)
        stamps = whole.results[0].timestamps[0], whole.results[-1].timestamps[-1]
        facts[market] = {"first": stamps[0], "last": stamps[1], "rows": found}
        for name, row in found.items():
            low, high = row["interval"]
            interval = None if low is None else (low, high)
            figures.append(Figure(f"{market}: {name}", row["sharpe"], "", interval=interval))
            if row["deflated"] is not None:
                figures.append(Figure(f"{market}: {name}, deflated", row["deflated"], ""))
            if "ahead" in row:
                low, high = row["ahead"]
                mean = row["sharpe"] - found["buy_and_hold"]["sharpe"]
                label = f"{market}: {name} less buy-and-hold"
                figures.append(Figure(label, mean, "", interval=(low, high)))
    publish("real_prices", figures, seeds=[0], facts=facts)


if __name__ == "__main__":
    main()
