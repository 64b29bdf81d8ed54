"""How a contestant takes its turn: standard library only, so that it runs in any environment.

A contestant prepares itself, prints ``ready``, and for every line with a number of seconds works
for that long in blocks of a few milliseconds and answers with one line of JSON: the rates of its
best block by the clock and by processor time, and the mean rates by either, in units of work a
second. On a shared machine the best short block is the one that nobody interrupted.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable

BLOCK_S = 0.003


def serve(work: Callable[[int], None], units: int) -> None:
    """Answer turns until the input ends.

    Args:
        work: does so many calls.
        units: of work that one call is worth.
    """
    calls = _calibrated(work)
    print("ready", flush=True)
    for line in sys.stdin:
        answer = _turn(work, calls, float(line))
        print(json.dumps({name: rate * units for name, rate in answer.items()}), flush=True)


def _calibrated(work: Callable[[int], None]) -> int:
    """Calls that fill a block, found after a warm-up."""
    work(1)
    calls = 1
    while True:
        start = time.perf_counter()
        work(calls)
        took = time.perf_counter() - start
        if took >= BLOCK_S / 2:
            return max(1, round(calls * BLOCK_S / took))
        calls *= 2


def _turn(work: Callable[[int], None], calls: int, seconds: float) -> dict[str, float]:
    best = best_processor = wall = processor = 0.0
    done = 0
    while wall < seconds:
        start, start_processor = time.perf_counter(), time.process_time()
        work(calls)
        took_processor = time.process_time() - start_processor
        took = time.perf_counter() - start
        processor += took_processor
        wall += took
        done += calls
        best = max(best, calls / took)
        best_processor = max(best_processor, calls / took_processor)
    return {
        "best": best,
        "best_by_processor": best_processor,
        "mean": done / wall,
        "mean_by_processor": done / processor,
    }
