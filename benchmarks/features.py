"""How long features take: bar by bar, beside recomputing them over a buffer, and in batch.

Bar by bar and recomputing alternate in blocks on the same bars; the interval is that of the block
medians.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np

from benchmarks.record import Figure, publish
from offline_trader.features import StreamingFeatures, compute_features
from offline_trader.markets import load_market

LIMIT_US = 200.0
BUFFER = 1_000
BLOCK = 100


def block_median_us(steps: list[Callable[[], object]]) -> float:
    """Median time of one of ``steps``, each run once, in order."""
    times = []
    for step in steps:
        start = time.perf_counter()
        step()
        times.append(time.perf_counter() - start)
    return 1e6 * statistics.median(times)


def main() -> None:
    """Measure and publish."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--blocks", type=int, default=20)
    parser.add_argument("--long", type=int, default=1_000_000, help="bars of the long batch")
    options = parser.parse_args()
    bars = load_market("sp500")
    stream = StreamingFeatures.after(bars.slice(0, BUFFER))
    live, again = [], []
    for block in range(options.blocks):
        rows = range(BUFFER + block * BLOCK, BUFFER + (block + 1) * BLOCK)
        live.append(block_median_us([lambda t=t: stream.update(bars[t]) for t in rows]))  # type: ignore[misc]
        buffers = [bars.slice(t + 1 - BUFFER, t + 1) for t in rows[::10]]
        again.append(block_median_us([lambda b=b: compute_features(b) for b in buffers]))  # type: ignore[misc]
    batch = compute_features(bars).values
    fresh = StreamingFeatures()
    rows_live = np.array([fresh.update(bar) for bar in bars])
    difference = float(np.abs(rows_live[252:] - batch[252:]).max())
    long = load_market(f"synthetic:ou?bars={options.long}&seed=1")
    start = time.perf_counter()
    compute_features(long)
    seconds = time.perf_counter() - start
    median = statistics.median(live)
    recomputed = statistics.median(again)
    publish(
        "features",
        [
            Figure(
                "one bar, streaming",
                median,
                "us",
                interval=(min(live), max(live)),
                peer=f"recomputing over {BUFFER:,} bars",
                ratio=recomputed / median,
                target=f"≤ {LIMIT_US:g}",
                holds=median <= LIMIT_US,
            ),
            Figure(
                "streaming − batch, largest difference",
                difference,
                "",
                target="≤ 1e-9",
                holds=difference <= 1e-9,
            ),
            Figure("batch", options.long / seconds, "bars/s"),
        ],
        seeds=[1],
        facts={"market": "sp500", "bars_compared": len(bars) - 252, "long_bars": options.long},
    )


if __name__ == "__main__":
    main()
