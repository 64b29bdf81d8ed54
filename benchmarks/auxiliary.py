"""What auxiliary pretraining adds to a clone of few expert steps, where structure is planted.

The market is M3 as bars (``synthetic:ou``: the log price reverts, 40 bp a side), seen through the
32 features. A teacher who knows the future (``oracle``) trades 2,000 steps, where ``collect`` takes
100,000 by default. Two trainings of the same seed learn from them: ``pretrain
--stages bc`` and ``--stages aux,bc``, with the settings of ``pretrain``; the auxiliary stage also
sees every bar of the training range, without an answer of the teacher. The score is 100 · net log
growth ÷ that of the optimal band, on paths that no training has met (``known-optimum M3-bars``).
The interval of the difference is Student's over paired seeds.

Directional accuracy is that of the head of the next return on the last fifth of the training bars.
The best filter knows the deviation y: it is right with probability ½ + arctan(ρ)/π, ρ the ratio of
the foretold part of a return to its shock. Finished trainings are kept in ``--cache``.
"""

from __future__ import annotations

import argparse
import json
import math
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import stdtrit

from benchmarks.record import Figure, publish

STEPS, BARS = 2_000, 12_000
SCORED, PATHS = 40_000, 20
SEEDS = tuple(range(60, 65))
ARMS: dict[str, tuple[int, tuple[str, ...]]] = {
    "clone of few steps": (STEPS, ("clone",)),
    "auxiliary tasks, then clone of few steps": (STEPS, ("auxiliary", "clone")),
}


def train(arm: str, seed: int) -> dict[str, Any]:
    """Score, seconds, and what the heads came to."""
    from offline_trader.datasets import collect
    from offline_trader.envs import EnvConfig
    from offline_trader.evaluation.known_optimum.ou_bars import OU_RULES, score_on_bars
    from offline_trader.markets.synthetic import OuMarket
    from offline_trader.pipeline.pretraining import pretrain
    from offline_trader.pipeline.settings import LineConfig
    from offline_trader.pipeline.trained_runs import finished_run, trained_policy

    steps, stages = ARMS[arm]
    market = f"synthetic:ou?seed={seed}&bars={BARS}"
    env = EnvConfig(market=(market,), simulator=OU_RULES, episode_bars=200)
    line = LineConfig(env=env, experts=("oracle",), transitions=steps, stages=stages, seed=seed)
    with tempfile.TemporaryDirectory(prefix="offline-trader-") as folder:
        root, path = Path(folder) / "datasets", Path(folder) / "run"
        collect(line.collecting(), root=root)
        start = time.process_time()
        pretrain(line.pretraining(), path, root=root)
        seconds = time.process_time() - start
        run = finished_run(path)
        law = replace(OuMarket(), bars=SCORED, seed=1_000_003 + 1_000 * seed)
        score = score_on_bars(trained_policy(run), law, n_paths=PATHS)
        heads = run.facts.further.get("auxiliary", {})
    return {"score": score.value, "seconds": seconds, "heads": heads}


def figures(rows: dict[str, dict[str, Any]], seeds: list[int]) -> Iterator[Figure]:
    """Mean scores, the paired difference, directional accuracy beside the best filter's."""
    scores = {arm: np.array([rows[f"{arm} {seed}"]["score"] for seed in seeds]) for arm in ARMS}
    for arm, values in scores.items():
        yield Figure(f"{arm}: score", float(values.mean()), "score", _interval(values))
    plain, pretrained = ARMS
    added = scores[pretrained] - scores[plain]
    low, high = _interval(added)
    yield Figure(
        "added by auxiliary tasks",
        float(added.mean()),
        "score",
        (low, high),
        target="interval > 0",
        holds=low > 0.0,
    )
    found = [rows[f"{pretrained} {seed}"]["heads"]["direction"]["accuracy"] for seed in seeds]
    best = _best_direction()
    wanted = min(0.6, best - 0.02)
    accuracy = np.array(found)
    yield Figure(
        "directional accuracy of the head",
        float(accuracy.mean()),
        "share",
        _interval(accuracy),
        target=f"≥ {wanted:.3f}",
        holds=float(accuracy.mean()) >= wanted,
    )
    yield Figure("directional accuracy of the best filter", best, "share")


def _interval(values: np.ndarray[Any, Any]) -> tuple[float, float]:
    half = float(stdtrit(len(values) - 1, 0.975) * values.std(ddof=1) / math.sqrt(len(values)))
    return float(values.mean()) - half, float(values.mean()) + half


def _best_direction() -> float:
    from offline_trader.evaluation.known_optimum import MeanReversion

    law = MeanReversion()
    return 0.5 + math.atan(law.k * law.deviation / law.sigma) / math.pi


def main() -> None:
    """Train, score, publish."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cache", type=Path, required=True, help="finished trainings, JSON lines")
    parser.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS))
    args = parser.parse_args()
    lines = args.cache.read_text(encoding="utf-8").splitlines() if args.cache.exists() else []
    rows: dict[str, dict[str, Any]] = dict(map(json.loads, lines))
    for seed in args.seeds:
        for arm in ARMS:
            key = f"{arm} {seed}"
            if key not in rows:
                rows[key] = train(arm, seed)
                with args.cache.open("a", encoding="utf-8") as file:
                    print(json.dumps([key, rows[key]]), file=file, flush=True)
    used = {key: row for key, row in rows.items() if int(key.split()[-1]) in args.seeds}
    publish("auxiliary", list(figures(used, args.seeds)), seeds=args.seeds, facts={"rows": used})


if __name__ == "__main__":
    main()
