"""What auxiliary pretraining adds to a clone of few expert steps, where structure is planted.

The market is M3 as bars (``synthetic:ou``: the log price reverts, 40 bp a side), seen through the
32 features. A teacher who knows the future (``oracle``) trades 2,000 steps, where ``collect`` takes
100,000 by default. Two trainings of the same seed learn from them: ``pretrain --stages bc`` and
``--stages aux,bc``. The clone takes 200 updates: with the 3,000 of ``pretrain`` it knows so few
steps by heart, whatever it began with. All else is as in ``pretrain``; the auxiliary stage also
sees every bar of the training range, without an answer of the teacher. The score is 100 · net log
growth ÷ that of the optimal band, on paths that no training has met (``known-optimum M3-bars``).
Intervals are Student's, that of the difference over paired seeds. The settings were tried on seeds
50 to 52.

Directional accuracy is that of the head of the next return on the last fifth of the training bars.
The best filter knows the deviation y: it is right with probability ½ + arctan(ρ)/π, ρ the ratio of
the foretold part of a return to its shock. Finished seeds are kept in ``--cache``.
"""

from __future__ import annotations

import argparse
import math
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import stdtrit

from benchmarks.finished import Finished
from benchmarks.record import Figure, publish

STEPS, BARS = 2_000, 12_000
SCORED, PATHS = 20_000, 10
SEEDS = tuple(range(60, 70))
CLONED = 200
PLAIN, PRETRAINED = "clone of few steps", "auxiliary tasks, then clone of few steps"
ARMS = {PLAIN: ("clone",), PRETRAINED: ("auxiliary", "clone")}


def train(seed: int) -> dict[str, dict[str, Any]]:
    """Of each arm: score, seconds, and what the heads came to."""
    import torch

    from offline_trader.datasets import collect
    from offline_trader.envs import EnvConfig
    from offline_trader.evaluation.known_optimum.ou_bars import OU_RULES
    from offline_trader.learning.settings import CloneConfig
    from offline_trader.pipeline.settings import LineConfig

    torch.set_num_threads(1)
    line = LineConfig(
        env=EnvConfig(
            market=(f"synthetic:ou?seed={seed}&bars={BARS}",), simulator=OU_RULES, episode_bars=200
        ),
        experts=("oracle",),
        transitions=STEPS,
        clone=CloneConfig(updates=CLONED),
        seed=seed,
    )
    found = {}
    with tempfile.TemporaryDirectory(prefix="offline-trader-") as folder:
        root = Path(folder) / "datasets"
        collect(line.collecting(), root=root)
        for arm, stages in ARMS.items():
            found[arm] = _of_arm(replace(line, stages=stages), root, Path(folder) / arm)
    return found


def _of_arm(line: Any, root: Path, path: Path) -> dict[str, Any]:
    from offline_trader.evaluation.known_optimum.ou_bars import score_on_bars
    from offline_trader.markets.synthetic import OuMarket
    from offline_trader.pipeline.pretraining import pretrain
    from offline_trader.pipeline.trained_runs import finished_run, trained_policy

    start = time.process_time()
    pretrain(line.pretraining(), path, root=root)
    seconds = time.process_time() - start
    run = finished_run(path)
    law = replace(OuMarket(), bars=SCORED, seed=1_000_003 + 1_000 * line.seed)
    score = score_on_bars(trained_policy(run), law, n_paths=PATHS)
    return {
        "score": score.value,
        "seconds": seconds,
        "heads": run.facts.further.get("auxiliary", {}),
    }


def figures(rows: list[dict[str, dict[str, Any]]]) -> Iterator[Figure]:
    """Mean scores, the paired differences, directional accuracy beside the best filter's."""
    scores = {arm: np.array([row[arm]["score"] for row in rows]) for arm in ARMS}
    for arm, values in scores.items():
        yield Figure(f"{arm}: score", float(values.mean()), "score", _interval(values))
    added = scores[PRETRAINED] - scores[PLAIN]
    low, high = _interval(added)
    yield Figure(
        "added by auxiliary tasks",
        float(added.mean()),
        "score",
        (low, high),
        target="interval > 0",
        holds=low > 0.0,
    )
    best = _best_direction()
    wanted = min(0.6, best - 0.02)
    accuracy = np.array([row[PRETRAINED]["heads"]["direction"]["accuracy"] for row in rows])
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
    parser.add_argument("--cache", type=Path, required=True, help="finished seeds, JSON lines")
    parser.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS))
    args = parser.parse_args()
    finished, rows = Finished(args.cache), []
    for seed in args.seeds:
        key = [seed, STEPS, BARS, SCORED, CLONED, list(ARMS.values())]
        rows.append(finished.get(key, partial(train, seed)))
        shown = {arm: round(one["score"], 1) for arm, one in rows[-1].items()}
        print(seed, shown, file=sys.stderr, flush=True)
    publish("auxiliary", list(figures(rows)), seeds=args.seeds, facts={"rows": rows})


if __name__ == "__main__":
    main()
