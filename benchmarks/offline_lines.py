"""Offline training where the optimum is known: without and with replays, stock, and the chain.

All of ours learn from realised rewards alone, with the settings of ``pretrain``, the same for all
datasets and seeds. A seed draws the dataset, the networks and the batches; 100 is the optimum.

- ``stock CQL``: stock d3rlpy's as ``benchmarks.offline_scores`` recorded it, from expected rewards,
  which are without noise: the easier task.
- ``clone``: what ours begin with.
- ``without replay``: clone and offline training on transitions alone, as of a market that is not
  ours: no bars, no validation, the last policy.
- ``with replay``: clone and offline training with replays, judged on the log.
- ``direct``, ``default chain``: what ``pretrain`` does, after its second stage and in the end. It
  is here for whether the offline stage adds anything; its own scores are ``default_chain``'s.

``lowest ÷ clone`` is the lowest score of ``without replay`` after the critics' phase, every 100
updates, as a share of the clone's; ``--picture`` draws them. Finished trainings are kept in
``--cache``; the same command goes on from there, and ``--publish`` writes the result of what the
cache holds.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.record import RESULTS, Figure, publish

DATASETS = ("M1-wide", "M1-narrow", "M3-wide", "M3-narrow")
GOALS = {"M1-wide": 90.0, "M1-narrow": 85.0, "M3-wide": 90.0, "M3-narrow": 85.0}
ALLOWANCE, SHARE, WATCHED, EVERY = 2.0, 0.9, 2_000, 100
SEEDS = (40, 41, 42, 43, 44)
STOCK = "CQL (.05)"  # of offline_scores
START = "first updates"


def without_replay(name: str, seed: int) -> dict[str, Any]:
    """Scores of clone and policy, and those of its first updates as shares of the clone's."""
    from offline_trader.learning.stages import clone, train_offline
    from offline_trader.pipeline.derived_seeds import stage_seeds
    from offline_trader.pipeline.settings import StagesConfig

    chain = StagesConfig(seed=seed)
    learner, data, scored = _begun(name, seed, chain.learner)
    seeds = stage_seeds(seed, 3)
    clone(learner, data.transitions(), chain.clone, seed=seeds[1])
    warm, at_first, early = scored(), scored(32, 400), []

    def watch(_: Any) -> Mapping[str, float]:
        early.append(scored(32, 400))
        return {"score": float(len(early))}  # chooses nothing: the last policy is the best

    config = replace(chain.offline, evaluate_interval=EVERY)
    train_offline(learner, data.transitions(), config, None, watch, seed=seeds[2])
    start = [score / at_first for score in early[1 : 1 + WATCHED // EVERY]]
    return {"clone": warm, "without replay": scored(), "early": min(start), START: start}


def _begun(name: str, seed: int, settings: Any) -> Any:
    """A learner, a dataset, and what scores the learner."""
    from offline_trader.evaluation.known_optimum import get_market, make_dataset, score_policy
    from offline_trader.learning.agents import make_learner
    from offline_trader.pipeline.derived_seeds import stage_seeds

    market = get_market(name[:2])
    size = len(market.observation_names)
    learner = make_learner(settings, size, seed=stage_seeds(seed, 1)[0])

    def scored(lanes: int = 128, steps: int = 1_000) -> float:
        return score_policy(market, learner.act, n_lanes=lanes, n_steps=steps, seed=1).value

    return learner, make_dataset(name, seed=seed, realised=True), scored


def of_stages(name: str, seed: int, stages: tuple[str, ...]) -> dict[str, Any]:
    """Score after each of ``stages``."""
    from offline_trader.config import from_dict
    from offline_trader.evaluation.known_optimum import get_market, score_policy
    from offline_trader.pipeline import KnownOptimumConfig
    from offline_trader.pipeline.known_optimum_training import train_default

    given = {**KnownOptimumConfig.of_chain(), "stages": list(stages), "seed": seed}
    scores: dict[str, Any] = {}

    def note(stage: str, learner: Any) -> None:
        if stage != "clone":
            scored = score_policy(
                get_market(name[:2]), learner.act, n_lanes=128, n_steps=1_000, seed=1
            )
            scores[stage] = scored.value

    train_default(name, from_dict(KnownOptimumConfig, given), realised=True, on_stage=note)
    last = "default chain" if "direct" in stages else "with replay"
    return {last if stage == "offline" else stage: score for stage, score in scores.items()}


PARTS: dict[str, Callable[[str, int], dict[str, Any]]] = {
    "without": without_replay,
    "with": lambda name, seed: of_stages(name, seed, ("clone", "offline")),
    "chain": lambda name, seed: of_stages(name, seed, ("clone", "direct", "offline")),
}


def train(part: str, name: str, seed: int) -> dict[str, Any]:
    """Scores, and seconds of the processor."""
    import torch

    torch.set_num_threads(1)
    busy = time.process_time()
    scores = PARTS[part](name, seed)
    return {"scores": scores, "cpu_seconds": time.process_time() - busy}


def figures(rows: Mapping[str, list[dict[str, Any]]]) -> Iterator[Figure]:
    """Interquartile mean and worst seed of every method on every dataset."""
    from offline_trader.evaluation.statistics import seed_summary

    found: dict[tuple[str, str], list[float]] = {}
    for key, results in rows.items():
        dataset = key.partition(" · ")[2]
        for one in results:
            for method, value in one["scores"].items():
                if method != START:
                    found.setdefault((method, dataset), []).append(value)
    for (method, dataset), values in found.items():
        if method == "early":
            yield Figure(
                f"without replay on {dataset}: lowest ÷ clone", min(values), "1",
                target=f"≥ {SHARE:g}", holds=min(values) >= SHARE,
            )  # fmt: skip
            continue
        summary = seed_summary(values, rng=np.random.default_rng(0))
        goal = GOALS[dataset] if method == "without replay" else None
        yield Figure(
            f"{method} on {dataset}", summary.iqm, "score", summary.interval,
            target="" if goal is None else f"≥ {goal:g}",
            holds=None if goal is None else summary.iqm >= goal,
        )  # fmt: skip
        beside = found.get(("clone", dataset)) if method == "without replay" else None
        least = None if beside is None else min(np.subtract(values, beside))
        yield Figure(
            f"{method} on {dataset}: worst seed", min(values), "score",
            target="" if least is None else f"≥ its clone − {ALLOWANCE:g}",
            holds=None if least is None else bool(least >= -ALLOWANCE),
        )  # fmt: skip
    for method in dict.fromkeys(method for method, _ in found if method != "early"):
        least = min(min(values) for (other, _), values in found.items() if other == method)
        yield Figure(f"{method}: worst seed", least, "score")


def recorded() -> Iterator[Figure]:
    """Stock d3rlpy's scores, as they were recorded."""
    stored = json.loads((RESULTS / "offline_scores.json").read_text(encoding="utf-8"))
    found = {each["name"]: each for each in stored["figures"]}
    for dataset in DATASETS:
        one = found[f"{STOCK} on {dataset}: stock d3rlpy"]
        worst = min(stored["facts"]["scores"][f"{dataset} · {STOCK} · stock"])
        yield Figure(f"stock CQL on {dataset}", one["value"], "score", tuple(one["interval"]))
        yield Figure(f"stock CQL on {dataset}: worst seed", worst, "score")


def draw(rows: Mapping[str, list[dict[str, Any]]], path: Path) -> None:
    """A panel a dataset: each seed's score ÷ the clone's over the first updates of training."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    pyplot.rcParams["svg.hashsalt"] = "offline_lines"
    figure, panels = pyplot.subplots(2, 2, figsize=(9.0, 5.0), sharex=True, layout="constrained")
    for panel, name in zip(panels.ravel(), DATASETS, strict=True):
        for one in rows[f"without · {name}"]:
            start = one["scores"][START]
            panel.plot(EVERY * np.arange(1, 1 + len(start)), start, linewidth=1.0)
        panel.axhline(SHARE, color="black", linewidth=0.8, linestyle="--")
        panel.set_title(name)
        panel.set_ylim(bottom=0.0)
    for panel in panels[1]:
        panel.set_xlabel("updates after the critics' phase")
    for panel in panels[:, 0]:
        panel.set_ylabel("score ÷ the clone's")
    figure.savefig(path, metadata={"Date": None})


def main() -> None:
    """Train what the cache lacks, publish all of it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cache", type=Path, required=True, help="finished trainings, JSON lines")
    parser.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS))
    parser.add_argument("--parts", nargs="+", choices=list(PARTS), default=list(PARTS))
    parser.add_argument("--publish", action="store_true", help="what the cache holds, no more")
    parser.add_argument("--picture", type=Path, help="draw the first updates without replays here")
    args = parser.parse_args()
    lines = args.cache.read_text(encoding="utf-8").splitlines() if args.cache.exists() else []
    done = {row["key"]: row for row in map(json.loads, lines)}
    rows: dict[str, list[dict[str, Any]]] = {}
    for seed in args.seeds:
        for name in DATASETS:
            for part in args.parts:
                key = json.dumps([part, name, seed])
                if key not in done:
                    if args.publish:
                        continue
                    done[key] = {"key": key, **train(part, name, seed)}
                    with args.cache.open("a", encoding="utf-8") as file:
                        print(json.dumps(done[key]), file=file, flush=True)
                    print(json.dumps(done[key]), file=sys.stderr, flush=True)
                rows.setdefault(f"{part} · {name}", []).append(done[key])
    facts = {"rows": rows, "n": {key: len(value) for key, value in rows.items()}}
    shown = [*recorded(), *figures(rows)]
    publish("offline_lines", shown, seeds=args.seeds, facts=facts)
    if args.picture is not None:
        draw(rows, args.picture)


if __name__ == "__main__":
    main()
