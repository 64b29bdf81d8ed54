"""What one decision of an exported policy costs: a single observation, a single thread.

Ours is :class:`~offline_trader.export.OnnxPolicy` with all its checks. Beside it, in the same
alternating rounds: the bare ``session.run``, a run with bound inputs, and the actor in torch. The
parity over 100,000 observations and the time of an export are measured too.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from torch import nn

from benchmarks.record import Figure, publish
from offline_trader.export import OnnxPolicy, export_onnx, parity
from offline_trader.export.onnx_model import torch_policy
from offline_trader.features import FeatureScaler, observation_layout

LIMIT_US = 100.0
PARITY = 1e-5


class Actor(nn.Module):
    """An actor of the usual shape: two hidden layers, tanh."""

    def __init__(self, width: int, units: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(width, units),
            nn.ReLU(),
            nn.Linear(units, units),
            nn.ReLU(),
            nn.Linear(units, 1),
            nn.Tanh(),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Actions [B, 1]."""
        action: torch.Tensor = self.layers(x)
        return action


def percentiles(calls: dict[str, Callable[[], object]], repeats: int) -> dict[str, list[float]]:
    """p50 and p99 in µs of each call, measured in alternating blocks of 500."""
    times: dict[str, list[int]] = {name: [] for name in calls}
    for _ in range(max(1, repeats // 500)):
        for name, call in calls.items():
            for _ in range(50):
                call()
            for _ in range(500):
                start = time.perf_counter_ns()
                call()
                times[name].append(time.perf_counter_ns() - start)
    return {name: [float(np.percentile(t, q)) / 1e3 for q in (50, 99)] for name, t in times.items()}


def bound_call(path: Path, observation: np.ndarray) -> Callable[[], object]:
    """A run of the same file with inputs and outputs bound once."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        path.read_bytes(), sess_options=options, providers=["CPUExecutionProvider"]
    )
    binding = session.io_binding()
    x = onnxruntime.OrtValue.ortvalue_from_numpy(observation)
    y = onnxruntime.OrtValue.ortvalue_from_numpy(np.zeros((1, 1), dtype=np.float32))
    binding.bind_ortvalue_input("observation", x)
    binding.bind_ortvalue_output("action", y)

    def call() -> object:
        x.update_inplace(observation)
        session.run_with_iobinding(binding)
        return y.numpy()

    return call


def measure(units: int, repeats: int, folder: Path) -> list[Figure]:
    """Figures of one width."""
    layout = observation_layout()
    torch.manual_seed(0)
    actor = Actor(layout.size, units)
    rng = np.random.default_rng(0)
    scaler = FeatureScaler(rng.normal(size=layout.size), rng.uniform(0.01, 2.0, layout.size))
    path = folder / f"policy{units}.onnx"
    export_onnx(actor, scaler, layout, path)  # the first export loads the exporter
    start = time.perf_counter()
    export_onnx(actor, scaler, layout, path)
    export_s = time.perf_counter() - start
    policy, reference = OnnxPolicy(path), torch_policy(actor, scaler, layout)
    observation = rng.normal(size=(1, layout.size)).astype(np.float32)
    found = percentiles(
        {
            "ours": lambda: policy(observation),
            "bare session.run": lambda: policy._run(["action"], {"observation": observation}),
            "bound inputs": bound_call(path, observation),
            "torch": lambda: reference(observation),
        },
        repeats,
    )
    report = parity(policy, reference)
    p50, p99 = found["ours"]
    name = f"{units} units"
    figures = [
        Figure(f"{name}: p50", p50, "µs", peer="torch", ratio=found["torch"][0] / p50),
        Figure(
            f"{name}: p99",
            p99,
            "µs",
            target=f"≤ {LIMIT_US:.0f}",
            holds=p99 <= LIMIT_US,
        ),
    ]
    figures += [
        Figure(f"{name}: {other} p50", found[other][0], "µs")
        for other in ("bare session.run", "bound inputs", "torch")
    ]
    figures += [
        Figure(
            f"{name}: parity over {report.n:,}",
            report.max_abs_difference,
            "",
            target="≤ 1e-5",
            holds=report.max_abs_difference <= PARITY,
        ),
        Figure(f"{name}: export", export_s, "s"),
        Figure(f"{name}: file", path.stat().st_size / 1e3, "kB"),
    ]
    return figures


def main() -> None:
    """Measure and publish."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=20_000)
    repeats = parser.parse_args().repeats
    torch.set_num_threads(1)
    figures: list[Figure] = []
    with tempfile.TemporaryDirectory() as folder:
        for units in (64, 256):
            figures += measure(units, repeats, Path(folder))
    publish("latency", figures, seeds=[0], facts={"repeats": repeats, "batch": 1})


if __name__ == "__main__":
    main()
