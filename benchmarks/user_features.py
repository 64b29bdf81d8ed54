"""Features of users' own: are leaks found before they are used, and what do such features cost?

1. Every planted leak of ``planted_features.py`` has to be refused, every causal feature admitted,
   on 5,000 bars (daily ones of the S&P 500 with a signal that has gaps; hourly ones where a day has
   to have several). Times are of the processor, each looked at alone.
2. A feature function's own time beside the time to compute its features through the toolkit,
   alternating.
3. Steps a second of the simulator with observations of 37 and of 200 columns, beside the bare
   kernel of that width, alternating on one pinned core, as in ``benchmarks.simulator``.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks import planted_features
from benchmarks.record import Figure, publish
from benchmarks.simulator import LANES, Contestant, write_market
from offline_trader.errors import ConfigError
from offline_trader.features import compute_features, feature_set, name_features
from offline_trader.features.admission import admit
from offline_trader.features.leaks import bars_frame
from offline_trader.features.own import OwnFeatures, own_features
from offline_trader.markets import Bars, load_market

FILE = Path(__file__).with_name("planted_features.py")
BARS, SECONDS, PORTFOLIO = 5_000, 5.0, 5
WIDTHS = (37, 200)
TYPICAL = "causal_ten"


def markets() -> dict[str, Bars]:
    """Daily bars with a signal, and hourly ones."""
    rng = np.random.default_rng(0)
    daily = load_market("sp500").slice(0, BARS)
    sentiment = np.where(rng.random(BARS) < 0.3, np.nan, rng.normal(size=BARS))
    hourly = load_market(f"synthetic:walk?bars={BARS}&seed=1")
    return {
        "daily": replace(daily, signals={"sentiment": sentiment}),
        "hourly": replace(hourly, signals={"sentiment": sentiment}),
    }


def looked_at(name: str, bars: Bars) -> tuple[str, float]:
    """What the admission says (empty: admitted), and the processor time it took in seconds."""
    features = named(name)
    begun = time.process_time()
    try:
        admit(features, bars)
    except ConfigError as error:
        said = error.found if "reads the future" in error.found else f"FAILED: {error.found}"
        return said, time.process_time() - begun
    return "", time.process_time() - begun


def named(name: str) -> OwnFeatures:
    """One of the planted features."""
    return own_features(name_features(f"{FILE}:{name}"), ("sentiment",))


def overhead(name: str, bars: Bars, rounds: int) -> tuple[float, list[float]]:
    """Time through the toolkit ÷ the function's own: median of the rounds' medians of pairs."""
    own = (f"{FILE.name}:{name}",)
    function = getattr(planted_features, name)
    frame = bars_frame(bars)
    compute_features(bars, own)  # looked at before
    ratios = []
    for _ in range(rounds):
        pairs = []
        for _ in range(20):
            # a new one: what pandas keeps of a column after its first use is not told
            own_frame = frame.copy()
            times = []
            for call in (partial(function, own_frame), partial(compute_features, bars, own)):
                begun = time.perf_counter()
                call()
                times.append(time.perf_counter() - begun)
            pairs.append(times[1] / times[0])
        ratios.append(statistics.median(pairs))
    return statistics.median(ratios), ratios


def shares(rounds: int, seconds: float, core: int) -> dict[int, tuple[float, float, float]]:
    """By width of the observation: the simulator's share of the bare kernel, and both rates."""
    ours = [sys.executable, "-m", "benchmarks.simulator_contestants"]
    found: dict[int, tuple[Contestant, Contestant]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for width in WIDTHS:
            market = Path(folder) / f"market-{width}.npz"
            write_market(market, width - PORTFOLIO)
            found[width] = (
                Contestant("simulator", [*ours, "simulator", str(market), "orders", str(LANES)]),
                Contestant("bare", [*ours, "bare", str(market), str(LANES)]),
            )
        everybody = [one for pair in found.values() for one in pair]
        for one in everybody:
            one.start(core)
        for _ in range(rounds):
            for one in everybody:
                one.turn(seconds)
        for one in everybody:
            one.stop()
    return {w: (a.best / b.best, a.best, b.best) for w, (a, b) in found.items()}


def main() -> None:
    """Measure and publish."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.5, help="length of a turn")
    parser.add_argument("--core", type=int, default=max(os.sched_getaffinity(0)))
    parser.add_argument("--only", nargs="*", help="these planted ones; nothing is written")
    options = parser.parse_args()
    bars = markets()
    said: dict[str, str] = {}
    seconds: dict[str, float] = {}
    for name in options.only or (*planted_features.LEAKS, *planted_features.CAUSAL):
        market = bars["hourly" if name.endswith("_by_day") else "daily"]
        said[name], seconds[name] = looked_at(name, market)
        print(f"{name:32} {seconds[name]:5.2f} s  {said[name] or 'admitted'}", flush=True)
    if options.only:
        return
    leaks = {name: said[name] for name in planted_features.LEAKS}
    causal = {name: said[name] for name in planted_features.CAUSAL}
    refused = sum("reads the future" in text for text in leaks.values())
    admitted = sum(not text for text in causal.values())
    ratio, ratios = overhead(TYPICAL, bars["daily"], options.rounds)
    slowest = max(seconds.values())
    rates = shares(options.rounds, options.seconds, options.core)
    publish(
        "user_features",
        [
            Figure("planted leaks refused", refused, f"of {len(leaks)}",
                   target=f"{len(leaks)}", holds=refused == len(leaks)),
            Figure("causal features admitted", admitted, f"of {len(causal)}",
                   target=f"{len(causal)}", holds=admitted == len(causal)),
            Figure(f"longest look, {BARS:,} bars", slowest, "s",
                   target=f"≤ {SECONDS:g}", holds=slowest <= SECONDS),
            Figure("mean look", statistics.mean(seconds.values()), "s"),
            Figure(f"computing {TYPICAL} ÷ its own time", ratio, "×", (min(ratios), max(ratios)),
                   target="≤ 1.1", holds=ratio <= 1.1),
            *(
                Figure(f"share of the bare kernel, {width} columns", share, "",
                       target="≥ 0.8", holds=share >= 0.8)
                for width, (share, _, _) in rates.items()
            ),
            *(
                Figure(f"Simulator.step, {width} columns", rate, "1/s")
                for width, (_, rate, _) in rates.items()
            ),
        ],
        seeds=[0],
        facts={
            "bars": BARS,
            "features_of_builtin": len(feature_set("builtin").schema.names),
            "refused_because": leaks,
            "seconds": seconds,
            "lanes": LANES,
            "rounds": options.rounds,
        },
    )  # fmt: skip


if __name__ == "__main__":
    main()
