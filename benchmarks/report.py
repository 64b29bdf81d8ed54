"""How long a report of 5,000 bars takes and how large it is: page and PNG files.

The market is made (a seeded random walk), the policy an exported network with random weights: what
is measured is the work, not the result. The evaluation itself, with its cost sweep, delay, noise,
bootstrap and oracle, is timed apart from drawing.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from benchmarks.latency import Actor
from benchmarks.record import Figure, publish
from offline_trader.envs import EnvConfig
from offline_trader.evaluation.judging import EvaluateOptions, evaluate
from offline_trader.evaluation.report import write_report
from offline_trader.export import OnnxPolicy, export_onnx
from offline_trader.features import WARMUP_BARS, FeatureScaler, compute_features, observation_layout
from offline_trader.markets import load_market

BARS = 5_000
LIMIT_S = 20.0
LIMIT_MB = 6.0


def write_bars(path: Path, rng: np.random.Generator) -> None:
    """A CSV of daily bars: the features' warm-up, then the bars that are evaluated."""
    n = BARS + 1 + WARMUP_BARS
    close = 100.0 * np.exp(np.cumsum(rng.normal(2e-4, 0.011, n)))
    opened = close * np.exp(rng.normal(0.0, 0.003, n))
    high = np.maximum(opened, close) * 1.003
    low = np.minimum(opened, close) * 0.997
    days = np.busday_offset(np.datetime64("1998-01-02"), np.arange(n))
    rows = zip(days, opened, high, low, close, strict=True)
    lines = [f"{day},{o:.6f},{h:.6f},{lo:.6f},{c:.6f},1000" for day, o, h, lo, c in rows]
    path.write_text("\n".join(["date,open,high,low,close,volume", *lines]) + "\n")


def main() -> None:
    """Measure and publish."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    layout = observation_layout()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_bars(folder / "made.csv", np.random.default_rng(0))
        values = compute_features(load_market(folder / "made.csv")).values[WARMUP_BARS:]
        model = folder / "policy.onnx"
        export_onnx(Actor(layout.size, 64), FeatureScaler.fit(values, layout), layout, model)
        env = EnvConfig(market=(str(folder / "made.csv"),))
        options = EvaluateOptions(experts=("technical", "momentum"))
        start, cpu = time.perf_counter(), time.process_time()
        found = evaluate(OnnxPolicy(model), env, options)
        evaluated = time.perf_counter()
        write_report(found, folder / "report.html", png_directory=folder / "png")
        drawn, cpu_s = time.perf_counter(), time.process_time() - cpu
        size = (folder / "report.html").stat().st_size / 1e6
        pngs = sum(path.stat().st_size for path in (folder / "png").iterdir()) / 1e6
    assert found.n_bars == BARS
    publish(
        "report",
        [
            Figure("evaluation", evaluated - start, "s"),
            Figure("page and PNG files", drawn - evaluated, "s"),
            Figure(
                "all of it",
                drawn - start,
                "s",
                target=f"≤ {LIMIT_S:.0f}",
                holds=drawn - start <= LIMIT_S,
            ),
            Figure("processor time of all of it", cpu_s, "s"),
            Figure(
                "page",
                size,
                "MB",
                target=f"< {LIMIT_MB:.0f}",
                holds=size < LIMIT_MB,
            ),
            Figure("PNG files", pngs, "MB"),
        ],
        seeds=[0],
        facts={"bars": BARS, "experts": list(options.experts)},
    )


if __name__ == "__main__":
    main()
