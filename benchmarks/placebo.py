"""What the default chain earns where nothing can be earned: false positives, costs, verdicts.

Two markets: ``walk``, hourly bars of a random walk (M0 as bars), and ``sp500 shuffled``, days of
the S&P 500 drawn with replacement, their mean log return taken off, chained anew. A day's gap,
range and volume stay together, so its features have the shape of real ones and foretell nothing.
Each seed has its own bars and is collected, trained and validated by the chain of ``walk-forward``
without online training, then judged on bars behind both. *Significant* is a Sharpe ratio whose
95 % interval (studentised stationary bootstrap) lies above zero: by chance one in forty.

With ``--all-on`` everything is switched on: auxiliary tasks before the chain, then fine-tuning with
curiosity, curriculum, adaptive difficulty, shaping, the forecast as control variate and exploring
starts. Nothing chooses there: the last policy of SAC is judged.

Finished seeds are kept in ``--cache``; the same command goes on from there.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.record import Figure, publish

MARKETS = ("walk", "sp500 shuffled")
TRAINED, VALIDATED, JUDGED, GAP = 3_000, 400, 1_000, 5
WARMUP = 300
LEVEL = 0.025
ALL_ON: dict[str, Any] = {
    "stages": ["auxiliary", "clone", "direct", "offline"],
    "auxiliary": {"updates": 1_000},
    "online": {
        "steps": 8_000,
        "forecast_weight": 1.0,
        "curiosity": {"weight": 0.1, "eta": 1.0},
        "curriculum": {"enabled": True, "exam_interval": 2_000},
        "difficulty": {"enabled": True},
        "shaping": {"potentials": ["trend_alignment", "holding_time"], "adaptive": True},
    },
}


def bars_of(market: str, seed: int) -> Any:
    """[T, 5] open, high, low, close, volume, and their timestamps."""
    from offline_trader.markets import load_market
    from offline_trader.markets.synthetic import OuMarket, ou_market

    count = WARMUP + TRAINED + VALIDATED + JUDGED + 2 * GAP
    if market == "walk":
        bars = ou_market(OuMarket(bars=count, seed=9_000 + seed, k=0.0))
        columns = [bars.open, bars.high, bars.low, bars.close, bars.volume]
        return np.stack(columns, axis=1), bars.timestamps
    bars = load_market("sp500")
    days = 1 + np.random.default_rng(9_000 + seed).integers(0, len(bars) - 1, count)
    moves = np.log(bars.close[1:] / bars.close[:-1])
    last = 100.0 * np.exp(np.cumsum(moves[days - 1] - moves.mean()))
    shape = last / bars.close[days]
    columns = [shape * part[days] for part in (bars.open, bars.high, bars.low, bars.close)]
    stamps = np.datetime64("1990-01-01", "ns") + np.arange(count) * np.timedelta64(1, "D")
    return np.stack([*columns, bars.volume[days]], axis=1), stamps


def judged(market: str, seed: int, *, all_on: bool = False) -> dict[str, Any]:
    """The chain on one draw of a market: Sharpe ratio with its interval, trades, verdicts."""
    from dataclasses import replace

    from offline_trader.config import from_dict, to_dict
    from offline_trader.datasets import collect
    from offline_trader.envs import EnvConfig
    from offline_trader.evaluation.backtest import EvaluationRange
    from offline_trader.evaluation.measures import collapse_of
    from offline_trader.evaluation.statistics import bootstrap_interval
    from offline_trader.pipeline import WALK_FORWARD, LineConfig, ValidationConfig
    from offline_trader.pipeline.finetuning import finetune
    from offline_trader.pipeline.pretraining import pretrain
    from offline_trader.pipeline.trained_runs import finished_run, trained_policy

    table, stamps = bars_of(market, seed)
    with tempfile.TemporaryDirectory(prefix="placebo-") as folder:
        file = Path(folder) / "bars.csv"
        rows = [f"{np.datetime_as_string(t, 's')},{','.join(f'{x:.10g}' for x in row)}"
                for t, row in zip(stamps, table, strict=True)]  # fmt: skip
        file.write_text("timestamp,open,high,low,close,volume\n" + "\n".join(rows) + "\n")
        ends = np.cumsum([WARMUP + TRAINED, GAP + VALIDATED, GAP])
        at = [str(np.datetime_as_string(stamps[row], "s")) for row in ends - 1]
        begun = str(np.datetime_as_string(stamps[ends[0] + GAP], "s"))
        env = EnvConfig(market=(str(file),), end=at[0])
        line = LineConfig(
            env=env,
            transitions=WALK_FORWARD.transitions,
            clone=WALK_FORWARD.clone,
            direct=WALK_FORWARD.direct,
            offline=WALK_FORWARD.offline,
            validation=ValidationConfig(start=begun, end=at[1]),
            seed=seed,
        )
        if all_on:
            line = from_dict(LineConfig, {**to_dict(line), **ALL_ON})
        collect(line.collecting(), root=Path(folder) / "datasets")
        run, root = Path(folder) / "run", Path(folder) / "datasets"
        pretrain(line.pretraining(), run, root=root)
        if all_on:
            parent, run = run, Path(folder) / "online"
            unchosen = replace(line.finetuning(), validation=ValidationConfig())
            finetune(unchosen, parent, run, root=root)
        facts = finished_run(run).facts
        policy = trained_policy(finished_run(run))
        span = EvaluationRange.from_env(replace(env, start=at[2], end=None, episode_bars=None))
        account = span.account(policy.act, env.simulator)
    collapse = collapse_of(account.backtests)
    found = bootstrap_interval(
        account.returns,
        periods_per_year=account.periods_per_year,
        rng=np.random.default_rng(0),
    )
    interval = None if found is None else found.ends
    return {
        "sharpe": account.sharpe,
        "interval": interval,
        "growth": float(np.log(account.equity[-1] / account.equity[0])),
        "trades_per_1000": collapse.trades_per_1000,
        "verdicts": list(collapse.verdicts),
        "history": [[row.stage, row.kept, row.validation_sharpe] for row in facts.history],
    }


def figures(found: dict[str, list[dict[str, Any]]]) -> Iterator[Figure]:
    """Rejections with their binomial limit, mean Sharpe ratio, verdicts."""
    from scipy.stats import binom

    for market, rows in found.items():
        above = sum(row["interval"] is not None and row["interval"][0] > 0 for row in rows)
        limit = int(binom.ppf(0.975, len(rows), LEVEL))
        yield Figure(
            f"{market}: seeds with a significant Sharpe ratio", above, "seeds",
            target=f"≤ {limit} of {len(rows)}", holds=above <= limit,
        )  # fmt: skip
        sharpes = np.array([row["sharpe"] or 0.0 for row in rows])
        mean, interval = float(sharpes.mean()), None
        if len(rows) > 1:
            half = float(1.96 * sharpes.std(ddof=1) / np.sqrt(len(rows)))
            interval = (mean - half, mean + half)
        yield Figure(f"{market}: mean Sharpe ratio", mean, "", interval)
        for verdict in ("COLLAPSED", "STATE-BLIND"):
            count = sum(verdict in row["verdicts"] for row in rows)
            yield Figure(f"{market}: seeds judged {verdict}", count, "seeds")
        trades = float(np.median([row["trades_per_1000"] for row in rows]))
        yield Figure(f"{market}: median trades", trades, "per 1,000 bars")


def main() -> None:
    """Train, judge, publish."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cache", type=Path, required=True, help="finished seeds, JSON lines")
    parser.add_argument("--seeds", type=int, nargs="+", default=list(range(20)))
    parser.add_argument("--all-on", action="store_true", help="with all that can be switched on")
    args = parser.parse_args()
    lines = args.cache.read_text(encoding="utf-8").splitlines() if args.cache.exists() else []
    done = {row["key"]: row for row in map(json.loads, lines)}
    found: dict[str, list[dict[str, Any]]] = {}
    for seed in args.seeds:
        for market in MARKETS:
            name = f"{market}, everything on" if args.all_on else market
            key = f"{name} {seed}"
            if key not in done:
                done[key] = {"key": key, **judged(market, seed, all_on=args.all_on)}
                with args.cache.open("a", encoding="utf-8") as file:
                    print(json.dumps(done[key]), file=file, flush=True)
            print(json.dumps(done[key]), file=sys.stderr)
            found.setdefault(name, []).append(done[key])
    facts = {"rows": found} | ({"settings": ALL_ON} if args.all_on else {})
    benchmark = "placebo_all_on" if args.all_on else "placebo"
    publish(benchmark, list(figures(found)), seeds=args.seeds, facts=facts)


if __name__ == "__main__":
    main()
