"""All methods of learning on the same markets, with the same steps of experience.

A method (``benchmarks.method_contestants``) learns from random weights, from 16,000 steps of a
market (``benchmarks.method_markets``) or a log of as many; its last policy is judged on what it has
not seen. On M1 and M3 a score of 100 is the best policy and 0 the empty portfolio; rewards are
realised ones. On the S&P 500 and on the placebo, where nothing can be earned, the score is a
Sharpe ratio on fresh years. Means over seeds with Student's 95 % interval, the worst seed, and the
processor's seconds of a training. *Significant* is a Sharpe ratio whose own 95 % interval lies
above zero: by chance one in forty.

The hybrid's turns were chosen with the scores of seed 50 in view, nothing else on these.

Finished trainings are kept in ``--cache``; ``--methods`` leaves the others out, ``--markets``
trains a part and publishes nothing, ``--finished`` trains nothing and publishes what has all seeds.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from functools import cache, partial
from pathlib import Path
from typing import Any

from benchmarks.finished import Finished
from benchmarks.method_contestants import LEARNER, METHODS, ONLINE
from benchmarks.method_markets import LANES, MARKETS, STEPS, Market
from benchmarks.record import Figure, publish, student_interval

LEVEL = 0.025
PICTURE = Path(__file__).resolve().parent.parent / "docs" / "images" / "methods.svg"
Found = dict[tuple[str, str], list[dict[str, Any]]]


def train(method: str, make: Callable[[], Market], seed: int) -> dict[str, Any]:
    """Score, processor seconds and simulated steps of one training."""
    market, chosen = make(), METHODS[method]
    begun = time.process_time()
    trained = chosen.train(market, seed, chosen.settings)
    seconds = time.process_time() - begun
    return {**market.judge(trained.policy), "seconds": seconds, "simulated": trained.simulated}


def named(method: str, market: str, seed: int) -> list[object]:
    """A training's name among the finished ones: all that it depends on."""
    return [method, METHODS[method].settings, market, seed, STEPS, LANES, LEARNER, ONLINE]


def measure(kept: Finished, methods: list[str], markets: list[str], seeds: list[int]) -> Found:
    """What every method found on every market that it takes part in."""
    found: Found = {}
    for name in markets:
        for seed in seeds:
            make = cache(partial(MARKETS[name].make, seed))  # once, if something is left to do
            for method in methods:
                if name in METHODS[method].skips:
                    continue
                row = kept.get(named(method, name, seed), partial(train, method, make, seed))
                print(f"{method} on {name}, seed {seed}: {row}", file=sys.stderr, flush=True)
                found.setdefault((method, name), []).append(row)
    return found


def finished(kept: Finished, methods: list[str], seeds: list[int]) -> Found:
    """What was found by methods that have all seeds on a market."""
    return {
        (method, name): [kept.get(named(method, name, seed), dict) for seed in seeds]
        for name in MARKETS
        for method in methods
        if all(kept.has(named(method, name, seed)) for seed in seeds)
    }


def figures(found: Found) -> Iterator[Figure]:
    """Score, worst seed and seconds of every method on every market; false discoveries."""
    for (method, market), rows in found.items():
        scores = [row["score"] for row in rows]
        unit, name = MARKETS[market].unit, f"{method} on {market}"
        yield Figure(name, statistics.mean(scores), unit, student_interval(scores))
        yield Figure(f"{name}: worst seed", min(scores), unit)
        yield Figure(f"{name}: seconds", statistics.median(row["seconds"] for row in rows), "s")
        if rows[0].get("cells") is not None:
            cells = statistics.mean(row["cells"] for row in rows)
            yield Figure(f"{name}: cells of the portfolio's state", cells, "cells")
    for market in MARKETS:
        if ("evolution", market) in found and MARKETS[market].unit == "score":
            ours, others = (
                statistics.mean(row["score"] for row in found[method, market])
                for method in ("evolution", "SAC")
            )
            if others > 0:  # the empty portfolio, which holds, has a score of 0
                share = ours / others
                yield Figure(
                    f"evolution on {market}: share of SAC's", share, "",
                    target="≥ 0.8", holds=share >= 0.8,
                )  # fmt: skip
    yield from _discoveries(found)


def _discoveries(found: Found) -> Iterator[Figure]:
    from scipy.stats import binom

    for method in dict.fromkeys(method for method, _ in found):
        rows = found.get((method, "placebo"), [])
        above = sum(row["interval"] is not None and row["interval"][0] > 0 for row in rows)
        limit = int(binom.ppf(0.975, len(rows), LEVEL))
        if rows:
            yield Figure(
                f"{method} on placebo: significant", above, "seeds",
                target=f"≤ {limit} of {len(rows)}", holds=above <= limit,
            )  # fmt: skip


def draw(found: Found, path: Path) -> None:
    """A panel a market: every method's mean with its interval, and its seeds."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    pyplot.rcParams["svg.hashsalt"] = "methods"
    methods = list(dict.fromkeys(method for method, _ in found))
    size = (11.0, 0.64 * len(methods) + 1.8)
    canvas, axes = pyplot.subplots(2, 3, figsize=size, sharey=True, layout="constrained")
    for axis, market in zip(axes.flat, MARKETS, strict=True):
        score = MARKETS[market].unit == "score"
        axis.set_title(f"{market}, {'% of the optimum' if score else 'Sharpe ratio'}", fontsize=9)
        for place, method in enumerate(methods):
            if (method, market) not in found:
                continue
            scores = [row["score"] for row in found[method, market]]
            axis.plot(student_interval(scores), [place] * 2, color="#94a3b8", lw=3, clip_on=True)
            axis.plot(scores, [place] * len(scores), ".", color="#475569", ms=5)
            axis.plot(statistics.mean(scores), place, "D", color="#2563eb", ms=5)
        axis.set_yticks(range(len(methods)), methods, fontsize=8)
        axis.tick_params(axis="x", labelsize=8)
        axis.axvline(100.0 if score else 0.0, color="#cbd5e1", lw=1, zorder=0)
        if score:
            axis.set_xlim(-20.0, 105.0)
    axes[0, 0].invert_yaxis()
    canvas.savefig(path, metadata={"Date": None})
    pyplot.close(canvas)


def main() -> None:
    """Measure and publish."""
    import torch

    torch.set_num_threads(1)
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cache", type=Path, required=True, help="finished trainings, JSON lines")
    parser.add_argument("--methods", nargs="+", choices=METHODS, help="these alone")
    parser.add_argument("--markets", nargs="+", choices=MARKETS, help="a part, not published")
    parser.add_argument("--finished", action="store_true", help="train nothing, publish")
    parser.add_argument("--seeds", type=int, nargs="+", default=[50, 51, 52])
    args = parser.parse_args()
    methods, markets = args.methods or list(METHODS), args.markets or list(MARKETS)
    kept = Finished(args.cache)
    if args.finished:
        found = finished(kept, methods, args.seeds)
    else:
        found = measure(kept, methods, markets, args.seeds)
    if args.markets:
        return
    facts = {
        "settings": {name: METHODS[name].settings for name, _ in found},
        "learner": LEARNER,
        "online": ONLINE,
        "steps": STEPS,
        "lanes": LANES,
        "runs": {" on ".join(key): rows for key, rows in found.items()},
    }
    publish("methods", list(figures(found)), seeds=args.seeds, facts=facts)
    draw(found, PICTURE)


if __name__ == "__main__":
    main()
