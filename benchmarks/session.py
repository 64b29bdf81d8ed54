"""What a bar costs in production: features, account, the model and the order, in one process.

Every bar of S&P 500 after the warm-up goes through a session of a model with two layers of 64
units, as ``offline-trader export`` writes it. Beside it, in the same alternating rounds: the
features alone, the model alone, and a plain loop of about the session's length. What a bar takes
beside the machine's own noise is its least time of all rounds: other bars than a few would show
there if the session itself were slow at them.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from benchmarks.latency import Actor
from benchmarks.record import Figure, publish
from offline_trader.config import to_dict
from offline_trader.export import OnnxPolicy, export_onnx
from offline_trader.features import FeatureScaler, StreamingFeatures, compute_features
from offline_trader.markets import Bar, Bars, load_market
from offline_trader.serving import Session
from offline_trader.simulator import SimulatorConfig
from offline_trader.types import ObservationLayout

LIMIT_US = 100.0
UNITS = 64
HISTORY = 1_000
"""Bars of the warm-up."""
LOOP = 2_000


def model_file(
    folder: Path, layout: ObservationLayout, rules: SimulatorConfig, bars: Bars, seed: int = 0
) -> Path:
    """A policy of the usual shape that trades by ``rules``."""
    torch.manual_seed(seed)
    values = compute_features(bars).values[252:]
    scaler = FeatureScaler.fit(values, layout)
    path = folder / "policy.onnx"
    facts = {"simulator": to_dict(rules)}
    export_onnx(Actor(layout.size, UNITS), scaler, layout, path, facts)
    return path


def timed(step: Callable[[Bar], object], bars: list[Bar]) -> list[float]:
    """µs of each bar."""
    found = []
    for bar in bars:
        begun = time.perf_counter_ns()
        step(bar)
        found.append((time.perf_counter_ns() - begun) / 1e3)
    return found


def rounds(bars: Bars, model: Path, repeats: int) -> dict[str, list[float]]:
    """µs a bar of the session, the features and the model, in alternating rounds."""
    policy = OnnxPolicy(model)
    history, rest = bars.slice(0, HISTORY), list(bars.slice(HISTORY, len(bars)))
    times: dict[str, list[float]] = {"session": [], "features": [], "model": [], "loop": []}
    for _ in range(repeats):
        session, stream = Session(policy).warm_up(history), StreamingFeatures.after(history)
        seen = np.zeros((1, policy.layout.size), dtype=np.float32)
        times["session"] += timed(session.on_bar, rest)
        times["features"] += timed(stream.update, rest)
        times["model"] += timed(lambda bar, seen=seen: policy(seen), rest)
        times["loop"] += timed(_loop, rest)
    return times


def _loop(bar: Bar) -> float:
    """Nothing but arithmetic on one float."""
    total = bar.close
    for k in range(LOOP):
        total += k
    return total


def main() -> None:
    """Measure and publish."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    repeats = parser.parse_args().repeats
    torch.set_num_threads(1)
    bars = load_market("sp500")
    layout = compute_features(bars).schema.layout
    modes = {
        "orders": SimulatorConfig(),
        "target weights, smoothed": SimulatorConfig(
            action_mode="target_long_short", smoothing_alpha=0.5
        ),
    }
    figures: list[Figure] = []
    for name, rules in modes.items():
        with tempfile.TemporaryDirectory() as folder:
            times = rounds(bars, model_file(Path(folder), layout, rules, bars), repeats)
        p50, p99 = (float(np.percentile(times["session"], q)) for q in (50, 99))
        figures += [
            Figure(f"{name}: p50", p50, "µs"),
            Figure(
                f"{name}: p99",
                p99,
                "µs",
                target=f"≤ {LIMIT_US:.0f}",
                holds=p99 <= LIMIT_US,
            ),
        ]
        figures += [
            Figure(f"{name}: {part}, p50", float(np.percentile(times[part], 50)), "µs")
            for part in ("features", "model")
        ]
        least = np.min(np.reshape(times["session"], (repeats, -1)), axis=0)
        own = float(np.percentile(least, 99))
        figures.append(Figure(f"{name}: p99 of each bar's least of {repeats} rounds", own, "µs"))
        shares = {
            part: float(np.percentile(times[part], 99) / np.percentile(times[part], 50))
            for part in ("session", "loop")
        }
        figures += [
            Figure(f"{name}: {part}, p99 ÷ p50", share, "") for part, share in shares.items()
        ]
    facts = {"repeats": repeats, "bars": len(bars) - HISTORY, "units": UNITS}
    publish("session", figures, seeds=[0], facts=facts)


if __name__ == "__main__":
    main()
