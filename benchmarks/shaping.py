"""Potential-based shaping: where rewards come at every bar, and where they are rare.

**M3 as bars.** SAC from scratch (two hidden layers of 32, 12,000 steps of 8 lanes) on 50,000 bars
of ``synthetic:ou`` whose seed is always 0; scores are those of M3-bars on 24,000 other bars, 100 is
the optimal band. ``support_resistance`` knows that prices revert, ``trend_alignment`` believes the
opposite. Differences are paired by seed, their intervals Student's.

**Sparse market**, that of ``benchmarks.icm``: S&P 500 bars whose gains come at an episode's end
alone, and a policy that holds to begin with. What counts is how many cells of the portfolio's state
the first 6,000 steps have seen, with shaping beside without; ratios are paired by seed. ``novelty``
and its weights were tried on seeds 50 to 56. **Steady**: where a weight that adapts goes there
after 5,000 of 12,000 steps.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.finished import Finished
from benchmarks.method_markets import scales_of
from benchmarks.record import Figure, publish, student_interval

STEPS = 12_000
VARIANTS: dict[str, dict[str, Any]] = {
    "no shaping": {},
    "support and resistance, 0.3": {"potentials": ("support_resistance",), "weight": 0.3},
    "support and resistance, 1": {"potentials": ("support_resistance",), "weight": 1.0},
    "trend alignment, 0.3": {"potentials": ("trend_alignment",), "weight": 0.3},
}
SPARSE: dict[str, dict[str, Any]] = {
    "no shaping": {},
    "support and resistance, 1": {"potentials": ("support_resistance",), "weight": 1.0},
    "trend alignment, adaptive": {
        "potentials": ("trend_alignment",), "weight": 0.1, "adaptive": True,
    },
    "novelty, 1": {"potentials": ("novelty",), "weight": 1.0},
    "novelty, 10": {"potentials": ("novelty",), "weight": 10.0, "largest_weight": 10.0},
}  # fmt: skip
STEADY: dict[str, dict[str, Any]] = {
    "trend alignment from 0.1": {
        "potentials": ("trend_alignment",), "weight": 0.1, "adaptive": True,
    },
    "novelty from 1": {
        "potentials": ("novelty",), "weight": 1.0, "largest_weight": 10.0, "adaptive": True,
    },
    "novelty from 10": {
        "potentials": ("novelty",), "weight": 10.0, "largest_weight": 20.0, "adaptive": True,
    },
}  # fmt: skip
STABLE_AFTER, LONG, LOGGED = 5_000, 12_000, 500


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


def explore(variant: str, seed: int) -> dict[str, Any]:
    """Cells that a training has seen in the sparse market, and its weight at every 500 steps."""
    return _in_sparse_market(SPARSE[variant], seed)


def steady(variant: str, seed: int) -> dict[str, Any]:
    """The same of a longer training with a weight that adapts."""
    return _in_sparse_market(STEADY[variant], seed, steps=LONG)


def _in_sparse_market(settings: Mapping[str, Any], seed: int, **longer: int) -> dict[str, Any]:
    from benchmarks.icm import COMMON, LANES, MARKET, holding, sparse_market
    from offline_trader.learning.settings import OnlineConfig, ShapingConfig
    from offline_trader.learning.stages import finetune

    learner = holding(sparse_market(LANES, seed + 1_000), seed)
    lanes, weights = sparse_market(LANES, seed), list[float]()
    online = {**COMMON, **MARKET, "log_interval": LOGGED, **longer}
    config = OnlineConfig(**online, shaping=ShapingConfig(**settings))

    def log(step: int, row: Mapping[str, Any]) -> None:
        if "online/shaping_weight" in row:
            weights.append(row["online/shaping_weight"])

    finetune(learner, lanes, None, config, log, seed=seed)
    return {"cells": len(lanes.cells), "weights": weights}


def figures(found: dict[str, list[float]]) -> Iterator[Figure]:
    """Mean scores, and differences to no shaping."""
    plain = np.array(found["no shaping"])
    for name, values in found.items():
        yield Figure(name, float(np.mean(values)), "score")
        if name == "no shaping":
            continue
        apart = np.array(values) - plain
        yield Figure(f"{name}: difference", float(apart.mean()), "score", student_interval(apart))


def sparse_figures(found: dict[str, list[dict[str, Any]]]) -> Iterator[Figure]:
    """How many more cells were seen, paired by seed."""
    plain = np.array([row["cells"] for row in found["no shaping"]], float)
    for name, rows in found.items():
        cells = np.array([row["cells"] for row in rows], float)
        yield Figure(f"sparse, {name}: cells seen", float(cells.mean()), "cells")
        if name == "no shaping":
            continue
        more = cells / plain - 1.0
        mean = float(more.mean())
        yield Figure(
            f"sparse, {name}: more states seen", mean, "share", student_interval(more),
            target="> 0.25", holds=mean > 0.25,
        )  # fmt: skip
        yield Figure(f"sparse, {name}: more states seen, worst seed", float(more.min()), "share")


def steady_figures(found: dict[str, list[dict[str, Any]]]) -> Iterator[Figure]:
    """How far the weight moved late, of the 0.14 that its rule could move it."""
    first = STABLE_AFTER // LOGGED - 1
    for name, rows in found.items():
        late = (float(np.ptp(row["weights"][first:])) for row in rows)
        moved = round(max(late), 9)  # steps of 0.01 leave their last bits
        yield Figure(
            f"steady, {name}: largest move of the weight after 5,000 steps", moved, "",
            target="≤ 0.05", holds=moved <= 0.05,
        )  # fmt: skip


def main() -> None:
    """Train, score, publish."""
    import torch

    torch.set_num_threads(1)
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cache", type=Path, required=True, help="finished trainings, JSON lines")
    parser.add_argument("--seeds", type=int, nargs="+", default=[20, 21, 22, 23, 24])
    parser.add_argument("--part", choices=PARTS, help="of these one alone")
    args = parser.parse_args()
    cache = Finished(args.cache)
    for part, (run, variants, tell) in PARTS.items():
        if args.part not in (None, part):
            continue
        found = {
            name: [
                cache.get([run.__name__, name, settings, seed], partial(run, name, seed))
                for seed in args.seeds
            ]
            for name, settings in variants.items()
        }
        facts = {"scores" if part == "shaping" else "seen": found, "variants": variants}
        publish(part, list(tell(found)), seeds=args.seeds, facts=facts, module="shaping")


PARTS: dict[str, tuple[Callable[[str, int], Any], Mapping[str, Any], Any]] = {
    "shaping": (train, VARIANTS, figures),
    "shaping_sparse": (explore, SPARSE, sparse_figures),
    "shaping_steady": (steady, STEADY, steady_figures),
}

if __name__ == "__main__":
    main()
