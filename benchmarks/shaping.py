"""Potential-based shaping on M3 as bars: what it brings where rewards come at every bar.

SAC from scratch (two hidden layers of 32, 12,000 steps of 8 lanes) on 50,000 bars of
``synthetic:ou`` whose seed is always 0; scores are those of M3-bars on 24,000 other bars, 100 is
the optimal band. ``support_resistance`` knows that prices revert, ``trend_alignment`` believes the
opposite. Differences are paired by seed, their intervals Student's.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import stdtrit

from benchmarks.record import Figure, publish
from offline_trader.types import FloatArray

STEPS = 12_000
VARIANTS: dict[str, dict[str, Any]] = {
    "no shaping": {},
    "support and resistance, 0.3": {"potentials": ("support_resistance",), "weight": 0.3},
    "support and resistance, 1": {"potentials": ("support_resistance",), "weight": 1.0},
    "trend alignment, 0.3": {"potentials": ("trend_alignment",), "weight": 0.3},
}


@dataclass(frozen=True)
class Scales:
    """Of the features; the portfolio's numbers are as they are."""

    mean: FloatArray
    scale: FloatArray


def scales_of(market: Any) -> Scales:
    """Those of the market's features."""
    features = market.features.astype(np.float64)
    own = market.layout.size - features.shape[1]
    return Scales(
        np.concatenate([features.mean(axis=0), np.zeros(own)]),
        np.concatenate([np.maximum(features.std(axis=0), 1e-6), np.ones(own)]),
    )


def train(variant: str, seed: int) -> float:
    """Score of one training."""
    from offline_trader.evaluation.known_optimum.ou_bars import OU_RULES, ou_tensor, score_on_bars
    from offline_trader.learning.agents import make_learner
    from offline_trader.learning.settings import LearnerConfig, OnlineConfig, ShapingConfig
    from offline_trader.learning.stages import finetune
    from offline_trader.markets.synthetic import OuMarket
    from offline_trader.simulator import Simulator

    market = ou_tensor(OuMarket(seed=0))
    learner = make_learner(
        LearnerConfig(algorithm="sac", hidden=(32, 32), gamma=0.97, batch_size=128),
        market.layout.size,
        scales_of(market),
        seed=seed,
    )
    lanes = Simulator(market, OU_RULES, 8, episode_bars=200, random_start=True, seed=seed)
    config = OnlineConfig(
        steps=STEPS,
        critic_updates=200,
        evaluate_interval=0,
        shaping=ShapingConfig(**VARIANTS[variant]),
    )
    finetune(learner, lanes, None, config, seed=seed)
    law = OuMarket(bars=24_000, seed=1_000_003 + 1_000 * seed)
    return float(score_on_bars(learner.act, law, n_paths=6).value)


def scores(seeds: list[int], cache: Path) -> dict[str, list[float]]:
    """Scores by variant; finished trainings are kept in ``cache``."""
    lines = cache.read_text(encoding="utf-8").splitlines() if cache.exists() else []
    done = {row["key"]: row["score"] for row in map(json.loads, lines)}
    found: dict[str, list[float]] = {name: [] for name in VARIANTS}
    for seed in seeds:
        for name in VARIANTS:
            key = f"{name} {seed}"
            if key not in done:
                done[key] = train(name, seed)
                with cache.open("a", encoding="utf-8") as file:
                    print(json.dumps({"key": key, "score": done[key]}), file=file)
            found[name].append(done[key])
    return found


def figures(found: dict[str, list[float]]) -> Iterator[Figure]:
    """Mean scores, and differences to no shaping."""
    plain = np.array(found["no shaping"])
    for name, values in found.items():
        yield Figure(name, float(np.mean(values)), "score")
        if name == "no shaping":
            continue
        apart = np.array(values) - plain
        n = len(apart)
        half = float(stdtrit(n - 1, 0.975) * apart.std(ddof=1) / np.sqrt(n))
        mean = float(apart.mean())
        yield Figure(f"{name}: difference", mean, "score", (mean - half, mean + half))


def main() -> None:
    """Train, score, publish."""
    import torch

    torch.set_num_threads(1)
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cache", type=Path, required=True, help="finished trainings, JSON lines")
    parser.add_argument("--seeds", type=int, nargs="+", default=[20, 21, 22, 23, 24])
    args = parser.parse_args()
    found = scores(args.seeds, args.cache)
    publish("shaping", list(figures(found)), seeds=args.seeds, facts={"scores": found})


if __name__ == "__main__":
    main()
